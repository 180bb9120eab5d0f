//! Spans that were turned away, by reason.

use std::collections::BTreeMap;

/// How many spans were rejected, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejected(BTreeMap<&'static str, u64>);

impl Rejected {
    /// Counts `spans` more.
    pub fn add(&mut self, reason: &'static str, spans: u64) {
        if spans > 0 {
            *self.0.entry(reason).or_default() += spans;
        }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Reasons and their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(reason, spans)| (*reason, *spans))
    }

    /// What the sender is told: `3 spans rejected: 2 zero_trace_id, 1 span_too_large`.
    pub fn message(&self) -> String {
        let reasons: Vec<String> = self.iter().map(|(reason, spans)| format!("{spans} {reason}")).collect();
        let noun = if self.total() == 1 { "span" } else { "spans" };
        format!("{} {noun} rejected: {}", self.total(), reasons.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_counts_by_reason() {
        let mut rejected = Rejected::default();
        rejected.add("zero_trace_id", 1);
        rejected.add("invalid_utf8", 0);
        assert_eq!(rejected.message(), "1 span rejected: 1 zero_trace_id");
        rejected.add("zero_trace_id", 1);
        rejected.add("span_too_large", 1);
        assert_eq!(rejected.message(), "3 spans rejected: 1 span_too_large, 2 zero_trace_id");
    }
}
