//! Many viewers, and many sessions one after the other.

use stillpoint_sim::{Failure, Link};

use crate::support::camera::CameraConfig;
use crate::support::peer::{Roam, Stage};
use crate::support::{Ask, Guest, Place, Plan, ms, secs, story};

#[test]
fn two_hundred_viewers_over_four_workers_see_all() {
    let plan = Plan {
        workers: 4,
        link: Link::new(ms(5)..=ms(15)),
        camera: CameraConfig {
            picture_every: ms(100),
            delta_bytes: 200..=900,
            ..CameraConfig::default()
        },
        ..Plan::new()
    };
    story("two_hundred_viewers", 0..1, &plan, |place| {
        let publisher = place.publishing("tea")?;
        let (node, local) = place.add_node("crowd");
        let mut viewers = Vec::new();
        for _ in 0..200 {
            viewers.push(place.add_peer(node, place.viewer(local, "tea"))?);
            place.run(ms(5))?;
        }
        place.run_until(20, |place| {
            viewers
                .iter()
                .all(|&viewer| place.peer(viewer).video.shown > 0)
        })?;
        place.run(secs(3))?;
        for status in place.world.status(place.server) {
            let sessions = status.metric("sfu_publishers") + status.metric("sfu_viewers");
            assert!((49..=51).contains(&sessions), "{sessions} sessions");
        }
        // A publisher is not asked by each of them.
        let asked = place.peer(publisher).camera.as_ref().unwrap().asked;
        assert!(asked < 30, "{asked} key frames were asked for");
        for viewer in viewers {
            let peer = place.peer(viewer);
            assert_eq!(
                (peer.video.missing, peer.video.broken),
                (0, 0),
                "{}",
                peer.describe()
            );
            assert!(
                peer.video.shown >= 30 && peer.audio.shown >= 140,
                "{}",
                peer.describe()
            );
            assert!(peer.video.delay_max < ms(200), "{}", peer.describe());
        }
        // The publisher leaves: all are told, at all workers.
        place.ask(publisher, Ask::Leave);
        place.run(secs(1))?;
        assert!(place.nobody_is_there(), "{}", place.describe());
        Ok(())
    });
}

#[test]
fn a_thousand_sessions_in_a_row_leave_nothing_behind() {
    let plan = Plan::new().with_a_picture_every(secs(1));
    story("a_thousand_sessions", 0..1, &plan, |place| {
        place.publishing("tea")?;
        // Its connection for requests is closed when it has been idle for a while.
        place.run(secs(40))?;
        let (node, local) = place.add_node("crowd");
        let mut after_first = None;
        for round in 0..100 {
            let mut viewers = Vec::new();
            for _ in 0..10 {
                viewers.push(place.add_peer(node, place.viewer(local, "tea"))?);
            }
            place.run_until(10, |place| {
                viewers
                    .iter()
                    .all(|&viewer| place.peer(viewer).video.shown > 0)
            })?;
            for &viewer in &viewers {
                place.ask(viewer, Ask::Leave);
            }
            place.run_until(10, |place| {
                viewers
                    .iter()
                    .all(|&viewer| place.stage(viewer) == Stage::Left)
            })?;
            for viewer in viewers {
                place.ask(viewer, Ask::Finish);
            }
            place.guests.truncate(1);
            place.run(ms(200))?;
            let statuses = place.world.status(place.server);
            let alive = statuses.iter().map(|status| {
                (
                    status.tasks(),
                    status.resources,
                    status.subscriptions,
                    status.requests,
                )
            });
            let alive = (place.live(), alive.collect::<Vec<_>>());
            if round == 0 {
                after_first = Some(alive);
            } else {
                assert_eq!(after_first.as_ref(), Some(&alive), "after round {round}");
            }
        }
        assert_eq!(place.count("sfu_sessions_opened_total"), 1_001);
        Ok(())
    });
}

/// One of those who come and go.
#[derive(Debug, Clone, Copy)]
struct Visitor {
    guest: Guest,
    room: usize,
    is_publisher: bool,
}

const ROOMS: [&str; 3] = ["tea", "coffee", "water"];

/// What a seed has somebody do next.
fn next(place: &mut Place<'_>, visitors: &mut Vec<Visitor>) -> Result<(), Failure> {
    let action = place.world.draw("action", 0..=9);
    if action < 5 || visitors.is_empty() {
        let room = usize::try_from(place.world.draw("room", 0..=2)).unwrap();
        let is_publisher = action < 2;
        let guest = if is_publisher {
            place.publish(ROOMS[room])?
        } else {
            place.watch(ROOMS[room])?
        };
        visitors.push(Visitor {
            guest,
            room,
            is_publisher,
        });
        return Ok(());
    }
    let last = visitors.len() as u64 - 1;
    let who = usize::try_from(place.world.draw("visitor", 0..=last)).unwrap();
    let Visitor { guest, .. } = visitors[who];
    match action {
        5 | 6 => place.ask(guest, Ask::Leave),
        7 => place.ask(guest, Ask::Vanish),
        8 if place.stage(guest) == Stage::Joined => {
            let address = place.rename(guest);
            let how = [Roam::Aware, Roam::Unaware][who % 2];
            place.ask(guest, Ask::Roam(how, address));
        }
        8 => {}
        _ => {
            // It crashes, and comes back as somebody else, if at all.
            place.world.crash(guest.node);
            visitors.remove(who);
        }
    }
    Ok(())
}

/// All who are there see what is published in their room, and nothing else.
fn look(place: &Place<'_>, visitors: &[Visitor]) {
    let published = |source: u32| {
        let of = |visitor: &&Visitor| {
            let camera = place.peer(visitor.guest).camera.as_ref();
            camera.is_some_and(|camera| camera.source == source)
        };
        visitors.iter().find(of).map(|visitor| visitor.room)
    };
    for visitor in visitors.iter().filter(|visitor| !visitor.is_publisher) {
        let video = &place.peer(visitor.guest).video;
        assert_eq!((video.corrupt, video.stale), (0, 0), "{}", place.describe());
        assert!(video.sources <= 1, "a session has one publisher");
        if let Some(room) = video.last.and_then(|frame| published(frame.source)) {
            assert_eq!(room, visitor.room, "{}", place.describe());
        }
    }
}

#[test]
fn people_come_and_go_for_minutes_and_nothing_piles_up() {
    let plan = Plan {
        workers: 3,
        link: Link::new(ms(5)..=ms(40))
            .loss(0.02)
            .duplicate(0.02)
            .reorder(0.05, ms(10)),
        ..Plan::new()
    };
    story("people_come_and_go", 0..3, &plan, |place| {
        let mut visitors = Vec::new();
        for _ in 0..80 {
            next(place, &mut visitors)?;
            let pause = place.world.draw("pause", 50..=2_000);
            place.run(ms(pause))?;
            look(place, &visitors);
            let [publishers, viewers] =
                ["sfu_publishers", "sfu_viewers"].map(|name| place.count(name));
            assert!(publishers <= 3, "one for each room");
            assert_eq!(place.count("sfu_rooms"), publishers, "{}", place.describe());
            assert!(viewers <= 80 && place.count("sfu_addresses") <= 4 * (viewers + publishers));
        }
        // Nodes that are down come back, so that nobody waits for them to say goodbye. Who comes now is
        // served.
        place.world.heal();
        place.publishing("juice")?;
        place.watching("juice")?;
        Ok(())
    });
}
