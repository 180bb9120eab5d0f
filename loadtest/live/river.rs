//! How long a span takes from `otlp_spans` to a subscriber's socket, through the real processor and the real
//! query-api, while many others are on the way.

use crate::Args;
use crate::measured::{metrics, sum};
use crate::probes::{self, PROBED, Probes};
use crate::server::Server;
use crate::subscribers::Quantiles;
use crate::topics::{Holds, Packing, Topics};
use crate::weir;
use crate::workload::Workload;
use anyhow::{Context as _, ensure};
use process::KafkaOptions;
use serde::Serialize;
use std::thread;
use std::time::Duration;

/// As ingest packs them.
const PACKED: Packing = Packing { traces: 5, message: Holds::Traces, compression: "lz4" };
/// Load without probes, until the processor works as it will.
const WARM_UP: Duration = Duration::from_secs(10);
/// Load behind the last probe, so that it is not alone.
const AFTER_S: u64 = 10;

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct River {
    pub spans_a_second: f64,
    /// CPU time of the processor, a span.
    pub processor_us: f64,
    /// How much of a core the query-api took.
    pub api_core_share: f64,
    pub probes: u64,
    /// From the moment in which a span was handed to Kafka's client until a subscriber had it.
    pub all_ms: Quantiles,
    /// Of that, until the commit with it could be read, …
    pub committed_ms: Quantiles,
    /// … from there until the server took the numbers that have it, …
    pub taken_ms: Quantiles,
    /// … and from there to the socket's other end.
    pub delivered_ms: Quantiles,
}

impl River {
    /// The whole way, and its stages.
    pub fn stages(&self) -> [Quantiles; 4] {
        [self.all_ms, self.committed_ms, self.taken_ms, self.delivered_ms]
    }
}

/// Starts everything anew and measures once.
pub fn measure(args: &Args) -> anyhow::Result<River> {
    let kafka = KafkaOptions::plaintext(&args.kafka);
    let topics = Topics::create(&kafka, PROBED)?;
    let (mut processor, admin) = weir::start(&args.processor, &args.kafka, &topics)?;
    let mut server = Server::start(&args.query_api, &args.kafka, &topics)?;
    let spans = args.rate * (WARM_UP.as_secs() + args.seconds + AFTER_S);
    let workload = Workload { seed: 1, services: 100, is_rooted: true };
    thread::scope(|scope| {
        let load = scope.spawn(|| topics.fill(workload, PACKED, spans, args.rate));
        let told = || metrics(admin).map(|page| sum(&page, "weir_processor_spans_total"));
        processor.wait_until("the processor reads", || told().is_ok_and(|spans| spans > 0.0))?;
        server.wait_for_records(f64::from(PROBED))?;
        thread::sleep(WARM_UP);
        let before = (processor.usage()?, server.process.usage()?, told()?);
        let probes = probes::send(&kafka, &topics, server.address, Duration::from_secs(args.seconds))?;
        let after = (processor.usage()?, server.process.usage()?, told()?);
        let wall_s = (after.0.wall - before.0.wall).as_secs_f64();
        let read = after.2 - before.2;
        load.join().map_err(|_| anyhow::anyhow!("the load has panicked"))?.context("the load")?;
        let Probes { sent, stages } = probes;
        ensure!(stages.len() == sent, "{} of {sent} spans were not seen", sent - stages.len());
        let quantiles = |of: fn(&probes::Stages) -> i64| Quantiles::of(stages.iter().map(of).collect());
        Ok(River {
            spans_a_second: read / wall_s,
            processor_us: (after.0.cpu - before.0.cpu).as_secs_f64() * 1e6 / read,
            api_core_share: (after.1.cpu - before.1.cpu).as_secs_f64() / wall_s,
            probes: sent as u64,
            all_ms: quantiles(|span| span.heard_us - span.sent_us),
            committed_ms: quantiles(|span| span.committed_us - span.sent_us),
            taken_ms: quantiles(|span| span.taken_us - span.committed_us),
            delivered_ms: quantiles(|span| span.heard_us - span.taken_us),
        })
    })
}
