//! Replays what the UDP echo server has recorded, without a network: the same inputs, and, unless
//! the server has changed, the same outputs.

mod common;

use std::fs;
use std::path::PathBuf;

use clap::Parser;
use common::echo;
use common::output::{fail, line, table, try_line};
use stillpoint::{Recording, Worker};

/// Replays a recording of `udp_echo_server --record FOLDER`.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// The recording
    file: PathBuf,
    /// Print what is in it instead: a line for each input, and one for each output
    #[arg(long)]
    lines: bool,
}

fn main() {
    let options = Options::parse();
    let file = options.file.display();
    let bytes =
        fs::read(&options.file).unwrap_or_else(|error| fail(format_args!("{file}: {error}")));
    let recording = Recording::from_bytes(bytes);
    let recording = recording.unwrap_or_else(|error| fail(format_args!("{file}: {error}")));
    if options.lines {
        for text in recording.lines() {
            if try_line(text).is_err() {
                return;
            }
        }
        return;
    }
    let replayed = recording.replay(|config| Worker::new(config, echo::spawn));
    let replayed = replayed.unwrap_or_else(|error| fail(error));
    let rows = [
        ("inputs given", replayed.inputs.to_string()),
        ("outputs, all as recorded", replayed.outputs.to_string()),
        (
            "tasks that live at the end",
            replayed.worker.tasks().to_string(),
        ),
    ];
    table(&format!("{file}: {}", recording.ending()), &rows);
    if recording.missing() > 0 {
        line(format_args!("{} inputs are missing", recording.missing()));
    }
}
