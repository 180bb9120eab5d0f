//! Time series: a range cut into steps of one length that begin at multiples of it.

use crate::answer::Plan;
use crate::error::ApiError;
use crate::range::duration_s;
use crate::stored::{Tier, finest};

/// Points of a series whose step nobody asked for: as many as a chart of usual width can show apart.
const CHOSEN_POINTS: u32 = 300;
/// Points of a series at most: a day by the minute.
const MOST_POINTS: u32 = 1_440;
/// The shortest step that is chosen: live state keeps percentiles by ten seconds.
const SHORTEST_CHOSEN_S: u32 = 10;
/// Steps that people can read off an axis.
const LENGTHS_S: [u32; 17] = [
    10, 20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800,
    345_600,
];

/// The length of a point in seconds, and what the range's tables allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Seconds between two points.
    pub length_s: u32,
    from_s: u32,
    to_s: u32,
}

impl Step {
    /// The step that was asked for (`10s`, `1m`, `1h` …), or the shortest one that makes a readable chart.
    ///
    /// # Errors
    /// It is no time, makes too many points, or is finer than what is still kept of the range.
    pub fn parse(text: Option<&str>, plan: Plan, now_us: i64) -> Result<Self, ApiError> {
        let now_s = u32::try_from(now_us / 1_000_000).unwrap_or_default();
        let finest_s = if plan.stored().is_empty() { 1 } else { finest(plan.from_s, now_s).width_s() };
        Self::within(text, plan, finest_s, MOST_POINTS)
    }

    /// The same over tables that begin at a width, with another bound.
    ///
    /// # Errors
    /// As [`Step::parse`].
    pub fn within(text: Option<&str>, plan: Plan, finest_s: u32, most_points: u32) -> Result<Self, ApiError> {
        let of = |length_s| Self { length_s, from_s: plan.from_s, to_s: plan.to_s };
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            let shortest_s = finest_s.max(SHORTEST_CHOSEN_S);
            let readable = |length_s: &&u32| {
                **length_s >= shortest_s && of(**length_s).points() <= CHOSEN_POINTS.min(most_points)
            };
            return Ok(of(*LENGTHS_S.iter().find(readable).unwrap_or(&LENGTHS_S[LENGTHS_S.len() - 1])));
        };
        let length_s = duration_s(text)
            .filter(|length_s| *length_s > 0)
            .ok_or_else(|| ApiError::bad_request("step is a length of time like 10s, 1m, 10m or 1h"))?;
        if !length_s.is_multiple_of(finest_s) {
            return Err(ApiError::bad_request(format!(
                "step must be a multiple of {finest_s} s: finer numbers are not kept of such times"
            )));
        }
        let step = of(length_s);
        if step.points() > most_points {
            return Err(ApiError::bad_request(format!(
                "step {text} makes {} points of this range, and {most_points} are the most",
                step.points()
            )));
        }
        Ok(step)
    }

    /// The coarsest tables that know each point apart.
    pub fn tier(self) -> Tier {
        let fits = |tier: &Tier| self.length_s.is_multiple_of(tier.width_s());
        [Tier::Hour, Tier::TenMinutes, Tier::Minute].into_iter().find(fits).unwrap_or(Tier::Second)
    }

    /// Start of the point that a second belongs to.
    pub fn start_of(self, second: u32) -> u32 {
        second - second % self.length_s
    }

    /// Every point in order: its start, and the seconds of the range that lie in it, first and one past the last.
    pub fn spans(self) -> impl Iterator<Item = (u32, u32, u32)> {
        let first_s = self.start_of(self.from_s);
        (0..self.points()).map(move |at| {
            let start_s = first_s + at * self.length_s;
            (start_s, start_s.max(self.from_s), start_s.saturating_add(self.length_s).min(self.to_s))
        })
    }

    fn points(self) -> u32 {
        (self.to_s - self.start_of(self.from_s)).div_ceil(self.length_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_S: u32 = 1_700_002_800;
    const NOW_US: i64 = (HOUR_S as i64 + 600) * 1_000_000;

    fn plan(from_s: u32, to_s: u32) -> Plan {
        Plan { from_s, live_from_s: to_s, to_s, seconds: f64::from(to_s - from_s) }
    }

    #[test]
    fn charts_get_a_readable_number_of_points() {
        for (length_s, expected_s) in [(60, 10), (900, 10), (3_600, 20), (86_400, 300), (7 * 86_400, 3_600)] {
            let plan = plan(HOUR_S - length_s, HOUR_S);
            let step = Step::within(None, plan, 1, MOST_POINTS).unwrap();
            assert_eq!((step.length_s, step.points() <= CHOSEN_POINTS), (expected_s, true), "{length_s}");
        }
        let year = plan(HOUR_S - 400 * 86_400, HOUR_S);
        assert_eq!(Step::parse(None, year, NOW_US).unwrap().tier(), Tier::Hour);
    }

    #[test]
    fn steps_that_cannot_be_are_refused() {
        let day = plan(HOUR_S - 86_400, HOUR_S);
        for (step, why) in
            [("1s", "multiple of 60"), ("90s", "multiple"), ("0s", "length"), ("ten", "length")]
        {
            assert!(Step::parse(Some(step), day, NOW_US).unwrap_err().message.contains(why), "{step}");
        }
        assert_eq!(Step::parse(Some("1m"), day, NOW_US).unwrap().points(), 1_440);
        let hour = plan(HOUR_S - 3_600, HOUR_S);
        assert!(Step::parse(Some("1s"), hour, NOW_US).unwrap_err().message.contains("3600 points"));
    }

    #[test]
    fn points_cover_the_range_once() {
        let step = Step::within(Some("1m"), plan(HOUR_S + 50, HOUR_S + 130), 1, MOST_POINTS).unwrap();
        let spans: Vec<_> = step.spans().collect();
        assert_eq!(
            spans,
            [
                (HOUR_S, HOUR_S + 50, HOUR_S + 60),
                (HOUR_S + 60, HOUR_S + 60, HOUR_S + 120),
                (HOUR_S + 120, HOUR_S + 120, HOUR_S + 130)
            ]
        );
    }

    #[test]
    fn the_tables_are_as_coarse_as_the_step_allows() {
        for (step, tier) in [
            ("30s", Tier::Second),
            ("90s", Tier::Second),
            ("3m", Tier::Minute),
            ("20m", Tier::TenMinutes),
            ("2h", Tier::Hour),
        ] {
            let step = Step::within(Some(step), plan(HOUR_S, HOUR_S + 600), 1, MOST_POINTS).unwrap();
            assert_eq!(step.tier(), tier);
        }
    }
}
