//! Where two traces part.

use core::fmt;

use super::TraceLog;

impl TraceLog {
    /// The first event in which another run differs, and what has led to it there and here: of
    /// another seed, or another version of the code. `None` if all that happened is the same.
    ///
    /// # Example
    ///
    /// ```
    /// # use stillpoint_sim::TraceLog;
    /// # fn show(one: &TraceLog, other: &TraceLog) {
    /// if let Some(difference) = one.difference(other) {
    ///     eprintln!("{difference}");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<TraceDifference> {
        let index = self.first_difference(other)?;
        let chain = |log: &Self| {
            if index < log.len() {
                log.story(index)
            } else {
                Vec::new()
            }
        };
        let (mut first, mut second) = (chain(self), chain(other));
        if first.last() == second.last() {
            // They read alike: shows what the text leaves out.
            for (log, lines) in [(self, &mut first), (other, &mut second)] {
                if let (Some(last), Some(logged)) = (lines.last_mut(), log.event(index)) {
                    *last += &format!(" {:x?}", logged.event.words);
                }
            }
        }
        Some(TraceDifference {
            index,
            first,
            second,
        })
    }

    /// The number of the first event that differs.
    pub(crate) fn first_difference(&self, other: &Self) -> Option<usize> {
        let same = |index: usize| {
            let (one, two) = (self.entries.get(index), other.entries.get(index));
            let (Some(one), Some(two)) = (one, two) else {
                return false;
            };
            let (mut one, two) = (one.event, two.event);
            if self.node_name(one.node) == other.node_name(two.node) {
                one.node = two.node; // Nodes have other numbers once there is one more.
            }
            one == two
        };
        let len = self.len().max(other.len());
        (0..len).find(|&index| !same(index))
    }

    /// What has led to an event, and the event itself, as lines: the last of them, if they are many.
    ///
    /// # Panics
    ///
    /// If there is no such event.
    #[must_use]
    pub fn story(&self, index: usize) -> Vec<String> {
        let chain = self.causes(index);
        let left = chain.len().saturating_sub(STORY_MAX);
        let mut lines = Vec::new();
        if left > 0 {
            lines.push(format!("… {left} more before"));
        }
        lines.extend(chain[left..].iter().map(|&index| self.line(index)));
        lines
    }

    /// What has led to an event, as a few lines, if there is such an event.
    pub(crate) fn led_by(&self, index: usize) -> Option<Vec<String>> {
        if index >= self.len() {
            return None;
        }
        let mut lines = self.story(index);
        lines.pop();
        lines.drain(..lines.len().saturating_sub(LED_BY_MAX));
        Some(lines)
    }
}

/// Where two traces part: see [`TraceLog::difference`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceDifference {
    /// How many events are the same: the number of the first that is not.
    pub index: usize,
    /// That event, in the one trace, behind what has led to it. Empty if the trace ends before.
    pub first: Vec<String>,
    /// The same in the other.
    pub second: Vec<String>,
}

impl fmt::Display for TraceDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the first {} events are the same, and then", self.index)?;
        for (name, lines) in [("one", &self.first), ("the other", &self.second)] {
            let Some((last, before)) = lines.split_last() else {
                write!(f, "\n{name} ends")?;
                continue;
            };
            write!(f, "\n{name} has\n  {last}")?;
            if !before.is_empty() {
                write!(f, "\nwhich comes of")?;
            }
            for line in before {
                write!(f, "\n  {line}")?;
            }
        }
        Ok(())
    }
}

/// Lines of what has led to an event, for a message.
pub(crate) struct LedBy<'a>(pub(crate) &'a [String]);

impl fmt::Display for LedBy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((first, others)) = self.0.split_first() {
            writeln!(f, "  after:  {first}")?;
            for line in others {
                writeln!(f, "          {line}")?;
            }
        }
        Ok(())
    }
}

/// Lines of a story: a screen.
const STORY_MAX: usize = 24;

/// Lines of what has led to an event in a message about something else.
const LED_BY_MAX: usize = 4;
