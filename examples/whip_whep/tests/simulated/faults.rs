//! What breaks, and what becomes of those who were there.

use stillpoint_shim::self_check;
use stillpoint_sim::{Failure, FaultKind, FaultPlan, World};

use crate::support::peer::Stage;
use crate::support::{Ask, Lab, Place, Plan, ms, scenario, secs, story};

#[test]
fn when_a_publisher_crashes_its_viewers_are_told_and_its_room_is_free() {
    story("when_a_publisher_crashes", 0..2, &Plan::new(), |place| {
        let publisher = place.publishing("tea")?;
        let viewers = [place.watching("tea")?, place.watching("tea")?];
        let other = place.publishing("coffee")?;
        let guest = place.watching("coffee")?;
        place.world.crash(publisher.node);
        place.run(secs(10))?;
        // It may come back: so far nobody was told anything.
        assert!(
            viewers
                .iter()
                .all(|&viewer| place.stage(viewer) == Stage::Joined)
        );
        place.run(secs(15))?;
        for viewer in viewers {
            assert_eq!(place.stage(viewer), Stage::Told, "{}", place.describe());
        }
        for name in ["sfu_publishers", "sfu_viewers", "sfu_subscriptions"] {
            assert_eq!(place.count(name), 1, "{name}");
        }
        assert_eq!(place.count("sfu_sessions_ended_total"), 3);
        let next = place.publishing("tea")?;
        let viewer = place.watching("tea")?;
        place.run(secs(2))?;
        let source = place.peer(next).camera.as_ref().unwrap().source;
        assert_eq!(place.peer(viewer).video.last.unwrap().source, source);
        // Elsewhere nobody has noticed anything.
        assert_eq!(place.stage(other), Stage::Joined);
        let video = &place.peer(guest).video;
        assert_eq!((video.missing, video.broken), (0, 0));
        Ok(())
    });
}

#[test]
fn who_vanishes_is_given_up_after_a_while() {
    story("who_vanishes", 0..2, &Plan::new(), |place| {
        let publisher = place.publishing("tea")?;
        let (lost, stays) = (place.watching("tea")?, place.watching("tea")?);
        place.ask(lost, Ask::Vanish);
        place.run(secs(15))?;
        assert_eq!(place.count("sfu_viewers"), 2, "given up too early");
        place.run(secs(10))?;
        assert_eq!(
            (place.count("sfu_viewers"), place.count("sfu_sessions")),
            (1, 2)
        );
        assert_eq!(place.stage(stays), Stage::Joined);
        let video = &place.peer(stays).video;
        assert_eq!((video.missing, video.broken), (0, 0));
        place.ask(publisher, Ask::Vanish);
        place.run(secs(25))?;
        assert_eq!(place.stage(stays), Stage::Told);
        assert!(place.nobody_is_there(), "{}", place.describe());
        Ok(())
    });
}

#[test]
fn who_asks_and_never_comes_holds_its_room_for_a_while_only() {
    story("who_asks_and_never_comes", 0..2, &Plan::new(), |place| {
        let publisher = place.publish("tea")?;
        place.run_until(5, |place| place.stage(publisher) == Stage::Joining)?;
        place.ask(publisher, Ask::Vanish);
        place.run(secs(5))?;
        let second = place.publish("tea")?;
        place.run(secs(1))?;
        assert_eq!(place.stage(second), Stage::Refused(409));
        place.run(secs(15))?;
        assert!(place.nobody_is_there(), "{}", place.describe());
        place.publishing("tea")?;
        Ok(())
    });
}

#[test]
fn who_checks_the_path_and_never_shakes_hands_is_given_up_too() {
    story("never_shakes_hands", 0..2, &Plan::new(), |place| {
        let (node, local) = place.add_node("publisher");
        let mut config = place.publisher(local, "tea");
        config.unsent = Some(20..=63);
        let publisher = place.add_peer(node, config)?;
        place.run(secs(10))?;
        assert_eq!(place.stage(publisher), Stage::Joining);
        assert_eq!(place.count("sfu_addresses"), 1, "its checks are answered");
        place.run(secs(7))?;
        assert_eq!(place.count("sfu_sessions"), 0, "{}", place.describe());
        place.publishing("tea")?;
        Ok(())
    });
}

#[test]
fn who_vanishes_is_given_up_though_others_write_in_its_name() {
    story("in_its_name", 0..2, &Plan::new(), |place| {
        let publisher = place.publishing("tea")?;
        let viewer = place.watching("tea")?;
        place.run(secs(2))?;
        let recorded = place.peer(publisher).kept.clone();
        place.ask(publisher, Ask::Vanish);
        for _ in 0..25 {
            // All that it has sent, from where it was: requests and media.
            for (to, datagram) in recorded.clone() {
                place.ask(publisher, Ask::Throw(to, vec![datagram]));
            }
            place.run(secs(1))?;
        }
        assert_eq!(place.stage(viewer), Stage::Told, "{}", place.describe());
        assert!(place.nobody_is_there(), "{}", place.describe());
        Ok(())
    });
}

#[test]
fn a_worker_that_stands_still_for_a_second_loses_nobody() {
    story("a_worker_that_stands_still", 0..2, &Plan::new(), |place| {
        let publisher = place.publishing("tea")?;
        let viewers = [place.watching("tea")?, place.watching("tea")?];
        for worker in [0, 1] {
            place.world.stall_worker(place.server, worker, secs(1));
            place.run(secs(4))?;
        }
        let before = viewers.map(|viewer| place.peer(viewer).video.shown);
        place.run(secs(5))?;
        for (viewer, before) in viewers.into_iter().zip(before) {
            assert_eq!(place.stage(viewer), Stage::Joined);
            assert!(
                place.peer(viewer).video.shown - before > 140,
                "{}",
                place.describe()
            );
        }
        assert_eq!(place.stage(publisher), Stage::Joined);
        assert_eq!(place.count("sfu_connected"), 3);
        Ok(())
    });
}

#[test]
fn when_a_worker_dies_its_sessions_are_given_up_and_the_others_go_on() {
    let plan = Plan {
        workers: 3,
        ..Plan::new()
    };
    story("when_a_worker_dies", 0..2, &plan, |place| {
        // One at each worker, and then another two.
        let rooms = ["tea", "coffee", "water"];
        let mut publishers = Vec::new();
        for room in rooms {
            publishers.push(place.publishing(room)?);
        }
        let mut viewers = Vec::new();
        for room in rooms {
            viewers.push(place.watching(room)?);
        }
        place.world.kill_worker(place.server, 2);
        place.run(secs(1))?;
        // The registry knows at once: what is left is of those who are elsewhere.
        assert_eq!(place.count("sfu_rooms"), 2, "{}", place.describe());
        place.run(secs(25))?;
        let lost = |place: &Place<'_>| {
            let all = publishers.iter().chain(&viewers);
            all.filter(|&&guest| place.stage(guest) != Stage::Joined)
                .count()
        };
        // Who was there hears nothing any more; who watched from there, or was watched, is told.
        assert!((2..=4).contains(&lost(place)), "{}", place.describe());
        let going = publishers.iter().zip(&viewers);
        let going: Vec<_> = going
            .filter(|(publisher, viewer)| {
                [publisher, viewer]
                    .iter()
                    .all(|guest| place.stage(***guest) == Stage::Joined)
            })
            .map(|(_, viewer)| *viewer)
            .collect();
        assert!(!going.is_empty(), "{}", place.describe());
        for viewer in going {
            let video = &place.peer(viewer).video;
            assert_eq!((video.missing, video.broken), (0, 0));
        }
        // There is room for others at the workers that are left.
        place.publishing("juice")?;
        place.watching("juice")?;
        Ok(())
    });
}

#[test]
fn viewers_are_told_of_their_publishers_end_though_nobody_signals_any_more() {
    let plan = Plan {
        workers: 3,
        ..Plan::new()
    };
    story("though_nobody_signals", 0..2, &plan, |place| {
        // It takes the place beside the signaling.
        place.publishing("coffee")?;
        let publisher = place.publishing("tea")?;
        let viewer = place.watching("tea")?;
        place.world.kill_worker(place.server, 0);
        place.run(secs(5))?;
        let video = &place.peer(viewer).video;
        assert_eq!((video.missing, video.broken), (0, 0));
        place.ask(publisher, Ask::Vanish);
        place.run(secs(25))?;
        assert_eq!(place.stage(viewer), Stage::Told, "{}", place.describe());
        // Whoever watches over the server starts it anew.
        place.world.crash(place.server);
        place.world.restart(place.server);
        place.run(secs(1))
    });
}

#[test]
fn a_server_that_crashes_and_comes_back_knows_nobody_and_takes_all() {
    story("a_server_that_crashes", 0..2, &Plan::new(), |place| {
        let publisher = place.publishing("tea")?;
        let viewer = place.watching("tea")?;
        place.world.crash(place.server);
        place.run(secs(1))?;
        place.world.restart(place.server);
        place.run(secs(1))?;
        assert!(place.nobody_is_there());
        // Who was there finds out by itself, and may come again at once.
        let next = place.publishing("tea")?;
        place.watching("tea")?;
        place.run(secs(30))?;
        for guest in [publisher, viewer] {
            assert_eq!(place.stage(guest), Stage::Lost, "{}", place.describe());
        }
        assert_eq!(place.stage(next), Stage::Joined);
        Ok(())
    });
}

#[test]
fn a_shutdown_tells_everybody() {
    story("a_shutdown", 0..2, &Plan::new(), |place| {
        let publisher = place.publishing("tea")?;
        let viewer = place.watching("tea")?;
        place.world.controller(place.server).shutdown(secs(5));
        place.run(secs(6))?;
        for guest in [publisher, viewer] {
            assert_eq!(place.stage(guest), Stage::Told, "{}", place.describe());
        }
        place.world.restart(place.server);
        place.run(secs(1))
    });
}

/// Whatever a seed draws happens to a publisher, two viewers and the server for half a minute. Then
/// all is healed, and whoever comes now must be served.
fn all_kinds_of_faults(place: &mut Place<'_>) -> Result<(), Failure> {
    place.world.tolerate_task_failures();
    place.publishing("tea")?;
    place.watching("tea")?;
    place.watch("tea")?;
    // What cannot be bound at the start ends the program: an operator's business. A clock that is set
    // back stands still for that long, and whoever has it with it.
    let plan = FaultPlan::everything().without(FaultKind::BindErrors).with(
        FaultKind::ClockBack,
        1..=2,
        ms(1)..=ms(500),
    );
    place.world.plan(&plan, secs(20));
    for _ in 0..6 {
        place.run(secs(4))?;
        // Some try again, whatever happens.
        place.publish("tea")?;
        place.watch("tea")?;
    }
    place.world.heal();
    if !place.server_is_whole() {
        // It has found an address taken, or a worker has died: whoever watches over it starts it anew.
        place.world.crash(place.server);
        place.world.restart(place.server);
    }
    place.run(secs(5))?;
    let panicked = place
        .world
        .ended()
        .iter()
        .find(|ended| ended.end.is_failure());
    assert!(panicked.is_none(), "{panicked:?}");
    place.publishing("water")?;
    let viewer = place.watching("water")?;
    let before = place.peer(viewer).video.clone();
    place.run(secs(3))?;
    let after = &place.peer(viewer).video;
    assert!(after.shown - before.shown > 80, "{}", place.describe());
    Ok(())
}

#[test]
fn after_faults_of_all_kinds_who_comes_is_served_and_nothing_is_left_over() {
    story(
        "after_faults_of_all_kinds",
        0..6,
        &Plan::new(),
        all_kinds_of_faults,
    );
}

#[test]
fn faults_happen_the_same_in_two_runs_of_a_seed() {
    for seed in 0..2 {
        let run = |world: &mut World<Lab>| scenario(world, &Plan::new(), all_kinds_of_faults);
        self_check(seed, run).unwrap_or_else(|diverged| panic!("{diverged}"));
    }
}
