//! Simulated TCP: what it repairs, what it gives up, and what it leaves to chance.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]

#[path = "streams/conversation.rs"]
mod conversation;
#[path = "streams/property.rs"]
mod property;
#[path = "streams/talker.rs"]
mod talker;
#[path = "streams/workers.rs"]
mod workers;

use conversation::both_closed;
use core::time::Duration;
use std::collections::BTreeSet;

use stillpoint::{Keepalive, NetworkError, Reading, TcpConnect, TcpOptions, Timestamp, Token};
use stillpoint_sim::{Link, NodeId, World, run_seed, self_check};
use talker::{
    Script, Spawn, Talk, Talker, act, address, connect, ear, listen, ms, only, pair, secs, spawn,
};

/// Both say 100 kB to each other.
fn conversation(world: &mut World<Talk>, link: &Link) -> (NodeId, NodeId) {
    let nodes = pair(world, link, listen(), Script::say(100_000));
    let connect = Spawn::Connect(connect(), Script::say(100_000));
    world.spawn(nodes.0, 0, connect);
    nodes
}

/// A client and a server that stay connected and silent.
fn silent(options: TcpOptions) -> (World<Talk>, NodeId, NodeId) {
    let mut world = World::new(1);
    let (client, server) = pair(&mut world, &Link::fixed(ms(1)), listen(), Script::default());
    let connect = connect().with_options(options);
    world.spawn(client, 0, Spawn::Connect(connect, Script::default()));
    world.run_for(ms(10)).unwrap();
    assert_eq!(ear(&world, client).closed, None);
    (world, client, server)
}

fn cut(world: &mut World<Talk>, a: NodeId, b: NodeId) {
    world.link(a, b, &Link::default().loss(1.0));
}

#[test]
fn what_a_bad_link_does_to_segments_is_repaired() {
    let link = Link::new(ms(1)..=ms(30))
        .loss(0.2)
        .duplicate(0.2)
        .reorder(0.2, ms(50));
    for seed in 0..20 {
        let mut world = World::new(seed);
        let nodes = conversation(&mut world, &link);
        world
            .run_until(secs(600), |world| both_closed(world, nodes))
            .unwrap();
        for node in [nodes.0, nodes.1] {
            let ear = ear(&world, node);
            assert!(ear.heard == Script::say(100_000).text(), "seed {seed}");
            assert_eq!(ear.closed.unwrap().1, None);
        }
        let counters = world.counters();
        assert!(counters.segments.lost > 20 && counters.segments.duplicated > 20);
        assert_eq!(counters.streams.bytes_in, 200_000);
    }
}

#[test]
fn a_good_link_sends_nothing_twice() {
    let mut world = World::new(1);
    let nodes = conversation(&mut world, &Link::new(ms(1)..=ms(30)));
    world
        .run_until(secs(10), |world| both_closed(world, nodes))
        .unwrap();
    assert_eq!(world.counters().stream_bytes.discarded, 0);
    // At least half of the segments are as long as can be, and each is acknowledged once at most.
    assert!(world.counters().segments.sent < 2 * 2 * 2 * 100_000 / 1_460);
}

#[test]
fn when_all_is_said_nothing_is_left_to_happen() {
    let mut world = World::new(1);
    let nodes = conversation(&mut world, &Link::fixed(ms(1)));
    world.run_until_idle(secs(1)).unwrap();
    assert!(both_closed(&world, nodes));
    let counters = world.counters();
    assert_eq!(counters.stream_bytes.written, 200_000);
    assert_eq!(counters.streams.bytes_in, 200_000);
    let bytes = counters.stream_bytes;
    assert_eq!([bytes.waiting, bytes.under_way, bytes.discarded], [0; 3]);
}

#[test]
fn a_lasting_partition_is_found_by_who_writes_after_fifteen_attempts() {
    let (mut world, client, server) = silent(TcpOptions::new());
    cut(&mut world, client, server);
    let since = world.now();
    act(&mut world, client, |talker| talker.write(10));
    world.run_until_idle(secs(2_000)).unwrap();
    let (at, error) = ear(&world, client).closed.unwrap();
    assert_eq!(error, Some(NetworkError::TimedOut));
    assert_eq!(at.since(since), Duration::from_millis(924_600));
    assert_eq!(
        ear(&world, server).closed,
        None,
        "who is silent finds nothing"
    );
    assert_eq!(world.counters().stream_bytes.under_way, 10);
    assert_eq!(world.counters().streams_given_up, 1);
}

#[test]
fn a_system_gives_up_what_it_has_to_send_for_a_task_that_has_closed_and_counts_it() {
    let (mut world, client, server) = silent(TcpOptions::new());
    cut(&mut world, client, server);
    act(&mut world, client, |talker| {
        talker.write(10);
        let stream = talker.ear().stream;
        talker.outbox.close(stream);
    });
    world.run_until_idle(secs(2_000)).unwrap();
    assert_eq!(ear(&world, client).closed, None, "nobody is told");
    assert_eq!(world.counters().streams_given_up, 1);
}

#[test]
fn a_connect_into_a_partition_fails_in_its_time_or_after_six_attempts() {
    for (timeout, expected) in [(secs(5), secs(5)), (Duration::MAX, secs(127))] {
        let mut world = World::new(1);
        let (client, server) = pair(&mut world, &Link::default(), listen(), Script::default());
        cut(&mut world, client, server);
        let since = world.now();
        let connect = connect().with_timeout(timeout);
        world.spawn(client, 0, Spawn::Connect(connect, Script::default()));
        world.run_until_idle(secs(1_000)).unwrap();
        let (at, error) = only(&world, client).failed.unwrap();
        assert_eq!((at.since(since), error), (expected, NetworkError::TimedOut));
        assert_eq!(world.counters().streams_given_up, 1);
    }
}

#[test]
fn an_address_that_no_node_has_answers_nothing() {
    let mut world = World::new(1);
    let client = world.node("client", [10, 0, 0, 1]).spawner(spawn);
    let connect = connect().with_timeout(secs(4));
    world.spawn(client, 0, Spawn::Connect(connect, Script::default()));
    world.run_until_idle(secs(10)).unwrap();
    let failed = only(&world, client).failed.unwrap();
    assert_eq!(failed.1, NetworkError::TimedOut);
    assert_eq!(world.now().since(Timestamp::EPOCH), secs(4));
    assert_eq!(
        world.counters().segments.unroutable,
        3,
        "after 0, 1 and 3 s"
    );
}

#[test]
fn what_cannot_be_connected_at_all_fails_at_once() {
    let mut world = World::new(1);
    let (client, _) = pair(&mut world, &Link::default(), listen(), Script::default());
    let to = |peer| TcpConnect::new(Token(0), address(peer));
    for (connect, error) in [
        (to("[fd00::2]:7"), NetworkError::NetworkUnreachable),
        (
            to("10.0.0.2:7").from_address(address("10.0.0.9:0")),
            NetworkError::AddressNotAvailable,
        ),
        (
            to("10.0.0.2:7").from_address(address("[::]:0")),
            NetworkError::AddressFamily,
        ),
        (
            to("10.0.0.2:7").from_address(address("127.0.0.1:0")),
            NetworkError::NetworkUnreachable,
        ),
        (to("127.0.0.1:7"), NetworkError::ConnectionRefused),
    ] {
        let since = world.now();
        world.spawn(client, 0, Spawn::Connect(connect, Script::default()));
        world.run_for(ms(1)).unwrap();
        let task = world.tasks::<Talker>(client).last().unwrap().1;
        let (at, failed) = task.failed.unwrap();
        assert_eq!(failed, error, "{connect:?}");
        assert!(at.since(since) <= Duration::from_nanos(2));
    }
}

#[test]
fn a_port_that_is_taken_cannot_be_called_from() {
    let mut world = World::new(1);
    let (client, _) = pair(&mut world, &Link::default(), listen(), Script::default());
    let connect = connect().from_address(address("10.0.0.1:99"));
    for _ in 0..2 {
        world.spawn(client, 0, Spawn::Connect(connect, Script::default()));
        world.run_for(ms(10)).unwrap();
    }
    let tasks: Vec<_> = world
        .tasks::<Talker>(client)
        .map(|(_, task)| task)
        .collect();
    assert_eq!(tasks[0].ear().local, address("10.0.0.1:99"));
    assert_eq!(tasks[1].failed.unwrap().1, NetworkError::AddressInUse);
}

#[test]
fn a_dead_peer_is_found_by_keepalive_and_a_living_one_is_kept() {
    let keepalive = Keepalive::new(secs(10), secs(2), 3);
    let (mut world, client, server) = silent(TcpOptions::new().with_keepalive(keepalive));
    world.run_for(secs(1_000)).unwrap();
    assert_eq!(ear(&world, client).closed, None);
    let asked = world.counters().segments.sent;
    assert!(asked > 2 * 90, "a sign of life every ten seconds");

    // Somewhere in the next ten seconds it will be asked again.
    let since = world.now();
    cut(&mut world, client, server);
    world.run_until_idle(secs(100)).unwrap();
    let (at, error) = ear(&world, client).closed.unwrap();
    assert_eq!(error, Some(NetworkError::TimedOut));
    let found_after = at.since(since);
    assert!(
        found_after > secs(6) && found_after <= secs(16),
        "{found_after:?}"
    );
}

#[test]
fn a_window_that_opens_unheard_is_asked_for() {
    let mut world = World::new(1);
    let listen = listen().with_options(TcpOptions::new().with_buffers(4_096, 4_096));
    let script = Script {
        pauses: vec![(0, secs(5))],
        ..Script::default()
    };
    let (client, server) = pair(&mut world, &Link::default(), listen, script);
    world.spawn(client, 0, Spawn::Connect(connect(), Script::say(50_000)));
    world.run_for(secs(4)).unwrap();
    assert_eq!(ear(&world, server).heard.len(), 0);
    // What the server says when it reads on is lost.
    world.one_way(server, client, &Link::default().loss(1.0));
    world.run_for(secs(2)).unwrap();
    assert_eq!(ear(&world, server).heard.len(), 4_096);
    world.one_way(server, client, &Link::default());
    let all_heard = |world: &World<Talk>| ear(world, server).read_ended.is_some();
    world.run_until(secs(60), all_heard).unwrap();
    assert_eq!(ear(&world, server).heard, Script::say(50_000).text());
}

#[test]
fn a_window_that_opens_is_told_of_without_being_asked_for() {
    let mut world = World::new(1);
    let listen = listen().with_options(TcpOptions::new().with_buffers(4_096, 4_096));
    let script = Script {
        pauses: vec![(0, secs(5))],
        ..Script::default()
    };
    let (client, server) = pair(&mut world, &Link::fixed(ms(1)), listen, script);
    world.spawn(client, 0, Spawn::Connect(connect(), Script::say(50_000)));
    let ended = |world: &World<Talk>| {
        let mut ears = world
            .tasks::<Talker>(server)
            .flat_map(|(_, task)| &task.ears);
        ears.next().is_some_and(|ear| ear.read_ended.is_some())
    };
    world.run_until(secs(10), ended).unwrap();
    let ear = ear(&world, server);
    let took = ear.read_ended.unwrap().since(ear.since);
    assert!(took < ms(5_100), "{took:?} for some forty round trips");
}

#[test]
fn bytes_for_a_stream_that_was_closed_are_answered_with_a_reset() {
    let (mut world, client, server) = silent(TcpOptions::new());
    act(&mut world, server, |talker| {
        let stream = talker.ears[0].stream;
        talker.outbox.close(stream);
    });
    world.run_for(secs(1)).unwrap();
    assert!(ear(&world, client).read_ended.is_some());
    let since = world.now();
    act(&mut world, client, |talker| talker.write(10));
    world.run_until_idle(secs(1)).unwrap();
    let (at, error) = ear(&world, client).closed.unwrap();
    assert_eq!(error, Some(NetworkError::ConnectionReset));
    assert_eq!(at.since(since), ms(2), "there and back");
}

#[test]
fn an_old_call_makes_no_second_connection() {
    let mut late = 0;
    for seed in 0..20 {
        let mut world = World::new(seed);
        let (client, server) = pair(&mut world, &Link::default(), listen(), Script::default());
        // All that the client sends arrives twice, the second time up to ten seconds later.
        let twice = Link::default().duplicate(1.0).reorder(0.5, secs(10));
        world.one_way(client, server, &twice);
        world.spawn(client, 0, Spawn::Connect(connect(), Script::default()));
        let joined = |world: &World<Talk>| !only(world, server).ears.is_empty();
        world.run_until(secs(60), joined).unwrap();
        world.one_way(server, client, &Link::default().loss(1.0));
        act(&mut world, server, |talker| {
            let stream = talker.ears[0].stream;
            talker.outbox.reset(stream);
        });
        world.run_for(ms(1)).unwrap();
        world.one_way(server, client, &Link::default());
        late += u64::from(world.counters().segments.in_flight > 0);
        world.run_for(secs(60)).unwrap();
        assert_eq!(only(&world, server).ears.len(), 1, "seed {seed}");
    }
    assert!(late > 5, "old segments arrived in {late} of 20 runs");
}

#[test]
fn bytes_that_nobody_reads_any_more_are_counted() {
    let (mut world, client, server) = silent(TcpOptions::new());
    act(&mut world, server, |talker| {
        let stream = talker.ears[0].stream;
        talker.outbox.set_reading(stream, Reading::Paused);
    });
    world.run_for(ms(10)).unwrap();
    act(&mut world, client, |talker| talker.write(1_000));
    world.run_for(ms(10)).unwrap();
    assert_eq!(world.counters().stream_bytes.under_way, 1_000);
    world.abort(server);
    world.run_until_idle(secs(1)).unwrap();
    let bytes = world.counters().stream_bytes;
    assert_eq!((bytes.under_way, bytes.discarded), (0, 1_000));
    let error = ear(&world, client).closed.unwrap().1;
    assert_eq!(error, Some(NetworkError::ConnectionReset));
}

#[test]
fn a_full_backlog_has_callers_wait_and_call_again() {
    let mut world = World::new(1);
    let listen = listen().with_backlog(2);
    let (client, server) = pair(&mut world, &Link::fixed(ms(10)), listen, Script::default());
    for _ in 0..5 {
        world.spawn(client, 0, Spawn::Connect(connect(), Script::default()));
    }
    let since = world.now();
    world.run_for(secs(10)).unwrap();
    assert_eq!(
        only(&world, server).ears.len(),
        5,
        "all were taken in at last"
    );
    let mut waited: Vec<_> = world
        .tasks::<Talker>(client)
        .map(|(_, task)| task.ear().since.since(since))
        .collect();
    waited.sort();
    assert_eq!(waited[..2], [ms(20); 2]);
    assert_eq!(waited[2..4], [ms(1_020); 2]);
    assert_eq!(waited[4], ms(3_020));
    assert_eq!(world.counters().segments.backlog_full, 3 + 1);
}

#[test]
fn shared_listeners_divide_the_connections() {
    let mut world = World::new(1);
    let server = world
        .node("sharing", [10, 0, 0, 2])
        .workers(4)
        .spawner(spawn);
    let client = world.node("client", [10, 0, 0, 1]).spawner(spawn);
    for worker in 0..4 {
        let listen = Spawn::Listen(listen().shared(), Script::default());
        world.spawn(server, worker, listen);
    }
    world.run_for(ms(1)).unwrap();
    for _ in 0..200 {
        world.spawn(client, 0, Spawn::Connect(connect(), Script::default()));
    }
    world.run_for(secs(1)).unwrap();
    let shares: Vec<_> = world
        .tasks::<Talker>(server)
        .map(|(_, task)| task.ears.len())
        .collect();
    assert_eq!(shares.iter().sum::<usize>(), 200);
    assert!(shares.iter().all(|&share| share > 25), "{shares:?}");
}

#[test]
fn whoever_missed_a_reset_learns_of_it_when_it_writes() {
    let (mut world, client, server) = silent(TcpOptions::new());
    cut(&mut world, client, server);
    act(&mut world, server, |talker| {
        let stream = talker.ears[0].stream;
        talker.outbox.reset(stream);
    });
    world.run_for(secs(1)).unwrap();
    world.link(client, server, &Link::fixed(ms(1)));
    world.run_for(secs(100)).unwrap();
    assert_eq!(ear(&world, client).closed, None);
    act(&mut world, client, |talker| talker.write(10));
    world.run_until_idle(secs(1)).unwrap();
    let error = ear(&world, client).closed.unwrap().1;
    assert_eq!(error, Some(NetworkError::ConnectionReset));
    assert_eq!(world.counters().stream_bytes.discarded, 10);
}

#[test]
fn a_paused_stream_is_told_of_an_error_only_if_that_hinders_its_writing() {
    for writes in [0, 10] {
        let (mut world, client, server) = silent(TcpOptions::new());
        act(&mut world, client, |talker| {
            let stream = talker.ears[0].stream;
            talker.outbox.set_reading(stream, Reading::Paused);
        });
        world.abort(server);
        world.run_for(secs(1)).unwrap();
        assert_eq!(ear(&world, client).closed, None);
        if writes > 0 {
            act(&mut world, client, |talker| talker.write(10));
            world.run_for(secs(1)).unwrap();
        }
        let told = ear(&world, client).closed.map(|(_, error)| error);
        let expected = (writes > 0).then_some(Some(NetworkError::ConnectionReset));
        assert_eq!(told, expected);
        assert_eq!(world.counters().streams.bytes_refused, writes);
    }
}

#[test]
fn small_writes_wait_for_each_other_if_they_are_to() {
    let segments = |options| {
        let (mut world, client, server) = silent(options);
        let before = world.counters().segments.sent;
        for _ in 0..10 {
            act(&mut world, client, |talker| talker.write(10));
            world.run_for(Duration::from_micros(100)).unwrap();
        }
        world.run_until_idle(secs(1)).unwrap();
        assert_eq!(ear(&world, server).heard.len(), 100);
        world.counters().segments.sent - before
    };
    let (at_once, waiting) = (
        segments(TcpOptions::new()),
        segments(TcpOptions::new().with_nagle()),
    );
    assert!(waiting <= 6 && at_once >= 20, "{waiting} and {at_once}");
}

/// How the bytes of 100 kB come at each end.
fn pieces(seed: u64, elsewhere: usize) -> [Vec<usize>; 2] {
    let mut world = World::new(seed);
    let nodes = conversation(&mut world, &Link::new(ms(1)..=ms(5)));
    let other = world.node("other", [10, 0, 0, 3]).spawner(spawn);
    let another = world.node("another", [10, 0, 0, 4]).spawner(spawn);
    let mut there = listen();
    there.bind = address("10.0.0.4:7");
    world.spawn(another, 0, Spawn::Listen(there, Script::say(10_000)));
    for _ in 0..elsewhere {
        let connect = TcpConnect::new(Token(0), there.bind);
        world.spawn(other, 0, Spawn::Connect(connect, Script::say(10_000)));
    }
    world.run_until_idle(secs(60)).unwrap();
    assert_eq!(only(&world, another).ears.len(), elsewhere);
    [nodes.0, nodes.1].map(|node| ear(&world, node).pieces.clone())
}

#[test]
fn how_bytes_are_cut_is_the_seeds_choice_and_nobody_elses() {
    for seed in 0..5 {
        assert_eq!(pieces(seed, 0), pieces(seed, 3));
    }
    let all: BTreeSet<_> = (0..5).map(|seed| pieces(seed, 0)).collect();
    assert_eq!(all.len(), 5);
    let lens: BTreeSet<usize> = all.into_iter().flatten().flatten().collect();
    assert!(lens.contains(&1_460), "whole segments");
    assert!(lens.iter().any(|&len| len < 700), "parts of segments");
    assert!(lens.iter().any(|&len| len > 1_460), "segments joined");
}

#[test]
fn a_conversation_is_the_same_whenever_it_is_held() {
    let bad = Link::new(ms(1)..=ms(30)).loss(0.1).reorder(0.1, ms(9));
    let scenario = |world: &mut World<Talk>| {
        let nodes = conversation(world, &bad);
        world.run_until(secs(600), |world| both_closed(world, nodes))
    };
    for seed in 0..10 {
        self_check(seed, scenario).unwrap();
    }
    let hashes = (0..10).map(|seed| run_seed(seed, scenario).0.trace_hash);
    assert_eq!(hashes.collect::<BTreeSet<_>>().len(), 10);
}

#[test]
fn the_bytes_of_streams_are_part_of_the_hash() {
    let hash = |voice| {
        let mut world = World::new(1);
        let (client, _) = pair(&mut world, &Link::default(), listen(), Script::default());
        let script = Script {
            writes: vec![1_000],
            voice,
            ..Script::default()
        };
        // What it was spawned with is not to show.
        let connect = move |_, spawner: stillpoint::Spawner<'_, Talk>| {
            spawn(Spawn::Connect(connect(), script.clone()), spawner)
        };
        let caller = world.node("caller", [10, 0, 0, 3]).spawner(connect);
        let nothing = Spawn::Listen(listen(), Script::default());
        world.spawn(caller, 0, nothing);
        world.run_until_idle(secs(10)).unwrap();
        assert_eq!(world.tasks::<Talker>(client).count(), 0);
        world.trace_hash()
    };
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}
