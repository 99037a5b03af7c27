//! Stories in which somebody does harm, and two others do not notice.

use stillpoint_sim::Failure;

use super::peer::Stage;
use super::{Guest, Place, Plan, ms, secs, story};

/// A publisher and a viewer at different workers, and a stranger who does something. Neither of the
/// two notices.
pub fn siege(
    name: &str,
    plan: &Plan,
    attack: impl Fn(&mut Place<'_>, Guest, [Guest; 2]) -> Result<(), Failure> + Sync,
) {
    story(name, 0..2, plan, |place| {
        let publisher = place.publishing("tea")?;
        let viewer = place.watching("tea")?;
        let stranger = place.stranger()?;
        place.run(secs(1))?;
        attack(place, stranger, [publisher, viewer])?;
        place.run(secs(2))?;
        assert_eq!(place.stage(publisher), Stage::Joined);
        let peer = place.peer(viewer);
        assert_eq!(peer.stage, Stage::Joined);
        for screen in [&peer.video, &peer.audio] {
            assert_eq!((screen.missing, screen.broken, screen.stale), (0, 0, 0));
            assert_eq!((screen.corrupt, screen.sources), (0, 1));
            assert!(screen.delay_max < ms(100), "{}", place.describe());
            assert!(screen.gap_max < ms(150), "{}", place.describe());
        }
        let live = [
            "sfu_publishers",
            "sfu_viewers",
            "sfu_connected",
            "sfu_sessions",
        ];
        assert_eq!(live.map(|name| place.count(name)), [1, 1, 2, 2]);
        Ok(())
    });
}
