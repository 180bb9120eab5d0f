//! Flows that stay open: what memory a span of them takes. A flow whose request never comes waits for 30 s, so Weir reads
//! the spans while they are written, and they are made before: else the first flows were closed before the last are read.

use crate::packer::{Message, Packer};
use crate::report::{Column, Row, Run};
use crate::scene::Scene;
use crate::topics::Topics;
use crate::truth::Truth;
use crate::{Args, START, Subject, judge, weir};
use anyhow::Context as _;
use process::KafkaOptions;
use std::thread;
use std::time::Duration;

/// Lets Weir alone read a scene's spans, each time from new topics.
pub fn compare(args: &Args, scene: &Scene) -> anyhow::Result<Column> {
    let mut spans = Spans::make(scene, args.spans * scene.spans_milli / 1_000)?;
    if args.wrong_truth {
        spans.truth.falsify();
    }
    let (mut row, mut took) = (Row::new(Subject::Weir.name(), Duration::ZERO), Duration::ZERO);
    for round in 0..args.runs {
        let run = spans.measure(args, scene).map(|(run, start, wrote)| {
            (row.start_s, took) = (start.as_secs_f64(), wrote);
            run
        });
        row.runs.extend(judge(args, scene, round, Subject::Weir, run)?);
    }
    Ok(Column {
        name: scene.name,
        what: scene.describe(),
        spans: spans.truth.spans(),
        messages_log_s: took.as_secs_f64(),
        bytes_a_span: spans.bytes as f64 / spans.truth.spans() as f64,
        is_about_memory: true,
        rows: vec![row],
    })
}

/// All messages of a scene: some GB for five million spans.
struct Spans {
    messages: Vec<Message>,
    truth: Truth,
    bytes: usize,
}

impl Spans {
    fn make(scene: &Scene, spans: u64) -> anyhow::Result<Self> {
        let mut packer = Packer::new(scene.packing, scene.partitions);
        let (mut messages, mut truth) = (Vec::new(), Truth::default());
        let mut keep = |message| {
            messages.push(message);
            Ok(())
        };
        for number in 0.. {
            if truth.spans() >= spans {
                break;
            }
            let trace = scene.workload.trace(number);
            trace.count(&mut truth);
            packer.add(trace, &mut keep)?;
        }
        packer.finish(&mut keep)?;
        let bytes = messages.iter().map(|message: &Message| message.value.len()).sum();
        Ok(Self { messages, truth, bytes })
    }

    /// A run, the CPU time of its start, and how long the spans took to be written.
    fn measure(&self, args: &Args, scene: &Scene) -> anyhow::Result<(Run, Duration, Duration)> {
        let kafka = KafkaOptions::plaintext(&args.kafka);
        let topics = Topics::create(&kafka, scene.partitions)?;
        let (mut weir, admin) = weir::start(&args.processor, &args.kafka, &topics)?;
        thread::sleep(START);
        let start = weir.usage()?;
        let took = topics.write(scene.packing, &self.messages).context("the spans can't be written")?;
        let seen = weir::watch(&mut weir, admin, scene.partitions, self.truth.spans())?;
        weir::check(&kafka, &topics, &self.truth, scene.workload.is_rooted)?;
        Ok((Run::of_weir(&seen, start, self.truth.spans()), start.cpu, took))
    }
}
