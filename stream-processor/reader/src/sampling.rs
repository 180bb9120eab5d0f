//! For how many spans a sampled span stands.

use schemas::semconv::SpanFact;

use crate::said::Said;

/// Adjusted count in thousandths: tracestate `ot=th` (OpenTelemetry's probability sampling), else a configured
/// rate attribute. `None`: nothing says that the span was sampled.
pub(crate) fn weight_milli(trace_state: &str, said: &Said<'_>) -> Option<u32> {
    let threshold = if trace_state.is_empty() { None } else { threshold(trace_state) };
    threshold.map(adjusted_milli).or_else(|| {
        let rate = said.value(SpanFact::SampleRate).double()?;
        (rate >= 1.0).then(|| (rate * 1000.0).round().min(f64::from(u32::MAX)) as u32)
    })
}

/// The rejection threshold T of `ot=th:<up to 14 hex digits, zeros at the end left out>`, below 2^56.
fn threshold(trace_state: &str) -> Option<u64> {
    let ot = trace_state.split(',').find_map(|member| member.trim().strip_prefix("ot="))?;
    let digits = ot.split(';').find_map(|field| field.trim().strip_prefix("th:"))?;
    if digits.is_empty() || digits.len() > 14 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let value = u64::from_str_radix(digits, 16).ok()?;
    Some(value << (4 * (14 - digits.len())))
}

/// 2^56 ÷ (2^56 − T), in thousandths, rounded.
fn adjusted_milli(threshold: u64) -> u32 {
    let kept = u128::from((1_u64 << 56) - threshold);
    let milli = ((1000_u128 << 56) + kept / 2) / kept;
    u32::try_from(milli).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_become_adjusted_counts() {
        let cases = [
            ("ot=th:0", Some(1000)),
            ("ot=th:8", Some(2000)),
            ("ot=th:c", Some(4000)),
            ("ot=th:fd70a3d70a3d71", Some(100_000)), // 1 %
            ("congo=t61, ot=rv:1234;th:8", Some(2000)),
            ("ot=th:", None),
            ("ot=th:123456789012345", None),
            ("ot=th:xyz", None),
            ("other=th:8", None),
            ("", None),
        ];
        for (trace_state, weight) in cases {
            assert_eq!(threshold(trace_state).map(adjusted_milli), weight, "{trace_state}");
        }
    }
}
