//! The simulator of stillpoint side by side with turmoil, turmoil-net, madsim and bach.
//!
//! Each measurement runs in a process of its own. A round measures every contestant once on every
//! program, so that what else the machine does meets all of them alike.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use program::{Program, Run};
use serde_json::json;

mod bach_sim;
mod play;
mod program;
mod stillpoint_sim;
mod turmoil_net_sim;
mod turmoil_sim;

const OWN: &str = "stillpoint";

const CONTESTANTS: [(&str, Run); 4] = [
    (OWN, stillpoint_sim::run),
    ("turmoil", turmoil_sim::run),
    ("turmoil-net", turmoil_net_sim::run),
    ("bach", bach_sim::run),
];

/// It is built apart: see `madsim/Cargo.toml`.
const MADSIM: &str = "madsim";

/// Runs the same programs in stillpoint's simulator and in others, side by side, and prints how
/// fast each is: datagrams delivered a second, whole simulations a second, virtual time per real
/// time, and memory.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Options {
    /// A short round, which shows that everything works.
    #[arg(long)]
    quick: bool,
    /// Interleaved rounds; medians and spreads are over these.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Milliseconds that a measurement takes at the least.
    #[arg(long, default_value_t = 700)]
    millis: u64,
    /// Seconds after which a contestant is given up on.
    #[arg(long, default_value_t = 30)]
    patience: u64,
    /// Only programs whose name holds this word.
    #[arg(long, default_value = "")]
    program: String,
    /// Only this contestant, and stillpoint.
    #[arg(long)]
    against: Option<String>,
    /// Writes all that was measured there, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, rest @ ..] = &arguments[..]
        && first == "contestant"
    {
        return program::contestant(&CONTESTANTS, rest);
    }
    let mut options = Options::parse();
    if options.quick {
        (options.rounds, options.millis, options.patience) = (1, 30, 5);
    }
    let wanted = |name: &str| {
        let against = options.against.as_deref();
        name == OWN || against.is_none_or(|against| against == name)
    };
    let own = std::env::current_exe().expect("this program knows where it is");
    let mut contestants: Vec<(&str, PathBuf)> = Vec::new();
    for (name, _) in CONTESTANTS {
        contestants.push((name, own.clone()));
    }
    if wanted(MADSIM) {
        contestants.push((MADSIM, build_madsim()));
    }
    contestants.retain(|(name, _)| wanted(name));
    let programs = Program::ALL.into_iter();
    let programs: Vec<Program> = programs
        .filter(|program| program.name().contains(&options.program))
        .filter(|program| !options.quick || program.hosts() <= 100)
        .collect();
    let mut measured: Measured = BTreeMap::new();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for &program in &programs {
            for (name, path) in &contestants {
                let key = (program.name(), *name);
                let figures = measured.entry(key).or_default();
                // Whoever was given up on once is not asked again.
                if figures.len() + 1 == round as usize {
                    figures.extend(measure(path, name, program, &options));
                }
            }
        }
    }
    let names: Vec<&str> = contestants.iter().map(|(name, _)| *name).collect();
    print(&programs, &names, &measured);
    if let Some(path) = &options.json {
        write_json(path, &programs, &measured);
    }
}

/// By program and contestant: a figure for each round.
type Measured = BTreeMap<(String, &'static str), Vec<f64>>;

/// Builds the contestant that needs a flag of its own. Where it is.
fn build_madsim() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = here.join("target/madsim");
    eprintln!("building madsim with its flag");
    let built = Command::new("cargo")
        .args(["build", "--release", "--locked", "--quiet"])
        .args(["--package", "stillpoint-peers-madsim", "--target-dir"])
        .arg(&target)
        .current_dir(here)
        .env("RUSTFLAGS", "--cfg madsim")
        .status();
    assert!(
        built.is_ok_and(|status| status.success()),
        "madsim cannot be built: see above"
    );
    target.join("release/stillpoint-peers-madsim")
}

/// Has a contestant measure a program, in a process of its own. `None` if it takes too long, or
/// fails.
fn measure(path: &Path, name: &str, program: Program, options: &Options) -> Option<f64> {
    let mut command = Command::new(path);
    if name != MADSIM {
        command.arg("contestant");
    }
    let child = command
        .args([name, &program.name(), &options.millis.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a contestant can be started");
    let said = wait(child, Duration::from_secs(options.patience))?;
    said.trim().parse().ok()
}

/// What a process said before it ended; it is stopped if that takes too long.
fn wait(mut child: Child, patience: Duration) -> Option<String> {
    let end = Instant::now() + patience;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => {
                let output = child.wait_with_output().ok()?;
                return String::from_utf8(output.stdout).ok();
            }
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
            Ok(_) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

fn print(programs: &[Program], names: &[&str], measured: &Measured) {
    for program in programs {
        println!("{} ({})", program.name(), program.unit());
        let own = measured.get(&(program.name(), OWN));
        let own = own.cloned().unwrap_or_default();
        for name in names {
            let figures = &measured[&(program.name(), *name)];
            let Some([_, figure, _]) = spread(figures) else {
                println!("  {name:12} {:>14}", "-");
                continue;
            };
            let ratios: Vec<f64> = own.iter().zip(figures).map(|(own, it)| own / it).collect();
            match spread(&ratios) {
                Some([least, median, most]) if *name != OWN => println!(
                    "  {name:12} {figure:>14.0}   {OWN} is {median:.3} times that ({least:.3} to {most:.3})"
                ),
                _ => println!("  {name:12} {figure:>14.0}"),
            }
        }
    }
}

fn write_json(path: &Path, programs: &[Program], measured: &Measured) {
    let rows: Vec<_> = programs
        .iter()
        .flat_map(|program| {
            let of_program = measured.iter().filter(|((of, _), _)| *of == program.name());
            of_program.map(|((_, name), figures)| {
                json!({
                    "program": program.name(),
                    "unit": program.unit(),
                    "contestant": name,
                    "median": spread(figures).map(|[_, median, _]| median),
                    "figures": figures,
                })
            })
        })
        .collect();
    let text = serde_json::to_string_pretty(&rows).expect("numbers and names");
    std::fs::write(path, text + "\n").expect("the file can be written");
}

/// The least, the median and the most.
fn spread(figures: &[f64]) -> Option<[f64; 3]> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    Some([sorted[0], sorted[last / 2], sorted[last]])
}
