//! Which entry points take messages.

use crate::change::{Commit, What};
use crate::node::Kind;
use std::collections::HashSet;

/// Names of topics that are known: as many virtual nodes as shards let through in an environment.
const MOST_TOPICS: usize = 5_000;

/// Topics by name.
#[derive(Debug, Default)]
pub struct Topics(HashSet<Box<str>>);

impl Topics {
    /// Learns the topics that somebody gets messages from.
    pub fn learn(&mut self, commit: &Commit) {
        for change in &commit.changes {
            let What::Edge { client, .. } = &change.what else { continue };
            if client.kind == Kind::Topic && !self.0.contains(client.name.as_str()) {
                if self.0.len() >= MOST_TOPICS {
                    // Rather learn anew than without an end.
                    self.0.clear();
                }
                self.0.insert(client.name.as_str().into());
            }
        }
    }

    /// What OpenTelemetry calls the spans of an entry point.
    pub fn span_kind(&self, entry: &str) -> &'static str {
        if self.0.contains(entry) { "SPAN_KIND_CONSUMER" } else { "SPAN_KIND_SERVER" }
    }
}
