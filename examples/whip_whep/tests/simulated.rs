//! Publishers and viewers on nodes of the simulator, with the SFU as it runs in production.
#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]

mod support;

use support::*;

#[test]
fn what_one_publishes_a_viewer_at_another_worker_sees() {
    story("publish and view", 0..3, &Plan::new(), |place| {
        let publisher = place.publishing("tea")?;
        let viewer = place.watching("tea")?;
        let live = place.live();
        assert_eq!((live.publishers, live.viewers, live.connected), (1, 1, 2));
        place.run(secs(10))?;
        println!("{}", place.describe());
        Ok(())
    });
}
