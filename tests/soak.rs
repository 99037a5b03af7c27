//! A long time of visits, in a simulation. `SOAK_HOURS` says how many hours of its own time; a day is
//! a minute in release.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    reason = "these are tests"
)]

use core::net::SocketAddr;
use core::sync::atomic::Ordering;
use core::time::Duration;

use stillpoint_sim::{Counters, Link, NodeId, World};

#[path = "support/allocator.rs"]
mod allocator;
#[path = "soak/visits.rs"]
mod visits;

use visits::{Gate, Role, Visits, spawn};

const HOUR: Duration = Duration::from_secs(3_600);

/// A house with two workers, and two nodes with gates, on bad links.
fn town() -> (World<Visits>, [NodeId; 2]) {
    let mut world = World::new(1);
    let house = world.node("house", [10, 0, 0, 1]).spawner(spawn);
    let bind: SocketAddr = "10.0.0.1:7".parse().unwrap();
    world.spawn(house, 0, Role::House(bind));
    let millis = Duration::from_millis;
    let link = Link::new(millis(1)..=millis(30))
        .loss(0.01)
        .duplicate(0.01)
        .reorder(0.02, millis(10));
    let gates = [2, 3].map(|last| {
        let gate = world.node(format!("gate {last}"), [10, 0, 0, last]);
        let gate = gate.workers(2).spawner(spawn);
        world.link(gate, house, &link);
        for worker in 0..2 {
            world.spawn(gate, worker, Role::Gate(bind, Duration::from_secs(1)));
        }
        gate
    });
    (world, gates)
}

/// How many visitors were sent, and how much news of them has come.
fn told(world: &World<Visits>, gates: [NodeId; 2]) -> (u64, u64) {
    let mut sum = (0, 0);
    for gate in gates {
        for (_, gate) in world.tasks::<Gate>(gate) {
            sum.0 += gate.sent;
            sum.1 += gate.told;
        }
    }
    sum
}

fn assert_accounted(counters: &Counters) {
    assert_eq!(
        counters.sent + counters.duplicated + counters.copied,
        counters.delivered + counters.dropped.total() + counters.in_flight
    );
    let bytes = counters.stream_bytes;
    let streams = counters.streams;
    assert_eq!(
        bytes.written,
        streams.bytes_in + bytes.under_way + bytes.waiting + bytes.discarded + streams.bytes_unsent
    );
    let bus = counters.bus;
    assert_eq!(bus.sent, bus.received + bus.lost + counters.bus_waiting);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "CI wants it longer")]
fn a_day_of_visits_leaves_nothing_behind() {
    let hours = std::env::var("SOAK_HOURS").map_or(1, |hours| hours.parse().unwrap());
    let live = || allocator::LIVE_BYTES.load(Ordering::Relaxed);
    let before = live();
    let (mut world, gates) = town();
    // Until queues have met their longest.
    world.run_for(HOUR / 4).unwrap();
    drop(world.take_ended());
    let early = live();
    for hour in 1..=hours {
        world.run_for(HOUR).unwrap();
        assert_accounted(world.counters());
        drop(world.take_ended());
        let late = live();
        assert!(
            late < early + early / 4,
            "{early} B in use at first, {late} B after {hour} hours"
        );
    }
    let (sent, news) = told(&world, gates);
    assert!(sent >= 4 * 3_600 * hours);
    // Both gates of a node hear of each visit that went well.
    assert!(news > sent * 2 * 95 / 100, "{news} of {} news", 2 * sent);
    world.finish(HOUR).unwrap();
    assert_accounted(world.counters());
    drop(world);
    assert_eq!(live(), before, "a world leaves nothing behind");
}
