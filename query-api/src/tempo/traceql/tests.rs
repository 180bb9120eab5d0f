use super::*;

fn is(field: Field, operator: Operator, value: Value) -> Filter {
    Filter::Is(Comparison { field, operator, value, at: 0 })
}

/// Without the places, which tables of what is read would be full of.
fn placeless(filter: Filter) -> Filter {
    let all = |all: Vec<Filter>| all.into_iter().map(placeless).collect();
    match filter {
        Filter::Is(comparison) => Filter::Is(Comparison { at: 0, ..comparison }),
        Filter::Every(inner) => Filter::Every(all(inner)),
        Filter::Any(inner) => Filter::Any(all(inner)),
        Filter::Anything => Filter::Anything,
    }
}

fn read(query: &str) -> Filter {
    placeless(parse(query).unwrap_or_else(|refused| panic!("{query}: {refused:?}")))
}

fn attribute(scope: Scope, key: &str) -> Field {
    Field::Attribute(scope, key.to_owned())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[test]
fn one_comparison() {
    use Intrinsic as I;
    use Operator::{AtLeast, AtMost, Equal, Greater, Less, Matches, MatchesNot, NotEqual};
    let intrinsic = Field::Intrinsic;
    for (query, field, operator, value) in [
        (r#"{name="GET /"}"#, intrinsic(I::Name), Equal, text("GET /")),
        (r#"{ span:name != `a"b\` }"#, intrinsic(I::Name), NotEqual, text(r#"a"b\"#)),
        ("{status=error}", intrinsic(I::Status), Equal, text("Error")),
        ("{ span:status != ok }", intrinsic(I::Status), NotEqual, text("Ok")),
        ("{kind=server}", intrinsic(I::Kind), Equal, text("Server")),
        (r#"{statusMessage =~ "time.*"}"#, intrinsic(I::StatusMessage), Matches, text("time.*")),
        ("{duration>1.5ms}", intrinsic(I::Duration), Greater, Value::Nanoseconds(1_500_000)),
        (
            "{traceDuration<=1h30m}",
            intrinsic(I::TraceDuration),
            AtMost,
            Value::Nanoseconds(5_400_000_000_000),
        ),
        ("{trace:duration < 20µs}", intrinsic(I::TraceDuration), Less, Value::Nanoseconds(20_000)),
        (r#"{rootServiceName="web"}"#, intrinsic(I::RootServiceName), Equal, text("web")),
        (r#"{trace:rootName!~"a|b"}"#, intrinsic(I::RootName), MatchesNot, text("a|b")),
        (r#"{trace:id="ab"}"#, intrinsic(I::TraceId), Equal, text("ab")),
        (r#"{span:parentID=""}"#, intrinsic(I::ParentId), Equal, text("")),
        (
            r#"{resource.service.name="a \"b\"\n"}"#,
            attribute(Scope::Resource, "service.name"),
            Equal,
            text("a \"b\"\n"),
        ),
        (
            "{span.http.status_code>=500}",
            attribute(Scope::Span, "http.status_code"),
            AtLeast,
            Value::Number(500.0),
        ),
        ("{.balance<-0.5}", attribute(Scope::Either, "balance"), Less, Value::Number(-0.5)),
        ("{.retry=true}", attribute(Scope::Either, "retry"), Equal, text("true")),
        ("{.a-b/c != nil}", attribute(Scope::Either, "a-b/c"), NotEqual, Value::Nil),
        (r#"{span."a key }".x="1"}"#, attribute(Scope::Span, "a key }.x"), Equal, text("1")),
        (r#"{.größe="ä"}"#, attribute(Scope::Either, "größe"), Equal, text("ä")),
    ] {
        assert_eq!(read(query), is(field, operator, value), "{query}");
    }
}

#[test]
fn and_binds_closer_than_or_and_parentheses_closest() {
    let named = |name: &str| is(Field::Intrinsic(Intrinsic::Name), Operator::Equal, text(name));
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let every = |all: &[&Filter]| Filter::Every(all.iter().map(|one| (*one).clone()).collect());
    let any = |all: &[&Filter]| Filter::Any(all.iter().map(|one| (*one).clone()).collect());
    for (query, expected) in [
        ("{}", Filter::Anything),
        ("{ true }", Filter::Anything),
        (r#"{name="a" && name="b"}"#, every(&[&a, &b])),
        (r#"{name="a" || name="b" && name="c"}"#, any(&[&a, &every(&[&b, &c])])),
        (r#"{(name="a" || name="b") && name="c"}"#, every(&[&any(&[&a, &b]), &c])),
        (r#"{((name="a")&&(name="b" && name="c"))}"#, every(&[&a, &b, &c])),
        (r#"{name="a" && true}"#, a.clone()),
        (r#"{name="a" || true}"#, Filter::Anything),
    ] {
        assert_eq!(read(query), expected, "{query}");
    }
}

#[test]
fn what_is_refused_is_named_with_its_place() {
    let deep = format!("{{{}name=\"a\"{}}}", "(".repeat(17), ")".repeat(17));
    let wide = format!("{{{}}}", ["duration>1s"; 51].join("||"));
    let long = format!("{{name=\"{}\"}}", "x".repeat(5_000));
    for (query, col, why) in [
        ("", 1, "one filter of spans"),
        ("name=\"a\"", 1, "one filter of spans"),
        ("({name=\"a\"})", 1, "one filter of spans"),
        ("{} | count() > 2", 4, "pipelines"),
        ("{ status = error } | rate() by (resource.service.name)", 20, "metrics"),
        ("{} && {}", 4, "several filters"),
        ("{name=\"a\"} || {}", 12, "several filters"),
        ("{} >> {}", 4, "structural"),
        ("{} !< {}", 4, "structural"),
        ("{} &>> {}", 4, "structural"),
        ("{} ~ {}", 4, "structural"),
        ("{} with (most_recent=true)", 4, "hints"),
        ("{} {}", 4, "ends with its filter"),
        ("{ event.name = \"x\" }", 3, "scope event"),
        ("{ parent.a = 1 }", 3, "scope parent"),
        ("{ service.name = \"x\" }", 3, "no scope"),
        ("{ event:name = \"x\" }", 3, "event:name is not supported"),
        ("{ nestedSetParent < 0 }", 3, "nestedSetParent is not supported"),
        ("{ !(name=\"a\") }", 3, "! before a condition"),
        ("{ duration + 1s > 2s }", 12, "arithmetic"),
        ("{ 1s < duration }", 3, "expected a field"),
        ("{ .a }", 6, "expected one of"),
        ("{ .a = }", 8, "unexpected \"}\""),
        ("{ .a = \"b\" && }", 15, "expected a field"),
        ("{ .a = \"b\"", 11, "expected && or || or }"),
        ("{ (.a = \"b\" }", 13, "expected )"),
        ("{ .a = \"b }", 8, "no end"),
        ("{ .a = \"\\x\" }", 8, "a text knows"),
        ("{ . = 1 }", 3, "name of an attribute"),
        ("{ .a = b }", 8, "text in quotes"),
        ("{ .a = error }", 8, "text in quotes"),
        ("{ .a =~ 5 }", 9, "text in quotes"),
        ("{ .a > nil }", 8, "text in quotes"),
        ("{ .a > 5s }", 8, "text in quotes or a number"),
        ("{ .a = 5x }", 8, "a number is like"),
        ("{ name = 5 }", 10, "text in quotes"),
        ("{ duration > 5 }", 14, "length"),
        ("{ duration =~ 5s }", 15, "length"),
        ("{ status = \"error\" }", 12, "ok, error or unset"),
        ("{ status > ok }", 12, "ok, error or unset"),
        ("{ kind = error }", 10, "server"),
        ("{ .a = \"ä\" ; }", 12, "unexpected ';'"),
        (&deep, 18, "16 deep"),
        (&wide, 652, "50 comparisons"),
        (&long, 1, "4096 bytes"),
    ] {
        let refused = ApiError::from(parse(query).expect_err(query)).message;
        assert!(refused.starts_with(&format!("parse error at col {col}: ")), "{query}: {refused}");
        assert!(refused.contains(why), "{query}: {refused}");
    }
}

#[test]
fn traces_and_spans_are_told_apart() {
    let of =
        |query| parse(query).unwrap().split().map(|split| (placeless(split.trace), placeless(split.span)));
    let root = is(Field::Intrinsic(Intrinsic::RootName), Operator::Equal, text("a"));
    let name = is(Field::Intrinsic(Intrinsic::Name), Operator::Equal, text("b"));
    assert_eq!(of("{}"), Ok((Filter::Anything, Filter::Anything)));
    assert_eq!(of(r#"{rootName="a"}"#), Ok((root.clone(), Filter::Anything)));
    assert_eq!(of(r#"{rootName="a" && name="b"}"#), Ok((root.clone(), name.clone())));
    let either = Filter::Any(vec![root.clone(), root.clone()]);
    assert_eq!(of(r#"{(rootName="a" || rootName="a") && name="b"}"#), Ok((either, name)));
    let refused = of(r#"{name="b" || rootName="a"}"#).unwrap_err();
    assert_eq!(refused.at, 13);
    assert!(refused.why.contains("only &&"), "{}", refused.why);
}

#[test]
fn a_query_that_is_being_typed_says_what_is_complete() {
    let name = is(Field::Intrinsic(Intrinsic::Name), Operator::Equal, text("a"));
    for (query, expected) in [
        (r#"{name="a" && resource.service.name=}"#, name.clone()),
        (r#"{name="a"}"#, name),
        (r#"{name="a" || status=}"#, Filter::Anything),
        (r#"{name="a" && }"#, Filter::Anything),
        ("{} | rate()", Filter::Anything),
        ("", Filter::Anything),
    ] {
        assert_eq!(placeless(lenient(query)), expected, "{query}");
    }
}

#[test]
fn fields_have_names() {
    assert_eq!(field("resource.service.name").unwrap(), attribute(Scope::Resource, "service.name"));
    assert_eq!(field(".a/b").unwrap(), attribute(Scope::Either, "a/b"));
    assert_eq!(field("span:kind").unwrap(), Field::Intrinsic(Intrinsic::Kind));
    for bad in ["", "service.name", "nothing", "event:name", "span.a span.b", "name = \"x\""] {
        assert!(field(bad).is_err(), "{bad}");
    }
}

#[test]
fn lengths_are_sums_of_numbers_with_units() {
    for (text, ns) in
        [("100ms", 100_000_000), ("1h30m", 5_400_000_000_000), ("1.5µs", 1_500), ("2d", 172_800_000_000_000)]
    {
        assert_eq!(duration_ns(text), Some(ns), "{text}");
    }
    for bad in ["", "5", "ms", "1.2.3s", "5 s", "99999999w", "-1s", "1sx"] {
        assert_eq!(duration_ns(bad), None, "{bad}");
    }
}

#[test]
fn no_query_makes_the_parser_panic() {
    let parts = [
        "{", "}", "(", ")", "\"", "`", "\\", ".", "span.", "name", "=", "!~", "&&", "||", "|", "1", "-",
        "ms", "µ", " ", "true",
    ];
    let mut state = 7_u32;
    for _ in 0..20_000 {
        let mut query = String::new();
        for _ in 0..12 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            query.push_str(parts[state as usize / 65_536 % parts.len()]);
        }
        let _ = parse(&query).map(|filter| filter.split());
        let _ = lenient(&query);
        let _ = field(&query);
    }
}
