//! What we want of the results, and how far that is reached: for each goal the case that is worst.

use crate::case::Load;
use crate::results::{CaseResult, Results, Row};
use crate::servers::{REFERENCE, SPINNING};

/// What is wanted of each case that it is about.
struct Goal {
    text: &'static str,
    least: f64,
    is_about: fn(&Load) -> bool,
    /// How much a case has of it, and who; nothing if that was not measured.
    reached: fn(&CaseResult, Side) -> Option<(f64, String)>,
}

/// Whose ratios are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Ours,
    /// What can be reached at all.
    Floors,
}

/// Prints how far the goals are reached.
pub fn print(results: &Results) {
    println!(
        "\n  {:<62} {:>7} {:>7} {:>7}  worst at",
        "goals (medians of the ratios of rounds)", "wanted", "worst", "floors"
    );
    for goal in &GOALS {
        let about = (results.cases.iter()).filter(|case| (goal.is_about)(&case.load));
        let reached = about.filter_map(|case| {
            let (ratio, who) = (goal.reached)(case, Side::Ours)?;
            Some((ratio, who, case))
        });
        let worst = reached.min_by(|(one, ..), (other, ..)| one.total_cmp(other));
        let Some((ratio, who, case)) = worst else {
            continue; // Not measured this time.
        };
        let floors = (goal.reached)(case, Side::Floors);
        let floors = floors.map_or_else(|| "-".to_owned(), |(ratio, _)| format!("{ratio:.2}"));
        let mark = if ratio >= goal.least { "  " } else { "! " };
        println!(
            "{mark}{:<62} {:>7.2} {ratio:>7.2} {floors:>7}  {}, {who}",
            goal.text, goal.least, case.name
        );
    }
}

const GOALS: [Goal; 13] = [
    Goal {
        text: "UDP: each of ours, of the floor that makes its calls",
        least: 0.95,
        is_about: is_udp,
        reached: |case, side| worst(case, side, |row| to(case, row, floor_of(case, row)?)),
    },
    Goal {
        text: "  the same by CPU per datagram",
        least: 0.95,
        is_about: is_udp,
        reached: |case, side| worst(case, side, |row| case.cpu_ratio(row, floor_of(case, row)?)),
    },
    Goal {
        text: "TCP: each of ours, of its floor by CPU per message",
        least: 0.95,
        is_about: |load| matches!(load, Load::TcpEcho { .. }),
        reached: |case, side| worst(case, side, |row| case.cpu_ratio(row, floor_of(case, row)?)),
    },
    Goal {
        text: "UDP echo, 1,000 peers, runs of 1: the best of ours, of tokio",
        least: 1.0,
        is_about: |load| is_echo_of(load, 1),
        reached: |case, side| best(case, side, |row| to(case, row, REFERENCE)),
    },
    Goal {
        text: "  runs of 4",
        least: 2.5,
        is_about: |load| is_echo_of(load, 4),
        reached: |case, side| best(case, side, |row| to(case, row, REFERENCE)),
    },
    Goal {
        text: "  runs of 32",
        least: 8.0,
        is_about: |load| is_echo_of(load, 32),
        reached: |case, side| best(case, side, |row| to(case, row, REFERENCE)),
    },
    Goal {
        text: "UDP echo: the best of ours, of the better of the predecessor's",
        least: 5.0,
        is_about: |load| matches!(load, Load::UdpEcho { .. }),
        reached: |case, side| {
            best(case, side, |row| {
                let poll = to(case, row, "predecessor-poll")?;
                Some(poll.min(to(case, row, "predecessor-polling")?))
            })
        },
    },
    Goal {
        text: "UDP fan-out, frames of 32: the best of ours, of tokio",
        least: 5.0,
        is_about: |load| matches!(load, Load::FanOut { frame: 32, .. }),
        reached: |case, side| best(case, side, |row| to(case, row, REFERENCE)),
    },
    Goal {
        text: "TCP echo: the best of ours, of tokio",
        least: 1.0,
        is_about: |load| matches!(load, Load::TcpEcho { .. }),
        reached: |case, side| best(case, side, |row| to(case, row, REFERENCE)),
    },
    Goal {
        text: "  each of ours, of tokio",
        least: 1.0,
        is_about: |load| matches!(load, Load::TcpEcho { .. }),
        reached: |case, side| worst(case, side, |row| to(case, row, REFERENCE)),
    },
    Goal {
        text: "latency, p50: each of ours, of its floor",
        least: 1.0 / 1.05,
        is_about: Load::is_latency,
        reached: |case, side| worst(case, side, |row| to(case, row, floor_of(case, row)?)),
    },
    Goal {
        text: "latency, p99: the best of ours, of tokio",
        least: 1.0,
        is_about: Load::is_latency,
        reached: |case, side| {
            let tokio = p99(case.row(REFERENCE)?)?;
            best(case, side, |row| Some(tokio / p99(row)?))
        },
    },
    Goal {
        text: "latency, p50: the best of ours that spins, of whoever sleeps",
        least: 3.0,
        is_about: Load::is_latency,
        reached: |case, side| {
            if side == Side::Floors {
                return None; // They all sleep.
            }
            let sleeping = case.rows.iter().filter(|row| !is_spinning(row));
            let sleeping = sleeping.filter_map(|row| row.median(|round| Some(round.figure)));
            let quickest = sleeping.min_by(f64::total_cmp)?;
            let spinning = case.rows.iter().filter(|row| is_spinning(row));
            let all = spinning.filter_map(|row| {
                let own = row.median(|round| Some(round.figure))?;
                Some((quickest / own, row.name.clone()))
            });
            all.max_by(|(one, _), (other, _)| one.total_cmp(other))
        },
    },
];

const fn is_udp(load: &Load) -> bool {
    matches!(
        load,
        Load::UdpEcho { .. } | Load::UdpSink { .. } | Load::FanOut { .. }
    )
}

fn is_echo_of(load: &Load, length: usize) -> bool {
    matches!(*load, Load::UdpEcho { run, peers, .. } if run == length && peers > 1)
}

fn is_spinning(row: &Row) -> bool {
    row.name.ends_with(SPINNING)
}

/// Those of a side, but for those that pay for latency with CPU.
fn rows(case: &CaseResult, side: Side) -> impl Iterator<Item = &Row> {
    let rows = case.rows.iter().filter(move |row| match side {
        Side::Ours => row.name.starts_with("ours-"),
        Side::Floors => row.name.starts_with("floor"),
    });
    rows.filter(|row| !is_spinning(row))
}

fn worst(case: &CaseResult, side: Side, of: impl Fn(&Row) -> Option<f64>) -> Option<(f64, String)> {
    let all = rows(case, side).filter_map(|row| Some((of(row)?, row.name.clone())));
    all.min_by(|(one, _), (other, _)| one.total_cmp(other))
}

fn best(case: &CaseResult, side: Side, of: impl Fn(&Row) -> Option<f64>) -> Option<(f64, String)> {
    let all = rows(case, side).filter_map(|row| Some((of(row)?, row.name.clone())));
    all.max_by(|(one, _), (other, _)| one.total_cmp(other))
}

fn to(case: &CaseResult, row: &Row, other: &str) -> Option<f64> {
    case.ratio(row, other).map(|ratio| ratio.median)
}

/// The floor of a contestant that is none itself.
fn floor_of(case: &CaseResult, row: &Row) -> Option<&'static str> {
    (!row.name.starts_with("floor")).then(|| case.floor_of(row))
}

fn p99(row: &Row) -> Option<f64> {
    row.median(|round| {
        let found = round.more.iter().find(|(name, _)| *name == "p99");
        found.map(|&(_, value)| value)
    })
}
