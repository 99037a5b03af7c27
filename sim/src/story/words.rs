//! Faults and mishaps in words.

use stillpoint::Timestamp;

use crate::choice::Choice;
use crate::counters::DropCause;
use crate::drive::{NodeInShort, Run};
use crate::fault::Fault;
use crate::trace::TraceKind;

/// A fault, with the names of its nodes.
pub(super) fn fault_in_words(fault: &Fault, nodes: &[NodeInShort]) -> String {
    name_nodes(&format!("{fault:?}"), |name| format!("`{name}`"), nodes)
}

/// A `Debug` text with names in place of the ids of nodes.
pub(crate) fn name_nodes(
    text: &str,
    shown: impl Fn(&str) -> String,
    nodes: &[NodeInShort],
) -> String {
    let mut named = String::new();
    let mut parts = text.split("NodeId(");
    named.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let known = part.split_once(')').and_then(|(number, behind)| {
            let node = nodes.get(number.parse::<usize>().ok()?)?;
            Some((node, behind))
        });
        match known {
            Some((node, behind)) => {
                named.push_str(&shown(&node.name));
                named.push_str(behind);
            }
            None => {
                named.push_str("NodeId(");
                named.push_str(part);
            }
        }
    }
    named
}

/// What went wrong at an event, or was decided there other than the quiet way. `None` if nothing
/// was.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "of most events there is nothing to tell"
)]
pub(super) fn mishap(run: &Run, index: usize, decided: &[&Choice]) -> Option<String> {
    let log = run.trace.as_ref()?;
    let event = log.event(index)?.event;
    let node = run.nodes.get(event.node.index());
    let node = node.map_or("?", |node| node.name.as_str());
    let link = decided.iter().map(|choice| run.name_of(choice));
    let link = link
        .into_iter()
        .find(|name| name.starts_with("the link from"));
    // With a name of the link both ends are known, else the address that it goes to.
    let way = link.map_or_else(
        || {
            let line = log.line(index);
            let to = line.split(" to ").nth(1).unwrap_or_default();
            format!(
                "at `{node}`, bound for {}",
                to.split([',', ' ']).next().unwrap_or_default()
            )
        },
        |link| link.trim_start_matches("the link ").to_owned(),
    );
    let arrival = Timestamp::from_nanos(event.words[2]);
    let told = match event.kind {
        TraceKind::Dropped => format!("the datagram {way} was {}", lost(event.words[2])),
        TraceKind::SegmentLost => format!("the segment {way} was {}", lost(event.words[2])),
        TraceKind::PacketDropped => {
            format!(
                "the packet on the way to `{node}` was {}",
                lost(event.words[2])
            )
        }
        TraceKind::Duplicated => format!("the datagram {way} was doubled: again at {arrival}"),
        TraceKind::PacketCopied => format!("the packet of `{node}` was doubled"),
        TraceKind::Held => format!("what goes {way} was held back"),
        TraceKind::Corrupted => format!("what goes {way} was corrupted"),
        TraceKind::Truncated => format!("what goes {way} was cut short"),
        TraceKind::Stalled => {
            let until = Timestamp::from_nanos(event.words[0]);
            format!(
                "worker {} of `{node}` stood still until {until}",
                event.worker
            )
        }
        TraceKind::Fault if log.line(index).contains("heal") => "everything was healed".to_owned(),
        TraceKind::Carried if !decided.is_empty() => {
            format!("the datagram {way} was late: it arrives at {arrival}")
        }
        TraceKind::BusCarried if !decided.is_empty() => {
            let to = event.words[1];
            let from = format!("worker {} of `{node}`", event.worker);
            format!("an item from {from} to worker {to} was late: it arrives at {arrival}")
        }
        _ if !decided.is_empty() => format!("other than quiet: {}", log.line(index)),
        _ => return None,
    };
    Some(told)
}

/// What became of something, by the number of its cause.
fn lost(cause: u64) -> String {
    let cause = usize::try_from(cause).ok();
    match cause.and_then(|cause| DropCause::ALL.get(cause)) {
        Some(DropCause::Loss) => "lost".to_owned(),
        Some(cause) => format!("dropped: {cause:?}"),
        None => "dropped".to_owned(),
    }
}

/// A line without what says nothing: the zeros at the end of times, and that one datagram is one.
pub(super) fn short(line: &str) -> String {
    let line = line.replace(" in 1 datagram(s)", "");
    let mut shown = String::new();
    for word in line.split_inclusive(' ') {
        let digits = word.trim_end().trim_end_matches([',', ':', '.', ')']);
        let is_time = digits.strip_suffix('s').and_then(|time| {
            let (seconds, nanos) = time.split_once('.')?;
            let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
            (nanos.len() == 9 && is_number(seconds) && is_number(nanos)).then_some((seconds, nanos))
        });
        match is_time {
            Some((seconds, nanos)) => {
                let nanos = nanos.trim_end_matches('0');
                let dot = if nanos.is_empty() { "" } else { "." };
                shown.push_str(&format!("{seconds}{dot}{nanos}s"));
                shown.push_str(&word[digits.len()..]);
            }
            None => shown.push_str(word),
        }
    }
    shown
}

/// A line of so many characters at most. What is left out of a longer one was in its middle: texts
/// say at their end what is new.
pub(super) fn cut(line: &str, columns: usize) -> String {
    let count = line.chars().count();
    if count <= columns {
        return line.to_owned();
    }
    let (head, tail) = (columns - columns / 3 - 1, columns / 3);
    let mut cut: String = line.chars().take(head).collect();
    cut.push('…');
    cut.extend(line.chars().skip(count - tail));
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_no_zeros_at_their_end() {
        let line =
            short("0.105000000s a, 25 B in 1 datagram(s), arrives 60.000000000s: 10.0.0.1:7 s.");
        assert_eq!(line, "0.105s a, 25 B, arrives 60s: 10.0.0.1:7 s.");
    }

    #[test]
    fn long_lines_lose_their_middle() {
        assert_eq!(cut("0123456789", 10), "0123456789");
        assert_eq!(cut("0123456789ä", 9), "01234…89ä");
    }
}
