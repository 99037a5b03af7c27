//! What happened in a run that failed, told on one screen.
//!
//! Meant for [shrunk](crate::shrink()) runs, of which nearly all can be told; of longer ones it tells
//! what went wrong, and the end.

use core::fmt;

use stillpoint::Timestamp;

use crate::choice::Choice;
use crate::drive::Run;
use crate::trace::{LogEvent, TraceEvent, TraceKind};

mod fold;
mod words;

use fold::fold;
pub(crate) use words::name_nodes;
use words::{cut, fault_in_words, mishap, short};

/// What happened in a run that failed: at most [`Story::LINES_MAX`] lines of
/// [`Story::COLUMNS_MAX`] characters. Prints them.
///
/// It says who took part, which faults and mishaps there were and by which choice each was decided,
/// what else was decided, then the events that led to the failure, and the failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    lines: Vec<String>,
}

impl Story {
    /// Lines of a story, at most.
    pub const LINES_MAX: usize = 40;

    /// Characters of a line, at most.
    pub const COLUMNS_MAX: usize = 100;

    /// Tells a run, which must have been [watched](crate::Watch::Trace): else there are no events
    /// to tell.
    #[must_use]
    pub fn of(scenario: &str, run: &Run) -> Self {
        let mut head = headline(scenario, run);
        head.push(nodes(run));
        head.extend(limited(wrongs(run), WRONGS_MAX, "more that went wrong"));
        head.extend(limited(numbers(run), NUMBERS_MAX, "more choices"));
        let tail = failure(run);
        let room = Self::LINES_MAX.saturating_sub(head.len() + tail.len());
        let mut lines = head;
        lines.extend(events(run, room));
        lines.extend(tail);
        for line in &mut lines {
            *line = cut(&short(line), Self::COLUMNS_MAX);
        }
        Self { lines }
    }

    /// The lines.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

fn headline(scenario: &str, run: &Run) -> Vec<String> {
    let (at, events) = (run.summary.at, run.summary.events);
    match run.class() {
        Some(class) => vec![
            format!("`{scenario}` fails at {at}, after {events} events:"),
            format!("  {class}"),
        ],
        None => vec![format!(
            "`{scenario}` does not fail: it ends at {at}, after {events} events"
        )],
    }
}

fn nodes(run: &Run) -> String {
    let busy = run.nodes.iter().filter(|node| node.inputs > 0);
    let names: Vec<String> = busy.map(|node| format!("`{}`", node.name)).collect();
    let idle = match run.nodes.len() - names.len() {
        0 => String::new(),
        idle => format!(", and {idle} that are given nothing"),
    };
    let shown: Vec<String> = limited(names, NAMES_MAX, "more");
    format!("nodes: {}{idle}", shown.join(", "))
}

/// Faults, and what went wrong on the way, in the order of time. If that is much, without what only
/// followed: nobody has decided it.
fn wrongs(run: &Run) -> Vec<String> {
    let mut wrongs: Vec<Wrong> = Vec::new();
    for fault in &run.faults {
        let words = fault_in_words(&fault.fault, &run.nodes);
        wrongs.push(Wrong {
            at: fault.at,
            followed: false,
            lines: vec![format!("  {} fault {}: {words}", fault.at, fault.number)],
        });
    }
    for (index, event) in run.events().map(|logged| logged.event).enumerate() {
        if event.kind == TraceKind::Fault {
            continue; // It is told already, unless everything was healed.
        }
        let decided: Vec<&Choice> = loud_at(run, index).collect();
        if let Some(words) = mishap(run, index, &decided) {
            let mut lines = vec![format!("  {} {words}", event.at)];
            let by = decided.iter().map(|choice| {
                let (site, who) = (&choice.site, run.name_of(choice));
                format!("      by `{site}` of {who}, draw {}", choice.count)
            });
            lines.extend(by.take(2));
            wrongs.push(Wrong {
                at: event.at,
                followed: decided.is_empty(),
                lines,
            });
        }
    }
    wrongs.sort_by_key(|wrong| wrong.at);
    let told = |wrongs: &[Wrong]| {
        let mut lines = Vec::new();
        // What was decided is told one by one.
        for alike in wrongs.chunk_by(|one, other| one.followed == other.followed) {
            let these = alike.iter().flat_map(|wrong| wrong.lines.clone());
            let these: Vec<String> = these.collect();
            if alike[0].followed {
                lines.extend(fold(&these));
            } else {
                lines.extend(these);
            }
        }
        lines
    };
    let mut lines = told(&wrongs);
    if lines.len() >= WRONGS_MAX {
        let all = wrongs.len();
        wrongs.retain(|wrong| !wrong.followed);
        lines = told(&wrongs);
        let followed = all - wrongs.len();
        if followed > 0 {
            let more =
                format!("  and {followed} times something was dropped, or waited, after that");
            lines.push(more);
        }
    }
    let title = match lines[..] {
        [] => "what went wrong on the way: nothing",
        [_, ..] => "what went wrong on the way:",
    };
    lines.insert(0, title.to_owned());
    lines
}

/// Something that went wrong.
struct Wrong {
    at: Timestamp,
    /// Whether it only followed from something else.
    followed: bool,
    lines: Vec<String>,
}

/// The choices that were made at an event, those of the scenario aside, and are not quiet.
fn loud_at(run: &Run, index: usize) -> impl Iterator<Item = &Choice> {
    let end = run.marks.get(index).copied().unwrap_or(0);
    let before = index.checked_sub(1).and_then(|index| run.marks.get(index));
    let start = before.copied().unwrap_or(0).min(end);
    let made = run.choices.choices().get(start..end).unwrap_or_default();
    made.iter()
        .filter(|choice| is_loud(choice) && !is_number(choice))
}

fn is_loud(choice: &Choice) -> bool {
    choice.has_order() && choice.chosen != 0
}

/// Whether the scenario itself, or a plan of faults, has drawn it: it happens at no event.
fn is_number(choice: &Choice) -> bool {
    ["scenario", "fault switch", "fault plan"].contains(&&*choice.site)
}

/// What else was decided: the numbers of the scenario.
fn numbers(run: &Run) -> Vec<String> {
    let drawn = run.choices.choices().iter();
    let drawn: Vec<&Choice> = drawn.filter(|it| &*it.site == "scenario").collect();
    if drawn.is_empty() {
        return Vec::new();
    }
    let loud = drawn.iter().filter(|choice| is_loud(choice)).map(|choice| {
        let (who, number) = (run.name_of(choice), choice.count);
        let (chosen, most) = (choice.chosen, choice.options - 1);
        format!("  {who}, draw {number}: {chosen} above the lowest, of {most} at most")
    });
    let title = "what the scenario has drawn (all else is as low as it can be):";
    core::iter::once(title.to_owned()).chain(loud).collect()
}

/// The events, as far as there is room: first of all those that led to the last one.
fn events(run: &Run, room: usize) -> Vec<String> {
    let Some(room) = room.checked_sub(1) else {
        return Vec::new();
    };
    let led = chain(run);
    let weight = |(index, logged): (usize, LogEvent<'_>)| {
        if mishap(run, index, &loud_at(run, index).collect::<Vec<_>>()).is_some() {
            3
        } else if is_routine(&logged.event) {
            0
        } else {
            1 + u8::from(led[index])
        }
    };
    let weights: Vec<u8> = run.events().enumerate().map(weight).collect();
    // As much as there is room for, once it is folded.
    for least in 0..=2 {
        let shown = told(run, |index| weights[index] >= least);
        if shown.len() <= room || least == 2 {
            let mut lines = vec![
                "what happened (>: one led to the other, and the last to the failure):".to_owned(),
            ];
            let from = shown.len().saturating_sub(room.saturating_sub(1));
            if shown.len() <= room {
                lines.extend(shown);
            } else {
                lines.push(format!("  … {from} more lines before"));
                lines.extend(shown.into_iter().skip(from));
            }
            return lines;
        }
    }
    Vec::new()
}

fn told(run: &Run, is_shown: impl Fn(usize) -> bool) -> Vec<String> {
    let Some(log) = &run.trace else {
        return Vec::new();
    };
    let shown = (0..log.len()).filter(|&index| is_shown(index));
    let led = chain(run);
    let shown = shown.map(|index| {
        let mark = if led[index] { '>' } else { ' ' };
        format!("{mark} {}", log.line(index))
    });
    let lines: Vec<String> = shown.collect();
    fold(&lines)
}

/// For each event, whether it led to the failure.
fn chain(run: &Run) -> Vec<bool> {
    let mut led = vec![false; run.events_len()];
    let Some(log) = &run.trace else {
        return led;
    };
    let failed = log.failure().map(|(_, after)| after);
    if let Some(last) = failed.or_else(|| log.len().checked_sub(1)) {
        for index in log.causes(last) {
            led[index] = true;
        }
    }
    led
}

/// What happens in every run: sockets are opened, tasks begin.
const fn is_routine(event: &TraceEvent) -> bool {
    matches!(
        event.kind,
        TraceKind::Open
            | TraceKind::Close
            | TraceKind::Started
            | TraceKind::Network
            | TraceKind::PeerJoined
            | TraceKind::WorkerStarted
    )
}

/// Why it failed, in full.
fn failure(run: &Run) -> Vec<String> {
    let Some(failure) = &run.failure else {
        return Vec::new();
    };
    let text = failure.to_string();
    let mut lines = vec!["the failure:".to_owned()];
    for line in text.lines() {
        let mut left = line;
        while left.chars().count() > WRAPPED {
            let (cut, _) = left
                .char_indices()
                .nth(WRAPPED)
                .unwrap_or((left.len(), ' '));
            let at = left[..cut].rfind(' ').unwrap_or(cut);
            lines.push(format!("  {}", &left[..at]));
            left = left[at..].trim_start();
        }
        lines.push(format!("  {left}"));
    }
    limited(lines, FAILURE_MAX, "more lines")
}

/// The first of them, and how many more there are.
fn limited(mut lines: Vec<String>, max: usize, what: &str) -> Vec<String> {
    if lines.len() > max {
        let more = lines.len() - (max - 1);
        lines.truncate(max - 1);
        lines.push(format!("  … {more} {what}"));
    }
    lines
}

/// Characters of a line that is wrapped.
const WRAPPED: usize = 96;

/// Lines of each part.
const WRONGS_MAX: usize = 11;
const NUMBERS_MAX: usize = 7;
const FAILURE_MAX: usize = 9;
const NAMES_MAX: usize = 6;
