//! The text format: families of samples, each with its help and its type, a line for each sample.

use core::fmt::Write;
use core::time::Duration;
use std::collections::BTreeMap;

use crate::status::Durations;

/// Families in the making, in the order in which they were first mentioned. All samples of a
/// family come together, as the format wants it, in whichever order they are added.
#[derive(Debug, Default)]
pub(super) struct Families {
    order: Vec<(Family, String)>,
    places: BTreeMap<&'static str, usize>,
}

/// What the samples of one name have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
}

/// Only ever grows; `name` ends in `_total`.
pub(super) const fn counter(name: &'static str, help: &'static str) -> Family {
    let kind = "counter";
    Family { name, kind, help }
}

/// Goes up and down.
pub(super) const fn gauge(name: &'static str, help: &'static str) -> Family {
    let kind = "gauge";
    Family { name, kind, help }
}

/// Durations by length; `name` ends in `_seconds`.
pub(super) const fn histogram(name: &'static str, help: &'static str) -> Family {
    let kind = "histogram";
    Family { name, kind, help }
}

/// Names and values that tell the samples of one family apart.
pub(super) type Labels<'a> = [(&'static str, &'a str)];

/// The value of a sample.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Whole(u64),
    Real(f64),
}

impl From<u64> for Number {
    fn from(count: u64) -> Self {
        Self::Whole(count)
    }
}

impl From<usize> for Number {
    fn from(count: usize) -> Self {
        Self::Whole(count as u64)
    }
}

impl From<f64> for Number {
    fn from(real: f64) -> Self {
        Self::Real(real)
    }
}

impl From<Duration> for Number {
    fn from(duration: Duration) -> Self {
        Self::Real(duration.as_secs_f64())
    }
}

impl Families {
    /// Adds one sample.
    pub(super) fn add(&mut self, family: Family, labels: &Labels<'_>, value: impl Into<Number>) {
        let samples = self.samples(family);
        write_sample(samples, family.name, "", labels, value.into());
    }

    /// Adds the samples of one histogram.
    pub(super) fn add_durations(
        &mut self,
        family: Family,
        labels: &Labels<'_>,
        durations: &Durations,
    ) {
        let samples = self.samples(family);
        // It may be written meanwhile: the parts are read before the whole, which has more then.
        let buckets = durations.at_most(LIMITS);
        let (sum, count) = (durations.sum(), durations.count());
        let limits = LIMITS.map(|limit| limit.as_secs_f64().to_string());
        let limits = limits.iter().map(String::as_str).chain(["+Inf"]);
        for (limit, below) in limits.zip(buckets.into_iter().chain([count])) {
            let labels = [labels, &[("le", limit)]].concat();
            write_sample(samples, family.name, "_bucket", &labels, below.into());
        }
        write_sample(samples, family.name, "_sum", labels, sum.into());
        write_sample(samples, family.name, "_count", labels, count.into());
    }

    /// Writes all of them.
    pub(super) fn write(&self, text: &mut String) {
        for (Family { name, kind, help }, samples) in &self.order {
            text.push_str("# HELP ");
            text.push_str(name);
            text.push(' ');
            escape(text, help, Quotes::Plain);
            text.push_str("\n# TYPE ");
            text.push_str(name);
            text.push(' ');
            text.push_str(kind);
            text.push('\n');
            text.push_str(samples);
        }
    }

    fn samples(&mut self, family: Family) -> &mut String {
        let next = self.order.len();
        let place = *self.places.entry(family.name).or_insert(next);
        if place == next {
            self.order.push((family, String::new()));
        }
        &mut self.order[place].1
    }
}

/// The limits of the buckets of every histogram.
pub(super) const LIMITS: [Duration; 22] = [
    Duration::from_micros(1),
    Duration::from_micros(2),
    Duration::from_micros(5),
    Duration::from_micros(10),
    Duration::from_micros(20),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(200),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

fn write_sample(text: &mut String, name: &str, part: &str, labels: &Labels<'_>, value: Number) {
    text.push_str(name);
    text.push_str(part);
    let mut before = '{';
    for (label, value) in labels {
        text.push(before);
        text.push_str(label);
        text.push_str("=\"");
        escape(text, value, Quotes::Escaped);
        text.push('"');
        before = ',';
    }
    if before == ',' {
        text.push('}');
    }
    text.push(' ');
    let written = match value {
        Number::Whole(count) => writeln!(text, "{count}"),
        Number::Real(real) if real == f64::INFINITY => writeln!(text, "+Inf"),
        Number::Real(real) if real == f64::NEG_INFINITY => writeln!(text, "-Inf"),
        Number::Real(real) => writeln!(text, "{real}"),
    };
    debug_assert!(written.is_ok(), "a string takes everything");
}

/// Whether quotes are escaped too: in values of labels, not in help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Plain,
    Escaped,
}

fn escape(text: &mut String, raw: &str, quotes: Quotes) {
    for letter in raw.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if quotes == Quotes::Escaped => text.push_str("\\\""),
            _ => text.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(families: &Families) -> String {
        let mut text = String::new();
        families.write(&mut text);
        text
    }

    #[test]
    fn samples_of_one_family_come_together_whenever_they_are_added() {
        let mut families = Families::default();
        let (red, blue) = (counter("red_total", "Red."), gauge("blue", "Blue."));
        families.add(red, &[("worker", "0")], 1_u64);
        families.add(blue, &[], 0.5);
        families.add(red, &[("worker", "1")], 2_u64);
        assert_eq!(
            written(&families),
            "# HELP red_total Red.\n# TYPE red_total counter\n\
             red_total{worker=\"0\"} 1\nred_total{worker=\"1\"} 2\n\
             # HELP blue Blue.\n# TYPE blue gauge\nblue 0.5\n"
        );
    }

    #[test]
    fn backslashes_quotes_and_line_ends_are_escaped() {
        let mut families = Families::default();
        let family = gauge("odd", "A \\ and a \"\nhere");
        families.add(family, &[("name", "A \\ and a \"\nhere")], f64::INFINITY);
        families.add(family, &[("name", "b"), ("more", "c")], f64::NAN);
        assert_eq!(
            written(&families),
            "# HELP odd A \\\\ and a \"\\nhere\n# TYPE odd gauge\n\
             odd{name=\"A \\\\ and a \\\"\\nhere\"} +Inf\nodd{name=\"b\",more=\"c\"} NaN\n"
        );
    }

    #[test]
    fn a_histogram_counts_what_is_at_most_as_long_and_ends_with_all() {
        let mut families = Families::default();
        let durations = Durations::new();
        for micros in [3, 3, 700, 20_000_000] {
            durations.record(Duration::from_micros(micros));
        }
        families.add_durations(histogram("wait_seconds", "Wait."), &[], &durations);
        let text = written(&families);
        for line in [
            "wait_seconds_bucket{le=\"0.000002\"} 0",
            "wait_seconds_bucket{le=\"0.000005\"} 2",
            "wait_seconds_bucket{le=\"0.001\"} 3",
            "wait_seconds_bucket{le=\"10\"} 3",
            "wait_seconds_bucket{le=\"+Inf\"} 4",
            "wait_seconds_count 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(LIMITS.is_sorted());
    }
}
