//! Numbers as answers show them.

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// A count in thousandths: a whole number where sampling left it whole, else with up to three decimals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = f64)]
pub struct Count(pub i64);

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 1_000 == 0 {
            serializer.serialize_i64(self.0 / 1_000)
        } else {
            serializer.serialize_f64(self.0 as f64 / 1_000.0)
        }
    }
}

/// A share of `whole`, rounded to a millionth; 0 of nothing.
pub fn share(part: i64, whole: i64) -> f64 {
    if whole <= 0 { 0.0 } else { rounded(part as f64 / whole as f64, 1e6) }
}

/// Calls in thousandths over seconds, as calls a second.
pub fn rate(count: i64, seconds: f64) -> f64 {
    rounded(count as f64 / 1_000.0 / seconds.max(1.0), 1e3)
}

/// Microseconds as milliseconds with at most three decimals.
pub fn ms(us: f64) -> f64 {
    rounded(us / 1_000.0, 1e3)
}

fn rounded(value: f64, to: f64) -> f64 {
    (value * to).round() / to
}

/// µs as seconds with one decimal.
pub fn tenths(us: i64) -> f64 {
    (us as f64 / 1e5).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_whole_when_they_can_be() {
        let json = |milli| serde_json::to_string(&Count(milli)).unwrap();
        assert_eq!([json(12_000), json(2_500), json(-1_000)], ["12", "2.5", "-1"]);
    }

    #[test]
    fn shares_of_nothing_are_nothing() {
        assert_eq!((share(1, 3), share(5, 0)), (0.333_333, 0.0));
    }
}
