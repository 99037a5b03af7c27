//! QUIC (quinn-proto) in tasks, on nodes of the simulator: the example's server and clients for it.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]
#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]

#[path = "quic/campaign.rs"]
mod campaign;
#[path = "quic/lab.rs"]
mod lab;
#[path = "../examples/common/quic/mod.rs"]
mod quic;
#[path = "quic/spy.rs"]
mod spy;
#[path = "campaign/sweep.rs"]
mod sweep;

use core::net::SocketAddr;

use lab::{
    NAT, all_fetched, at, client_setup, command, done, fetched, hash, lost, ms, secs, served,
    server, setup, small_transfer, transfer_behind_nat, transfer_with_move,
};
use quic::client::WhenDone;
use quic::server::Server;
use quic::{Command, Quic, Report, Spawn, spawn};
use stillpoint::Ecn;
use stillpoint_shim::{Shim, self_check};
use stillpoint_sim::{DropCause, Link, Oversize, Queue, World, check};
use sweep::sweep;

#[test]
fn ten_megabytes_arrive_whole_under_loss_while_the_client_moves() {
    let link = Link::new(ms(5)..=ms(15)).loss(0.05);
    let run = || {
        let mut world = World::new(1);
        let _shim = Shim::simulate(&mut world);
        transfer_with_move(&mut world, &link, 10_000_000, ms(500)).unwrap();
        let dropped = world.counters().dropped;
        assert!(dropped.by(DropCause::Loss) > 200, "{dropped:?}");
        let [(from, to)] = moved(&world)[..] else {
            panic!("{:?}", world.reports());
        };
        let (before, after) = (at([10, 0, 0, 2], 0), at([10, 0, 0, 3], 0));
        assert_eq!((from.ip(), to.ip()), (before.ip(), after.ip()));
        world.trace_hash()
    };
    assert_eq!(run(), run(), "two runs of one seed differ");
}

#[test]
fn ten_megabytes_arrive_whole_under_loss_while_a_nat_forgets_the_client() {
    let link = Link::new(ms(5)..=ms(15)).loss(0.05);
    let run = || {
        let mut world = World::new(1);
        let _shim = Shim::simulate(&mut world);
        transfer_behind_nat(&mut world, &link, 10_000_000, &[ms(300), ms(900)]).unwrap();
        let dropped = world.counters().dropped;
        assert!(dropped.by(DropCause::Loss) > 200, "{dropped:?}");
        let late = world.counters().dropped.by(DropCause::NoMapping);
        assert!(late > 0, "what was on its way to the old ports");
        let moved = moved(&world);
        assert_eq!(moved.len(), 2, "once for each time that the NAT forgot");
        for (from, to) in moved {
            assert_eq!((from.ip(), to.ip()), (NAT, NAT), "seen as the NAT");
            assert_ne!(from.port(), to.port());
        }
        assert_eq!(
            count(&world, |report| matches!(report, Report::Connected { .. })),
            1
        );
        world.trace_hash()
    };
    assert_eq!(run(), run(), "two runs of one seed differ");
}

#[test]
fn a_small_transfer_is_whole_whatever_the_link_does() {
    check("quic small transfer", 0..50, |world| {
        let _shim = Shim::simulate(world);
        small_transfer(world)
    });
}

#[test]
fn every_transfer_is_whole_once_the_faults_are_over() {
    sweep(
        "every_transfer_is_whole_once_the_faults_are_over",
        40,
        campaign::scenario,
    );
}

#[test]
fn a_seed_has_one_trace_with_the_shim_and_not_without() {
    self_check(3, |world| {
        let _shim = Shim::simulate(world);
        small_transfer(world)
    })
    .unwrap();
    for seed in 0..5 {
        self_check(seed, campaign::scenario).unwrap();
    }
    let diverged = self_check(3, small_transfer).unwrap_err();
    // The first datagram that arrives has a key share in it.
    assert!(diverged.first.contains("Datagrams"), "{diverged}");
    assert!(diverged.index < 20, "{diverged}");
}

#[test]
fn many_clients_fetch_over_many_connections_and_more_streams_than_may_be_open() {
    check("quic many", 0..3, |world| {
        let _shim = Shim::simulate(world);
        let mut setup = setup();
        setup.limits.streams_max = 3;
        let server = server(world, setup);
        for number in 0..6_u8 {
            let node = world.node(format!("client {number}"), [10, 0, 1, number]);
            let node = node.spawner(spawn);
            world.link(server, node, &Link::new(ms(1)..=ms(30)).loss(0.02));
            let bytes = 10_000 + 1_000 * u64::from(number);
            world.spawn(node, 0, Spawn::Client(client_setup(4, 10, bytes)));
        }
        let all =
            |world: &World<Quic>| count(world, |report| matches!(report, Report::Done(_))) == 6;
        world.run_until(secs(60), all)?;
        let mut got = fetched(world);
        got.sort_unstable();
        let mut wanted = Vec::new();
        for number in 0..6 {
            let bytes = 10_000 + 1_000 * number;
            wanted.extend([(bytes, hash(bytes)); 40]);
        }
        wanted.sort_unstable();
        assert_eq!(got, wanted);
        // Three at a time: the tenth waited for three rounds of others.
        let took = |stream| {
            let fetched = all_fetched(world).into_iter();
            fetched.filter(|fetched| fetched.stream == stream).count()
        };
        assert_eq!((took(0), took(9)), (24, 24));
        world.shutdown(server);
        world.run_until(secs(30), |world| world.is_stopped(server))?;
        let served = served(world);
        assert_eq!((served.connections, served.lost), (24, 0), "{served:?}");
        Ok(())
    });
}

#[test]
fn a_transfer_leaves_in_runs() {
    let mut world = World::new(1);
    let _shim = Shim::simulate(&mut world);
    let server = server(&mut world, setup());
    let client = world.node("client", [10, 0, 0, 2]).spawner(spawn);
    world.link(server, client, &Link::fixed(ms(10)));
    world.spawn(client, 0, Spawn::Client(client_setup(1, 1, 1_000_000)));
    world
        .run_until(secs(10), |world| done(world).is_some())
        .unwrap();
    world.shutdown(server);
    world
        .run_until(secs(10), |world| world.is_stopped(server))
        .unwrap();
    let host = served(&world).host;
    assert!(
        host.datagrams > 690,
        "a million bytes in datagrams of 1,452: {host:?}"
    );
    assert!(host.datagrams > 5 * host.runs, "{host:?}");
    assert_eq!(world.counters().dropped.total(), 0);
}

#[test]
fn what_is_sent_takes_part_in_congestion_notification() {
    let mut world = World::new(1);
    let _shim = Shim::simulate(&mut world);
    let spy = world.node("spy", lab::SERVER.ip()).spawner(spy::spawn);
    let client = world.node("client", [10, 0, 0, 2]).spawner(spawn);
    world.spawn(spy, 0, Spawn::Server(setup()));
    world.spawn(client, 0, Spawn::Client(client_setup(1, 1, 1_000)));
    world.run_for(secs(3)).unwrap();
    let (_, spy) = world.tasks::<spy::Spy>(spy).next().unwrap();
    assert!(spy.heard.len() > 2, "{:?}", spy.heard);
    let capable = spy.heard.iter().all(|&ecn| ecn == Ecn::Capable0);
    assert!(capable, "{:?}", spy.heard);
}

#[test]
fn a_device_that_takes_no_runs_gets_single_datagrams() {
    let mut world = World::new(1);
    let _shim = Shim::simulate(&mut world);
    let server = server(&mut world, setup());
    let client = world.node("client", [10, 0, 0, 2]).spawner(spawn);
    world.link(server, client, &Link::fixed(ms(10)).refuse_runs(1.0));
    world.spawn(client, 0, Spawn::Client(client_setup(1, 1, 3_000_000)));
    world
        .run_until(secs(30), |world| done(world).is_some())
        .unwrap();
    let fetched = all_fetched(&world)[0];
    assert_eq!((fetched.bytes, fetched.hash), (3_000_000, hash(3_000_000)));
    assert!(fetched.took < secs(5), "{fetched:?}");
}

#[test]
fn a_queue_that_fills_marks_what_is_sent_and_the_server_slows_down_before_anything_is_lost() {
    let mut world = World::new(1);
    let _shim = Shim::simulate(&mut world);
    let server = server(&mut world, setup());
    let client = world.node("client", [10, 0, 0, 2]).spawner(spawn);
    // Ten megabits a second: 2 MB take 1.6 s if the line is never idle.
    let queue = Queue::codel(ms(5), ms(100)).bytes_max(1 << 20);
    let line = Link::fixed(ms(10)).bandwidth(10_000_000).queue(queue);
    world.one_way(server, client, &line);
    world.one_way(client, server, &Link::fixed(ms(10)));
    world.spawn(client, 0, Spawn::Client(client_setup(1, 1, 2_000_000)));
    world
        .run_until(secs(30), |world| done(world).is_some())
        .unwrap();
    assert_eq!(fetched(&world), [(2_000_000, hash(2_000_000))]);
    assert_eq!(
        world.counters().dropped.total(),
        0,
        "{:?}",
        world.counters().dropped
    );
    let took = all_fetched(&world)[0].took;
    assert!((ms(1_600)..ms(2_600)).contains(&took), "{took:?}");
    let marked = world.counters().marked;
    // Who did not heed the first marks would be given more and more of them.
    assert!((3..100).contains(&marked), "{marked} marked");
}

#[test]
fn a_path_that_takes_less_than_expected_is_found_out() {
    let mut world = World::new(1);
    let _shim = Shim::simulate(&mut world);
    let server = server(&mut world, setup());
    let client = world.node("client", [10, 0, 0, 2]).spawner(spawn);
    let narrow = Link::fixed(ms(10)).mtu(1_300).oversize(Oversize::Drop);
    world.link(server, client, &narrow);
    world.spawn(client, 0, Spawn::Client(client_setup(1, 1, 300_000)));
    world
        .run_until(secs(30), |world| done(world).is_some())
        .unwrap();
    assert_eq!(fetched(&world), [(300_000, hash(300_000))]);
    assert!(world.counters().dropped.by(DropCause::TooLong) > 0);
}

#[test]
fn a_server_keeps_no_more_than_the_window_of_what_is_not_acknowledged() {
    let took = |window_bytes| {
        let mut world = World::new(1);
        let _shim = Shim::simulate(&mut world);
        let mut setup = setup();
        setup.limits.window_bytes = window_bytes;
        let server = server(&mut world, setup);
        let client = world.node("client", [10, 0, 0, 2]).spawner(spawn);
        world.link(server, client, &Link::fixed(ms(50)));
        world.spawn(client, 0, Spawn::Client(client_setup(1, 1, 1_000_000)));
        world
            .run_until(secs(60), |world| done(world).is_some())
            .unwrap();
        all_fetched(&world)[0].took
    };
    // A window each round trip of 100 ms: 16 KiB are 62 of them.
    let (narrow, wide) = (took(16 << 10), took(1 << 20));
    assert!((secs(6)..secs(8)).contains(&narrow), "{narrow:?}");
    assert!(wide < secs(2), "{wide:?}");
}

#[test]
fn a_connection_without_a_word_is_lost_at_both_ends() {
    let mut world = World::new(1);
    let _shim = Shim::simulate(&mut world);
    let server = server(&mut world, setup());
    let client = world.node("client", [10, 0, 0, 2]).spawner(spawn);
    world.link(server, client, &Link::fixed(ms(5)));
    let mut waiting = client_setup(1, 1, 1_000);
    waiting.when_done = WhenDone::Wait;
    world.spawn(client, 0, Spawn::Client(waiting));
    world.run_for(secs(1)).unwrap();
    assert_eq!(fetched(&world), [(1_000, hash(1_000))]);
    world.link(server, client, &Link::fixed(ms(5)).loss(1.0));
    world.run_for(secs(20)).unwrap();
    let lost = lost(&world);
    let who: Vec<_> = lost.iter().map(|reported| reported.node).collect();
    assert!(who.contains(&server) && who.contains(&client), "{lost:?}");
    for reported in lost {
        // The last word was said within the first second.
        let at = reported.at.as_nanos() / 1_000_000;
        assert!((10_000..11_100).contains(&at), "{reported:?}");
        assert!(
            format!("{reported:?}").contains("timed out"),
            "{reported:?}"
        );
    }
    assert_eq!(world.task_count(client), 1, "it waits for commands");
}

#[test]
fn a_connection_is_used_again_after_a_rest_and_from_another_address() {
    let mut world = World::new(1);
    let _shim = Shim::simulate(&mut world);
    let server = server(&mut world, setup());
    let node = world.node("client", [10, 0, 0, 2]).address([10, 0, 0, 3]);
    let client = node.spawner(spawn);
    world.link(server, client, &Link::fixed(ms(5)).loss(0.05));
    let mut waiting = client_setup(2, 1, 1_000);
    waiting.when_done = WhenDone::Wait;
    world.spawn(client, 0, Spawn::Client(waiting));
    world.run_for(secs(2)).unwrap();
    command(
        &mut world,
        client,
        Command::Rebind(at([10, 0, 0, 3], 5_000)),
    );
    world.run_for(secs(1)).unwrap();
    command(&mut world, client, Command::Fetch(50_000));
    world.run_for(secs(3)).unwrap();
    assert_eq!(fetched(&world)[2..], [(50_000, hash(50_000)); 2]);
    assert_eq!(
        count(&world, |report| matches!(report, Report::Connected { .. })),
        2
    );
    let moved = |report: &Report| matches!(report, Report::Moved { to, .. } if to.port() == 5_000);
    assert_eq!(count(&world, moved), 2);
    world.shutdown(client);
    world
        .run_until(secs(10), |world| done(world).is_some())
        .unwrap();
    let done = done(&world).unwrap();
    assert_eq!((done.fetched, done.failed, done.lost), (4, 0, 0));
}

#[test]
fn a_server_that_is_full_refuses_and_says_so() {
    let mut world = World::new(1);
    let _shim = Shim::simulate(&mut world);
    let mut setup = setup();
    setup.connections_max = 2;
    let server = server(&mut world, setup);
    let client = world.node("client", [10, 0, 0, 2]).spawner(spawn);
    world.link(server, client, &Link::fixed(ms(5)));
    world.spawn(client, 0, Spawn::Client(client_setup(5, 1, 100_000)));
    world
        .run_until(secs(10), |world| done(world).is_some())
        .unwrap();
    let done = done(&world).unwrap();
    assert_eq!((done.fetched, done.failed, done.lost), (2, 3, 3));
    assert!(
        format!("{:?}", lost(&world)[0]).contains("refused"),
        "{:?}",
        lost(&world)
    );
    world.shutdown(server);
    world
        .run_until(secs(10), |world| world.is_stopped(server))
        .unwrap();
    assert_eq!(served(&world).host.refused, 3);
}

#[test]
fn what_the_server_broke_off_is_fetched_over_a_new_connection() {
    let mut world = World::new(1);
    let _shim = Shim::simulate(&mut world);
    let node = server(&mut world, setup());
    let client = world.node("client", [10, 0, 0, 2]).spawner(spawn);
    world.link(node, client, &Link::fixed(ms(20)));
    let mut persistent = client_setup(1, 2, 3_000_000);
    persistent.attempts_max = 1;
    world.spawn(client, 0, Spawn::Client(persistent));
    world.run_for(ms(200)).unwrap();
    let (task, _) = world.tasks::<Server>(node).next().unwrap();
    world.command(node, task, Command::Stop);
    world
        .run_until(secs(10), |world| world.task_count(node) == 0)
        .unwrap();
    assert!(
        format!("{:?}", lost(&world)).contains("shuts down"),
        "{:?}",
        lost(&world)
    );
    assert_eq!(fetched(&world), []);
    world.spawn(node, 0, Spawn::Server(setup()));
    world
        .run_until(secs(60), |world| done(world).is_some())
        .unwrap();
    assert_eq!(fetched(&world), [(3_000_000, hash(3_000_000)); 2]);
}

#[test]
fn a_server_that_proves_another_name_is_not_trusted() {
    let mut world = World::new(1);
    let _shim = Shim::simulate(&mut world);
    let server = server(&mut world, setup());
    let client = world.node("client", [10, 0, 0, 2]).spawner(spawn);
    world.link(server, client, &Link::fixed(ms(5)));
    let mut other = client_setup(1, 1, 1_000);
    "other.test".clone_into(&mut other.server_name);
    world.spawn(client, 0, Spawn::Client(other));
    world
        .run_until(secs(10), |world| done(world).is_some())
        .unwrap();
    let said = format!("{:?}", lost(&world));
    assert!(said.contains("certificate"), "{said}");
    assert_eq!(done(&world).unwrap().fetched, 0);
}

#[test]
fn a_certificate_is_checked_by_the_day_of_the_simulation() {
    let mut world = World::new(1);
    let _shim = Shim::simulate(&mut world);
    let server = server(&mut world, setup());
    let client = world.node("client", [10, 0, 0, 2]).spawner(spawn);
    world.link(server, client, &Link::fixed(ms(5)));
    let mut late = client_setup(1, 1, 1_000);
    // The certificate ends with the year 2119.
    late.epoch = lab::epoch_in(150);
    world.spawn(client, 0, Spawn::Client(late));
    world
        .run_until(secs(10), |world| done(world).is_some())
        .unwrap();
    let said = format!("{:?}", lost(&world));
    assert!(said.to_lowercase().contains("expired"), "{said}");
}

#[test]
fn a_setup_that_does_not_work_is_reported() {
    let mut world = World::new(1);
    let _shim = Shim::simulate(&mut world);
    let node = world.node("server", [10, 0, 0, 1]).spawner(spawn);
    let mut broken = setup();
    broken.identity.key = vec![1, 2, 3];
    world.spawn(node, 0, Spawn::Server(broken));
    let mut broken = client_setup(1, 1, 1);
    broken.trusted.0.truncate(10);
    world.spawn(node, 0, Spawn::Client(broken));
    world.run_for(ms(1)).unwrap();
    let mut broken = client_setup(1, 1, 1);
    broken.limits.datagram_bytes = 1_473;
    world.spawn(node, 0, Spawn::Client(broken));
    world.run_for(ms(1)).unwrap();
    let failed = |report: &Report| matches!(report, Report::SetupFailed(_));
    assert_eq!(count(&world, failed), 3, "{:?}", world.reports());
    assert_eq!(world.task_count(node), 0);
}

/// From where to where peers of the server have moved.
fn moved(world: &World<Quic>) -> Vec<(SocketAddr, SocketAddr)> {
    let reports = world.reports().iter();
    let moved = reports.filter_map(|reported| match reported.report {
        Report::Moved { from, to } => Some((from, to)),
        _ => None,
    });
    moved.collect()
}

fn count(world: &World<Quic>, what: impl Fn(&Report) -> bool) -> usize {
    let reports = world.reports().iter();
    reports.filter(|reported| what(&reported.report)).count()
}
