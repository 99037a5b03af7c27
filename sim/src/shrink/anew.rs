//! Begins anew from a smaller scenario, where step by step nothing becomes smaller any more.
//!
//! A run that depends on how many things fall together (a race, say) can often not be changed at one
//! place without losing what it was about, and yet there are much smaller ones of its kind. Other
//! seeds have them: the numbers of the scenario's own are lowered at random, its faults stay, and the
//! rest is drawn.

use stillpoint::{Entropy, Source};

use super::passes::SCENARIO;
use super::search::Search;
use crate::choice::{Choice, ChoiceLog, Rest};

/// Looks for a run that has fewer events, and no more nodes: to be shrunk in its turn. The last one
/// of those it finds is the smallest run then, though it may have more faults. `false` if there is
/// none.
pub(super) fn draw(search: &mut Search<'_>, attempt: u64) -> bool {
    let site = Entropy::from_seed(search.log().seed()).site("shrink anew");
    let mut source = site.source(stillpoint::Entity::new(attempt));
    let kept: Vec<Choice> = search
        .best()
        .choices
        .choices()
        .iter()
        .filter(|choice| KEPT.contains(&&*choice.site))
        .cloned()
        .collect();
    let mut found = false;
    let drawn_max = if attempt == 0 { FIRST_MAX } else { DRAWN_MAX };
    for _ in 0..drawn_max {
        let seed = source.u64();
        let share = SHARES[usize::from(source.chance(0.5)) + usize::from(source.chance(0.5))];
        let lowered = kept.iter().map(|it| lowered(it, share, &mut source));
        let choices: Vec<Choice> = lowered.collect();
        let candidate = ChoiceLog::new(seed, Rest::Seed)
            .with_choices(choices)
            .omitting(search.log().omitted().iter().copied());
        found |= search.attempt_shorter(&candidate);
        if search.is_over() {
            break;
        }
    }
    found
}

/// A number of the scenario's: as it is, or anything below.
fn lowered(choice: &Choice, share: f64, source: &mut Source) -> Choice {
    let mut choice = choice.clone();
    let is_number = &*choice.site == SCENARIO && choice.has_order();
    if is_number && choice.chosen > 0 && source.chance(share) {
        choice.chosen = source.range(0..=choice.chosen);
    }
    choice
}

/// Sites whose choices stay, so that faults have the numbers that they had.
const KEPT: [&str; 3] = [SCENARIO, "fault switch", "fault plan"];

/// Which share of the numbers is lowered.
const SHARES: [f64; 3] = [0.1, 0.3, 0.6];

/// How many are drawn at first: every event less makes all that follows cheaper.
const FIRST_MAX: usize = 512;

/// How many are drawn at a time.
const DRAWN_MAX: usize = 128;
