//! Which successful flows have their events published: all while there are few, a share by trace id when there
//! are many. The share follows the number of flows that began in the second before.

const SECOND_US: i64 = 1_000_000;

pub(crate) struct Sampler {
    per_second: u32,
    second: i64,
    begun: u32,
    taken: u32,
    share_milli: u32,
}

impl Sampler {
    pub fn new(per_second: u32) -> Self {
        Self { per_second, second: 0, begun: 0, taken: 0, share_milli: 1_000 }
    }

    pub fn share_milli(&self) -> u32 {
        self.share_milli
    }

    /// Whether a flow that begins now is published; `sample` is its number below 1,000.
    pub fn takes(&mut self, clock_us: i64, sample: u32) -> bool {
        let second = clock_us / SECOND_US;
        if second != self.second {
            let before = if second == self.second + 1 { self.begun } else { 0 };
            self.share_milli = match before {
                0 => 1_000,
                begun => (u64::from(self.per_second) * 1_000 / u64::from(begun)).min(1_000) as u32,
            };
            (self.second, self.begun, self.taken) = (second, 0, 0);
        }
        self.begun = self.begun.saturating_add(1);
        // The first second of a rush has no second before it to go by: twice the rate is the most.
        let takes = sample < self.share_milli && self.taken < self.per_second.saturating_mul(2);
        self.taken += u32::from(takes);
        takes
    }
}
