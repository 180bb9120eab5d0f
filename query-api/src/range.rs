//! The range of time that a question is about.

use crate::error::ApiError;
use crate::limits::Limits;
use jiff::Timestamp;

/// A range as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The last seconds before now.
    Last(u32),
    /// From the first second to before the second one.
    Between(u32, u32),
}

impl Asked {
    /// From the three parameters: `window` (`90s`, `15m`, `2h`, `7d`), or two times as [`time_us`] reads them, the
    /// second one now if it isn't given. Nothing at all means the last 15 minutes.
    ///
    /// # Errors
    /// They contradict each other, or can't be.
    pub fn parse(
        window: Option<&str>,
        start: Option<&str>,
        end: Option<&str>,
        now_us: i64,
        limits: &Limits,
    ) -> Result<Self, ApiError> {
        let asked = match (window, start, end) {
            (Some(window), None, None) => {
                Self::Last(duration_s(window).ok_or_else(|| no_duration("window"))?)
            }
            (None, None, None) => Self::Last(limits.live_s),
            (None, Some(start), end) => {
                let start_us = time_us("startTime", start, now_us)?;
                let end_us = end.map_or(Ok(now_us), |end| time_us("endTime", end, now_us))?;
                Self::between(start_us, end_us, now_us)?
            }
            (None, None, Some(_)) => return Err(ApiError::bad_request("endTime needs startTime")),
            (Some(_), _, _) => {
                return Err(ApiError::bad_request("give either window or startTime and endTime"));
            }
        };
        let length_s = match asked {
            Self::Last(seconds) => u64::from(seconds),
            Self::Between(from_s, to_s) => u64::from(to_s - from_s),
        };
        if length_s == 0 || length_s > limits.range_s {
            return Err(ApiError::bad_request(format!(
                "a range is between 1 s and {} days",
                limits.range_s / 86_400
            )));
        }
        Ok(asked)
    }

    /// The first second, and the one after the last.
    pub fn seconds(self, now_us: i64) -> (u32, u32) {
        match self {
            Self::Last(window_s) => {
                let end_s = u32::try_from(now_us / 1_000_000 + 1).unwrap_or(u32::MAX);
                (end_s.saturating_sub(window_s), end_s)
            }
            Self::Between(from_s, to_s) => (from_s, to_s),
        }
    }

    /// The same range rounded outward to a multiple of so many seconds.
    #[must_use]
    pub fn outward(self, width_s: u32, now_us: i64) -> Self {
        let (from_s, to_s) = self.seconds(now_us);
        Self::Between(from_s - from_s % width_s, to_s.checked_next_multiple_of(width_s).unwrap_or(to_s))
    }

    fn between(start_us: i64, end_us: i64, now_us: i64) -> Result<Self, ApiError> {
        if end_us <= start_us {
            return Err(ApiError::bad_request("startTime must be before endTime"));
        }
        if start_us > now_us {
            return Err(ApiError::bad_request("startTime is in the future"));
        }
        let second = |us: i64| u32::try_from(us / 1_000_000 + i64::from(us % 1_000_000 > 0));
        match (u32::try_from(start_us / 1_000_000), second(end_us)) {
            (Ok(from_s), Ok(to_s)) => Ok(Self::Between(from_s, to_s)),
            _ => Err(ApiError::bad_request("startTime and endTime are between 1970 and 2106")),
        }
    }
}

/// A time in µs since the epoch, from RFC 3339 (`2026-01-15T10:00:00Z`), a number since the epoch in s, ms, µs or ns
/// (its length says which), `now`, or `now-1h`.
///
/// # Errors
/// It is none of these.
pub fn time_us(name: &str, text: &str, now_us: i64) -> Result<i64, ApiError> {
    let refused = || {
        ApiError::bad_request(format!(
            "{name} is a time like 2026-01-15T10:00:00Z, a number since 1970 in s, ms, µs or ns, now, or now-1h"
        ))
    };
    if let Some(before) = text.strip_prefix("now") {
        let ago_s = match before.strip_prefix('-') {
            Some(duration) => duration_s(duration).ok_or_else(refused)?,
            None if before.is_empty() => 0,
            None => return Err(refused()),
        };
        return Ok(now_us - i64::from(ago_s) * 1_000_000);
    }
    if let Ok(number) = text.parse::<u64>() {
        let number = i64::try_from(number).map_err(|_| refused())?;
        // Each unit's range ends in the year 5138, where the next one's begins in 1973.
        return Ok(match number {
            0..100_000_000_000 => number * 1_000_000,
            100_000_000_000..100_000_000_000_000 => number * 1_000,
            100_000_000_000_000..100_000_000_000_000_000 => number,
            _ => number / 1_000,
        });
    }
    text.parse().map(Timestamp::as_microsecond).map_err(|_| refused())
}

/// Microseconds from `250ms`, `1.5s` and the like, or a plain number of µs.
///
/// # Errors
/// It is none of these.
pub fn length_us(name: &str, text: &str) -> Result<i64, ApiError> {
    let number_ends = text.find(|sign: char| !sign.is_ascii_digit() && sign != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_ends);
    let factor = match unit {
        "" | "us" | "µs" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        "h" => 3_600e6,
        _ => 0.0,
    };
    match number.parse::<f64>() {
        Ok(number) if factor > 0.0 && number * factor < 9e15 => Ok((number * factor).round() as i64),
        _ => Err(ApiError::bad_request(format!(
            "{name} is a number of µs, or one with ms, s, m or h, such as 250ms"
        ))),
    }
}

/// RFC 3339, to the second.
pub fn rfc3339(second: u32) -> String {
    Timestamp::from_second(second.into()).map(|time| time.to_string()).unwrap_or_default()
}

fn no_duration(name: &str) -> ApiError {
    ApiError::bad_request(format!("{name} is a number with s, m, h or d, such as 15m"))
}

/// Seconds from `90s`, `15m`, `2h`, `7d`.
pub fn duration_s(text: &str) -> Option<u32> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u32>().ok()?.checked_mul(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_700_000_000_000_000;

    fn parse(window: Option<&str>, start: Option<i64>, end: Option<i64>) -> Result<Asked, ApiError> {
        let text = |us: Option<i64>| us.map(|us| us.to_string());
        Asked::parse(window, text(start).as_deref(), text(end).as_deref(), NOW_US, &Limits::default())
    }

    #[test]
    fn times_may_be_written_in_many_ways() {
        for text in ["1699996400", "1699996400000", "1699996400000000", "1699996400000000000", "now-1h"] {
            assert_eq!(time_us("startTime", text, NOW_US).unwrap(), NOW_US - 3_600_000_000, "{text}");
        }
        for text in ["2023-11-14T22:13:20Z", "2023-11-15T00:13:20.000+02:00", "now"] {
            assert_eq!(time_us("startTime", text, NOW_US).unwrap(), NOW_US, "{text}");
        }
        for bad in [
            "",
            "yesterday",
            "now+1h",
            "now-",
            "now-1",
            "-5",
            "1e9",
            "2023-11-14",
            "now-µ",
            "99999999999999999999",
        ] {
            assert!(time_us("startTime", bad, NOW_US).is_err(), "{bad}");
        }
    }

    #[test]
    fn lengths_may_have_units() {
        for (text, us) in
            [("250", 250), ("250ms", 250_000), ("1.5s", 1_500_000), ("2m", 120_000_000), ("0", 0)]
        {
            assert_eq!(length_us("minDuration", text).unwrap(), us, "{text}");
        }
        for bad in ["", "ms", "-1s", "5 s", "1.2.3s", "9999999999h", "1d"] {
            assert!(length_us("minDuration", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn windows_have_units() {
        let read: Vec<_> =
            ["90s", "15m", "2h", "7d"].iter().map(|text| parse(Some(text), None, None).unwrap()).collect();
        assert_eq!(read, [90, 900, 7_200, 604_800].map(Asked::Last));
        assert_eq!(parse(None, None, None).unwrap(), Asked::Last(900));
        for bad in ["", "m", "15", "-1m", "1.5h", "99999999d", "0s", "401d", "15µ"] {
            assert!(parse(Some(bad), None, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_are_whole_seconds_outward() {
        let range = parse(None, Some(NOW_US - 1_500_000), Some(NOW_US - 400_000)).unwrap();
        assert_eq!(range, Asked::Between(1_699_999_998, 1_700_000_000));
        assert_eq!(
            parse(None, Some(NOW_US - 60_000_000), None).unwrap(),
            Asked::Between(1_699_999_940, 1_700_000_000)
        );
    }

    #[test]
    fn contradictions_are_refused() {
        let (one, two) = (Some(NOW_US - 2), Some(NOW_US - 1));
        for (window, from, to) in [
            (Some("1m"), one, None),
            (None, None, two),
            (None, two, one),
            (None, one, one),
            (None, Some(-1), two),
            (None, Some(i64::MAX - 1), Some(i64::MAX)),
        ] {
            assert!(parse(window, from, to).is_err(), "{window:?} {from:?} {to:?}");
        }
    }
}
