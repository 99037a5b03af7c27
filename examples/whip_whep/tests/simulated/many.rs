//! Many viewers, and many sessions one after the other.

use stillpoint_sim::Link;

use crate::support::camera::CameraConfig;
use crate::support::peer::Stage;
use crate::support::{Ask, Plan, ms, secs, story};

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
    let camera = CameraConfig {
        picture_every: secs(1),
        ..CameraConfig::default()
    };
    let plan = Plan {
        camera,
        ..Plan::new()
    };
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
