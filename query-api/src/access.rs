//! Who asks, and about what they may ask.

use crate::error::ApiError;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use utoipa::ToSchema;

/// A set of names; `None` is all of them.
pub type Names = Option<Arc<BTreeSet<String>>>;

/// What a caller may know of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Allowed {
    /// Environments.
    pub environments: Names,
    /// Namespaces of services. A flow belongs to that of its root.
    pub namespaces: Names,
}

/// What a caller may do; a later one may do what an earlier one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees graphs and statistics.
    Viewer,
    /// Sees single flows with their attributes too.
    Analyst,
    /// Sees how Weir is configured too.
    Admin,
}

/// Who asks. It is put into every request before it reaches an answer.
#[derive(Debug, Clone)]
pub struct Access {
    /// For the audit log.
    pub who: Arc<str>,
    /// What they may do.
    pub role: Role,
    /// What they may know of.
    pub allowed: Allowed,
}

impl Allowed {
    /// Whether anything in this environment may be known.
    pub fn environment(&self, environment: &str) -> bool {
        contains(&self.environments, environment)
    }

    /// Whether services of this namespace may be known.
    pub fn namespace(&self, namespace: &str) -> bool {
        contains(&self.namespaces, namespace)
    }
}

fn contains(names: &Names, name: &str) -> bool {
    names.as_ref().is_none_or(|names| names.contains(name))
}

impl Access {
    /// Where nobody has to say who they are.
    pub fn everything() -> Self {
        Self { who: "anonymous".into(), role: Role::Admin, allowed: Allowed::default() }
    }

    /// Fails unless the caller may do what this role may.
    ///
    /// # Errors
    /// The caller's role is less.
    pub fn at_least(&self, role: Role) -> Result<(), ApiError> {
        if self.role >= role {
            return Ok(());
        }
        Err(ApiError::forbidden(format!("this needs the role {}", role.as_str())))
    }
}

impl Role {
    /// As it is written in settings and tokens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Admin => "admin",
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Access {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        // Only a route outside of the layer that finds out who asks can be without.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| ApiError::unauthorized("nobody is known to ask"))
    }
}
