//! Spans a second.

use std::time::Duration;
use tokio::time::Instant;

/// Holds requests back to a rate.
pub struct Pace {
    spans_a_second: Option<u32>,
    // When the next span may leave.
    next: Instant,
}

impl Pace {
    /// `None` holds nothing back.
    pub fn new(spans_a_second: Option<u32>) -> Self {
        Self { spans_a_second, next: Instant::now() }
    }

    /// Waits until this many spans may leave. Time that was lost waiting for the endpoint is not made up for.
    pub async fn wait(&mut self, spans: u64) {
        let Some(rate) = self.spans_a_second else { return };
        self.next = self.next.max(Instant::now());
        tokio::time::sleep_until(self.next).await;
        self.next += Duration::from_secs_f64(spans as f64 / f64::from(rate));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_leave_at_the_rate() {
        let started = Instant::now();
        let mut pace = Pace::new(Some(100));
        for _ in 0..5 {
            pace.wait(50).await;
        }
        assert_eq!(started.elapsed().as_millis().div_ceil(10), 200);
        Pace::new(None).wait(1_000_000).await;
    }
}
