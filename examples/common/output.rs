//! Printing that can be piped: a reader that goes away ends the output, not the program.

use core::fmt::Display;
use std::io::{Write, stderr, stdout};

/// Prints one line.
pub fn line(text: impl Display) {
    // Whoever closed the pipe has read enough.
    drop(writeln!(stdout().lock(), "{text}"));
}

/// The same, for who prints without end and wants to know when nobody reads any more.
pub fn try_line(text: impl Display) -> std::io::Result<()> {
    writeln!(stdout().lock(), "{text}")
}

/// Prints as it is, at once.
pub fn write(text: impl Display) {
    let mut out = stdout().lock();
    drop(write!(out, "{text}").and_then(|()| out.flush()));
}

/// Prints a table of two columns under a title.
pub fn table(title: &str, rows: &[(&str, String)]) {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    line(title);
    for (name, value) in rows {
        line(format_args!("  {name:width$}  {value:>12}"));
    }
}

/// Ends the program with a message.
pub fn fail(message: impl Display) -> ! {
    drop(writeln!(stderr().lock(), "error: {message}"));
    std::process::exit(1);
}
