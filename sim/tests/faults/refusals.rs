//! What the system of a node refuses, and connections that suffer.

use core::time::Duration;

use super::common::{self, Echo, Report, client, heard, ms, pair, reported, the_client};
use super::puppet::{self, Act, Heard, Show, puppet};
use super::talker::{self, Script, Talk, connect, ear, listen, only};
use super::wire;
use stillpoint::{
    DeviceError, DeviceOpen, NetworkError, NoRoom, Timestamp, Token, UdpOpen, WhenFull,
};
use stillpoint_sim::{BusLink, DropCause, Fault, Link, NodeId, Who, World, self_check};

fn failing_sends(node: NodeId, error: NetworkError, chance: f64) -> Fault {
    Fault::SendErrors {
        node,
        error,
        chance,
    }
}

#[test]
fn sends_fail_with_the_error_and_the_task_is_told() {
    for error in [
        NetworkError::QueueFull,
        NetworkError::PermissionDenied,
        NetworkError::HostUnreachable,
        NetworkError::NetworkUnreachable,
        NetworkError::Other(12),
    ] {
        let mut world = World::new(1);
        let (asking, answering) = pair(&mut world, &Link::default());
        world.inject(failing_sends(asking, error, 1.0));
        world.spawn(asking, 0, client("10.0.0.2:7", 5, ms(1)));
        world.run_until_idle(ms(100)).unwrap();
        let told = reported(&mut world);
        assert_eq!(told.len(), 5);
        assert!(told.iter().all(|told| *told == Report::SendFailed(error)));
        assert_eq!(heard(&world, answering), []);
        assert_eq!(world.counters().dropped.by(DropCause::Unsendable), 5);

        world.inject(failing_sends(asking, error, 0.0));
        world.spawn(asking, 0, client("10.0.0.2:7", 5, ms(1)));
        world.run_until_idle(ms(100)).unwrap();
        assert_eq!(heard(&world, answering).len(), 5);
    }
}

#[test]
fn some_sends_fail_and_only_those_of_the_node() {
    let mut failed = 0;
    for seed in 0..10 {
        let mut world = World::new(seed);
        let (asking, answering) = pair(&mut world, &Link::default());
        world.inject(failing_sends(asking, NetworkError::QueueFull, 0.3));
        world.spawn(asking, 0, client("10.0.0.2:7", 100, ms(1)));
        world.run_until_idle(ms(1_000)).unwrap();
        let told = reported(&mut world).len();
        assert_eq!(heard(&world, answering).len() + told, 100);
        // The server's answers all go out.
        let answers = the_client(&world, asking).replies.len();
        assert_eq!(answers + told, 100);
        failed += told;
    }
    assert!((240..=360).contains(&failed), "{failed}");
}

#[test]
fn a_socket_that_rather_drops_than_fails_is_told_nothing_of_a_full_queue() {
    for (when_full, told) in [
        (WhenFull::Fail, 1),
        (WhenFull::DropNewest, 0),
        (WhenFull::DropOldest, 0),
    ] {
        let mut world = World::<Echo>::new(1);
        let asking = world.node("asking", [10, 0, 0, 1]).spawner(common::spawn);
        let answering = world
            .node("answering", [10, 0, 0, 2])
            .spawner(common::spawn);
        let open = UdpOpen::new(Token(0), common::address("10.0.0.2:7")).when_full(when_full);
        world.spawn(answering, 0, common::Spawn::Server(open));
        world.run_for(ms(1)).unwrap();
        reported(&mut world);
        world.inject(failing_sends(answering, NetworkError::QueueFull, 1.0));
        world.spawn(asking, 0, client("10.0.0.2:7", 1, ms(1)));
        world.run_until_idle(ms(100)).unwrap();
        assert_eq!(reported(&mut world).len(), told);
        assert_eq!(world.counters().dropped.by(DropCause::Unsendable), 1);
    }
}

#[test]
fn sockets_listeners_and_streams_fail_to_open() {
    let fail = |node, chance| Fault::BindErrors {
        node,
        error: NetworkError::AddressInUse,
        chance,
    };
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::default());
    world.inject(fail(asking, 1.0));
    world.spawn(asking, 0, client("10.0.0.2:7", 1, ms(1)));
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(
        reported(&mut world),
        [Report::OpenFailed(NetworkError::AddressInUse)]
    );
    world.inject(fail(asking, 0.0));
    world.spawn(asking, 0, client("10.0.0.2:7", 1, ms(1)));
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(heard(&world, answering), [0]);

    let mut world = World::<Talk>::new(1);
    let node = world.node("node", [10, 0, 0, 2]).spawner(talker::spawn);
    world.inject(fail(node, 1.0));
    for spawn in [
        talker::Spawn::Listen(listen(), Script::default()),
        talker::Spawn::Connect(connect(), Script::default()),
    ] {
        world.spawn(node, 0, spawn);
        world.run_for(ms(10)).unwrap();
        let failed = world.tasks::<talker::Talker>(node).last().unwrap().1.failed;
        assert_eq!(failed.unwrap().1, NetworkError::AddressInUse);
    }
}

#[test]
fn without_descriptors_nothing_is_opened_and_what_is_open_stays() {
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::default());
    let limit = |max| Fault::DescriptorsMax { node: asking, max };
    world.inject(limit(Some(2)));
    for _ in 0..3 {
        world.spawn(asking, 0, client("10.0.0.2:7", 3, ms(10)));
        world.run_for(ms(1)).unwrap();
    }
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(
        reported(&mut world),
        [Report::OpenFailed(NetworkError::TooManySockets)]
    );
    assert_eq!(heard(&world, answering).len(), 6);
    world.inject(limit(Some(1)));
    let (task, _) = world.tasks::<common::Client>(asking).next().unwrap();
    world.command(asking, task, common::Command::Send(1));
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(
        heard(&world, answering).len(),
        7,
        "one that is open stays so"
    );
    world.inject(limit(None));
    world.spawn(asking, 0, client("10.0.0.2:7", 1, ms(10)));
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(heard(&world, answering).len(), 8);
}

#[test]
fn without_descriptors_connections_wait_to_be_taken_in_and_are_once_there_are_some() {
    let mut world = World::new(1);
    let (client, server) =
        talker::pair(&mut world, &Link::fixed(ms(1)), listen(), Script::default());
    // The listener, and two streams.
    let max = Some(3);
    world.inject(Fault::DescriptorsMax { node: server, max });
    for _ in 0..5 {
        world.spawn(
            client,
            0,
            talker::Spawn::Connect(connect(), Script::say(10)),
        );
    }
    world.run_for(ms(1_000)).unwrap();
    assert_eq!(only(&world, server).ears.len(), 2);
    // To the peers they are connected, as their backlog has them.
    let connected = world.tasks::<talker::Talker>(client);
    assert!(
        connected
            .into_iter()
            .all(|(_, talker)| talker.ears.len() == 1)
    );
    let told = only(&world, server).accepts_failed;
    assert_eq!(told, 1, "once, however often it is tried");
    let paused = world.counters().streams.accepts_paused;
    assert!(
        (9..=10).contains(&paused),
        "as often as it was tried: {paused}"
    );
    assert_eq!(world.counters().streams.refused, 0);

    world.heal();
    world.run_for(ms(200)).unwrap();
    let ears = &only(&world, server).ears;
    assert_eq!(ears.len(), 5);
    assert!(ears.iter().all(|ear| ear.heard.len() == 10));

    // If they fail again, that is told again.
    world.inject(Fault::DescriptorsMax {
        node: server,
        max: Some(0),
    });
    world.spawn(
        client,
        0,
        talker::Spawn::Connect(connect(), Script::say(10)),
    );
    world.run_for(ms(200)).unwrap();
    assert_eq!(only(&world, server).accepts_failed, 2);
}

#[test]
fn connections_are_reset_and_both_ends_are_told() {
    let mut broken = 0;
    for seed in 0..10 {
        let mut world = World::new(seed);
        let (client, server) = talker::pair(
            &mut world,
            &Link::fixed(ms(20)),
            listen(),
            Script::default(),
        );
        for _ in 0..20 {
            world.spawn(
                client,
                0,
                talker::Spawn::Connect(connect(), Script::default()),
            );
        }
        world.run_for(ms(200)).unwrap();
        let who = Who::from(server);
        world.inject(Fault::ResetStreams { who, chance: 0.5 });
        let reset_at = world.now();
        world.run_for(ms(1)).unwrap();
        let closed =
            |node| {
                let ears = world
                    .tasks::<talker::Talker>(node)
                    .flat_map(|(_, talker)| &talker.ears);
                let closed: Vec<_> = ears.filter_map(|ear| ear.closed).collect();
                assert!(
                    closed.iter().all(|&(at, error)| at == reset_at
                        && error == Some(NetworkError::ConnectionReset))
                );
                closed.len()
            };
        assert_eq!(closed(client), closed(server));
        broken += closed(client);
    }
    assert!((70..=130).contains(&broken), "{broken}");
}

#[test]
fn a_call_that_is_reset_fails_and_those_of_others_go_on() {
    let mut world = World::new(1);
    let (client, server) = talker::pair(
        &mut world,
        &Link::fixed(ms(20)),
        listen(),
        Script::default(),
    );
    world.spawn(
        client,
        0,
        talker::Spawn::Connect(connect(), Script::default()),
    );
    world.run_for(ms(10)).unwrap();
    let nobody = Who::Worker(server, 0);
    world.inject(Fault::ResetStreams {
        who: nobody,
        chance: 1.0,
    });
    world.run_for(ms(1)).unwrap();
    assert_eq!(
        only(&world, client).failed,
        None,
        "the server knows of no call yet"
    );
    world.inject(Fault::ResetStreams {
        who: Who::All,
        chance: 1.0,
    });
    world.run_for(ms(1)).unwrap();
    assert!(only(&world, client).failed.is_some());
}

#[test]
fn slow_readers_get_all_of_it_late_and_the_window_fills() {
    let took = |delay: Option<Duration>| {
        let mut world = World::new(3);
        let text = Script::say(400_000);
        let (client, server) =
            talker::pair(&mut world, &Link::fixed(ms(1)), listen(), Script::default());
        let delay = delay.map(|delay| delay..=delay);
        world.inject(Fault::SlowReaders {
            node: server,
            delay,
        });
        world.spawn(client, 0, talker::Spawn::Connect(connect(), text.clone()));
        world.run_for(ms(100)).unwrap();
        let sent = world.counters().streams.bytes_out;
        world
            .run_until(Duration::from_secs(60), |world| ear_ended(world, server))
            .unwrap();
        assert_eq!(ear(&world, server).heard, text.text());
        (sent, world.now())
    };
    let (sent, quick) = took(None);
    assert_eq!(sent, 400_000);
    let (sent, slow) = took(Some(ms(80)));
    assert!(sent < 250_000, "{sent}");
    assert!(slow.since(quick) > ms(500), "{quick} {slow}");
}

fn ear_ended(world: &World<Talk>, node: NodeId) -> bool {
    let ears = &only(world, node).ears;
    ears.iter().any(|ear| ear.read_ended.is_some())
}

#[test]
fn a_node_of_slow_readers_that_crashes_leaves_nothing_behind() {
    let mut world = World::new(1);
    let (client, server) =
        talker::pair(&mut world, &Link::fixed(ms(1)), listen(), Script::default());
    let delay = Some(ms(50)..=ms(50));
    world.inject(Fault::SlowReaders {
        node: server,
        delay,
    });
    world.spawn(
        client,
        0,
        talker::Spawn::Connect(connect(), Script::say(100_000)),
    );
    world.run_for(ms(30)).unwrap();
    world.restart(server);
    world.abort(client);
    world.run_until_idle(Duration::from_secs(100)).unwrap();
    assert_eq!(world.counters().stream_bytes.under_way, 0);
    assert_eq!(world.buffers_in_use(), 0);
}

#[test]
fn devices_need_descriptors_and_may_take_no_packets() {
    let mut world = World::<wire::Wire>::new(1);
    let node = world.node("node", [10, 0, 0, 1]).spawner(wire::spawn);
    world.inject(Fault::DescriptorsMax { node, max: Some(1) });
    for name in ["one", "two"] {
        world.spawn(node, 0, DeviceOpen::tun(Token(0)).with_name(name));
    }
    let reports = wire::reports(&mut world);
    let opened = wire::Report::Opened("one".to_owned(), 1_500);
    assert_eq!(
        reports,
        [opened, wire::Report::OpenFailed(DeviceError::TooMany)]
    );

    let error = NetworkError::Down;
    world.inject(failing_sends(node, error, 1.0));
    wire::give(
        &mut world,
        node,
        [wire::ipv4("10.9.0.2", "10.9.0.3", 7, &[1])],
    );
    assert_eq!(wire::reports(&mut world), [wire::Report::Failed(error)]);
    assert_eq!(
        world.counters().packets.dropped.by(DropCause::Unsendable),
        1
    );
}

#[test]
fn the_queues_of_a_bus_can_be_too_small_for_a_while() {
    let mut world = World::<Show>::new(1);
    let bus = BusLink::new(ms(1)..=ms(1)).queue_max(50);
    let node = puppet::node(&mut world, 2, bus);
    let [one, two] = [0, 1].map(|worker| puppet(&mut world, node, worker));
    let send = || {
        let (to, count, no_room) = (two, 40, NoRoom::Wait);
        Act::Send { to, count, no_room }
    };
    world.inject(Fault::BusQueue {
        node,
        queue_max: Some(2),
    });
    world.inject(Fault::BusQueue {
        node,
        queue_max: Some(3),
    });
    world.command(node, one, send());
    world.run_until_idle(ms(1_000)).unwrap();
    assert!(puppet::heard(&world, node, one).contains(&Heard::NoRoom(1)));
    assert_eq!(puppet::numbers(&world, node, two).len(), 40);
    world.heal();
    let before = puppet::heard(&world, node, one).len();
    world.command(node, one, send());
    world.run_until_idle(ms(1_000)).unwrap();
    assert_eq!(
        puppet::heard(&world, node, one).len(),
        before,
        "there is room again"
    );
}

#[test]
fn refusals_repeat() {
    for seed in 0..5 {
        self_check(seed, |world: &mut World<Talk>| {
            let (client, server) = talker::pair(
                world,
                &Link::new(ms(1)..=ms(5)),
                listen(),
                Script::say(5_000),
            );
            let delay = Some(ms(0)..=ms(20));
            world.inject(Fault::SlowReaders {
                node: server,
                delay,
            });
            let error = NetworkError::Other(12);
            world.inject(Fault::BindErrors {
                node: client,
                error,
                chance: 0.5,
            });
            for _ in 0..10 {
                world.spawn(
                    client,
                    0,
                    talker::Spawn::Connect(connect(), Script::say(9_000)),
                );
            }
            world.run_for(ms(50))?;
            world.inject(Fault::ResetStreams {
                who: Who::All,
                chance: 0.5,
            });
            world.run_for(ms(5_000))?;
            let ears = only(world, server).ears.len();
            assert!((1..10).contains(&ears), "{ears}");
            assert!(world.last_fault_at() > Some(Timestamp::EPOCH));
            Ok(())
        })
        .unwrap();
    }
}
