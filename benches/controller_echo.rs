//! The control plane's speed: a controller that has a task send its commands back, a worker that
//! is woken for one command, and messages from one worker to another.
//!
//! `cargo bench --bench controller_echo` prints medians over interleaved rounds, and for each
//! contestant its ratio to the one named first, with the spread. A word behind `--` chooses the
//! cases that hold it. The first contestants are what two threads can do by hand: with bounded
//! crossbeam channels and with rtrb rings that spin, or by writing to an eventfd.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not measured does not matter"
)]

use stillpoint::backend::BackendKind;

#[path = "controller_echo/bus.rs"]
mod bus;
#[path = "controller_echo/echo.rs"]
mod echo;
#[path = "common/rounds.rs"]
mod rounds;
#[path = "controller_echo/wake.rs"]
mod wake;

use rounds::Contestant;

const ROUNDS: usize = 5;

fn main() {
    // `cargo test --benches` does not pass this flag; one short round shows that it works.
    let full = std::env::args().any(|arg| arg == "--bench");
    let rounds = if full { ROUNDS } else { 1 };
    let filter = std::env::args()
        .skip(1)
        .find(|arg| !arg.starts_with('-'))
        .unwrap_or_default();
    let chosen = |name: &str| {
        let chosen = name.contains(&filter);
        if chosen {
            println!("{name}");
        }
        chosen
    };
    println!("{rounds} interleaved rounds; ratios are to the first contestant");
    for in_flight in [1, 64, 4_000] {
        if chosen(&format!("echo, M/s, 10 B, {in_flight} in flight")) {
            compare_echo::<[u8; 10]>(rounds, in_flight);
        }
        if chosen(&format!("echo, M/s, 1500 B, {in_flight} in flight")) {
            compare_echo::<echo::Large>(rounds, in_flight);
        }
    }
    if chosen("wake-up of an idle worker, us, less is better") {
        let mut contestants: Vec<Contestant<wake::Sleeper>> = vec![(
            "eventfd by hand".to_owned(),
            Box::new(wake::Sleeper::by_hand),
        )];
        for &backend in BackendKind::ALL {
            let start = move || wake::Sleeper::worker(backend);
            contestants.push((format!("ours, {backend}"), Box::new(start)));
        }
        rounds::compare(2 * rounds, &contestants, &|sleeper| {
            sleeper.median_latency()
        });
    }
    if chosen("worker to worker, M/s, 64 B, one way") {
        let mut contestants: Vec<Contestant<bus::Pair>> =
            vec![("rtrb by hand".to_owned(), Box::new(bus::Pair::by_hand))];
        for &backend in BackendKind::ALL {
            let start = move || bus::Pair::workers(backend);
            contestants.push((format!("ours, {backend}"), Box::new(start)));
        }
        rounds::compare(rounds, &contestants, &bus::Pair::rate);
    }
}

fn compare_echo<P: echo::Payload>(rounds: usize, in_flight: usize) {
    let mut contestants: Vec<Contestant<echo::Echo<P>>> = vec![(
        "crossbeam by hand".to_owned(),
        Box::new(echo::Echo::by_hand),
    )];
    for &backend in BackendKind::ALL {
        let start = move || echo::Echo::runtime(backend);
        contestants.push((format!("ours, {backend}"), Box::new(start)));
    }
    rounds::compare(rounds, &contestants, &|echo| echo.rate(in_flight));
}
