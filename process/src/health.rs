//! Whether a process can do its work, part by part.

use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// The readiness of one role. Clones share their state; every part that a role depends on reports under its name.
///
/// A role names all of its parts as not ready before it starts the first one: a role without parts is still
/// starting, a role with only ready parts counts as ready.
#[derive(Clone, Debug)]
pub struct Health {
    // One writer side for many parts of a role: the parts run on different tasks and none of them owns the others.
    parts: Arc<watch::Sender<BTreeMap<String, Part>>>,
}

/// One part's report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Whether it works.
    pub ready: bool,
    /// Why not, or what it works with.
    pub why: String,
}

impl Default for Health {
    fn default() -> Self {
        Self { parts: Arc::new(watch::Sender::new(BTreeMap::new())) }
    }
}

impl Health {
    /// A role that has not reported anything yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reports that `part` works or doesn't, and why.
    pub fn ready(&self, part: &str, ready: bool, why: &str) {
        self.parts.send_if_modified(|parts| {
            let report = Part { ready, why: why.to_owned() };
            let changed = parts.get(part) != Some(&report);
            if changed {
                parts.insert(part.to_owned(), report);
            }
            changed
        });
    }

    /// Whether every part works; false as long as none has reported.
    pub fn is_ready(&self) -> bool {
        all_ready(&self.parts.borrow())
    }

    /// The reports by name of part.
    pub fn parts(&self) -> BTreeMap<String, Part> {
        self.parts.borrow().clone()
    }

    /// The parts that don't work, one `name: why` a line; `starting` where nothing has reported.
    pub fn reasons(&self) -> String {
        let parts = self.parts.borrow();
        if parts.is_empty() {
            return "starting".to_owned();
        }
        let waiting = parts.iter().filter(|(_, part)| !part.ready);
        waiting.map(|(name, part)| format!("{name}: {}", part.why)).collect::<Vec<_>>().join("\n")
    }

    /// Returns when every part works.
    pub async fn wait_ready(&self) {
        let mut changes = self.parts.subscribe();
        // An error would mean that the sender is gone, but `self` holds it.
        let _ = changes.wait_for(all_ready).await;
    }
}

fn all_ready(parts: &BTreeMap<String, Part>) -> bool {
    !parts.is_empty() && parts.values().all(|part| part.ready)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_that_every_part_says_so() {
        let health = Health::new();
        assert_eq!((health.is_ready(), health.reasons().as_str()), (false, "starting"));
        health.ready("kafka", true, "");
        health.ready("clickhouse", false, "connection refused");
        assert_eq!((health.is_ready(), health.reasons().as_str()), (false, "clickhouse: connection refused"));
        health.clone().ready("clickhouse", true, "");
        assert_eq!((health.is_ready(), health.reasons().as_str()), (true, ""));
    }

    #[tokio::test]
    async fn waiting_ends_with_the_last_part() {
        let health = Health::new();
        health.ready("kafka", false, "connecting");
        let waiting = tokio::spawn({
            let health = health.clone();
            async move { health.wait_ready().await }
        });
        health.ready("kafka", true, "");
        waiting.await.unwrap();
        assert!(health.is_ready());
    }
}
