//! Where two traces part.

use stillpoint_sim::{Link, TraceLog, World};

use crate::common::{Echo, client, pair};
use crate::hand::ms;

fn run(seed: u64, requests: u64) -> TraceLog {
    let mut world = World::<Echo>::new(seed);
    let (asking, _) = pair(&mut world, &Link::new(ms(1)..=ms(5)));
    world.record_trace();
    world.spawn(asking, 0, client("10.0.0.2:7", requests, ms(10)));
    world.run_until_idle(ms(1_000)).unwrap();
    world.take_log()
}

#[test]
fn runs_of_one_seed_do_not_differ() {
    assert_eq!(run(5, 4), run(5, 4));
    assert_eq!(run(5, 4).difference(&run(5, 4)), None);
}

#[test]
fn another_seed_differs_in_the_first_thing_that_is_drawn() {
    let (one, other) = (run(1, 3), run(2, 3));
    let difference = one.difference(&other).unwrap();
    for (log, lines) in [(&one, &difference.first), (&other, &difference.second)] {
        let line = log.line(difference.index);
        assert!(
            line.contains("client/0 Network socket 0/0.0: UdpOpened"),
            "{line}"
        );
        assert_eq!(lines.last().unwrap(), &line);
        assert!(lines[0].contains("Spawn"), "what has led to it: {lines:?}");
    }
    let text = difference.to_string();
    assert!(text.contains("\nwhich comes of\n"), "{text}");
}

#[test]
fn a_run_that_goes_on_differs_where_the_other_ends() {
    let (one, other) = (run(1, 3), run(1, 3));
    let mut world = World::<Echo>::new(1);
    let (asking, _) = pair(&mut world, &Link::new(ms(1)..=ms(5)));
    world.record_trace();
    world.spawn(asking, 0, client("10.0.0.2:7", 3, ms(10)));
    world.run_for(ms(2)).unwrap();
    let short = world.take_log();
    assert!(one.difference(&other).is_none());
    let difference = short.difference(&one).unwrap();
    assert_eq!(difference.index, short.len());
    assert!(difference.first.is_empty() && !difference.second.is_empty());
    assert!(difference.to_string().contains("\none ends\n"));
}
