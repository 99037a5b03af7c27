//! Streams of workers that stand still or fail.

use stillpoint::{NetworkError, WhenWorkerFails};
use stillpoint_sim::{Link, NodeId, World};

use super::talker::{
    Script, Spawn, Talk, Talker, act, connect, ear, listen, ms, only, pair, secs, spawn,
};

/// A client that says nothing yet is connected to a server whose workers are replaced.
fn connected(seed: u64, link: &Link) -> (World<Talk>, NodeId, NodeId) {
    let mut world = World::new(seed);
    let client = world.node("client", [10, 0, 0, 1]).spawner(spawn);
    let policy = WhenWorkerFails::Restart { restarts_max: 9 };
    let server = world.node("server", [10, 0, 0, 2]);
    let server = server.when_worker_fails(policy).spawner(spawn);
    world.link(client, server, link);
    world.spawn(server, 0, Spawn::Listen(listen(), Script::default()));
    world.run_for(ms(1)).unwrap();
    let connect = Spawn::Connect(connect(), Script::default());
    world.spawn(client, 0, connect);
    world.run_for(ms(20)).unwrap();
    assert_eq!(ear(&world, server).closed, None);
    (world, client, server)
}

/// Nothing is left of any connection once both nodes have stopped.
fn assert_nothing_is_left(world: &mut World<Talk>, nodes: [NodeId; 2]) {
    for node in nodes {
        world.abort(node);
    }
    world.run_until_idle(secs(1_000)).unwrap();
    let bytes = world.counters().stream_bytes;
    assert_eq!((bytes.waiting, bytes.under_way), (0, 0));
    assert_eq!(world.buffers_in_use(), 0);
}

#[test]
fn a_stream_of_a_worker_that_is_killed_ends_for_its_peer() {
    let (mut world, client, server) = connected(1, &Link::fixed(ms(1)));
    world.kill_worker(server, 0);
    world.run_until_idle(ms(10)).unwrap();
    let ear = ear(&world, client);
    assert!(
        ear.read_ended.is_some(),
        "all that there was to read was read"
    );
    assert_eq!(ear.closed, None);

    // What it says now is for nobody.
    act(&mut world, client, |task| task.write(10));
    world.run_until_idle(ms(10)).unwrap();
    let closed = super::ear(&world, client).closed.unwrap().1;
    assert_eq!(closed, Some(NetworkError::ConnectionReset));
    assert_nothing_is_left(&mut world, [client, server]);
}

#[test]
fn what_the_killed_worker_had_not_read_is_known_to_be_lost() {
    let (mut world, client, server) = connected(1, &Link::fixed(ms(1)));
    world.stall_worker(server, 0, ms(50));
    act(&mut world, client, |task| task.write(1_000));
    world.run_for(ms(10)).unwrap();
    world.kill_worker(server, 0);
    world.run_until_idle(ms(10)).unwrap();
    let closed = ear(&world, client).closed.unwrap().1;
    assert_eq!(closed, Some(NetworkError::ConnectionReset));
    assert_nothing_is_left(&mut world, [client, server]);
}

#[test]
fn the_listener_of_a_killed_worker_is_closed_and_its_port_is_free() {
    let (mut world, client, server) = connected(1, &Link::fixed(ms(1)));
    world.stall_worker(server, 0, ms(50));
    // It waits to be taken in, and is not.
    let other = world.node("other", [10, 0, 0, 3]).spawner(spawn);
    world.spawn(other, 0, Spawn::Connect(connect(), Script::default()));
    world.run_for(ms(10)).unwrap();
    world.kill_worker(server, 0);
    world.run_until_idle(ms(10)).unwrap();
    let waited = ear(&world, other).closed.unwrap().1;
    assert_eq!(waited, Some(NetworkError::ConnectionReset));
    let late = world.node("late", [10, 0, 0, 4]).spawner(spawn);
    world.spawn(late, 0, Spawn::Connect(connect(), Script::default()));
    world.run_until_idle(ms(10)).unwrap();
    let refused = only(&world, late).failed.unwrap().1;
    assert_eq!(refused, NetworkError::ConnectionRefused);

    assert_eq!(world.workers(server), 1, "there is another in its place");
    world.spawn(server, 1, Spawn::Listen(listen(), Script::default()));
    world.run_until_idle(ms(10)).unwrap();
    assert!(only(&world, server).local.is_some());
    assert_nothing_is_left(&mut world, [client, server]);
}

#[test]
fn a_killed_client_in_the_middle_of_a_conversation_leaves_nothing_behind() {
    for seed in 0..30 {
        let mut world = World::new(seed);
        let link = Link::new(ms(1)..=ms(9)).loss(0.1);
        let nodes = pair(&mut world, &link, listen(), Script::say(200_000));
        let says = Spawn::Connect(connect(), Script::say(200_000));
        world.spawn(nodes.0, 0, says);
        let until = world.draw("until", 0..=300);
        world.run_for(ms(until)).unwrap();
        world.kill_worker(nodes.0, 0);
        world.run_until_idle(secs(2_000)).unwrap();
        let closed = world
            .tasks::<Talker>(nodes.1)
            .flat_map(|(_, task)| &task.ears);
        assert!(
            closed.into_iter().all(|ear| ear.closed.is_some()),
            "seed {seed}"
        );
        assert_nothing_is_left(&mut world, [nodes.1, nodes.1]);
    }
}

#[test]
fn a_stalled_reader_is_waited_for_and_loses_nothing() {
    for seed in 0..10 {
        let (mut world, client, server) = connected(seed, &Link::new(ms(1)..=ms(5)));
        world.stall_worker(server, 0, secs(5));
        // More than the receive buffer holds, of which all is acknowledged by its host.
        act(&mut world, client, |task| task.write(200_000));
        world.run_for(secs(4)).unwrap();
        assert_eq!(ear(&world, server).heard.len(), 0);
        let counters = world.counters();
        assert_eq!(counters.segments.lost, 0);
        assert!(counters.stream_bytes.waiting > 50_000);
        world.run_for(secs(10)).unwrap();
        assert_eq!(ear(&world, server).heard.len(), 200_000);
        assert_eq!(ear(&world, client).closed, None);
        assert_nothing_is_left(&mut world, [client, server]);
    }
}

#[test]
fn who_calls_a_stalled_listener_is_answered_by_its_host_and_taken_in_later() {
    let (mut world, client, server) = connected(1, &Link::fixed(ms(1)));
    world.stall_worker(server, 0, ms(100));
    let over = world.now().after(ms(100));
    world.spawn(client, 0, Spawn::Connect(connect(), Script::default()));
    world.run_for(ms(10)).unwrap();
    let ears = world
        .tasks::<Talker>(client)
        .flat_map(|(_, task)| &task.ears);
    assert_eq!(ears.count(), 2, "both calls were answered");
    assert_eq!(only(&world, server).ears.len(), 1);
    world.run_for(ms(100)).unwrap();
    let ears = &only(&world, server).ears;
    assert_eq!((ears.len(), ears[1].since), (2, over));
    assert!(ears.iter().all(|ear| ear.closed.is_none()));
    let mut ears = world
        .tasks::<Talker>(client)
        .flat_map(|(_, task)| &task.ears);
    assert!(ears.all(|ear| ear.closed.is_none()));
}
