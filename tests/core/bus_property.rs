//! Random clusters, scripts and schedules: the laws of the bus, all at once.

use proptest::prelude::*;
use stillpoint::NoRoom;

use super::bus_script::{CHANNELS, Limits, Say, run};
use super::puppet::{Act, Birth, Whom};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    /// Laws 1, 4, 5, 6 and 7: see [`run`].
    #[test]
    fn laws_1_to_7_whatever_happens_on_the_bus_is_in_order_counted_and_over_one_day(
        limits in limits(),
        script in script(act(2)),
    ) {
        run(&limits, &script);
    }

    /// Law 5: delivered, given back, dropped, lost, or of no use to anybody any more.
    #[test]
    fn law_5_of_each_message_to_a_task_it_is_counted_what_became_of_it(
        limits in limits(),
        script in script(direct(2)),
    ) {
        run(&limits, &script);
    }
}

/// Limits that scripts of this size run into.
fn limits() -> impl Strategy<Value = Limits> {
    let pending_max = prop_oneof![1 => 1..6usize, 3 => Just(1_000)];
    let subscriptions_max = prop_oneof![1 => 1..4usize, 3 => Just(1_000)];
    let sizes = (1..4u16, 1..4usize, 1..6u32, 1..8usize, 1..4u32);
    (sizes, pending_max, 1..6usize, subscriptions_max).prop_map(
        |(sizes, pending_max, requests_max, subscriptions_max)| {
            let (workers, capacity, batch_max, messages_max, messages_per_task_max) = sizes;
            Limits {
                workers,
                capacity,
                batch_max,
                messages_max,
                messages_per_task_max,
                pending_max,
                requests_max,
                subscriptions_max,
            }
        },
    )
}

fn script(act: BoxedStrategy<Act>) -> impl Strategy<Value = Vec<Say>> {
    let acts = prop::collection::vec(act, 0..5).boxed();
    let say = prop_oneof![
        30 => (0..60usize).prop_map(Say::Go),
        8 => (0..4usize, birth(acts.clone())).prop_map(|(at, birth)| Say::Spawn(at, birth)),
        16 => (0..12usize, acts).prop_map(|(task, acts)| Say::Tell(task, acts)),
        4 => (1..30u64).prop_map(Say::Wait),
        1 => Just(Say::Join),
        1 => (0..4usize).prop_map(Say::Leave),
        1 => (0..4usize, 0..CHANNELS).prop_map(|(at, channel)| Say::Publish(at, channel)),
        1 => (0..4usize).prop_map(Say::Broadcast),
    ];
    prop::collection::vec(say, 1..60)
}

fn birth(acts: BoxedStrategy<Vec<Act>>) -> impl Strategy<Value = Birth> {
    let phase = prop::sample::select(&[0, 0, 1, 9][..]);
    (phase, acts.clone(), acts.clone(), acts).prop_map(|(phase, start, timeout, mut shutdown)| {
        shutdown.push(Act::Finish);
        Birth {
            phase,
            start,
            timeout,
            shutdown,
            ..Birth::default()
        }
    })
}

fn no_room() -> impl Strategy<Value = NoRoom> {
    prop_oneof![2 => Just(NoRoom::Wait), 1 => Just(NoRoom::Drop)]
}

fn someone() -> impl Strategy<Value = Whom> {
    prop_oneof![
        6 => (0..12usize).prop_map(Whom::Number),
        1 => Just(Whom::Me),
        1 => Just(Whom::Back),
    ]
}

/// What comes of a message, so many steps far.
fn then(depth: u32, act: fn(u32) -> BoxedStrategy<Act>) -> BoxedStrategy<Vec<Act>> {
    if depth == 0 {
        Just(vec![]).boxed()
    } else {
        prop::collection::vec(act(depth - 1), 0..3).boxed()
    }
}

fn direct(depth: u32) -> BoxedStrategy<Act> {
    prop_oneof![
        12 => (someone(), no_room(), then(depth, direct))
            .prop_map(|(whom, no_room, then)| Act::Send(whom, no_room, then)),
        2 => (1..30u64).prop_map(Act::After),
        1 => Just(Act::Report(1)),
        1 => prop_oneof![Just(Act::Finish), Just(Act::Panic), Just(Act::RunAway)],
    ]
    .boxed()
}

fn act(depth: u32) -> BoxedStrategy<Act> {
    let all = prop_oneof![
        3 => (0..CHANNELS).prop_map(Whom::Channel),
        1 => Just(Whom::Workers),
    ];
    let child = Act::Spawn(Birth::default());
    prop_oneof![
        5 => direct(depth),
        4 => (0..CHANNELS).prop_map(Act::Subscribe),
        2 => (0..CHANNELS).prop_map(Act::Unsubscribe),
        1 => Just(Act::BecomeAgent),
        5 => (all, no_room(), then(depth, act))
            .prop_map(|(whom, no_room, then)| Act::Send(whom, no_room, then)),
        5 => (someone(), no_room(), 0..60u64, then(depth, act))
            .prop_map(|(whom, no_room, wait, then)| Act::Request(whom, no_room, wait, then)),
        4 => no_room().prop_map(Act::Reply),
        1 => (0..8usize).prop_map(Act::ReplyTo),
        1 => Just(child),
    ]
    .boxed()
}
