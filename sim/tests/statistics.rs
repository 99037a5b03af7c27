//! What links draw, against the formulas: a million draws for each model, over fixed seeds.
//!
//! The bounds are 1 % unless the test says otherwise.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "counts of a million fit anything"
)]

mod common;

use core::time::Duration;

use common::{client, ms, pair};
use stillpoint::{Entity, Entropy, Source, Timestamp};
use stillpoint_sim::{
    DropCause, Latency, LatencyTrace, Link, Loss, Order, Probe, Queue, TraceKind, World,
};

/// Sends so many datagrams over the link in worlds of ten seeds, one each `every`, and gives what
/// became of each.
fn send_all<T>(
    link: &Link,
    every: Duration,
    mut note: impl FnMut(Timestamp, Result<stillpoint_sim::Arrived, DropCause>) -> T,
) -> Vec<T> {
    let mut all = Vec::with_capacity(DRAWS as usize);
    for seed in 0..10 {
        let mut probe = Probe::new(seed, link);
        let mut now = Timestamp::EPOCH;
        for _ in 0..DRAWS / 10 {
            now = now.after(every);
            all.push(note(now, probe.send(now, 1_000)));
        }
    }
    all
}

/// Latencies in milliseconds, in order of size.
fn latencies(latency: Latency, every: Duration) -> Vec<f64> {
    let link = Link::default().latency(latency).order(Order::Free);
    let mut all = send_all(&link, every, |now, passed| {
        passed.unwrap().at.since(now).as_secs_f64() * 1e3
    });
    all.sort_by(f64::total_cmp);
    all
}

fn mean(all: &[f64]) -> f64 {
    all.iter().sum::<f64>() / all.len() as f64
}

fn deviation(all: &[f64]) -> f64 {
    let mean = mean(all);
    let squares = all.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    (squares / all.len() as f64).sqrt()
}

#[track_caller]
fn within(bound: f64, what: &str, found: f64, expected: f64) {
    let off = (found - expected).abs() / expected.abs();
    assert!(
        off <= bound,
        "{what}: {found} instead of {expected}, which is {:.2} % off",
        off * 100.0
    );
}

/// Mean, deviation, and the quantiles of the latency itself.
#[track_caller]
fn check_latency(latency: &Latency, expected_mean: f64, expected_deviation: f64) {
    let all = latencies(latency.clone(), ms(1));
    within(0.01, "mean", mean(&all), expected_mean);
    within(0.01, "deviation", deviation(&all), expected_deviation);
    let shares = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999];
    check_quantiles(latency, &all, &shares);
}

#[track_caller]
fn check_quantiles(latency: &Latency, sorted: &[f64], shares: &[f64]) {
    for &share in shares {
        let found = sorted[(share * sorted.len() as f64) as usize];
        let expected = latency.quantile(share).as_secs_f64() * 1e3;
        within(0.01, &format!("quantile {share}"), found, expected);
    }
}

#[test]
fn uniform_latencies_have_their_moments() {
    let latency = Latency::uniform(ms(2)..=ms(10));
    check_latency(&latency, 6.0, 8.0 / 12_f64.sqrt());
    assert_eq!(latency.quantile(0.25), ms(4));
}

#[test]
fn normal_latencies_have_their_moments() {
    let latency = Latency::normal(ms(20), ms(2));
    check_latency(&latency, 20.0, 2.0);
    // Of the normal distribution, 97.5 % are below 1.959964 deviations.
    within(
        1e-6,
        "the table",
        latency.quantile(0.975).as_secs_f64(),
        0.02 + 0.002 * 1.959_964,
    );
}

#[test]
fn log_normal_latencies_have_their_moments() {
    let sigma: f64 = 0.5;
    let mean = 30.0 * (sigma.powi(2) / 2.0).exp();
    let deviation = mean * (sigma.powi(2).exp() - 1.0).sqrt();
    check_latency(&Latency::log_normal(ms(30), sigma), mean, deviation);
}

#[test]
fn pareto_latencies_have_their_moments() {
    let shape: f64 = 10.0;
    let mean = 10.0 * shape / (shape - 1.0);
    let deviation = 10.0 * (shape / ((shape - 1.0).powi(2) * (shape - 2.0))).sqrt();
    let latency = Latency::pareto(ms(10), shape);
    check_latency(&latency, mean, deviation);
    // Beyond twice the least with a probability of 2^-shape.
    let beyond = 1.0 - 0.5_f64.powf(shape);
    within(1e-6, "tail", latency.quantile(beyond).as_secs_f64(), 0.02);
}

#[test]
fn heavy_tails_are_as_heavy_as_they_should_be() {
    let latency = Latency::pareto(ms(10), 1.5);
    let all = latencies(latency.clone(), ms(1));
    check_quantiles(&latency, &all, &[0.01, 0.1, 0.5, 0.9, 0.99]);
    let far = all.iter().filter(|&&latency| latency > 100.0).count();
    within(0.01, "tail", far as f64 / DRAWS as f64, 0.1_f64.powf(1.5));
}

#[test]
fn a_latency_that_wanders_is_uniform_where_it_is_drawn_and_straight_in_between() {
    // Between two draws, the variance is two thirds of that of a draw on average.
    let all = latencies(
        Latency::wander(ms(10)..=ms(11)),
        Duration::from_micros(1_731),
    );
    within(0.01, "mean", mean(&all), 10.5);
    within(
        0.01,
        "deviation",
        deviation(&all),
        (2.0 / 3.0 / 12_f64).sqrt(),
    );
}

#[test]
fn samples_out_of_a_file_come_equally_often() {
    let trace = LatencyTrace::parse("40\n10\n20\n80\n").unwrap();
    let all = latencies(Latency::replay(trace), ms(1));
    for sample in [10.0, 20.0, 40.0, 80.0] {
        let count = all.iter().filter(|&&latency| latency == sample).count();
        within(0.01, "share", count as f64 / DRAWS as f64, 0.25);
    }
}

#[test]
fn each_chance_hits_as_often_as_it_says() {
    let chance = 0.1;
    let link = Link::default()
        .loss(chance)
        .duplicate(chance)
        .corrupt(chance)
        .truncate(chance);
    let all = send_all(&link, ms(1), |_, passed| passed);
    let lost = all.iter().filter(|passed| passed.is_err()).count() as f64;
    within(0.01, "loss", lost / DRAWS as f64, chance);
    let passed = DRAWS as f64 - lost;
    let share = |hit: fn(&stillpoint_sim::Arrived) -> bool| {
        all.iter().flatten().filter(|arrived| hit(arrived)).count() as f64 / passed
    };
    within(0.01, "copies", share(|arrived| arrived.copied), chance);
    within(0.01, "damage", share(|arrived| arrived.corrupted), chance);
    within(0.01, "cuts", share(|arrived| arrived.truncated), chance);
    let both = share(|arrived| arrived.corrupted && arrived.truncated);
    within(0.02, "independent", both, chance * chance);
}

#[test]
fn what_is_held_back_is_held_back_for_anything_up_to_the_limit() {
    let link = Link::fixed(ms(1)).reorder(0.5, ms(8));
    let all = send_all(&link, ms(1), |now, passed| {
        passed.unwrap().at.since(now).as_secs_f64() * 1e3 - 1.0
    });
    let held: Vec<f64> = all.into_iter().filter(|&by| by > 0.0).collect();
    within(0.01, "how many", held.len() as f64 / DRAWS as f64, 0.5);
    within(0.01, "for how long", mean(&held), 4.0);
    within(0.01, "deviation", deviation(&held), 8.0 / 12_f64.sqrt());
}

/// Lengths of the bursts of loss.
fn bursts(lost: &[bool]) -> Vec<f64> {
    let runs = lost.chunk_by(|one, next| one == next);
    let of_loss = runs.filter(|run| run[0]);
    of_loss.map(|run| run.len() as f64).collect()
}

#[test]
fn bursts_are_as_long_and_as_frequent_as_they_say() {
    for (rate, length) in [(0.3, 3.0), (0.25, 2.0), (0.5, 4.0)] {
        let loss = Loss::bursts(rate, length);
        let link = Link::default().loss_model(loss);
        let lost = send_all(&link, ms(1), |_, passed| passed.is_err());
        let count = lost.iter().filter(|&&lost| lost).count();
        within(0.01, "loss", count as f64 / DRAWS as f64, rate);
        within(0.01, "by its own account", loss.rate(), rate);
        let bursts = bursts(&lost);
        within(0.01, "length", mean(&bursts), length);
        let single = bursts.iter().filter(|&&length| length == 1.0).count();
        let share = single as f64 / bursts.len() as f64;
        within(0.01, "geometric", share, 1.0 / length);
    }
}

#[test]
fn losses_in_both_states_add_up() {
    let loss = Loss::GilbertElliott {
        to_bad: 0.1,
        to_good: 0.4,
        in_good: 0.02,
        in_bad: 0.6,
    };
    assert!((loss.rate() - (0.8 * 0.02 + 0.2 * 0.6)).abs() < 1e-12);
    let link = Link::default().loss_model(loss);
    let lost = send_all(&link, ms(1), |_, passed| passed.is_err());
    let count = lost.iter().filter(|&&lost| lost).count();
    within(0.01, "loss", count as f64 / DRAWS as f64, loss.rate());
    // One loss makes the next likelier: of all pairs of neighbours, both are lost as often as the
    // model says, and not as often as for losses that know nothing of each other.
    let both = lost.windows(2).filter(|pair| pair[0] && pair[1]).count();
    let [good, bad] = [0.8, 0.2];
    let pairs = good * 0.02 * (0.9 * 0.02 + 0.1 * 0.6) + bad * 0.6 * (0.4 * 0.02 + 0.6 * 0.6);
    within(0.02, "pairs", both as f64 / DRAWS as f64, pairs);
}

/// Pauses of a Poisson process with this mean.
fn pause(source: &mut Source, mean: Duration) -> Duration {
    let unit = (source.below(1 << 53) as f64 + 0.5) / (1_u64 << 53) as f64;
    mean.mul_f64(-unit.ln())
}

#[test]
fn waits_are_those_of_pollaczek_and_khinchine() {
    // 1,250 bytes at 10 Mbit/s take a millisecond; arrivals are random (M/D/1).
    let service = ms(1);
    for (load, bound) in [(0.5, 0.01), (0.8, 0.02)] {
        let link = Link::default()
            .bandwidth(10_000_000)
            .queue(Queue::tail_drop(u64::MAX / 2));
        let mut waits = Vec::new();
        for seed in 0..10 {
            let mut probe = Probe::new(seed, &link);
            let site = Entropy::from_seed(seed).site("arrivals");
            let mut source = site.source(Entity::new(1));
            let mut now = Timestamp::EPOCH;
            for _ in 0..DRAWS / 10 {
                now = now.after(pause(&mut source, service.div_f64(load)));
                let departed = probe.send(now, 1_250).unwrap().departed;
                waits.push((departed.since(now) - service).as_secs_f64());
            }
        }
        let expected = load / (2.0 * (1.0 - load)) * service.as_secs_f64();
        within(bound, "mean wait", mean(&waits), expected);
        let at_once = waits.iter().filter(|&&wait| wait == 0.0).count();
        let share = at_once as f64 / waits.len() as f64;
        within(bound, "found it idle", share, 1.0 - load);
    }
}

#[test]
fn without_room_to_wait_as_much_is_lost_as_erlang_says() {
    let (load, service) = (0.7, ms(1));
    let link = Link::default()
        .bandwidth(10_000_000)
        .queue(Queue::tail_drop(0));
    let mut lost = 0;
    for seed in 0..10 {
        let mut probe = Probe::new(seed, &link);
        let site = Entropy::from_seed(seed).site("arrivals");
        let mut source = site.source(Entity::new(1));
        let mut now = Timestamp::EPOCH;
        for _ in 0..DRAWS / 10 {
            now = now.after(pause(&mut source, service.div_f64(load)));
            match probe.send(now, 1_250) {
                Ok(passed) => assert_eq!(passed.departed, now.after(service)),
                Err(cause) => {
                    assert_eq!(cause, DropCause::LinkQueueFull);
                    lost += 1;
                }
            }
        }
    }
    let share = f64::from(lost) / DRAWS as f64;
    within(0.01, "loss", share, load / (1.0 + load));
}

#[test]
fn a_link_that_flaps_is_up_for_its_share_of_time() {
    let link = Link::default().flapping(ms(10)..=ms(50), ms(5)..=ms(15));
    let up = send_all(&link, ms(1), |_, passed| passed.is_ok());
    let share = up.iter().filter(|&&up| up).count() as f64 / DRAWS as f64;
    within(0.01, "up", share, 30.0 / 40.0);
    let times = up.chunk_by(|one, next| one == next);
    let down: Vec<f64> = times
        .filter(|run| !run[0])
        .map(|run| run.len() as f64)
        .collect();
    within(0.01, "down for", mean(&down), 10.0);
}

#[test]
fn codel_drops_by_its_control_law() {
    // 36 bytes with headers take a millisecond; twice as many come.
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::default());
    let (target, interval) = (ms(5), ms(100));
    let link = Link::default()
        .bandwidth(288_000)
        .queue(Queue::codel(target, interval));
    world.one_way(asking, answering, &link);
    let started = world.now();
    world.record_trace();
    let pause = Duration::from_micros(500);
    world.spawn(asking, 0, client("10.0.0.2:7", 8_000, pause));
    world.run_for(ms(4_000)).unwrap();
    let trace = world.take_trace();
    let drops: Vec<f64> = trace
        .iter()
        .filter(|event| event.kind == TraceKind::Dropped)
        .map(|event| event.at.since(started).as_secs_f64() * 1e3)
        .collect();
    assert!(drops.len() > 350, "{}", drops.len());
    // The queue grows by one each millisecond. Up to 1,500 bytes it is none; then an interval goes by.
    assert!((142.0..145.0).contains(&drops[0]), "{}", drops[0]);
    // From then on it never gets better, so the law alone says when: to a datagram's millisecond.
    let mut due = drops[0];
    for (count, &drop) in (1..).zip(&drops[1..]) {
        due += 100.0 / f64::from(count).sqrt();
        assert!(
            (drop - due).abs() <= 1.0,
            "drop {count} at {drop}, due {due}"
        );
    }
}

/// For each model.
const DRAWS: u64 = 1_000_000;
