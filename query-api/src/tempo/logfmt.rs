//! `tags`, the way to search of before TraceQL: `key=value` pairs in logfmt. One span has to have them all.

use super::traceql::{Field, Filter, MOST_COMPARISONS, Scope};
use crate::error::ApiError;

/// The filter of `tags`, such as `service.name=web name="POST /login"`.
///
/// # Errors
/// It is no logfmt, has a key twice or too many pairs, or is about something that isn't known.
pub fn filter(text: &str) -> Result<Filter, ApiError> {
    let pairs = pairs(text)?;
    if pairs.len() > MOST_COMPARISONS {
        return Err(ApiError::bad_request(format!("tags are {MOST_COMPARISONS} at most")));
    }
    let mut all = Vec::new();
    for (at, (key, value)) in pairs.iter().enumerate() {
        if pairs[..at].iter().any(|(earlier, _)| earlier == key) {
            let key: String = key.chars().take(40).collect();
            return Err(ApiError::bad_request(format!("invalid tags: tag {key} has been set twice")));
        }
        all.push(Filter::equal(field(key), stored(key, value)?));
    }
    Ok(Filter::every(all))
}

/// What a key of before TraceQL means.
pub fn field(key: &str) -> Field {
    let intrinsic = match key {
        "status.code" | "error" => "status",
        "root.name" => "rootName",
        "root.service.name" => "rootServiceName",
        "name" => "name",
        _ => "",
    };
    Field::intrinsic(intrinsic).unwrap_or_else(|| Field::Attribute(Scope::Either, key.to_owned()))
}

/// A value as the store writes it.
fn stored(key: &str, value: &str) -> Result<String, ApiError> {
    let known = match (key, value) {
        ("status.code", "ok") => "Ok",
        ("status.code", "error") | ("error", "true") => "Error",
        ("status.code", "unset") => "Unset",
        ("status.code", _) => {
            return Err(ApiError::bad_request("invalid tags: status.code is ok, error or unset"));
        }
        ("error", _) => return Err(ApiError::bad_request("invalid tags: error is true")),
        _ => value,
    };
    Ok(known.to_owned())
}

fn pairs(text: &str) -> Result<Vec<(String, String)>, ApiError> {
    let refused = || ApiError::bad_request("invalid tags: they are key=value pairs, such as name=\"GET /\"");
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|sign: char| sign == '=' || sign.is_whitespace() || sign == '"');
        let end = end.filter(|end| *end > 0 && rest[*end..].starts_with('=')).ok_or_else(refused)?;
        let key = rest[..end].to_owned();
        let (value, behind) = value(&rest[end + 1..]).ok_or_else(refused)?;
        pairs.push((key, value));
        if !behind.is_empty() && !behind.starts_with(char::is_whitespace) {
            return Err(refused());
        }
        rest = behind.trim_start();
    }
    Ok(pairs)
}

/// A value, in quotes or up to the next space, and what is behind it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (value, behind) = text.split_at(end);
        return (!value.contains('"')).then(|| (value.to_owned(), behind));
    };
    let mut value = String::new();
    let mut signs = quoted.char_indices();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(signs.next()?.1),
            sign => value.push(sign),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_grafana_writes_them() {
        let read = pairs(r#"  http.method=GET service.name="web 1" name="say \"hi\"" empty= "#).unwrap();
        let read: Vec<_> = read.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(
            read,
            [("http.method", "GET"), ("service.name", "web 1"), ("name", "say \"hi\""), ("empty", "")]
        );
        assert_eq!(filter("  ").unwrap(), Filter::Anything);
    }

    #[test]
    fn what_is_no_logfmt_is_refused() {
        for bad in
            ["key", "=value", "a=\"b", "a=\"b\"c", "a=b\"c", "a=1 a=2", "status.code=bad", "error=false"]
        {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }
}
