//! Prometheus' and OpenMetrics' text formats. The crate that writes `/metrics` writes the latter only, and counts in whole
//! numbers; sampled calls count in thousandths.

use std::fmt::Write as _;

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0, the only one with exemplars.
    OpenMetrics,
    /// Prometheus 0.0.4.
    Prometheus,
}

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Its samples end in `_total`.
    Counter,
    /// Its samples end in `_bucket`, `_count` and `_sum`.
    Histogram,
}

/// A page in the making.
#[derive(Debug)]
pub struct Text {
    text: String,
    format: Format,
}

impl Format {
    /// What an `Accept` header prefers.
    pub fn accepted(accept: &str) -> Self {
        let open = quality(accept, |media| media == "application/openmetrics-text");
        let plain = quality(accept, |media| matches!(media, "text/plain" | "text/*" | "*/*"));
        if open > 0.0 && open >= plain { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

fn quality(accept: &str, wanted: impl Fn(&str) -> bool) -> f64 {
    let qualities = accept.split(',').filter_map(|range| {
        let (media, parameters) = range.split_once(';').unwrap_or((range, ""));
        let quality = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("q="));
        wanted(media.trim()).then(|| quality.map_or(1.0, |quality| quality.trim().parse().unwrap_or(0.0)))
    });
    qualities.fold(0.0, f64::max)
}

impl Text {
    /// Nothing yet.
    pub fn new(format: Format) -> Self {
        Self { text: String::new(), format }
    }

    /// Begins a family; `name` is without the ending of its samples.
    pub fn family(&mut self, name: &str, kind: Type, help: &str) {
        let (ending, kind) = match (kind, self.format) {
            (Type::Counter, Format::Prometheus) => ("_total", "counter"),
            (Type::Counter, Format::OpenMetrics) => ("", "counter"),
            (Type::Histogram, _) => ("", "histogram"),
        };
        let _ = writeln!(self.text, "# HELP {name}{ending} {help}\n# TYPE {name}{ending} {kind}");
    }

    /// A sample; `value` in units of ten to the minus `decimals`.
    pub fn sample(&mut self, name: &str, labels: &str, (value, decimals): (i64, usize)) {
        let _ = writeln!(self.text, "{name}{{{labels}}} {}", decimal(value, decimals));
    }

    /// A sample with the flow that shows it: its trace id, its value in µs and its time in µs since the epoch.
    pub fn sample_with_exemplar(
        &mut self,
        name: &str,
        labels: &str,
        value: i64,
        (trace, us, at_us): (&str, i64, i64),
    ) {
        let _ = writeln!(
            self.text,
            "{name}{{{labels}}} {value} # {{trace_id=\"{trace}\"}} {} {}",
            decimal(us, 6),
            decimal(at_us, 6)
        );
    }

    /// The page as a whole.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// Labels as they stand between the braces.
pub fn labels(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{name}=\"");
        for character in value.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
    text
}

/// A non-negative number, exactly.
pub fn decimal(value: i64, decimals: usize) -> String {
    let unit = 10_i64.pow(u32::try_from(decimals).unwrap_or_default());
    let (whole, part) = (value / unit, value % unit);
    if part == 0 {
        return whole.to_string();
    }
    format!("{whole}.{part:0decimals$}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_chooses_the_format() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, expected) in [
            (prometheus, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            (
                "text/plain;version=0.0.4;q=0.5, application/openmetrics-text; version=1.0.0; q=0.2",
                Format::Prometheus,
            ),
            ("application/openmetrics-text;q=0", Format::Prometheus),
            ("text/plain", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("", Format::Prometheus),
        ] {
            assert_eq!(Format::accepted(accept), expected, "{accept}");
        }
    }

    #[test]
    fn no_text_of_a_span_leaves_its_quotes() {
        let pairs = [("client", "a\"b\\c\nd"), ("server", "é{}=,")];
        assert_eq!(labels(&pairs), r#"client="a\"b\\c\nd",server="é{}=,""#);
        assert_eq!(labels(&[]), "");
    }

    #[test]
    fn numbers_are_exact() {
        let written = [(0, 3), (1_000, 3), (2_500, 3), (1, 9), (i64::MAX, 3)];
        let expected = ["0", "1", "2.5", "0.000000001", "9223372036854775.807"];
        assert_eq!(written.map(|(value, decimals)| decimal(value, decimals)), expected);
    }
}
