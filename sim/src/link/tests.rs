//! Latencies that wander.

use stillpoint::{Entity, Entropy, Timestamp};

use super::path::Path;
use super::*;

#[test]
fn the_latency_stays_in_its_range_and_never_lets_a_datagram_overtake() {
    for seed in 0..20 {
        let mut links = Links::new(&Entropy::from_seed(seed), true);
        let path = wandering(&Link::new(
            Duration::from_nanos(10)..=Duration::from_nanos(500),
        ));
        let (mut last, mut seen) = (Timestamp::EPOCH, [u64::MAX, 0]);
        for now in 0..200_000 {
            let now = Timestamp::from_nanos(now);
            let arrival = links.arrival(&path, Entity::new(3), now);
            assert!(arrival >= last, "overtaken at {now}");
            last = arrival;
            let latency = arrival.as_nanos() - now.as_nanos();
            seen = [seen[0].min(latency), seen[1].max(latency)];
        }
        assert!(seen[0] >= 10 && seen[1] <= 500, "{seen:?}");
        assert!(
            seen[0] < 50 && seen[1] > 450,
            "uses little of its range: {seen:?}"
        );
    }
}

#[test]
fn the_latency_does_not_bunch_datagrams_up() {
    // One datagram each microsecond, a latency from 1 to 2 ms: no gap shrinks below half.
    let mut links = Links::new(&Entropy::from_seed(1), true);
    let path = wandering(&Link::new(
        Duration::from_millis(1)..=Duration::from_millis(2),
    ));
    let arrivals: Vec<u64> = (0..1_000_000)
        .map(|micros| Timestamp::from_nanos(micros * 1_000))
        .map(|now| links.arrival(&path, Entity::new(3), now).as_nanos())
        .collect();
    let gaps = arrivals.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(gaps.clone().min().unwrap() >= 499);
    assert!(gaps.max().unwrap() <= 1_501);
    let latencies = (0u64..)
        .zip(&arrivals)
        .map(|(at, arrival)| arrival - at * 1_000);
    let mean = latencies.sum::<u64>() / 1_000_000;
    assert!(
        (1_400_000..1_600_000).contains(&mean),
        "mean latency {mean} ns"
    );
}

fn wandering(link: &Link) -> Path {
    let mut links = Links::new(&Entropy::from_seed(0), true);
    links.set(0, 1, link, Timestamp::EPOCH);
    links.path(0, 1)
}
