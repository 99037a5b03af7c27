//! How a sweep goes, for whoever watches it on a terminal.

use core::fmt;
use core::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::{is_on_terminal, say};
use crate::wall::Stopwatch;

/// A bar on a terminal, and nothing elsewhere.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    watch: Stopwatch,
    /// Seeds that were run before.
    before: u64,
}

impl Progress {
    /// `seeds` is how many there are, if they end.
    pub(super) fn new(seeds: Option<u64>, before: u64, watch: Stopwatch) -> Self {
        let bar = is_on_terminal().then(|| {
            let bar = seeds.map_or_else(ProgressBar::no_length, ProgressBar::new);
            let template = match seeds {
                Some(_) => "[{elapsed_precise}] {bar:30} {human_pos}/{human_len} seeds, {msg}",
                None => "[{elapsed_precise}] {human_pos} seeds, {msg}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, watch, before }
    }

    pub(super) fn tick(&self, seeds: u64, failed: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(self.before + seeds);
            let rate = rate(seeds, self.watch.elapsed());
            bar.set_message(format!("{rate}, {failed} failed"));
        }
    }

    /// Says something without the bar in between.
    pub(super) fn say(&self, text: fmt::Arguments<'_>) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How fast it goes.
pub(super) fn rate(seeds: u64, elapsed: Duration) -> String {
    let millis = u64::try_from(elapsed.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let rate = seeds.saturating_mul(1_000) / millis;
    if rate >= 10 || seeds == 0 {
        format!("{rate} a second")
    } else {
        let each = elapsed / u32::try_from(seeds).unwrap_or(u32::MAX);
        format!("{each:.1?} each")
    }
}
