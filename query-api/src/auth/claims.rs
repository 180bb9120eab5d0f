//! From a token of the provider to the grant it gives.

use super::provider::{Provider, ProviderError};
use super::settings::{Grant, Settings};
use jsonwebtoken::{Validation, decode, decode_header};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Longest token that is looked at.
const LONGEST: usize = 16 << 10;
/// Longest name of a caller.
const NAME_CHARS: usize = 128;

/// What a token says, once it is known to be the provider's.
pub type Claims = Map<String, Value>;

/// Why a token proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    /// It is not what it should be; the words are for the caller and quote nothing of it.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
    /// Nobody can say.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

/// The claims of a token that the provider has signed for this audience, and that is valid now.
///
/// # Errors
/// It has not, or can't be asked.
pub async fn verify(provider: &Provider, token: &str, audience: &str) -> Result<Claims, Unproven> {
    if token.len() > LONGEST {
        return Err(Unproven::Invalid("it is too long"));
    }
    let header = decode_header(token).map_err(|_| Unproven::Invalid("its header can't be read"))?;
    let settings = &provider.settings;
    // Before any key is looked for: the algorithm is our choice, not the token's.
    if !settings.algorithms.contains(&header.alg) {
        return Err(Unproven::Invalid("its algorithm is not one that is taken here"));
    }
    let key = provider.key(&header).await?;
    let mut validation = Validation::new(header.alg);
    validation.leeway = settings.leeway.as_secs();
    validation.validate_nbf = true;
    let issuer = settings.issuer.as_str();
    // URLs are written with and without a slash at the end; the provider's own spelling is one of them.
    validation.set_issuer(&[issuer, issuer.trim_end_matches('/')]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    match decode::<Claims>(token, &key, &validation) {
        Ok(token) => Ok(token.claims),
        Err(error) => Err(Unproven::Invalid(reason(error.kind()))),
    }
}

fn reason(kind: &jsonwebtoken::errors::ErrorKind) -> &'static str {
    use jsonwebtoken::errors::ErrorKind;
    match kind {
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidIssuer => "it is of another issuer",
        ErrorKind::InvalidAudience => "it is for another audience",
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::MissingRequiredClaim(_) => "it lacks exp, iss, aud or sub",
        _ => "it can't be read",
    }
}

/// The first grant of the file that one of the caller's claims gives.
pub fn grant<'a>(settings: &'a Settings, claim: &str, claims: &Claims) -> Option<&'a Arc<Grant>> {
    let values = values(claims, claim);
    settings.grants.iter().find(|grant| grant.claims.iter().any(|wanted| values.contains(&wanted.as_str())))
}

/// A claim's texts: those of a list, or the words of a text as in `scope`. The claim is named as it is, or by a path
/// with dots.
fn values<'a>(claims: &'a Claims, claim: &str) -> Vec<&'a str> {
    let found = claims.get(claim).or_else(|| {
        let mut parts = claim.split('.');
        let first = claims.get(parts.next()?)?;
        parts.try_fold(first, |within, part| within.get(part))
    });
    match found {
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(text)) => text.split_whitespace().collect(),
        _ => Vec::new(),
    }
}

/// Who it is, for the audit log: the subject, which the provider never gives to another.
pub fn who(claims: &Claims) -> String {
    let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
    format!("oidc:{}", subject.chars().take(NAME_CHARS).collect::<String>())
}

/// What people call them, for the page; empty where the provider doesn't say.
pub fn name(claims: &Claims) -> String {
    let said =
        ["name", "preferred_username", "email"].iter().filter_map(|claim| claims.get(*claim)?.as_str());
    said.map(str::trim).find(|name| !name.is_empty()).unwrap_or_default().chars().take(NAME_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(claim: &str, claims: Value) -> Option<String> {
        let grant_of = |name: &str, value: &str| {
            format!("[[grant]]\nname = \"{name}\"\nrole = \"viewer\"\nclaims = [\"{value}\"]\n")
        };
        let text = format!(
            "{}{}[oidc]\nissuer = \"https://id.example\"\naudience = \"weir\"\n",
            grant_of("ops", "weir-ops"),
            grant_of("shop", "team-shop")
        );
        let settings = Settings::parse(&text).unwrap();
        let Value::Object(claims) = claims else { unreachable!() };
        grant(&settings, claim, &claims).map(|grant| grant.name.clone())
    }

    #[test]
    fn the_first_grant_of_the_file_counts() {
        let both = json!({"groups": ["team-shop", "weir-ops"]});
        assert_eq!(found("groups", both).as_deref(), Some("ops"));
    }

    #[test]
    fn claims_are_lists_words_and_paths() {
        for (claim, claims) in [
            ("groups", json!({"groups": ["team-shop"]})),
            ("scope", json!({"scope": "openid team-shop"})),
            ("realm_access.roles", json!({"realm_access": {"roles": ["team-shop"]}})),
            ("https://weir.example/roles", json!({"https://weir.example/roles": ["team-shop"]})),
        ] {
            assert_eq!(found(claim, claims).as_deref(), Some("shop"), "{claim}");
        }
        for claims in [json!({}), json!({"groups": "team-shop-2"}), json!({"groups": [["team-shop"]]})] {
            assert_eq!(found("groups", claims.clone()), None, "{claims}");
        }
    }
}
