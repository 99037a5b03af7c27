//! Which failures are of one kind.

use core::fmt;

use super::Failure;

/// What two failures have in common that are taken for the same: what went wrong, not when, nor with
/// which numbers. Failures are grouped by it, and a run that is made smaller must keep it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FailureClass {
    /// The kind: `invariant`, say.
    pub kind: String,
    /// What failed of that kind, if that is said: the name of a property, a message. Each number in
    /// a message stands as `#`.
    pub what: String,
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if self.what.is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", self.what)
        }
    }
}

impl Failure {
    /// Of which class it is.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        let (kind, what) = match self {
            Self::Deadlock { .. } => ("deadlock", String::new()),
            Self::TimedOut { .. } => ("timed out", String::new()),
            Self::Budget { .. } => ("too many events", String::new()),
            Self::TaskFailed { reason, .. } => ("task failed", without_numbers(reason)),
            Self::Invariant { name, .. } => ("invariant", name.clone()),
            Self::Eventually { name, .. } => ("eventually", name.clone()),
            Self::Stuck { .. } => ("stuck", String::new()),
            Self::Leaked { .. } => ("leaked", String::new()),
            Self::Panicked { message } => ("panicked", without_numbers(message)),
            Self::Scenario { reason } => ("scenario", without_numbers(reason)),
        };
        FailureClass {
            kind: kind.to_owned(),
            what,
        }
    }
}

/// A message of one line, with each number as `#`.
fn without_numbers(message: &str) -> String {
    let mut shown = String::new();
    for char in message.trim().chars().take_while(|&char| char != '\n') {
        if !char.is_ascii_digit() {
            shown.push(char);
        } else if !shown.ends_with('#') {
            shown.push('#');
        }
    }
    if let Some((cut, _)) = shown.char_indices().nth(WHAT_MAX) {
        shown.truncate(cut);
    }
    shown
}

/// Characters of a message that tell it from others.
const WHAT_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_moments_make_no_difference() {
        let failed = |left: u32, right: u32| Failure::Panicked {
            message: format!("assertion failed: {left} == {right}\n more of it: {left}"),
        };
        assert_eq!(failed(1, 2).class(), failed(30, 415).class());
        let class = failed(1, 2).class().to_string();
        assert_eq!(class, "panicked: assertion failed: # == #");
    }

    #[test]
    fn what_went_wrong_makes_a_difference() {
        let one = Failure::new("a six");
        let other = Failure::new("a five");
        assert_ne!(one.class(), other.class());
        let same_words = Failure::Panicked {
            message: "a six".to_owned(),
        };
        assert_ne!(one.class(), same_words.class());
    }
}
