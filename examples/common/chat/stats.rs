//! What a door counts.

use serde_json::{Value, json};

/// What a door, or several together, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// People who were let in.
    pub welcomed: u64,
    /// People for whom there was no room.
    pub turned_away: u64,
    /// People who were there at the end.
    pub open: u64,
    /// The most that were there at a time.
    pub open_most: u64,
    /// Lines that were taken and published.
    pub said: u64,
    /// Lines that were written to somebody, each time. Notices and answers are not lines.
    pub heard: u64,
    /// Of lines that were published, those that somebody was not given for want of room.
    pub missed: u64,
    /// Notices and answers that somebody was not given for want of room.
    pub untold: u64,
    /// Lines that came too fast.
    pub too_fast: u64,
    /// Lines that were too long.
    pub too_long: u64,
    /// Lines that were not published because a queue of the bus was full.
    pub unsaid: u64,
    /// People who said nothing for too long.
    pub silent: u64,
    /// People who took nothing for too long.
    pub stuck: u64,
    /// People who broke their connection off.
    pub resets: u64,
    /// People whose connection failed otherwise.
    pub failed: u64,
    /// Writes that were refused, which can only be for a connection that is over.
    pub writes_refused: u64,
}

impl Stats {
    /// Adds what another door counted.
    pub fn add(&mut self, other: &Self) {
        self.welcomed += other.welcomed;
        self.turned_away += other.turned_away;
        self.open += other.open;
        self.open_most += other.open_most;
        self.said += other.said;
        self.heard += other.heard;
        self.missed += other.missed;
        self.untold += other.untold;
        self.too_fast += other.too_fast;
        self.too_long += other.too_long;
        self.unsaid += other.unsaid;
        self.silent += other.silent;
        self.stuck += other.stuck;
        self.resets += other.resets;
        self.failed += other.failed;
        self.writes_refused += other.writes_refused;
    }

    pub fn to_json(self) -> Value {
        json!({
            "welcomed": self.welcomed,
            "turned_away": self.turned_away,
            "open": self.open,
            "open_most": self.open_most,
            "said": self.said,
            "heard": self.heard,
            "missed": self.missed,
            "untold": self.untold,
            "too_fast": self.too_fast,
            "too_long": self.too_long,
            "unsaid": self.unsaid,
            "silent": self.silent,
            "stuck": self.stuck,
            "resets": self.resets,
            "failed": self.failed,
            "writes_refused": self.writes_refused,
        })
    }

    /// Rows of a table: what, and how much.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        vec![
            ("people let in", self.welcomed.to_string()),
            ("people turned away", self.turned_away.to_string()),
            ("people there", self.open.to_string()),
            ("there at a time, at most", self.open_most.to_string()),
            ("lines said", self.said.to_string()),
            ("lines heard", self.heard.to_string()),
            ("lines missed by slow readers", self.missed.to_string()),
            ("notices missed", self.untold.to_string()),
            ("lines that came too fast", self.too_fast.to_string()),
            ("lines that were too long", self.too_long.to_string()),
            ("lines the bus had no room for", self.unsaid.to_string()),
            ("gone for silence", self.silent.to_string()),
            ("gone for reading nothing", self.stuck.to_string()),
            ("broke off", self.resets.to_string()),
            ("failed otherwise", self.failed.to_string()),
            ("writes refused", self.writes_refused.to_string()),
        ]
    }
}
