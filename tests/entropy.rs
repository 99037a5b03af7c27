//! Keyed draws: what they depend on, what they give, and who may decide them instead.

use core::cell::{Cell, RefCell};
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::panic::catch_unwind;
use std::rc::Rc;

use stillpoint::{Choices, Draw, Entity, Entropy, Site};

fn site(seed: u64, name: &'static str) -> Site {
    Entropy::from_seed(seed).site(name)
}

/// The first draws of an entity.
fn first(site: &Site, entity: Entity) -> Vec<u64> {
    let mut source = site.source(entity);
    (0..8).map(|_| source.u64()).collect()
}

#[test]
fn what_others_draw_does_not_shift_my_draws() {
    let alone = first(&site(7, "link"), Entity::new(1));

    let entropy = Entropy::from_seed(7);
    let (mine, other_site) = (entropy.site("link"), entropy.site("disk"));
    let mut source = mine.source(Entity::new(1));
    let mut other_entity = mine.source(Entity::new(2));
    let mut namesake = other_site.source(Entity::new(1));
    let among_others: Vec<u64> = (0..8)
        .map(|round| {
            for _ in 0..round {
                other_entity.below(10);
                namesake.chance(0.5);
            }
            source.u64()
        })
        .collect();
    assert_eq!(among_others, alone);
}

#[test]
fn another_seed_site_entity_or_count_draws_otherwise() {
    let mut all = [
        first(&site(7, "link"), Entity::new(1)),
        first(&site(8, "link"), Entity::new(1)),
        first(&site(7, "disk"), Entity::new(1)),
        first(&site(7, "link"), Entity::new(2)),
        first(&site(7, "link"), Entity::new(1).part(0)),
        first(&site(7, "link"), Entity::new(1).part(1)),
        first(&site(7, "link"), Entity::named("1")),
    ]
    .concat();
    let drawn = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), drawn);
}

/// These values are for ever: a failure found under a seed must be found under it in every later
/// version. A change here is a breaking change.
#[test]
fn draws_are_the_same_in_every_version() {
    let mut source = site(42, "golden").source(Entity::named("alice").part(3));
    assert_eq!(source.u64(), GOLDEN_U64);
    assert_eq!(source.below(1_000_000), GOLDEN_BELOW);
    assert_eq!(source.range(100..=199), GOLDEN_RANGE);
    assert_eq!(source.chance(0.5), GOLDEN_CHANCE);
    let second = Duration::from_secs(1);
    assert_eq!(
        source.duration(Duration::ZERO..=second).as_nanos(),
        GOLDEN_DURATION
    );
    assert_eq!(Entity::named("alice").part(3).number(), GOLDEN_ENTITY);
}

#[test]
fn a_source_draws_what_its_site_gives_for_each_count() {
    let (site, entity) = (site(1, "link"), Entity::new(5));
    let mut source = site.source(entity);
    let latency = Duration::from_millis(1)..=Duration::from_millis(9);
    assert_eq!(source.below(1_000), site.below(entity, 0, 1_000));
    assert_eq!(source.chance(0.5), site.chance(entity, 1, 0.5));
    assert_eq!(
        source.duration(latency.clone()),
        site.duration(entity, 2, &latency)
    );
}

#[test]
fn draws_stay_within_their_bounds_and_reach_them() {
    let mut source = site(3, "bounds").source(Entity::new(1));
    let ends = |draws: Vec<u64>| (draws.iter().min().copied(), draws.iter().max().copied());
    let below = (0..500).map(|_| source.below(7)).collect();
    assert_eq!(ends(below), (Some(0), Some(6)));
    let range = (0..500).map(|_| source.range(10..=13)).collect();
    assert_eq!(ends(range), (Some(10), Some(13)));
    let nanos = |nanos| Duration::from_nanos(nanos);
    let durations = (0..500).map(|_| source.duration(nanos(5)..=nanos(8)).subsec_nanos().into());
    assert_eq!(ends(durations.collect()), (Some(5), Some(8)));

    assert_eq!(source.below(1), 0);
    assert_eq!(source.range(9..=9), 9);
    assert_eq!(source.duration(nanos(4)..=nanos(4)), nanos(4));
    assert!((0..500).all(|_| !source.chance(0.0) && source.chance(1.0)));
    // All 2^64 alternatives are a range too.
    let halves = (0..500).map(|_| source.range(0..=u64::MAX) >> 63).collect();
    assert_eq!(ends(halves), (Some(0), Some(1)));
}

#[test]
fn draws_are_even() {
    const DRAWS: u32 = 20_000;
    let mut source = site(11, "even").source(Entity::new(1));
    let mut counts = [0u32; 10];
    for _ in 0..DRAWS {
        counts[usize::try_from(source.below(10)).unwrap()] += 1;
    }
    // Six standard deviations of a binomial with 20,000 tries at one in ten.
    assert!(
        counts.iter().all(|&count| count.abs_diff(DRAWS / 10) < 255),
        "{counts:?}"
    );

    let hits = (0..DRAWS).filter(|_| source.chance(0.25)).count();
    assert!(hits.abs_diff(5_000) < 370, "{hits}");

    // Neighbours are as different as strangers: of 64 bits, half.
    let site = site(11, "neighbours");
    let word = |entity: u64| site.source(Entity::new(entity)).u64();
    let flipped: u32 = (0..1_000)
        .map(|entity| (word(entity) ^ word(entity + 1)).count_ones())
        .sum();
    assert!(flipped.abs_diff(32_000) < 760, "{flipped}");
}

#[test]
fn draws_from_nothing_are_the_callers_mistake() {
    let panics = |draw: fn(&mut stillpoint::Source) -> u64| {
        let mut source = site(1, "nothing").source(Entity::new(1));
        catch_unwind(AssertUnwindSafe(|| draw(&mut source))).is_err()
    };
    assert!(panics(|source| source.below(0)));
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
    let reversed: fn(&mut stillpoint::Source) -> u64 = |source| source.range(2..=1);
    assert!(panics(reversed));
    assert!(panics(|source| {
        source
            .duration(Duration::from_secs(2)..=Duration::from_secs(1))
            .as_secs()
    }));
    assert!(panics(|source| source
        .duration(Duration::ZERO..=Duration::MAX)
        .as_secs()));
}

/// Takes what the seed gives, and keeps it.
#[derive(Default)]
struct Recorder(RefCell<Vec<(Draw, u64)>>);

impl Choices for Recorder {
    fn choose(&self, draw: Draw, drawn: u64) -> u64 {
        self.0.borrow_mut().push((draw, drawn));
        drawn
    }
}

/// Gives what was recorded, whatever the seed gives.
struct Replay {
    recorded: Vec<(Draw, u64)>,
    next: Cell<usize>,
}

impl Choices for Replay {
    fn choose(&self, draw: Draw, _: u64) -> u64 {
        let (expected, chosen) = self.recorded[self.next.get()];
        self.next.set(self.next.get() + 1);
        assert_eq!(draw, expected);
        chosen
    }
}

/// One draw of each kind, twice over.
fn story(entropy: &Entropy) -> Vec<u64> {
    let site = entropy.site("story");
    let mut sources = [Entity::new(1), Entity::new(2)].map(|entity| site.source(entity));
    let mut told = Vec::new();
    for source in &mut sources {
        told.push(source.u64());
        told.push(source.below(100));
        told.push(source.range(5..=9));
        told.push(source.chance(0.5).into());
        told.push(
            source
                .duration(Duration::ZERO..=Duration::from_secs(1))
                .subsec_nanos()
                .into(),
        );
    }
    told
}

#[test]
fn recorded_choices_replay_under_any_seed() {
    let recorder = Rc::new(Recorder::default());
    let told = story(&Entropy::with_choices(5, Rc::<Recorder>::clone(&recorder)));
    assert_eq!(
        told,
        story(&Entropy::from_seed(5)),
        "to record changes nothing"
    );

    let recorded = recorder.0.borrow().clone();
    assert_eq!(recorded.len(), told.len());
    let first = Draw {
        site: "story",
        entity: Entity::new(1),
        count: 0,
        options: 0,
    };
    assert_eq!(recorded[0].0, first);
    assert_eq!(
        recorded[7].0,
        Draw {
            entity: Entity::new(2),
            count: 2,
            options: 5,
            ..first
        }
    );
    assert_eq!(recorded[3].0.options, 2, "a chance has two outcomes");

    let replay = Rc::new(Replay {
        recorded,
        next: Cell::new(0),
    });
    let replayed = story(&Entropy::with_choices(99, Rc::<Replay>::clone(&replay)));
    assert_eq!(replayed, told);
    assert_ne!(replayed, story(&Entropy::from_seed(99)));
    assert_eq!(replay.next.get(), told.len());
}

#[test]
fn a_choice_out_of_range_panics() {
    /// Always chooses this.
    struct Always(u64);
    impl Choices for Always {
        fn choose(&self, _: Draw, _: u64) -> u64 {
            self.0
        }
    }
    let source = |choice| {
        Entropy::with_choices(0, Rc::new(Always(choice)))
            .site("always")
            .source(Entity::new(1))
    };
    assert_eq!(source(9).below(10), 9);
    assert!(source(1).chance(0.01));
    assert!(!source(1).chance(0.0), "what never happens is no choice");
    assert!(source(0).chance(1.0), "nor what always does");
    assert_eq!(source(1).below(1), 0, "nor the only one there is");
    assert_eq!(source(u64::MAX).u64(), u64::MAX, "all 64 bits are in range");
    let panics = |choice, draw: fn(&mut stillpoint::Source) -> u64| {
        catch_unwind(AssertUnwindSafe(|| draw(&mut source(choice)))).is_err()
    };
    assert!(panics(10, |source| source.below(10)));
    assert!(panics(2, |source| source.chance(0.5).into()));
    assert!(panics(5, |source| source.range(5..=9)));
}

const GOLDEN_U64: u64 = 0x6DEF_12FA_7FB8_662E;
const GOLDEN_BELOW: u64 = 86_322;
const GOLDEN_RANGE: u64 = 173;
const GOLDEN_CHANCE: bool = true;
const GOLDEN_DURATION: u128 = 825_366_739;
const GOLDEN_ENTITY: u64 = 0x6D76_AF60_0D66_4531;
