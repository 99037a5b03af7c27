//! What a line asks for.

use super::Name;

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish<'a> {
    /// Say this to the room.
    Say(&'a [u8]),
    Nick(Name),
    Join(Name),
    Who,
    Echo,
    Help,
    Quit,
    /// A name that is none.
    BadName,
    /// A command that is none.
    Unknown,
}

impl<'a> Wish<'a> {
    /// What is not a command is something to be said; so is what begins with two slashes.
    pub fn of(line: &'a [u8]) -> Self {
        let Some(command) = line.strip_prefix(b"/") else {
            return Self::Say(line);
        };
        if command.starts_with(b"/") {
            return Self::Say(command);
        }
        let blank = command.iter().position(u8::is_ascii_whitespace);
        let (verb, rest) = command.split_at(blank.unwrap_or(command.len()));
        let name = || Name::new(rest.trim_ascii());
        match verb {
            b"nick" => name().map_or(Self::BadName, Self::Nick),
            b"join" => name().map_or(Self::BadName, Self::Join),
            b"who" => Self::Who,
            b"echo" => Self::Echo,
            b"help" => Self::Help,
            b"quit" => Self::Quit,
            _ => Self::Unknown,
        }
    }
}
