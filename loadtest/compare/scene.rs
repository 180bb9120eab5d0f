//! What is compared on which spans.

use crate::packer::{Holds, Packing};
use crate::workload::Workload;

/// One topic of spans, and the groups of questions that it belongs to.
pub struct Scene {
    /// For `--only`.
    pub name: &'static str,
    /// The series that it is part of.
    pub groups: &'static [&'static str],
    /// Of the topic.
    pub partitions: u32,
    /// The traces.
    pub workload: Workload,
    /// Their messages.
    pub packing: Packing,
    /// Of `--spans`, so many thousandths.
    pub spans_milli: u64,
}

const PACKED: Packing = Packing { traces: 5, message: Holds::Traces, compression: "lz4" };
const KEYED: Packing = Packing { traces: 1, message: Holds::Traces, compression: "lz4" };
const ZSTD: Packing = Packing { traces: 1, message: Holds::Traces, compression: "zstd" };
const SINGLE: Packing = Packing { traces: 64, message: Holds::Span, compression: "lz4" };

/// All scenes, in their order.
pub fn all(seed: u64) -> Vec<Scene> {
    let workload = |services| Workload { seed, services, is_rooted: true };
    let usual = |name, groups, partitions, services, packing| Scene {
        name,
        groups,
        partitions,
        workload: workload(services),
        packing,
        spans_milli: 1_000,
    };
    let open = |name, spans_milli| Scene {
        name,
        groups: &["open"],
        partitions: 8,
        workload: Workload { is_rooted: false, ..workload(100) },
        packing: KEYED,
        spans_milli,
    };
    vec![
        usual("packed", &["columns"], 2, 100, PACKED),
        usual("keyed", &["columns", "services", "partitions"], 2, 100, KEYED),
        usual("zstd", &["columns"], 2, 1_000, ZSTD),
        // A collector takes 15 µs for one of these.
        Scene { spans_milli: 250, ..usual("single", &["columns"], 2, 100, SINGLE) },
        usual("services-1000", &["services"], 2, 1_000, KEYED),
        usual("services-5000", &["services"], 2, 5_000, KEYED),
        usual("partitions-16", &["partitions"], 16, 100, KEYED),
        usual("partitions-64", &["partitions"], 64, 100, KEYED),
        open("open-100k", 25),
        open("open-1M", 250),
        open("open-5M", 1_250),
    ]
}

impl Scene {
    /// Whether it, or a series that it is part of, is among those asked for.
    pub fn is_asked_for(&self, only: &[String]) -> bool {
        only.is_empty()
            || only.iter().any(|asked| asked == self.name || self.groups.contains(&asked.as_str()))
    }

    /// Whether flows stay open until all is read.
    pub fn is_about_memory(&self) -> bool {
        !self.workload.is_rooted
    }

    /// In words.
    pub fn describe(&self) -> String {
        let Packing { traces, message, compression } = self.packing;
        let spans = if message == Holds::Span { 1 } else { traces as u64 * self.workload.trace(0).spans() };
        let open = if self.is_about_memory() { ", all flows open" } else { "" };
        let (services, partitions) = (self.workload.services, self.partitions);
        format!("{spans} a message, {compression}, {services} services, {partitions} partitions{open}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_is_asked_for_by_its_name_or_by_a_series() {
        let asked = |only: &str| {
            let only: Vec<String> = only.split_terminator(',').map(str::to_owned).collect();
            all(0)
                .iter()
                .filter(|scene| scene.is_asked_for(&only))
                .map(|scene| scene.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(asked("").len(), 11);
        assert_eq!(asked("columns"), ["packed", "keyed", "zstd", "single"]);
        assert_eq!(asked("services,single"), ["keyed", "single", "services-1000", "services-5000"]);
        assert_eq!(asked("nothing"), [""; 0]);
    }
}
