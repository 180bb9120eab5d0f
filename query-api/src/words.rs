//! What a caller of another tool's API says: parameters that may be repeated, in the names that its clients use.

use crate::error::ApiError;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;

/// Parameters as axum reads them.
pub type Sent = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// Parameters by name. Empty ones count as not given: Jaeger's page and Grafana send their empty
/// fields.
#[derive(Debug, Default)]
pub struct Words(Vec<(String, String)>);

impl Words {
    /// Reads parameters, of which `known` are all there may be.
    ///
    /// # Errors
    /// They can't be decoded, or there is another.
    pub fn read(sent: Sent, known: &[&str], rename: impl Fn(&str) -> String) -> Result<Self, ApiError> {
        let Query(pairs) = sent.map_err(|refused| ApiError::bad_request(refused.body_text()))?;
        let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| (rename(&name), value)).collect();
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            let shown: String = name.chars().take(40).collect();
            return Err(ApiError::bad_request(format!("there is no parameter {shown:?} here")));
        }
        Ok(Self(pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect()))
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let name = name.to_owned();
        self.0.iter().filter(move |(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that may stand once.
    ///
    /// # Errors
    /// It stands there more than once.
    pub fn one(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(ApiError::bad_request(format!("{name} may be given once")));
        }
        Ok(first)
    }

    /// The value of a parameter that has to be there.
    ///
    /// # Errors
    /// It isn't.
    pub fn needed(&self, name: &str) -> Result<&str, ApiError> {
        self.one(name)?.ok_or_else(|| ApiError::bad_request(format!("parameter '{name}' is required")))
    }

    /// A number.
    ///
    /// # Errors
    /// It is none.
    pub fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.one(name)?.map(str::parse::<i64>).transpose() {
            Ok(Some(number)) if number < 0 => Err(ApiError::bad_request(format!("{name} is 0 or more"))),
            Ok(number) => Ok(number),
            Err(_) => Err(ApiError::bad_request(format!("{name} is a whole number"))),
        }
    }

    /// A yes or no, as Go reads them; nothing here depends on one, but what is neither is a mistake.
    ///
    /// # Errors
    /// It is neither.
    pub fn flag(&self, name: &str) -> Result<(), ApiError> {
        let known = ["1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False"];
        match self.one(name)? {
            Some(text) if !known.contains(&text) => {
                Err(ApiError::bad_request(format!("{name} is true or false")))
            }
            _ => Ok(()),
        }
    }

    /// Names and values from JSON objects of texts, and from `key:value`.
    ///
    /// # Errors
    /// One is neither.
    pub fn tags(&self, object: &str, pair: &str) -> Result<Vec<(String, String)>, ApiError> {
        let mut tags = Vec::new();
        for text in self.all(object).chain(self.all(pair)) {
            if text.starts_with('{') {
                let refused =
                    |_| ApiError::bad_request(format!("{object} is a JSON object whose values are texts"));
                let read: std::collections::BTreeMap<String, String> =
                    serde_json::from_str(text).map_err(refused)?;
                tags.extend(read);
            } else {
                let split = text.split_once(':').filter(|(key, _)| !key.is_empty());
                let (key, value) =
                    split.ok_or_else(|| ApiError::bad_request("a tag is key:value, or a JSON object"))?;
                tags.push((key.to_owned(), value.to_owned()));
            }
        }
        Ok(tags)
    }
}

/// Names as they are.
pub fn same(name: &str) -> String {
    name.to_owned()
}

/// `startTimeMin` and `start_time_min` are one name.
pub fn snake(name: &str) -> String {
    let mut snake = String::new();
    for sign in name.chars() {
        if sign.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(sign.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pairs: &[(&str, &str)]) -> Result<Words, ApiError> {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Words::read(Ok(Query(pairs)), &["tags", "tag", "limit", "start_time"], snake)
    }

    #[test]
    fn tags_are_objects_or_pairs() {
        let read =
            words(&[("tags", r#"{"a":"1"}"#), ("tag", "b:x:y"), ("tags", "c:"), ("limit", "")]).unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(read.tags("tags", "tag").unwrap(), [pair("a", "1"), pair("c", ""), pair("b", "x:y")]);
        assert_eq!(read.number("limit").unwrap(), None);
        for bad in [r#"{"a":1}"#, "{", "a", ":a"] {
            assert!(words(&[("tags", bad)]).unwrap().tags("tags", "tag").is_err(), "{bad}");
        }
    }

    #[test]
    fn unknown_repeated_and_odd_parameters_are_refused() {
        assert!(words(&[("other", "1")]).unwrap_err().message.contains("other"));
        assert!(words(&[("limit", "1"), ("limit", "2")]).unwrap().number("limit").is_err());
        assert!(words(&[("limit", "-1")]).unwrap().number("limit").is_err());
        assert!(words(&[("limit", "x")]).unwrap().number("limit").is_err());
        assert_eq!(words(&[("startTime", "now")]).unwrap().one("start_time").unwrap(), Some("now"));
    }
}
