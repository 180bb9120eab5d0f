//! What a request says, read and refused in one way.

use crate::error::ApiError;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use utoipa::IntoParams;

/// Query parameters. What can't be read is refused in a problem document.
#[derive(Debug)]
pub struct Ask<T>(pub T);

/// Parts of the path; the same.
#[derive(Debug)]
pub struct At<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Ask<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        read.map(|Query(parameters)| Self(parameters)).map_err(|refused| no_query(&refused.body_text()))
    }
}

fn no_query(words: &str) -> ApiError {
    ApiError::bad_request(words.strip_prefix("Failed to deserialize query string: ").unwrap_or(words))
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for At<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        read.map(|Path(parts)| Self(parts)).map_err(|refused| ApiError::bad_request(refused.body_text()))
    }
}

/// Query parameters that several structures share between them, and such that may be repeated: each structure takes
/// those it knows, and what nobody has taken is refused.
#[derive(Debug)]
pub struct Asks {
    /// `key=value` as they were sent, in order.
    pieces: Vec<String>,
}

impl<S: Sync> FromRequestParts<S> for Asks {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self { pieces: query.split('&').filter(|piece| !piece.is_empty()).map(str::to_owned).collect() })
    }
}

impl Asks {
    /// Takes what a structure knows. Each parameter may stand once.
    ///
    /// # Errors
    /// It can't be read.
    pub fn take<T: DeserializeOwned + IntoParams>(&mut self) -> Result<T, ApiError> {
        let known = T::into_params(|| None);
        let taken = self.taken(|key| known.iter().any(|parameter| parameter.name == key))?;
        decoded(&taken.join("&"))
    }

    /// Takes all values of one parameter.
    ///
    /// # Errors
    /// One can't be read.
    pub fn take_all(&mut self, name: &str) -> Result<Vec<String>, ApiError> {
        let taken = self.taken(|key| key == name)?;
        let pairs: Vec<(String, String)> = decoded(&taken.join("&"))?;
        Ok(pairs.into_iter().map(|(_, value)| value).collect())
    }

    /// Fails if anything is left.
    ///
    /// # Errors
    /// Nobody knows a parameter.
    pub fn end(self) -> Result<(), ApiError> {
        let Some(piece) = self.pieces.first() else { return Ok(()) };
        let shown: String = key(piece)?.chars().take(40).collect();
        Err(ApiError::bad_request(format!("there is no parameter {shown:?} here")))
    }

    fn taken(&mut self, is_known: impl Fn(&str) -> bool) -> Result<Vec<String>, ApiError> {
        let (mut taken, mut left) = (Vec::new(), Vec::new());
        for piece in std::mem::take(&mut self.pieces) {
            if is_known(&key(&piece)?) { taken.push(piece) } else { left.push(piece) }
        }
        self.pieces = left;
        Ok(taken)
    }
}

fn key(piece: &str) -> Result<String, ApiError> {
    let pairs: Vec<(String, String)> = decoded(piece)?;
    Ok(pairs.into_iter().next().map(|(key, _)| key).unwrap_or_default())
}

fn decoded<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    // It was part of a URI before.
    let uri: Uri = format!("/?{query}").parse().map_err(|_| no_query("this is no query"))?;
    let read = Query::<T>::try_from_uri(&uri);
    read.map(|Query(parameters)| parameters).map_err(|refused| no_query(&refused.body_text()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, Deserialize, IntoParams)]
    #[serde(default, rename_all = "camelCase")]
    struct Words {
        page_size: Option<u32>,
        name: Option<String>,
    }

    fn asks(query: &str) -> Asks {
        Asks { pieces: query.split('&').map(str::to_owned).collect() }
    }

    #[test]
    fn everybody_takes_their_own_and_nothing_may_be_left() {
        let mut asks = asks("attribute=a%3A1&pageSize=5&attribute=b:x%26y&name=f%C3%BCr");
        let words: Words = asks.take().unwrap();
        assert_eq!((words.page_size, words.name.as_deref()), (Some(5), Some("für")));
        assert_eq!(asks.take_all("attribute").unwrap(), ["a:1", "b:x&y"]);
        assert!(asks.end().is_ok());
    }

    #[test]
    fn what_nobody_knows_what_is_said_twice_and_what_is_no_number_is_refused() {
        let mut unknown = asks("page_size=5");
        unknown.take::<Words>().unwrap();
        assert!(unknown.end().unwrap_err().message.contains("page_size"));
        assert!(asks("name=a&name=b").take::<Words>().is_err());
        assert!(asks("pageSize=%27+OR+1").take::<Words>().is_err());
    }
}
