//! Flows by what their raw spans say.

use super::which::SPANS_APART_S;
use crate::conditions::Conditions;
use crate::error::ApiError;
use crate::limits::Limits;

/// A name and a value that some span of a flow, or its resource, has to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    key: String,
    value: String,
}

/// Each is a search of its own through the raw spans.
const MOST: usize = 5;

impl Attribute {
    /// From `key:value`; the first colon ends the key.
    ///
    /// # Errors
    /// One has no colon or no key, or they are too long or too many.
    pub fn read(texts: &[String], limits: &Limits) -> Result<Vec<Self>, ApiError> {
        if texts.len() > MOST {
            return Err(ApiError::bad_request(format!("at most {MOST} attributes can be asked for at once")));
        }
        texts.iter().map(|text| Self::of(text, limits)).collect()
    }

    fn of(text: &str, limits: &Limits) -> Result<Self, ApiError> {
        let split = text.split_once(':').filter(|(key, _)| !key.is_empty());
        let Some((key, value)) = split else {
            return Err(ApiError::bad_request("attribute is key:value, such as http.route:/api/login"));
        };
        if text.chars().count() > limits.text_chars {
            return Err(ApiError::bad_request(format!(
                "attribute is longer than {} characters",
                limits.text_chars
            )));
        }
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }

    /// Spans and resources are searched one after the other: a skip index serves one of the two maps.
    pub(super) fn narrow(&self, conditions: &mut Conditions, (from_s, to_s): (u32, u32)) {
        let (from_s, to_s) = (from_s.saturating_sub(SPANS_APART_S), to_s.saturating_add(SPANS_APART_S));
        // DateTime64 as the column is, see `spans`. A trace id that another exporter has cut must not end the query.
        let of = |map: &str| {
            format!(
                "SELECT toFixedString(substring(unhex(TraceId), 1, 16), 16) FROM otel_traces \
                 WHERE Timestamp >= toDateTime64({from_s}, 9) AND Timestamp < toDateTime64({to_s}, 9) \
                 AND mapContains({map}, ?1) AND {map}[?1] = ?2"
            )
        };
        let sql = format!("id IN ({} UNION ALL {})", of("SpanAttributes"), of("ResourceAttributes"));
        conditions.with_two_texts(&sql, &self.key, &self.value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Result<Vec<Attribute>, ApiError> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Attribute::read(&texts, &Limits::default())
    }

    #[test]
    fn the_first_colon_ends_the_key() {
        let read = read(&["url.full:http://a/b", "empty:"]).unwrap();
        let shown: Vec<_> = read.iter().map(|each| (each.key.as_str(), each.value.as_str())).collect();
        assert_eq!(shown, [("url.full", "http://a/b"), ("empty", "")]);
    }

    #[test]
    fn what_is_no_attribute_is_refused() {
        for bad in [&["key"][..], &[":value"], &[""], &["a:1"; 6], &[&"x:".repeat(400)]] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
