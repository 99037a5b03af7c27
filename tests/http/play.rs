//! One client whose bytes are cut somehow, and who has room for answers now and then.

use core::time::Duration;

use stillpoint::Reading;
use stillpoint::http::HttpConfig;

use super::bench::{Bench, Fate};

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// What a client hears whose bytes are cut like this, with these rooms for answers; interim answers
/// left away, since they depend on what has come already. And whether its connection was ended.
///
/// Demands that nothing is left of it once it has been silent for long enough.
pub(crate) fn heard(
    config: HttpConfig,
    bytes: &[u8],
    mut cuts: impl Iterator<Item = usize>,
    mut rooms: impl Iterator<Item = usize>,
) -> (String, bool) {
    let mut bench = Bench::with(config);
    let first = rooms.next().unwrap_or(usize::MAX).max(1);
    let client = bench.connect_with_room(first);
    let mut rest = bytes;
    loop {
        while bench.exchanges() > 0 {
            bench.answer("as late as this");
        }
        let now = bench.client(client);
        if now.reading == Reading::Flowing && !rest.is_empty() {
            let cut = cuts.next().unwrap_or(rest.len()).clamp(1, rest.len());
            let (part, later) = rest.split_at(cut);
            bench.say(client, part);
            rest = later;
        } else if now.room == 0 {
            let room = rooms.next().unwrap_or(usize::MAX).max(1);
            bench.make_room(client, room);
        } else {
            break;
        }
    }
    assert_eq!(bench.client(client).fate, Fate::Open);
    let heard = String::from_utf8_lossy(&bench.client(client).heard).replace(CONTINUE, "");
    let is_ended = bench.client(client).ends > 0;
    bench.wait(Duration::from_secs(100));
    bench.forget_writes();
    let left = (bench.connections(), bench.exchanges());
    assert_eq!((left, bench.buffers.live()), ((0, 0), 0), "left behind");
    (heard, is_ended)
}
