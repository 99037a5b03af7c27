//! Pictures of a run: a timeline to look at, a packet capture, and a trace for Perfetto.
//!
//! All are made from a [`TraceLog`], and need nothing else.

use std::io::{self, Write};

use crate::trace::{LogEvent, NONE, Role, TraceKind, TraceLog};

mod chrome;
mod headers;
mod html;
mod pcapng;

/// Where events are drawn: the workers of all nodes, one below the other.
pub(crate) struct Lanes {
    /// By node: its first lane, and how many it has.
    nodes: Vec<(usize, usize)>,
}

impl Lanes {
    fn of(log: &TraceLog) -> Self {
        let mut workers: Vec<usize> = log.workers().map(|count| count.max(1)).collect();
        for event in log.events() {
            let event = event.event;
            if let Some(count) = workers.get_mut(event.node.index()) {
                *count = (*count).max(usize::from(event.worker) + 1);
            }
        }
        let mut count = 0;
        let mut nodes = Vec::new();
        for of_node in workers {
            nodes.push((count, of_node));
            count += of_node;
        }
        Self { nodes }
    }

    /// The lane of a worker, if there is such a worker.
    fn get(&self, node: usize, worker: usize) -> Option<usize> {
        let &(first, count) = self.nodes.get(node)?;
        (worker < count).then_some(first + worker)
    }

    fn lane_of(&self, event: &LogEvent<'_>) -> usize {
        let event = event.event;
        let lane = self.get(event.node.index(), usize::from(event.worker));
        lane.unwrap_or_default()
    }

    /// By event: the lane where what travels arrives, or would have.
    fn targets(&self, log: &TraceLog) -> Vec<Option<usize>> {
        let mut targets: Vec<Option<usize>> = (0..log.len())
            .map(|index| {
                let event = log.event(index)?.event;
                if event.kind == TraceKind::BusCarried {
                    let worker = usize::try_from(event.words[1]).ok()?;
                    return self.get(event.node.index(), worker);
                }
                let is_on_its_way = matches!(event.kind.role(), Role::Travel | Role::Loss);
                let to = log.destination(index).filter(|_| is_on_its_way)?;
                self.get(to.index(), 0)
            })
            .collect();
        // Which worker it was is known by what has come of it.
        for event in log.events() {
            if event.event.kind.role() == Role::Input
                && let Some(cause) = event.cause
                && targets[cause].is_some()
            {
                targets[cause] = Some(self.lane_of(&event));
            }
        }
        targets
    }
}

/// Writes a text as JSON, within quotes. What has a meaning in HTML is escaped as well, so that it
/// can stand within a script.
fn write_json_text(to: &mut impl Write, text: &str) -> io::Result<()> {
    to.write_all(b"\"")?;
    for character in text.chars() {
        match character {
            '"' => to.write_all(b"\\\"")?,
            '\\' => to.write_all(b"\\\\")?,
            '\n' => to.write_all(b"\\n")?,
            '<' | '>' | '&' | '\'' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' | '\u{7f}' => {
                write!(to, "\\u{:04x}", u32::from(character))?;
            }
            other => write!(to, "{other}")?,
        }
    }
    to.write_all(b"\"")
}

/// Writes texts or numbers as an array.
fn write_list<T>(
    to: &mut impl Write,
    items: impl IntoIterator<Item = T>,
    mut one: impl FnMut(&mut dyn Write, T) -> io::Result<()>,
) -> io::Result<()> {
    to.write_all(b"[")?;
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            to.write_all(b",")?;
        }
        one(to, item)?;
    }
    to.write_all(b"]")
}

/// A number of a table, or -1 for none.
fn or_less(number: u32) -> i64 {
    if number == NONE {
        -1
    } else {
        i64::from(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_leave_their_quotes_or_their_script() {
        let mut written = Vec::new();
        let text = "a\"b\\c\n</script><!--&'\u{2028}\u{1}ä";
        write_json_text(&mut written, text).unwrap();
        let written = String::from_utf8(written).unwrap();
        assert_eq!(
            written,
            "\"a\\\"b\\\\c\\n\\u003c/script\\u003e\\u003c!--\\u0026\\u0027\\u2028\\u0001ä\""
        );
    }
}
