//! Watches a stillpoint runtime that serves its metrics: a live table in the terminal.

#[path = "common/output.rs"]
#[allow(dead_code, reason = "this example uses its part of it")]
#[allow(unreachable_pub, reason = "a module of several programs")]
mod output;
#[path = "common/top/mod.rs"]
mod top;

use core::time::Duration;
use std::io::{IsTerminal, stdout};
use std::process::exit;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use clap::Parser;
use output::fail;
use top::page::fetch;
use top::sample::Snapshot;
use top::table::View;

/// A live table of what the workers of a running program do. Ctrl-C ends it.
///
/// The program has to serve its metrics (stillpoint::metrics::MetricsServer); ADDR is where. What
/// is counted is shown for each second. Loop: how long the loops of a worker took; late: by how
/// much timeouts came too late; queue: what waits, and the most that ever did in one queue.
/// Without a terminal, one table after the other is printed.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Where the metrics are served: host and port
    #[arg(value_name = "ADDR")]
    server: String,
    /// Seconds between two looks
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    interval: f64,
    /// Print one table, of one interval, and end
    #[arg(long)]
    once: bool,
    /// Print one JSON object for each interval
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("not a number of seconds from 0.1 to 86400".to_owned()),
    }
}

fn main() {
    let options = Options::parse();
    let (interrupt, interrupted) = channel();
    let handler = move || {
        // If nobody listens any more, the program ends already.
        let _: Result<(), _> = interrupt.send(());
    };
    ctrlc::set_handler(handler).unwrap_or_else(|error| fail(error));

    let screen = (stdout().is_terminal() && !options.json && !options.once).then(Screen::new);
    let mut before = None;
    loop {
        let now = fetch(&options.server).and_then(|page| Snapshot::read(&page));
        let now = match now {
            Ok(now) => now,
            Err(why) => {
                drop(screen);
                fail(why);
            }
        };
        let view = View::new(&options.server, &now, before.as_ref());
        if let Some(screen) = &screen {
            screen.show(&view.lines());
        } else if before.is_some() {
            print(&view, &options);
            if options.once {
                return;
            }
        }
        before = Some(now);
        if wait(&interrupted, options.interval) == Wait::Interrupted {
            return;
        }
    }
}

fn print(view: &View, options: &Options) {
    let is_heard = if options.json {
        output::try_line(view.json())
    } else {
        let end = if options.once { "" } else { "\n" };
        output::try_line(format_args!("{}{end}", view.lines().join("\n")))
    };
    if is_heard.is_err() {
        exit(0); // Whoever closed the pipe has read enough.
    }
}

#[derive(PartialEq, Eq)]
enum Wait {
    Over,
    Interrupted,
}

fn wait(interrupted: &Receiver<()>, seconds: f64) -> Wait {
    match interrupted.recv_timeout(Duration::from_secs_f64(seconds)) {
        Err(RecvTimeoutError::Timeout) => Wait::Over,
        Ok(()) | Err(RecvTimeoutError::Disconnected) => Wait::Interrupted,
    }
}

/// A terminal on which each table is drawn over the last one. It is left as it was.
struct Screen;

impl Screen {
    fn new() -> Self {
        // Another screen, no cursor, and long lines cut instead of wrapped.
        output::write("\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J");
        Self
    }

    fn show(&self, lines: &[String]) {
        // Each line is cleared behind its end, and so is all below the last: nothing flickers.
        let lines = lines.join("\x1b[K\n");
        output::write(format_args!("\x1b[H{lines}\x1b[K\x1b[J"));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        output::write("\x1b[?7h\x1b[?25h\x1b[?1049l");
    }
}
