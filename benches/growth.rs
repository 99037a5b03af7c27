//! What an event costs, against how many tasks, timers, sockets, subscribers, workers and simulated
//! nodes there are beside the one that it is for.
//!
//! `cargo bench --bench growth` prints nanoseconds an event, medians of several rounds;
//! `-- --quick` measures a few points once, `--json` prints them as JSON, `--chart FOLDER` draws
//! them, and a word chooses the curves that hold it. The charts in `docs/growth/` are drawn so.
//!
//! - *Core*: a worker driven by hand, without a network: what is measured is its own.
//! - *Sockets*: over each socket backend, on one thread, a datagram from a socket to itself: three
//!   system calls.
//! - *Workers*: threads that sleep, and one that is told something.
//! - *Nodes*: the simulator.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not measured does not matter"
)]

use core::time::Duration;
use std::path::Path;

#[path = "growth/chart.rs"]
mod chart;
#[path = "growth/core.rs"]
mod core_alone;
#[path = "common/cores.rs"]
mod cores;
#[path = "growth/nodes.rs"]
mod nodes;
#[path = "growth/sockets.rs"]
mod sockets;
#[path = "growth/threads.rs"]
mod threads;

/// One picture: curves over the same axis.
pub(crate) struct Figure {
    /// Also the name of its file.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What there are more and more of.
    pub(crate) axis: &'static str,
    pub(crate) curves: Vec<Curve>,
}

/// One curve.
pub(crate) struct Curve {
    pub(crate) name: String,
    /// How many there are, at each point.
    pub(crate) sizes: Vec<u32>,
    /// Sets a point up.
    pub(crate) prepare: Box<dyn Fn(u32) -> Run>,
}

/// Has about so many events happen, and says how many and how long they took.
pub(crate) type Run = Box<dyn FnMut(u32) -> (u32, Duration)>;

/// A point of a curve: nanoseconds an event, the least, the median and the most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) size: u32,
    pub(crate) nanos: [f64; 3],
}

/// A curve that was measured.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) points: Vec<Point>,
}

impl Measured {
    /// How many times as much the last point costs as the first of at least `from`.
    fn growth(&self, from: u32) -> f64 {
        let first = self.points.iter().find(|point| point.size >= from);
        let (Some(first), Some(last)) = (first, self.points.last()) else {
            return 1.0;
        };
        last.nanos[1] / first.nanos[1]
    }
}

/// How much is measured.
struct Effort {
    rounds: usize,
    events: u32,
    size_max: u32,
}

const FULL: Effort = Effort {
    // Many and short, so that what else the machine does falls into few of them.
    rounds: 41,
    events: 2_000,
    size_max: u32::MAX,
};
const QUICK: Effort = Effort {
    rounds: 1,
    events: 200,
    size_max: 1_000,
};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    // `cargo test --benches` does not pass `--bench`; it shows that all of them work.
    let effort = if has("--quick") || !has("--bench") {
        QUICK
    } else {
        FULL
    };
    let place = arguments.iter().position(|argument| argument == "--chart");
    let folder = place.and_then(|place| arguments.get(place + 1));
    let words = arguments.iter().enumerate().filter(|(index, word)| {
        !word.starts_with('-') && place.is_none_or(|place| *index != place + 1)
    });
    let words: Vec<&str> = words.map(|(_, word)| word.as_str()).collect();
    let figures = [
        core_alone::figures(),
        sockets::figures(),
        threads::figures(),
        nodes::figures(),
    ];
    let mut json = Vec::new();
    for figure in figures.into_iter().flatten() {
        let wanted = |word: &&str| figure.name.contains(*word);
        if !words.is_empty() && !words.iter().any(wanted) {
            continue;
        }
        let measured = measure(&figure, &effort, has("--json"));
        if let Some(folder) = folder {
            let path = Path::new(folder).join(format!("{}.svg", figure.name));
            chart::draw(&path, &figure, &measured).expect("the chart can be drawn");
        }
        json.push(as_json(&figure, &measured));
    }
    if has("--json") {
        println!("{}", serde_json::Value::Array(json));
    }
}

/// Measures the curves of a figure, each round at all points in turn.
fn measure(figure: &Figure, effort: &Effort, is_silent: bool) -> Vec<Measured> {
    let mut measured: Vec<Measured> = figure
        .curves
        .iter()
        .map(|curve| Measured {
            name: curve.name.clone(),
            points: Vec::new(),
        })
        .collect();
    if !is_silent {
        println!("{}, ns, by {}", figure.title, figure.axis);
    }
    for (curve, measured) in figure.curves.iter().zip(&mut measured) {
        let sizes = curve.sizes.iter().copied();
        let sizes: Vec<u32> = sizes.filter(|&size| size <= effort.size_max).collect();
        let mut runs: Vec<Run> = sizes.iter().map(|&size| (curve.prepare)(size)).collect();
        let mut rounds = vec![Vec::new(); runs.len()];
        // One more: whatever happens once has happened then.
        for round in 0..=effort.rounds {
            for (run, nanos) in runs.iter_mut().zip(&mut rounds) {
                let (events, took) = run(effort.events);
                if round > 0 {
                    nanos.push(took.as_nanos() as f64 / f64::from(events));
                }
            }
        }
        for (size, mut nanos) in sizes.into_iter().zip(rounds) {
            nanos.sort_by(f64::total_cmp);
            let nanos = [0, nanos.len() / 2, nanos.len() - 1].map(|index| nanos[index]);
            measured.points.push(Point { size, nanos });
        }
        if !is_silent {
            print!("  {:34}", measured.name);
            for Point { size, nanos } in &measured.points {
                print!(" {size}: {:.0}", nanos[1]);
            }
            println!("   x{:.1} from 100 on", measured.growth(100));
        }
    }
    measured
}

fn as_json(figure: &Figure, measured: &[Measured]) -> serde_json::Value {
    let curves: Vec<_> = measured
        .iter()
        .map(|curve| {
            let points: Vec<_> = curve
                .points
                .iter()
                .map(|Point { size, nanos }| {
                    let [least, median, most] = nanos;
                    serde_json::json!({"size": size, "least": least, "median": median, "most": most})
                })
                .collect();
            serde_json::json!({"name": curve.name, "growth_from_100": curve.growth(100), "points": points})
        })
        .collect();
    serde_json::json!({"name": figure.name, "title": figure.title, "axis": figure.axis, "curves": curves})
}

/// Two numbers for each decade, up to `most`.
pub(crate) fn sizes(most: u32) -> Vec<u32> {
    let decades = (0..=9).map(|power| 10_u32.pow(power));
    decades
        .flat_map(|decade| [1, 3].map(|factor| decade.saturating_mul(factor)))
        .filter(|&size| size <= most)
        .collect()
}
