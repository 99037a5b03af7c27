//! How many seeds the planted race takes, to compare with the runs of a fuzzer:
//! `cargo run --release --example race -- 1000000`.

use std::time::Instant;

fn main() {
    let seeds = std::env::args().nth(1).and_then(|seeds| seeds.parse().ok());
    let Some(seeds) = seeds else {
        eprintln!("Give how many seeds to try: cargo run --release --example race -- 1000000");
        std::process::exit(2);
    };
    let start = Instant::now();
    let found = stillpoint_fuzz::race::seeds_until_found(seeds);
    let seconds = start.elapsed().as_secs_f64();
    let tried = found.map_or(seeds, |seed| seed + 1);
    let rate = tried as f64 / seconds;
    match found {
        Some(seed) => println!("found by seed {seed}: {tried} runs, {seconds:.1} s, {rate:.0}/s"),
        None => println!("not found: {tried} runs, {seconds:.1} s, {rate:.0}/s"),
    }
}
