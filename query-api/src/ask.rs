//! What a request says, read and refused in one way.

use crate::error::ApiError;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

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
        read.map(|Query(parameters)| Self(parameters)).map_err(|refused| {
            let words = refused.body_text();
            ApiError::bad_request(
                words.strip_prefix("Failed to deserialize query string: ").unwrap_or(&words),
            )
        })
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for At<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        read.map(|Path(parts)| Self(parts)).map_err(|refused| ApiError::bad_request(refused.body_text()))
    }
}
