//! What comes to viewers of what publishers send.

use core::time::Duration;

use crate::support::camera::CameraConfig;
use crate::support::peer::{Codecs, Roam, Stage};
use crate::support::{Ask, Families, Lab, Place, Plan, ms, scenario, secs, spawn, story};
use stillpoint_shim::self_check;
use stillpoint_sim::{Failure, Link, Nat, Queue};

#[test]
fn what_one_publishes_a_viewer_at_another_worker_sees() {
    story("what_one_publishes", 0..3, &Plan::new(), |place| {
        let publisher = place.publishing("tea")?;
        let viewer = place.watching("tea")?;
        place.run(secs(10))?;
        let statuses = place.world.status(place.server);
        let sessions = statuses
            .iter()
            .map(|status| status.metric("sfu_publishers") + status.metric("sfu_viewers"));
        assert_eq!(sessions.collect::<Vec<_>>(), [1, 1]);
        let source = place.peer(publisher).camera.as_ref().unwrap().source;
        let peer = place.peer(viewer);
        for screen in [&peer.video, &peer.audio] {
            assert!(screen.shown >= 298, "{}", place.describe());
            assert_eq!((screen.missing, screen.corrupt, screen.stale), (0, 0, 0));
            assert_eq!((screen.broken, screen.sources), (0, 1));
            assert_eq!(screen.last.unwrap().source, source);
            assert!(screen.began_with_key);
            // Two ways of up to 15 ms each, and a key frame is some datagrams.
            assert!(screen.delay_max < ms(60), "{:?}", screen.delay_max);
        }
        Ok(())
    });
}

#[test]
fn each_viewer_sees_the_publisher_of_its_room() {
    let plan = Plan {
        workers: 3,
        ..Plan::new()
    };
    story("each_viewer_sees", 0..2, &plan, |place| {
        let rooms = ["tea", "coffee", "water"];
        let mut pairs = Vec::new();
        for room in rooms {
            let publisher = place.publishing(room)?;
            for _ in 0..3 {
                pairs.push((publisher, place.watching(room)?));
            }
        }
        place.run(secs(3))?;
        for (publisher, viewer) in pairs {
            let camera = place.peer(publisher).camera.as_ref().unwrap();
            let video = &place.peer(viewer).video;
            assert_eq!(video.last.unwrap().source, camera.source);
            assert_eq!((video.missing, video.broken, video.sources), (0, 0, 1));
        }
        assert_eq!(place.count("sfu_rooms"), 3);
        Ok(())
    });
}

#[test]
fn who_leaves_is_gone_and_nobody_else_is_disturbed() {
    story("who_leaves_is_gone", 0..2, &Plan::new(), |place| {
        let publisher = place.publishing("tea")?;
        let (leaver, stayer) = (place.watching("tea")?, place.watching("tea")?);
        place.ask(leaver, Ask::Leave);
        place.run(secs(1))?;
        assert_eq!(place.stage(leaver), Stage::Left);
        let last = place.peer(leaver).answers.last().unwrap();
        assert_eq!(last.status, 200);
        assert_eq!(place.peer(leaver).connections(), 1, "it was kept alive");
        assert_eq!(
            (place.count("sfu_viewers"), place.count("sfu_sessions")),
            (1, 2)
        );
        place.run(secs(3))?;
        let video = &place.peer(stayer).video;
        assert_eq!((video.missing, video.broken), (0, 0));
        // When the publisher leaves, its viewers are told, and the room is anybody's.
        place.ask(publisher, Ask::Leave);
        place.run(secs(1))?;
        assert_eq!(place.stage(stayer), Stage::Told);
        assert!(place.nobody_is_there(), "{}", place.describe());
        let late = place.watch("tea")?;
        place.run(secs(1))?;
        assert_eq!(place.stage(late), Stage::Refused(404));
        place.publishing("tea")?;
        place.watching("tea")?;
        Ok(())
    });
}

#[test]
fn a_room_has_one_publisher_at_a_time() {
    story("a_room_has_one", 0..2, &Plan::new(), |place| {
        let first = place.publishing("tea")?;
        let second = place.publish("tea")?;
        place.run(secs(1))?;
        assert_eq!(place.stage(second), Stage::Refused(409));
        assert_eq!(place.stage(first), Stage::Joined);
        place.watching("tea")?;
        Ok(())
    });
}

#[test]
fn with_a_tenth_lost_nearly_all_is_seen_and_key_frames_come_when_they_are_needed() {
    let link = Link::new(ms(5)..=ms(15)).loss(0.1);
    story(
        "with_a_tenth_lost",
        0..3,
        &Plan {
            link,
            ..Plan::new()
        },
        |place| {
            let publisher = place.publishing("tea")?;
            let viewer = place.watching("tea")?;
            place.run(secs(60))?;
            let camera = place.peer(publisher).camera.as_ref().unwrap();
            let video = &place.peer(viewer).video;
            // A picture is one to three datagrams on two ways: without repairs, a third would be missing.
            assert!(video.frames > 1_650, "{}", place.describe());
            assert!(video.missing < 60, "{}", place.describe());
            assert_eq!((video.corrupt, video.stale), (0, 0));
            // What was missing for good was made up for by key frames.
            assert!(camera.asked > 0 && video.mended + 1 >= video.broken);
            assert!(video.shown * 10 > video.frames * 9, "{}", place.describe());
            Ok(())
        },
    );
}

#[test]
fn what_is_lost_on_the_way_in_is_never_shown_broken() {
    story("what_is_lost_on_the_way_in", 0..3, &Plan::new(), |place| {
        let publisher = place.publishing("tea")?;
        let viewer = place.watching("tea")?;
        // So much is lost that not all can be repaired.
        let bad = Link::new(ms(5)..=ms(15)).loss(0.6);
        place.world.one_way(publisher.node, place.server, &bad);
        place.run(secs(30))?;
        let video = &place.peer(viewer).video;
        assert!(video.missing > 30, "nothing was lost: {}", place.describe());
        assert_eq!(video.broken, 0, "{}", place.describe());
        assert!(video.keys > 3 && video.shown > 60, "{}", place.describe());
        Ok(())
    });
}

#[test]
fn who_joins_sees_the_next_picture() {
    // One a second: who only asked for a key frame when a picture came would see the one after.
    let plan = Plan::new().with_a_picture_every(secs(1));
    story("who_joins_sees", 0..3, &plan, |place| {
        place.publishing("tea")?;
        for pause in [0, 300, 700] {
            place.run(ms(pause))?;
            let viewer = place.watching("tea")?;
            let waited = place
                .world
                .now()
                .since(place.peer(viewer).joined_at.unwrap());
            assert!(waited < ms(1_150), "{waited:?}");
        }
        Ok(())
    });
}

#[test]
fn who_cannot_decode_the_pictures_still_hears() {
    story("who_cannot_decode", 0..2, &Plan::new(), |place| {
        place.publishing("tea")?;
        let (node, local) = place.add_node("viewer");
        let mut config = place.viewer(local, "tea");
        config.codecs = Codecs::H264;
        let viewer = place.add_peer(node, config)?;
        place.run(secs(3))?;
        assert_eq!(place.stage(viewer), Stage::Joined);
        let peer = place.peer(viewer);
        assert!(peer.audio.shown > 130 && peer.audio.missing == 0);
        assert_eq!(peer.video.frames, 0);
        assert!(place.count("sfu_frames_of_other_codecs_total") > 80);
        Ok(())
    });
}

#[test]
fn what_a_network_does_to_datagrams_is_not_seen() {
    let link = Link::new(ms(5)..=ms(60))
        .duplicate(0.05)
        .reorder(0.1, ms(20))
        .split_runs(0.3)
        .refuse_runs(0.05);
    let plan = Plan {
        link,
        ..Plan::new()
    };
    story("what_a_network_does", 0..3, &plan, |place| {
        place.publishing("tea")?;
        let viewer = place.watching("tea")?;
        // A handshake is lost if a datagram of it comes with other bytes, as checksums let happen
        // hardly ever. What comes later is signed.
        let worse = plan.link.clone().corrupt(0.03).truncate(0.02);
        for guest in place.guests.clone() {
            place.world.link(place.server, guest.node, &worse);
        }
        place.run(secs(30))?;
        let peer = place.peer(viewer);
        for screen in [&peer.video, &peer.audio] {
            assert_eq!(
                (screen.corrupt, screen.stale),
                (0, 0),
                "{}",
                place.describe()
            );
            assert_eq!(screen.sources, 1);
        }
        assert!(peer.video.shown > 800, "{}", place.describe());
        // Speech is not sent again: what is damaged is lost.
        assert!(peer.audio.shown > 1_200, "{}", place.describe());
        Ok(())
    });
}

#[test]
fn peers_of_both_families_meet() {
    let plan = Plan {
        families: Families::Both,
        ..Plan::new()
    };
    story("peers_of_both_families", 0..2, &plan, |place| {
        let publisher = place.publishing("tea")?;
        let old = place.watching("tea")?;
        let (node, local) = place.add_node_of(Families::V6, "viewer");
        let new = place.add_peer(node, place.viewer(local, "tea"))?;
        place.run(secs(3))?;
        let (node, local) = place.add_node_of(Families::V6, "publisher");
        let other = place.add_peer(node, place.publisher(local, "milk"))?;
        place.run_until(10, |place| place.stage(other) == Stage::Joined)?;
        let of_other = place.watching("milk")?;
        place.run(secs(3))?;
        for (viewer, publisher) in [(old, publisher), (new, publisher), (of_other, other)] {
            let source = place.peer(publisher).camera.as_ref().unwrap().source;
            let video = &place.peer(viewer).video;
            assert_eq!(video.last.unwrap().source, source);
            assert_eq!(
                (video.missing, video.broken),
                (0, 0),
                "{}",
                place.describe()
            );
        }
        Ok(())
    });
}

/// A publisher and a viewer, one of whom gets another address. How long nothing was seen.
fn roam(place: &mut Place<'_>, who: usize, how: Roam) -> Result<Duration, Failure> {
    let publisher = place.publishing("tea")?;
    let viewer = place.watching("tea")?;
    let guest = [publisher, viewer][who];
    place.run(secs(5))?;
    for _ in 0..2 {
        let address = place.rename(guest);
        let shown = place.peer(viewer).video.shown;
        place.ask(guest, Ask::Roam(how, address));
        place.run(ms(100))?;
        place.run_until(40, |place| place.peer(viewer).video.shown > shown + 30)?;
        place.run(secs(20))?;
    }
    assert_eq!(place.stage(publisher), Stage::Joined);
    assert_eq!(place.stage(viewer), Stage::Joined);
    // Then all is as before.
    let before = place.peer(viewer).video.clone();
    place.run(secs(5))?;
    let after = &place.peer(viewer).video;
    assert_eq!(
        (after.missing, after.broken),
        (before.missing, before.broken)
    );
    assert!(after.shown - before.shown >= 145, "{}", place.describe());
    Ok(before.gap_max)
}

/// One of both roams, and little is missed.
fn who_roams_goes_on(name: &'static str, who: usize) {
    for how in [Roam::Aware, Roam::Unaware] {
        story(name, 0..2, &Plan::new(), |place| {
            let gap = roam(place, who, how)?;
            // Who knows nothing of it is found by its next check of the path.
            let most = if how == Roam::Aware {
                ms(400)
            } else {
                ms(3_500)
            };
            assert!(gap < most, "nothing was seen for {gap:?}");
            Ok(())
        });
    }
}

#[test]
fn a_viewer_that_roams_goes_on() {
    who_roams_goes_on("a_viewer_that_roams", 1);
}

#[test]
fn a_publisher_that_roams_goes_on() {
    who_roams_goes_on("a_publisher_that_roams", 0);
}

#[test]
fn peers_behind_nats_are_found_and_found_again_when_a_nat_forgets_them() {
    story("peers_behind_nats", 0..2, &Plan::new(), |place| {
        let mut homes = Vec::new();
        for number in [1, 2] {
            let nat = place.world.gateway(format!("nat {number}"));
            let nat = nat
                .address([10, 2, 0, number])
                .nat(Nat::symmetric())
                .build();
            let local = [192, 168, 0, number];
            let node = place.world.node(format!("home {number}"), local);
            homes.push((nat, node.behind(nat).spawner(spawn), local.into()));
        }
        let [(publishers_nat, node, local), (viewers_nat, home, at_home)] = homes[..] else {
            unreachable!("two homes");
        };
        let publisher = place.add_peer(node, place.publisher(local, "tea"))?;
        place.run_until(20, |place| place.stage(publisher) == Stage::Joined)?;
        let viewer = place.add_peer(home, place.viewer(at_home, "tea"))?;
        place.run_until(20, |place| place.peer(viewer).video.shown > 150)?;
        for nat in [publishers_nat, viewers_nat] {
            place.world.rebind(nat);
            place.run(ms(100))?;
            let shown = place.peer(viewer).video.shown;
            place.run_until(30, |place| place.peer(viewer).video.shown > shown + 30)?;
            place.run(secs(20))?;
        }
        assert_eq!(place.stage(publisher), Stage::Joined);
        assert_eq!(place.stage(viewer), Stage::Joined);
        Ok(())
    });
}

#[test]
fn a_viewer_gets_the_layer_that_its_network_carries() {
    let camera = CameraConfig {
        layers: 3,
        delta_bytes: 400..=800,
        key_bytes: 1_500..=3_000,
        ..CameraConfig::default()
    };
    let plan = Plan {
        camera,
        ..Plan::new()
    };
    story("a_viewer_gets_the_layer", 0..2, &plan, |place| {
        let publisher = place.publishing("tea")?;
        let wide = place.watching("tea")?;
        let (node, local) = place.add_node("narrow viewer");
        let link = Link::new(ms(5)..=ms(15)).bandwidth(400_000);
        let link = link.queue(Queue::tail_drop(40_000));
        place.world.link(place.server, node, &link);
        let narrow = place.add_peer(node, place.viewer(local, "tea"))?;
        // The first guess is too much for it.
        place.run(secs(20))?;
        for (viewer, layers) in [(wide, 2..3), (narrow, 0..2)] {
            let before = place.peer(viewer).video.clone();
            place.run(secs(10))?;
            let after = &place.peer(viewer).video;
            assert!(
                layers.contains(&after.last.unwrap().layer),
                "{}",
                place.describe()
            );
            // A layer changes with a key frame: nothing is shown that cannot be.
            assert!(after.shown - before.shown > 250, "{}", place.describe());
            assert!(after.broken <= 2, "{}", place.describe());
        }
        assert!(place.peer(publisher).camera.as_ref().unwrap().asked >= 3);
        Ok(())
    });
}

#[test]
fn two_runs_of_a_seed_are_the_same() {
    let lossy = Plan {
        link: Link::new(ms(5)..=ms(15)).loss(0.05).reorder(0.05, ms(10)),
        ..Plan::new()
    };
    for seed in 0..2 {
        let run = |world: &mut stillpoint_sim::World<Lab>| {
            scenario(world, &lossy, |place| {
                place.publishing("tea")?;
                let viewer = place.watching("tea")?;
                place.watching("tea")?;
                place.run(secs(3))?;
                let address = place.rename(viewer);
                place.ask(viewer, Ask::Roam(Roam::Aware, address));
                place.run(secs(3))
            })
        };
        let first = self_check(seed, run).unwrap_or_else(|diverged| panic!("{diverged}"));
        let other = self_check(seed + 100, run).unwrap_or_else(|diverged| panic!("{diverged}"));
        assert_ne!(first.trace_hash, other.trace_hash);
    }
}
