//! Criterion by the span and by CPU time: an iteration is one span, however many are done at a time, and a busy machine
//! costs patience instead of precision. Every crate's `stages` uses this.

use criterion::Criterion;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use std::time::Duration;

/// A few seconds for each benchmark; command line flags change that.
pub fn criterion() -> Criterion<CpuTime> {
    Criterion::default()
        .with_measurement(CpuTime)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20)
        .configure_from_args()
}

/// What exactly `iterations` spans take. Each `pass` does some and says how many, and what they took.
pub fn of_spans(iterations: u64, mut pass: impl FnMut() -> (u64, Duration)) -> Duration {
    let (mut spans, mut taken) = (0, Duration::ZERO);
    while spans < iterations {
        let (some, time) = pass();
        (spans, taken) = (spans + some, taken + time);
    }
    taken.mul_f64(iterations as f64 / spans as f64)
}

/// Does it, and says what it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = cpu_time();
    let done = work();
    (done, cpu_time() - began)
}

/// Most memory this process has had.
#[allow(dead_code, reason = "not every stage keeps anything")]
pub fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// User and system time of this thread.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one `timespec`, which `time` is.
    #[allow(unsafe_code, reason = "the standard library has no clock of CPU time")]
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// CPU time of the thread that measures.
pub struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        cpu_time()
    }

    fn end(&self, began: Duration) -> Duration {
        cpu_time() - began
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, time: &Duration) -> f64 {
        time.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}
