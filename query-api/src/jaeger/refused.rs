//! How either version says no.

use crate::error::ApiError;
use axum::Json;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::marker::PhantomData;

/// A version of the API.
pub trait Version {
    /// The body of a refusal with this HTTP status.
    fn refusal(status: u16, message: &str) -> Value;
}

/// A refusal in a version's words.
pub struct Refused<V>(ApiError, PhantomData<V>);

impl<V> From<ApiError> for Refused<V> {
    fn from(error: ApiError) -> Self {
        Self(error, PhantomData)
    }
}

impl<V: Version> IntoResponse for Refused<V> {
    fn into_response(self) -> Response {
        let body = Json(V::refusal(self.0.status().as_u16(), &self.0.message));
        // Its status, and when to ask again, stay.
        let (mut parts, _) = self.0.into_response().into_parts();
        parts.headers.remove(CONTENT_TYPE);
        parts.headers.remove(CONTENT_LENGTH);
        (parts, body).into_response()
    }
}
