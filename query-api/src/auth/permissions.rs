//! Which role each path needs, by the path's own template.
//!
//! What stands in no line needs the highest role: a new path is closed until somebody decides, and a test that goes
//! through the OpenAPI document says so.

use crate::access::Role;

/// What a path asks of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it says nothing about what flows here, or is the way in.
    Nothing,
    /// To be known, and at least this role.
    Role(Role),
}

use Need::Nothing;
const VIEWER: Need = Need::Role(Role::Viewer);
const ANALYST: Need = Need::Role(Role::Analyst);
const ADMIN: Need = Need::Role(Role::Admin);

/// Beginnings of templates, each of whole segments. The longest that fits counts.
const PATHS: &[(&str, Need)] = &[
    // Probes of Kubernetes can't say who they are.
    ("/health", Nothing),
    ("/ready", Nothing),
    ("/auth/login", Nothing),
    ("/auth/callback", Nothing),
    ("/auth/logout", Nothing),
    ("/auth/me", VIEWER),
    // Scripts and styles of the page, the same for everybody; the page itself sends strangers to log in.
    ("/page", Nothing),
    ("/", VIEWER),
    // What this process counts is about the whole installation.
    ("/metrics", ADMIN),
    ("/metrics/graph", VIEWER),
    ("/api/docs", VIEWER),
    ("/api/v1/openapi.json", VIEWER),
    ("/api/v1/config", ADMIN),
    // Graphs and statistics.
    ("/api/v1/graph", VIEWER),
    ("/api/v1/dependencies", VIEWER),
    ("/api/v1/operations", VIEWER),
    ("/api/v1/services", VIEWER),
    ("/api/v1/edges", VIEWER),
    ("/api/v1/heatmap", VIEWER),
    ("/api/v1/statistics", VIEWER),
    ("/api/v1/status", VIEWER),
    ("/api/v1/live", VIEWER),
    ("/api/v1/events", VIEWER),
    // Its fields that tell of single flows ask for more.
    ("/graphql", VIEWER),
    // Single flows, with attributes and texts of exceptions.
    ("/api/v1/flows", ANALYST),
    ("/api/v1/traces", ANALYST),
    ("/api/v1/errors", ANALYST),
    ("/api/v1/diff", ANALYST),
    // Jaeger's and Tempo's: traces, and the names that lead to them.
    ("/jaeger", ANALYST),
    ("/tempo", ANALYST),
    ("/tempo/ready", VIEWER),
    ("/tempo/api/echo", VIEWER),
    ("/tempo/api/status", VIEWER),
    ("/api/v3", ANALYST),
    ("/api/traces", ANALYST),
    ("/api/services", ANALYST),
    ("/api/operations", ANALYST),
    ("/api/dependencies", ANALYST),
];

/// What a path needs.
pub fn need(template: &str) -> Need {
    let fitting = PATHS.iter().filter(|(path, _)| begins_with(template, path));
    fitting.max_by_key(|(path, _)| path.len()).map_or(ADMIN, |(_, need)| *need)
}

fn begins_with(template: &str, path: &str) -> bool {
    template.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether somebody has decided what a path needs.
#[cfg(test)]
pub fn is_decided(template: &str) -> bool {
    PATHS.iter().any(|(path, _)| begins_with(template, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_the_document_is_decided() {
        let (_, document) = crate::rest::router();
        for path in document.paths.paths.keys() {
            assert!(is_decided(path), "{path} has no line in PATHS: only admins can ask it");
        }
    }

    #[test]
    fn the_longest_beginning_of_whole_segments_counts() {
        assert_eq!(need("/api/v1/flows/{flowId}"), ANALYST);
        assert_eq!(need("/api/v1/flowsome"), ADMIN);
        assert_eq!((need("/metrics"), need("/metrics/graph"), need("/metrics/all")), (ADMIN, VIEWER, ADMIN));
        assert_eq!((need("/"), need("/page/main.js"), need("/pages")), (VIEWER, Nothing, ADMIN));
        assert_eq!((need("/auth/me"), need("/auth/else"), need("/new")), (VIEWER, ADMIN, ADMIN));
    }
}
