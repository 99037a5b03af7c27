//! Rooms, by their names.

use core::fmt;
use std::sync::Arc;

/// The name of a room, where one publishes and others watch.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Room(Arc<str>);

impl Room {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = 64;

    /// `None` if it is empty or too long, or holds anything but letters, digits, `-` and `_` of
    /// ASCII.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_name = !name.is_empty() && name.len() <= Self::BYTES_MAX && name.bytes().all(fits);
        is_name.then(|| Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
