//! The TCP echo server and its clients, as the examples run them, on nodes of the simulator.
#![cfg(all(feature = "metrics", feature = "poll"))]
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]

#[path = "../examples/common/mod.rs"]
mod common;

use core::net::SocketAddr;
use core::time::Duration;

use common::stats::TcpClientStats;
use common::tcp_echo::{ClientConfig, Load, Report, Server, Spawn, TcpEcho, spawn};
use stillpoint::{TcpListen, Token};
use stillpoint_sim::{Failure, Link, NodeId, World, check, self_check};

const MESSAGES: u64 = 50;

/// A server, and clients with links of this kind to it that send it messages of these lengths.
fn clients(
    world: &mut World<TcpEcho>,
    link: &Link,
    lengths: &[usize],
) -> Result<(NodeId, Vec<TcpClientStats>), Failure> {
    let server = world.node("server", [10, 0, 0, 1]).spawner(spawn);
    let bind = SocketAddr::from(([10, 0, 0, 1], 7));
    world.spawn(server, 0, Spawn::Server(TcpListen::new(Token(0), bind)));
    world.run_for(Duration::from_millis(1))?;
    for (number, &message_bytes) in (2_u8..).zip(lengths) {
        let name = format!("client {number}");
        let node = world.node(name, [10, 0, 0, number]).spawner(spawn);
        world.link(server, node, link);
        let config = ClientConfig {
            server: bind,
            window: 8,
            message_bytes,
            load: Load::Messages(MESSAGES),
        };
        world.spawn(node, 0, Spawn::Client(config));
    }
    let mut done = Vec::new();
    world.run_until(Duration::from_secs(300), |world| {
        let reports = world.reports().iter();
        let ends = reports.filter(|said| matches!(said.report, Report::Done(_)));
        ends.count() == lengths.len()
    })?;
    for said in world.take_reports() {
        if let Report::Done(stats) = said.report {
            done.push(*stats);
        }
    }
    Ok((server, done))
}

#[test]
fn every_message_comes_back_as_it_was_over_a_link_that_loses_and_reorders() {
    check("tcp_echo", 0..10, |world: &mut World<TcpEcho>| {
        let ms = Duration::from_millis;
        let link = Link::new(ms(1)..=ms(20)).loss(0.05).reorder(0.05, ms(30));
        let (server, done) = clients(world, &link, &[1, 64, 1_000, 4_096, 60_000])?;
        for stats in done {
            assert_eq!((stats.connected, stats.sent), (1, MESSAGES));
            assert_eq!((stats.mismatched, stats.unexpected_bytes), (0, 0));
            assert_eq!((stats.unanswered, stats.broken), (0, 0));
        }
        world.run_for(Duration::from_secs(60))?;
        let (_, server) = world.tasks::<Server>(server).next().unwrap();
        assert_eq!(server.connections(), 0, "left open");
        Ok(())
    });
}

#[test]
fn a_server_that_stops_in_the_middle_leaves_no_client_waiting() {
    check("tcp_echo_stop", 0..10, |world: &mut World<TcpEcho>| {
        let link = Link::fixed(Duration::from_millis(5));
        let server = world.node("server", [10, 0, 0, 1]).spawner(spawn);
        let bind = SocketAddr::from(([10, 0, 0, 1], 7));
        world.spawn(server, 0, Spawn::Server(TcpListen::new(Token(0), bind)));
        let client = world.node("client", [10, 0, 0, 2]).spawner(spawn);
        world.link(server, client, &link);
        world.run_for(Duration::from_millis(1))?;
        let config = ClientConfig {
            server: bind,
            window: 8,
            message_bytes: 1_000,
            load: Load::For(Duration::from_secs(100)),
        };
        world.spawn(client, 0, Spawn::Client(config));
        world.run_for(Duration::from_millis(500))?;
        world.shutdown(server);
        world.run_until(Duration::from_secs(100), |world| {
            let mut reports = world.reports().iter();
            reports.any(|said| matches!(said.report, Report::Done(_)))
        })
    });
}

#[test]
fn a_seed_has_one_trace() {
    let run = |world: &mut World<TcpEcho>| {
        let link = Link::new(Duration::from_millis(1)..=Duration::from_millis(9)).loss(0.1);
        clients(world, &link, &[300, 3_000]).map(|_| ())
    };
    self_check(5, run).unwrap();
}
