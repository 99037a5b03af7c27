//! The clock on the wall: how long a test or a sweep has been at it. It bounds how many seeds are
//! run, and is the only clock that this crate asks; what happens in a run never depends on it.

use core::time::Duration;
use std::time::Instant;

/// A time to be done by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    started: Instant,
    budget: Option<Duration>,
}

impl Stopwatch {
    /// Starts now. `None` is for no bound.
    pub(crate) fn start(budget: Option<Duration>) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where it is asked how long seeds take"
        )]
        let started = Instant::now();
        Self { started, budget }
    }

    pub(crate) const fn budget(&self) -> Option<Duration> {
        self.budget
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.budget.is_some_and(|budget| self.elapsed() >= budget)
    }
}

/// A duration as people write it: `5m`, `90s`, `500ms`, `1h30m`. Seconds if there is no unit.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration: write `90s`, `5m`, `1h30m` or `500ms`");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit() && char != '.');
        let (number, behind) = rest.split_at(digits.unwrap_or(rest.len()));
        let letters = behind.find(|char: char| !char.is_ascii_alphabetic());
        let (unit, behind) = behind.split_at(letters.unwrap_or(behind.len()));
        let seconds: f64 = match unit {
            "ms" => 0.001,
            "s" | "" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
        sum = sum.checked_add(part).ok_or_else(wrong)?;
        rest = behind;
    }
    Ok(sum)
}

/// The same; nothing, `0` and `none` are for no bound.
pub(crate) fn parse_budget(text: &str) -> Result<Option<Duration>, String> {
    match text.trim() {
        "none" | "0" => Ok(None),
        text => parse_duration(text).map(|budget| Some(budget).filter(|budget| !budget.is_zero())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_people_write_them() {
        for (text, millis) in [
            ("90s", 90_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("7", 7_000),
            (" 1.5s ", 1_500),
            ("1d", 86_400_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)));
        }
        for wrong in [
            "",
            "s",
            "5x",
            "-1s",
            "1..5s",
            "5 m",
            "1e400d",
            "99999999999999999999d",
        ] {
            let error = parse_duration(wrong).unwrap_err();
            assert!(
                error.contains(&format!("`{wrong}` is no duration")),
                "{error}"
            );
        }
    }

    #[test]
    fn no_bound_has_two_names() {
        for text in ["0", "none", "0s", " none\n"] {
            assert_eq!(parse_budget(text), Ok(None));
        }
        assert_eq!(parse_budget("1m"), Ok(Some(Duration::from_secs(60))));
        assert!(parse_budget("never").is_err());
    }
}
