//! What was measured, and what follows from it.

use core::time::Duration;

use serde_json::{Value, json};

use crate::case::{Better, Load};
use crate::load::Measured;
use crate::servers::{FLOOR, REFERENCE};

/// All of a run.
#[derive(Debug)]
pub struct Results {
    pub rounds: u32,
    /// How long each measurement took.
    pub round: Duration,
    pub cases: Vec<CaseResult>,
}

/// All contestants on one case.
#[derive(Debug)]
pub struct CaseResult {
    pub name: String,
    pub load: Load,
    pub rows: Vec<Row>,
}

/// One contestant on one case.
#[derive(Debug)]
pub struct Row {
    pub name: String,
    pub floor: &'static str,
    pub rounds: Vec<Measured>,
    /// Why it could not be measured in some round.
    pub failed: Option<String>,
}

/// The least, the median and the most over the rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub least: f64,
    pub median: f64,
    pub most: f64,
}

impl Results {
    pub const fn new(rounds: u32, round: Duration) -> Self {
        Self {
            rounds,
            round,
            cases: Vec::new(),
        }
    }

    pub fn json(&self) -> Value {
        let cases: Vec<Value> = self.cases.iter().map(CaseResult::json).collect();
        json!({
            "rounds": self.rounds,
            "round_ms": self.round.as_millis() as u64,
            "processor": processor(),
            "kernel": std::fs::read_to_string("/proc/sys/kernel/osrelease").ok(),
            "reference": REFERENCE,
            "cases": cases,
        })
    }
}

/// What the system calls its processor.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

impl CaseResult {
    pub fn row(&self, name: &str) -> Option<&Row> {
        let mut rows = self.rows.iter();
        rows.find(|row| row.name == name && !row.rounds.is_empty())
    }

    /// The floor of a contestant: that of those who wait with epoll where it has none of its own.
    pub fn floor_of(&self, row: &Row) -> &'static str {
        match self.row(row.floor) {
            Some(_) => row.floor,
            None => FLOOR,
        }
    }

    /// How much better a contestant is than another one, round by round.
    pub fn ratio(&self, row: &Row, other: &str) -> Option<Spread> {
        let other = self.row(other)?;
        let pairs = row.rounds.iter().zip(&other.rounds);
        Spread::of(pairs.filter_map(|(own, other)| {
            let ratio = match self.load.unit().better {
                Better::More => own.figure / other.figure,
                Better::Less => other.figure / own.figure,
            };
            ratio.is_finite().then_some(ratio)
        }))
    }

    /// How much less CPU a contestant's server uses for each datagram or message than another one.
    /// Of the best rounds of both: whatever disturbs one makes it dearer, and nothing makes it
    /// cheaper than it is.
    pub fn cpu_ratio(&self, row: &Row, other: &str) -> Option<f64> {
        Some(self.row(other)?.least_cpu()? / row.least_cpu()?)
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = (self.rows.iter())
            .map(|row| {
                let rounds: Vec<Value> = row.rounds.iter().map(round_json).collect();
                let floor = self.floor_of(row);
                let of = |spread: Option<Spread>| spread.map(Spread::json);
                json!({
                    "contestant": row.name,
                    "figure": of(row.spread(|round| Some(round.figure))),
                    "to_reference": of(self.ratio(row, REFERENCE)),
                    "floor": floor,
                    "to_floor": of(self.ratio(row, floor)),
                    "cpu_to_floor": self.cpu_ratio(row, floor),
                    "lower_bound": row.is_lower_bound(),
                    "failed": row.failed,
                    "rounds": rounds,
                })
            })
            .collect();
        let unit = self.load.unit();
        let better = match unit.better {
            Better::More => "more",
            Better::Less => "less",
        };
        json!({ "case": self.name, "unit": unit.name, "better": better, "contestants": rows })
    }
}

fn round_json(round: &Measured) -> Value {
    let more: serde_json::Map<String, Value> = (round.more.iter())
        .map(|&(name, value)| (name.to_owned(), json!(value)))
        .collect();
    json!({
        "figure": round.figure,
        "server_cpu_ns": round.cpu,
        "generator_busy": round.busy,
        "lost": round.lost,
        "more": more,
    })
}

impl Row {
    pub fn new(name: &str, floor: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            floor,
            rounds: Vec::new(),
            failed: None,
        }
    }

    /// The spread of something over the rounds.
    pub fn spread(&self, of: impl Fn(&Measured) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(of))
    }

    pub fn median(&self, of: impl Fn(&Measured) -> Option<f64>) -> Option<f64> {
        self.spread(of).map(|spread| spread.median)
    }

    /// CPU time of the server for each datagram or message in its best round, in nanoseconds.
    pub fn least_cpu(&self) -> Option<f64> {
        self.spread(|round| round.cpu).map(|spread| spread.least)
    }

    /// Whether the generator had hardly any time left, so that the server may do more than it shows.
    pub fn is_lower_bound(&self) -> bool {
        self.median(|round| round.busy)
            .is_some_and(|busy| busy >= BUSY_MAX)
    }
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Some(Self {
            least: *values.first()?,
            median: values[values.len() / 2],
            most: *values.last()?,
        })
    }

    fn json(self) -> Value {
        json!({ "min": self.least, "median": self.median, "max": self.most })
    }
}

/// The part of its time that a generator may be busy until its figures are lower bounds.
const BUSY_MAX: f64 = 0.9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_of_the_same_round_and_more_is_better() {
        let load = Load::TcpMemory { connections: 1 };
        let case = case(
            load,
            &[
                ("ours", &[10.0, 30.0, 20.0]),
                ("tokio", &[20.0, 30.0, 80.0]),
            ],
        );
        let ratio = case.ratio(&case.rows[0], "tokio").unwrap();
        // Less memory is better, so the ratios are 2, 1 and 4.
        assert_eq!((ratio.least, ratio.median, ratio.most), (1.0, 2.0, 4.0));

        let load = Load::FanOut { bytes: 1, frame: 1 };
        let case = CaseResult { load, ..case };
        let ratio = case.ratio(&case.rows[0], "tokio").unwrap();
        assert_eq!((ratio.least, ratio.median, ratio.most), (0.25, 0.5, 1.0));
    }

    #[test]
    fn who_has_no_floor_of_its_own_is_compared_with_the_first() {
        let load = Load::TcpMemory { connections: 1 };
        let mut case = case(load, &[("floor", &[1.0]), ("ours", &[1.0])]);
        case.rows[1].floor = "floor-io-uring";
        assert_eq!(case.floor_of(&case.rows[1]), "floor");
        case.rows.push(row("floor-io-uring", &[1.0]));
        assert_eq!(case.floor_of(&case.rows[1]), "floor-io-uring");
    }

    #[test]
    fn a_figure_is_a_lower_bound_where_the_generator_was_busy_most_of_the_time() {
        let mut row = row("ours", &[1.0, 1.0, 1.0]);
        assert!(!row.is_lower_bound());
        for (round, busy) in row.rounds.iter_mut().zip([0.5, 0.95, 0.92]) {
            round.busy = Some(busy);
        }
        assert!(row.is_lower_bound());
    }

    fn case(load: Load, rows: &[(&str, &[f64])]) -> CaseResult {
        CaseResult {
            name: String::new(),
            load,
            rows: rows
                .iter()
                .map(|(name, figures)| row(name, figures))
                .collect(),
        }
    }

    fn row(name: &str, figures: &[f64]) -> Row {
        let mut row = Row::new(name, "floor");
        row.rounds.extend(figures.iter().map(|&figure| Measured {
            figure,
            ..Measured::default()
        }));
        row
    }
}
