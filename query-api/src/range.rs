//! The range of time that a question is about.

use crate::error::ApiError;
use crate::limits::Limits;

/// A range as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The last seconds before now.
    Last(u32),
    /// From the first second to before the second one.
    Between(u32, u32),
}

impl Asked {
    /// From the three parameters: `window` (`90s`, `15m`, `2h`, `7d`), or `from` and `to` in µs since the epoch, the
    /// latter now if it isn't given. Nothing at all means the last 15 minutes.
    ///
    /// # Errors
    /// They contradict each other, or can't be.
    pub fn parse(
        window: Option<&str>,
        from: Option<i64>,
        to: Option<i64>,
        now_us: i64,
        limits: &Limits,
    ) -> Result<Self, ApiError> {
        let asked = match (window, from, to) {
            (Some(window), None, None) => Self::Last(duration_s(window)?),
            (None, None, None) => Self::Last(limits.live_s),
            (None, Some(from), to) => Self::between(from, to.unwrap_or(now_us), now_us)?,
            (None, None, Some(_)) => return Err(ApiError::bad_request("to needs from")),
            (Some(_), _, _) => return Err(ApiError::bad_request("give either window or from and to")),
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

    fn between(from_us: i64, to_us: i64, now_us: i64) -> Result<Self, ApiError> {
        if from_us < 0 || to_us <= from_us {
            return Err(ApiError::bad_request("from must be before to; both are µs since 1970"));
        }
        if from_us > now_us {
            return Err(ApiError::bad_request("from is in the future; both are µs since 1970"));
        }
        let second = |us: i64| u32::try_from(us / 1_000_000 + i64::from(us % 1_000_000 > 0));
        match (u32::try_from(from_us / 1_000_000), second(to_us)) {
            (Ok(from_s), Ok(to_s)) => Ok(Self::Between(from_s, to_s)),
            _ => Err(ApiError::bad_request("from and to are µs since 1970")),
        }
    }
}

fn duration_s(text: &str) -> Result<u32, ApiError> {
    let refused = || ApiError::bad_request("window is a number with s, m, h or d, such as 15m");
    let unit = text.chars().last().ok_or_else(refused)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(refused()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| refused())?;
    number.checked_mul(seconds).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_700_000_000_000_000;

    fn parse(window: Option<&str>, from: Option<i64>, to: Option<i64>) -> Result<Asked, ApiError> {
        Asked::parse(window, from, to, NOW_US, &Limits::default())
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
