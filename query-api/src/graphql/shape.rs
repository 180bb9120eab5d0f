//! From the schema's text to a schema that finds every field in JSON: the answers of REST and of the live protocol.
//!
//! `schema.graphql` says which fields there are. A field is the entry of its parent's JSON with the same name, or with
//! the one that `@from(key:)` gives; only the fields of `Query` and `Subscription`, and those in [`Computed`], are
//! functions.

use super::questions::{self, Computed};
use async_graphql::dynamic::{
    Enum, EnumItem, Field, FieldFuture, FieldValue, InputValue, Object, ResolverContext, Scalar, Schema,
    SchemaBuilder, Subscription, SubscriptionField, TypeRef,
};
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, FieldDefinition, InputValueDefinition, ObjectType, Type, TypeDefinition, TypeKind,
    TypeSystemDefinition,
};
use async_graphql::{Error, Name, Value};
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use std::sync::Arc;

const TEXT: &str = include_str!("schema.graphql");

/// Names of the schema's types, by what their values are.
struct Names {
    objects: BTreeSet<String>,
    enums: BTreeSet<String>,
}

/// The schema, without its limits.
///
/// # Errors
/// The text is no schema, or names a type that isn't there: a fault of this program.
pub fn builder() -> anyhow::Result<SchemaBuilder> {
    let document = parse_schema(TEXT)?;
    let types: Vec<TypeDefinition> = document
        .definitions
        .into_iter()
        .filter_map(|definition| match definition {
            TypeSystemDefinition::Type(definition) => Some(definition.node),
            TypeSystemDefinition::Schema(_) | TypeSystemDefinition::Directive(_) => None,
        })
        .collect();
    let of_kind = |is_kind: fn(&TypeKind) -> bool| {
        let of_kind = types.iter().filter(|each| is_kind(&each.kind));
        of_kind.map(|each| each.name.node.to_string()).collect()
    };
    let names = Arc::new(Names {
        objects: of_kind(|kind| matches!(kind, TypeKind::Object(_))),
        enums: of_kind(|kind| matches!(kind, TypeKind::Enum(_))),
    });
    let builder = Schema::build("Query", None, Some("Subscription"));
    types.into_iter().try_fold(builder, |builder, definition| register(builder, definition, &names))
}

fn register(
    builder: SchemaBuilder,
    definition: TypeDefinition,
    names: &Arc<Names>,
) -> anyhow::Result<SchemaBuilder> {
    let name = definition.name.node.to_string();
    let description = definition.description.map(|text| text.node).unwrap_or_default();
    Ok(match definition.kind {
        TypeKind::Scalar => builder.register(Scalar::new(name).description(description)),
        TypeKind::Enum(kind) => {
            let items = kind.values.into_iter().map(|item| EnumItem::new(item.node.value.node.as_str()));
            builder.register(Enum::new(name).items(items))
        }
        TypeKind::Object(kind) if name == "Subscription" => builder.register(subscription(kind, names)?),
        TypeKind::Object(kind) => builder.register(object(name, &description, kind, names)?),
        _ => anyhow::bail!("{name} is of a kind that the schema has no use for"),
    })
}

fn object(name: String, description: &str, kind: ObjectType, names: &Arc<Names>) -> anyhow::Result<Object> {
    let mut object = Object::new(name.clone());
    if !description.is_empty() {
        object = object.description(description);
    }
    for field in kind.fields {
        object = object.field(self::field(&name, field.node, names)?);
    }
    Ok(object)
}

fn field(parent: &str, definition: FieldDefinition, names: &Arc<Names>) -> anyhow::Result<Field> {
    let name = definition.name.node.to_string();
    let ty = definition.ty.node.clone();
    let computed = match parent {
        "Query" => Some(Computed::query(&name).ok_or_else(|| anyhow::anyhow!("nobody answers {name}"))?),
        _ => Computed::field(parent, &name),
    };
    let key = key(&definition)?.unwrap_or_else(|| name.clone());
    let (kind, names) = (ty.clone(), names.clone());
    let mut field = Field::new(name, type_ref(&ty), move |context| {
        let (kind, names, key) = (kind.clone(), names.clone(), key.clone());
        FieldFuture::new(async move {
            let Some(computed) = computed else {
                let parent = json(context.parent_value)?;
                // Only nothing is null to every type: a value is taken for an object, a list or an item.
                let value = parent.get(&key).filter(|value| !value.is_null());
                return value.map(|value| shown(value, &kind, &names)).transpose();
            };
            Ok(match (computed.answer(&context).await?, &kind.base) {
                (Json::Null, _) => None,
                (Json::Array(items), BaseType::List(_)) => {
                    Some(FieldValue::list(items.into_iter().map(FieldValue::owned_any)))
                }
                (answer, _) => Some(FieldValue::owned_any(answer)),
            })
        })
    });
    if let Some(text) = definition.description {
        field = field.description(text.node);
    }
    for argument in definition.arguments {
        field = field.argument(input(argument.node));
    }
    Ok(field)
}

fn subscription(kind: ObjectType, names: &Arc<Names>) -> anyhow::Result<Subscription> {
    let mut subscription = Subscription::new("Subscription");
    for FieldDefinition { name, description, arguments, ty, .. } in
        kind.fields.into_iter().map(|field| field.node)
    {
        let name = name.node.to_string();
        let source = questions::Source::named(&name).ok_or_else(|| anyhow::anyhow!("nobody tells {name}"))?;
        anyhow::ensure!(names.objects.contains(&named(&ty.node)), "{name} has to be an object");
        let mut field =
            SubscriptionField::new(name, type_ref(&ty.node), move |context| source.stream(context));
        if let Some(text) = description {
            field = field.description(text.node);
        }
        for argument in arguments {
            field = field.argument(input(argument.node));
        }
        subscription = subscription.field(field);
    }
    Ok(subscription)
}

fn input(argument: InputValueDefinition) -> InputValue {
    let input = InputValue::new(argument.name.node.as_str(), type_ref(&argument.ty.node));
    match argument.description {
        Some(text) => input.description(text.node),
        None => input,
    }
}

/// What `@from(key:)` says.
fn key(definition: &FieldDefinition) -> anyhow::Result<Option<String>> {
    let Some(from) = definition.directives.iter().find(|directive| directive.node.name.node == "from") else {
        return Ok(None);
    };
    match from.node.get_argument("key").map(|key| &key.node) {
        Some(Value::String(key)) => Ok(Some(key.clone())),
        _ => anyhow::bail!("@from of {} has no key", definition.name.node),
    }
}

fn type_ref(ty: &Type) -> TypeRef {
    let inner = match &ty.base {
        BaseType::Named(name) => TypeRef::named(name.as_str()),
        BaseType::List(of) => TypeRef::List(Box::new(type_ref(of))),
    };
    if ty.nullable { inner } else { TypeRef::NonNull(Box::new(inner)) }
}

fn named(ty: &Type) -> String {
    match &ty.base {
        BaseType::Named(name) => name.to_string(),
        BaseType::List(of) => named(of),
    }
}

/// The JSON behind an object.
///
/// # Errors
/// It isn't JSON: a fault of this program.
pub fn json<'a>(value: &'a FieldValue<'a>) -> Result<&'a Json, Error> {
    value.try_downcast_ref::<Json>()
}

/// JSON as a value of a type: objects are lent, everything else is copied.
fn shown<'a>(json: &'a Json, ty: &Type, names: &Names) -> Result<FieldValue<'a>, Error> {
    match (&ty.base, json) {
        (BaseType::List(of), Json::Array(items)) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| shown(item, of, names)).collect();
            Ok(FieldValue::list(items?))
        }
        (BaseType::List(_), _) => Err(Error::new("an answer lacks a list")),
        (BaseType::Named(name), json) if names.objects.contains(name.as_str()) => {
            Ok(FieldValue::borrowed_any(json))
        }
        (BaseType::Named(name), Json::String(text)) if names.enums.contains(name.as_str()) => {
            Ok(Value::Enum(Name::new(text)).into())
        }
        (BaseType::Named(_), json) => Ok(Value::from_json(json.clone())?.into()),
    }
}

/// The arguments of a field as JSON, as the parameters of REST take them: without those that aren't given, with times as
/// text, and with several names as one text.
///
/// # Errors
/// One can't be written as JSON.
pub fn arguments(context: &ResolverContext<'_>) -> Result<Map<String, Json>, Error> {
    let mut arguments = Map::new();
    for (name, value) in context.args.iter() {
        let value = match value.as_value().clone().into_json()? {
            Json::Null => continue,
            Json::Number(number) if name.ends_with("Time") => number.to_string().into(),
            Json::Array(names) => names.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(",").into(),
            value => value,
        };
        arguments.insert(name.to_string(), value);
    }
    Ok(arguments)
}
