//! What a process counts, in Prometheus' text format.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// The metrics of one role: its own go into [`Metrics::role`], what every process has is there already.
#[derive(Debug)]
pub struct Metrics {
    /// Everything that `/metrics` shows.
    pub registry: Registry,
    prefix: String,
}

impl Metrics {
    /// A registry with version, CPU time and memory of this process. `role` is `ingest`, `processor` and the like.
    pub fn new(role: &str) -> Self {
        let mut registry = Registry::default();
        let build = vec![("role", role.to_owned()), ("version", env!("CARGO_PKG_VERSION").to_owned())];
        registry.register("weir_build", "Role and version of this process", Info::new(build));
        registry.register_collector(Box::new(ThisProcess));
        Self { registry, prefix: format!("weir_{}", role.replace('-', "_")) }
    }

    /// The part of the registry whose names begin with `weir_<role>_`. Ask once and register everything there:
    /// each call opens a new part.
    pub fn role(&mut self) -> &mut Registry {
        self.registry.sub_registry_with_prefix(self.prefix.clone())
    }

    /// The finished registry, as `admin_router` takes it.
    pub fn share(self) -> Arc<Registry> {
        Arc::new(self.registry)
    }
}

/// CPU time and memory as `/proc` tells them at the moment of the scrape.
#[derive(Debug)]
struct ThisProcess;

impl Collector for ThisProcess {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let Some(usage) = usage() else { return Ok(()) };
        let cpu = ConstCounter::new(usage.cpu_seconds);
        cpu.encode(encoder.encode_descriptor(
            "process_cpu_seconds",
            "User and system time",
            None,
            cpu.metric_type(),
        )?)?;
        let memory = ConstGauge::new(usage.resident_bytes);
        memory.encode(encoder.encode_descriptor(
            "process_resident_memory_bytes",
            "Memory in use",
            None,
            memory.metric_type(),
        )?)
    }
}

struct Usage {
    cpu_seconds: f64,
    resident_bytes: i64,
}

/// `/proc/self/stat` counts CPU time in hundredths of a second and memory in pages of 4 KiB on every Linux we run on.
fn usage() -> Option<Usage> {
    const TICKS_PER_SECOND: f64 = 100.0;
    const PAGE_BYTES: i64 = 4096;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program stands in parentheses and may hold spaces.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    let pages = fields.get(21)?.parse::<i64>().ok()?;
    Some(Usage { cpu_seconds: ticks / TICKS_PER_SECOND, resident_bytes: pages * PAGE_BYTES })
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;

    #[test]
    fn a_role_shows_its_own_metrics_and_those_of_the_process() {
        let mut metrics = Metrics::new("query-api");
        let requests: Counter = Counter::default();
        metrics.role().register("requests", "Requests answered", requests.clone());
        requests.inc_by(3);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &metrics.share()).unwrap();
        for line in [
            "weir_query_api_requests_total 3",
            "weir_build_info{role=\"query-api\"",
            "process_cpu_seconds_total ",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        let memory = text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        assert!(memory.unwrap().parse::<i64>().unwrap() > 1_000_000);
    }
}
