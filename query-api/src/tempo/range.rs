//! `start`, `end` and `limit` in Tempo's words.

use crate::error::ApiError;
use crate::live::feed::now_us;
use crate::words::Words;

/// The time of a question that names none.
const USUAL_S: u32 = 3_600;
/// Longest time of one question: Tempo's own bound, and as long as raw spans are kept.
const LONGEST_S: u32 = 7 * 86_400;

/// Seconds since the epoch: the first one, and the one after the last.
pub type Range = (u32, u32);

/// From `start` and `end`, which stand both or not at all.
///
/// # Errors
/// They are no seconds, not in order, or too far apart.
pub fn read(words: &Words) -> Result<Range, ApiError> {
    let range = match given(words)? {
        Some(range) => range,
        None => {
            let now_s = u32::try_from(now_us() / 1_000_000 + 1).unwrap_or(u32::MAX);
            (now_s.saturating_sub(USUAL_S), now_s)
        }
    };
    if range.1 - range.0 > LONGEST_S {
        return Err(ApiError::bad_request(format!(
            "range specified by start and end exceeds {} days",
            LONGEST_S / 86_400
        )));
    }
    Ok(range)
}

/// `start` and `end` where they are given.
///
/// # Errors
/// They are no seconds, or not in order.
pub fn given(words: &Words) -> Result<Option<Range>, ApiError> {
    let second = |name: &str| match words.number(name)?.map(u32::try_from) {
        Some(Err(_)) => Err(ApiError::bad_request(format!("invalid {name}: seconds since 1970"))),
        Some(Ok(second)) => Ok(second),
        None => Ok(0),
    };
    let (start, end) = (second("start")?, second("end")?);
    if (start, end) == (0, 0) {
        return Ok(None);
    }
    if end <= start {
        return Err(ApiError::bad_request(format!(
            "http parameter start must be before end. received start={start} end={end}"
        )));
    }
    Ok(Some((start, end)))
}

/// A number of things between 1 and `most`, or the usual one.
///
/// # Errors
/// It is none.
pub fn number_of(words: &Words, name: &str, usual: u32, most: u32) -> Result<u32, ApiError> {
    match words.number(name)? {
        None => Ok(usual),
        Some(number) => match u32::try_from(number) {
            Ok(number) if (1..=most).contains(&number) => Ok(number),
            _ => Err(ApiError::bad_request(format!("invalid {name}: 1 to {most}"))),
        },
    }
}
