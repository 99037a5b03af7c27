//! Latencies that were measured somewhere, to be played back.

use core::time::Duration;
use std::path::Path;
use std::sync::Arc;

use super::path::LATENCY_MAX;

/// Latencies out of a file: over time, or as samples to draw from.
///
/// The file is text. `#` begins a comment, and empty lines do not count. Either every line has two
/// numbers, a time in seconds and the latency then in milliseconds, with times that grow: the
/// latency goes in a straight line from one to the next, and after the last time all begins anew.
/// Or every line has one number, a latency in milliseconds: each time one of them is drawn.
///
/// # Example
///
/// ```
/// use stillpoint_sim::{Latency, LatencyTrace, Link};
///
/// let tunnel = LatencyTrace::parse("# s  ms\n0 40\n10 40\n12 400\n15 45").expect("a trace");
/// let train = Link::default().latency(Latency::replay(tunnel));
///
/// let wrong = LatencyTrace::parse("0 40\n0 50").expect_err("no time goes by");
/// assert_eq!(wrong.to_string(), "line 2: the time 0 s is not after the one before, 0 s");
/// # let _ = train;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencyTrace(pub(super) Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Time since the first line, and the latency then.
    OverTime(Arc<[(u64, u64)]>),
    /// In order, the shortest first.
    Samples(Arc<[u64]>),
}

/// Why a text is no trace of latencies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LatencyTraceError {
    /// The file could not be read.
    #[error("{path}: {reason}")]
    Unreadable {
        /// Which file.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// A line is wrong.
    #[error("line {line}: {problem}")]
    Line {
        /// Its number, from 1 on.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no latency in it.
    #[error("no line with a latency")]
    Empty,
}

impl LatencyTrace {
    /// Reads a trace.
    ///
    /// # Errors
    ///
    /// Which line is wrong, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, LatencyTraceError> {
        let mut rows: Vec<Row> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let at = |problem| LatencyTraceError::Line {
                line: index + 1,
                problem,
            };
            let content = line.split('#').next().unwrap_or_default();
            if content.trim().is_empty() {
                continue;
            }
            let row = Row::parse(content).map_err(at)?;
            if let Some(before) = rows.last() {
                row.follows(before).map_err(at)?;
            }
            rows.push(row);
        }
        let first = rows.first().ok_or(LatencyTraceError::Empty)?;
        Ok(Self(match first.at {
            Some(start) => Kind::OverTime(
                rows.iter()
                    .map(|row| (row.at.unwrap_or(start) - start, row.latency))
                    .collect(),
            ),
            None => {
                let mut samples: Vec<u64> = rows.iter().map(|row| row.latency).collect();
                samples.sort_unstable();
                Kind::Samples(samples.into())
            }
        }))
    }

    /// Reads a trace out of a file.
    ///
    /// # Errors
    ///
    /// What the system says of the file, or which line is wrong.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, LatencyTraceError> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|error| LatencyTraceError::Unreadable {
                path: path.display().to_string(),
                reason: error.to_string(),
            })?;
        Self::parse(&text)
    }
}

/// The latency at this moment since the trace began.
pub(super) fn latency_at(points: &[(u64, u64)], elapsed: u64) -> u64 {
    let (period, last) = points.last().copied().unwrap_or_default();
    let Some(at) = elapsed.checked_rem(period) else {
        return last;
    };
    let behind = points.partition_point(|&(time, _)| time <= at);
    let (from, to) = (points[behind - 1], points[behind]);
    let step = (i128::from(to.1) - i128::from(from.1)) * i128::from(at - from.0);
    let moved = i64::try_from(step / i128::from(to.0 - from.0)).expect("less than a day");
    from.1.strict_add_signed(moved)
}

/// One line.
struct Row {
    at: Option<u64>,
    latency: u64,
}

impl Row {
    fn parse(content: &str) -> Result<Self, String> {
        let numbers: Vec<&str> = content.split_whitespace().collect();
        match numbers[..] {
            [latency] => Ok(Self {
                at: None,
                latency: number(latency, "ms", 1e-3)?,
            }),
            [at, latency] => Ok(Self {
                at: Some(number(at, "s", 1.0)?),
                latency: number(latency, "ms", 1e-3)?,
            }),
            _ => Err(format!(
                "{} numbers: give a latency in ms, or a time in s and the latency then",
                numbers.len()
            )),
        }
    }

    /// Whether it may stand behind the row before.
    fn follows(&self, before: &Self) -> Result<(), String> {
        match (before.at, self.at) {
            (None, None) => Ok(()),
            (Some(before), Some(at)) if at > before => Ok(()),
            (Some(before), Some(at)) => {
                let seconds = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64();
                let (at, before) = (seconds(at), seconds(before));
                Err(format!(
                    "the time {at} s is not after the one before, {before} s"
                ))
            }
            (Some(_), None) => Err("one number, where the lines before have two".into()),
            (None, Some(_)) => Err("two numbers, where the lines before have one".into()),
        }
    }
}

/// A number as nanoseconds.
fn number(text: &str, unit: &str, seconds: f64) -> Result<u64, String> {
    let value: f64 = text
        .parse()
        .map_err(|_| format!("`{text}` is not a number"))?;
    let duration = Duration::try_from_secs_f64(value * seconds)
        .map_err(|_| format!("{text} {unit} is not a time from 0 on"))?;
    if unit == "ms" && duration > LATENCY_MAX {
        return Err(format!(
            "a latency of {text} ms: at most {LATENCY_MAX:?} can be simulated"
        ));
    }
    u64::try_from(duration.as_nanos())
        .map_err(|_| format!("{text} {unit} is beyond what can be simulated, some 584 years"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        LatencyTrace::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_wrong_line_is_named_with_what_is_wrong() {
        assert_eq!(problem("# nothing\n\n"), "no line with a latency");
        assert_eq!(
            problem("0 1\n1e17 1"),
            "line 2: 1e17 s is beyond what can be simulated, some 584 years"
        );
        assert_eq!(problem("1 2\nx 3"), "line 2: `x` is not a number");
        assert_eq!(
            problem("1 2\n\n2 -3"),
            "line 3: -3 ms is not a time from 0 on"
        );
        assert_eq!(
            problem("5\n1 2"),
            "line 2: two numbers, where the lines before have one"
        );
        assert_eq!(
            problem("1 5\n3"),
            "line 2: one number, where the lines before have two"
        );
        assert!(problem("1 2 3").starts_with("line 1: 3 numbers"));
        assert!(problem("NaN").starts_with("line 1"));
        assert!(problem("1e12").contains("at most 86400s"));
        let missing = LatencyTrace::read("no/such/file").unwrap_err();
        assert!(missing.to_string().starts_with("no/such/file: "));
    }

    #[test]
    fn the_latency_goes_straight_from_line_to_line_and_begins_anew() {
        let trace = LatencyTrace::parse("5 10 # the start\n7 30\n9 20").unwrap();
        let Kind::OverTime(points) = trace.0 else {
            panic!("two columns")
        };
        let ms = 1_000_000;
        for (elapsed, latency) in [(0, 10), (500, 15), (2_000, 30), (3_000, 25), (4_000, 10)] {
            assert_eq!(latency_at(&points, elapsed * ms), latency * ms, "{elapsed}");
            assert_eq!(latency_at(&points, (elapsed + 8_000) * ms), latency * ms);
        }
        assert_eq!(latency_at(&[(0, 7)], 99), 7, "one line is for all times");
    }

    #[test]
    fn samples_are_in_order() {
        let trace = LatencyTrace::parse("3\n1\n2.5").unwrap();
        let samples = Kind::Samples([1_000_000, 2_500_000, 3_000_000].into());
        assert_eq!(trace.0, samples);
    }
}
