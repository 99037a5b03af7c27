//! Sockets of workers that stand still or fail.

#[path = "../common/mod.rs"]
mod common;

use common::{
    Client, Command, Echo, Report, client, heard, ms, pair, reported, server, spawn, the_client,
};
use stillpoint::{Token, UdpOpen, WhenWorkerFails};
use stillpoint_sim::{DropCause, Link, World};

#[test]
fn the_sockets_of_a_killed_worker_are_closed_and_their_ports_are_free() {
    let mut world = World::new(1);
    let asking = world.node("client", [10, 0, 0, 1]).spawner(spawn);
    let answering = world.node("server", [10, 0, 0, 2]).workers(2);
    let policy = WhenWorkerFails::Restart { restarts_max: 1 };
    let answering = answering.when_worker_fails(policy).spawner(spawn);
    world.link(asking, answering, &Link::fixed(ms(1)));
    world.spawn(answering, 1, server("10.0.0.2:7"));
    world.spawn(asking, 0, client("10.0.0.2:7", 1, ms(1)));
    world.run_until_idle(ms(10)).unwrap();
    assert_eq!(the_client(&world, asking).replies.len(), 1);
    reported(&mut world);

    let (task, _) = world.tasks::<Client>(asking).next().unwrap();
    world.command(asking, task, Command::Send(1));
    world.run_for(ms(0)).unwrap();
    world.kill_worker(answering, 1);
    world.run_until_idle(ms(10)).unwrap();
    let refused = Report::Refused("10.0.0.2:7".parse().unwrap());
    assert_eq!(reported(&mut world), [refused]);
    assert_eq!(world.counters().dropped.by(DropCause::NoSocket), 1);

    world.spawn(answering, 2, server("10.0.0.2:7"));
    world.command(asking, task, Command::Send(1));
    world.run_until_idle(ms(10)).unwrap();
    assert_eq!(the_client(&world, asking).replies.len(), 2);
}

#[test]
fn datagrams_that_come_at_the_instant_of_a_kill_count_as_dropped() {
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::fixed(ms(1)));
    world.stall_worker(answering, 0, ms(100));
    world.spawn(asking, 0, client("10.0.0.2:7", 20, ms(1)));
    world.run_for(ms(50)).unwrap();
    assert_eq!(world.counters().delivered, 20);
    world.kill_worker(answering, 0);
    world.run_until_idle(ms(10)).unwrap();
    let counters = world.counters();
    assert_eq!(
        (counters.delivered, counters.dropped.by(DropCause::Closed)),
        (0, 20)
    );
}

#[test]
fn datagrams_wait_for_a_stalled_worker_in_order() {
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::fixed(ms(1)));
    world.stall_worker(answering, 0, ms(100));
    let over = world.now().after(ms(100));
    world.spawn(asking, 0, client("10.0.0.2:7", 20, ms(1)));
    world.run_for(ms(99)).unwrap();
    assert_eq!(heard(&world, answering), []);
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(heard(&world, answering), (0..20).collect::<Vec<_>>());
    let replies = &the_client(&world, asking).replies;
    assert!(replies.iter().all(|&(at, _)| at == over.after(ms(1))));
}

#[test]
fn the_receive_buffer_of_a_stalled_worker_fills_up() {
    let mut world = World::<Echo>::new(1);
    let (asking, answering) = pair(&mut world, &Link::fixed(ms(1)));
    let mut open = UdpOpen::new(Token(0), "10.0.0.2:8".parse().unwrap());
    open.receive_buffer = Some(4_000);
    world.spawn(answering, 0, common::Spawn::Server(open));
    world.spawn(asking, 0, client("10.0.0.2:8", 100, ms(1)));
    world.run_for(ms(10)).unwrap();
    world.stall_worker(answering, 0, ms(50));
    world.run_until_idle(ms(200)).unwrap();
    let dropped = world.counters().dropped.by(DropCause::ReceiveBufferFull);
    assert!((30..50).contains(&dropped), "{dropped}");
    assert_eq!(
        the_client(&world, asking).replies.len() as u64,
        100 - dropped
    );
}
