//! What an answer is about: which operation, which environment.

use crate::access::Allowed;
use crate::error::ApiError;
use crate::limits::Limits;
use crate::node::Node;
use crate::totals::Totals;
use std::borrow::Cow;

/// Operation of health checks and the like: hidden unless asked for.
pub const PROBE: &str = "__probe__";
/// Operation of calls whose flow nobody has named (yet).
pub const UNKNOWN: &str = "unknown";

/// Which flows count. `None` means any.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Filter {
    /// Exactly this operation.
    pub operation: Option<String>,
    /// Exactly this environment.
    pub environment: Option<String>,
    /// Whether probes count when no operation is asked for.
    pub probes: bool,
    /// Of a graph: only what touches these.
    pub around: Around,
    /// What the caller may know of at all.
    pub allowed: Allowed,
}

/// Which nodes: those of this name, namespace and cluster. `None` means any.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Around {
    pub service: Option<String>,
    pub namespace: Option<String>,
    pub cluster: Option<String>,
}

impl Around {
    /// From what a caller sent; "" counts as not given.
    ///
    /// # Errors
    /// A text is longer than any name can be.
    pub fn read(
        service: Option<String>,
        namespace: Option<String>,
        cluster: Option<String>,
        limits: &Limits,
    ) -> Result<Self, ApiError> {
        let service = checked("service", service, limits)?;
        let namespace = checked("namespace", namespace, limits)?;
        Ok(Self { service, namespace, cluster: checked("cluster", cluster, limits)? })
    }

    /// Whether any node is as good as any other.
    pub fn is_anywhere(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a node is one of these.
    pub fn is(&self, node: &Node) -> bool {
        self.is_at(&node.cluster, &node.namespace, &node.name)
    }

    /// Whether a node of this cluster, namespace and name is one of these.
    pub fn is_at(&self, cluster: &str, namespace: &str, name: &str) -> bool {
        let wanted = |want: &Option<String>, is: &str| want.as_deref().is_none_or(|want| want == is);
        wanted(&self.service, name) && wanted(&self.namespace, namespace) && wanted(&self.cluster, cluster)
    }
}

impl Filter {
    /// From what a caller sent; "" counts as not given.
    ///
    /// # Errors
    /// A text is longer than any name can be.
    pub fn new(
        operation: Option<String>,
        environment: Option<String>,
        probes: bool,
        limits: &Limits,
    ) -> Result<Self, ApiError> {
        let operation = checked("operation", operation, limits)?;
        let environment = checked("environment", environment, limits)?;
        Ok(Self { operation, environment, probes, ..Self::default() })
    }

    /// Only what touches these.
    #[must_use]
    pub fn around(self, around: Around) -> Self {
        Self { around, ..self }
    }

    /// Only what the caller may know of.
    #[must_use]
    pub fn within(self, allowed: &Allowed) -> Self {
        Self { allowed: allowed.clone(), ..self }
    }

    /// Leaves of a graph what [`Filter::part`] shows of it.
    pub fn narrow(&self, totals: &mut Totals) {
        let part = match self.part(totals) {
            Cow::Owned(part) => part,
            Cow::Borrowed(_) => return,
        };
        *totals = part;
    }

    /// Of a graph what touches the services that are asked for and may be known.
    pub fn part<'a>(&self, totals: &'a Totals) -> Cow<'a, Totals> {
        let mut part = Cow::Borrowed(totals);
        if !self.around.is_anywhere() {
            part = Cow::Owned(part.around(|node| self.around.is(node)));
        }
        if self.allowed.namespaces.is_some() {
            part = Cow::Owned(part.around(|node| self.allowed.namespace(&node.namespace)));
        }
        part
    }

    /// The same flows with nothing left out of their graph.
    #[must_use]
    pub fn whole(&self) -> Self {
        let allowed = Allowed { namespaces: None, ..self.allowed.clone() };
        Self { around: Around::default(), allowed, ..self.clone() }
    }

    /// Whether flows of this operation in this environment count.
    pub fn matches(&self, environment: &str, operation: &str) -> bool {
        let wanted =
            self.operation.as_deref().map_or(self.probes || operation != PROBE, |wanted| wanted == operation);
        wanted && self.wants_environment(environment)
    }

    /// Whether anything in this environment counts.
    pub fn wants_environment(&self, environment: &str) -> bool {
        self.environment.as_deref().is_none_or(|wanted| wanted == environment)
            && self.allowed.environment(environment)
    }
}

/// A name that was asked for; "" counts as not given.
///
/// # Errors
/// It is longer than any name can be.
pub fn checked(name: &str, text: Option<String>, limits: &Limits) -> Result<Option<String>, ApiError> {
    match text {
        Some(text) if text.chars().count() > limits.text_chars => {
            Err(ApiError::bad_request(format!("{name} is longer than {} characters", limits.text_chars)))
        }
        Some(text) if text.is_empty() => Ok(None),
        text => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(operation: &str, environment: &str, probes: bool) -> Filter {
        Filter::new(Some(operation.into()), Some(environment.into()), probes, &Limits::default()).unwrap()
    }

    #[test]
    fn nothing_asked_for_means_everything_but_probes() {
        assert!(filter("", "", false).matches("prod", "login"));
        assert!(!filter("", "", false).matches("prod", PROBE));
        assert!(filter("", "", true).matches("prod", PROBE));
        assert!(filter(PROBE, "", false).matches("prod", PROBE));
    }

    #[test]
    fn names_must_be_equal() {
        assert!(filter("login", "prod", false).matches("prod", "login"));
        assert!(!filter("login", "prod", false).matches("dev", "login"));
        assert!(!filter("login", "prod", false).matches("prod", "Login"));
    }

    #[test]
    fn endless_texts_are_refused() {
        assert!(Filter::new(Some("x".repeat(513)), None, false, &Limits::default()).is_err());
    }
}
