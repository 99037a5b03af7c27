//! JSON that may come from anywhere: what is wrong with it is told, by name.

use miniserde::json::{Number, Object, Value};

/// Why a text is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// It is no JSON.
    #[error("no JSON: cut off after {bytes} bytes, or written by something else")]
    Syntax {
        /// How long the text is.
        bytes: usize,
    },
    /// Something is not as it should be.
    #[error("{place} should be {wanted}, and is {found}")]
    Field {
        /// What.
        place: String,
        /// How it should be.
        wanted: &'static str,
        /// What it is instead.
        found: String,
    },
}

/// Reads JSON.
pub(crate) fn parse(text: &str) -> Result<Value, FormatError> {
    let bytes = text.len();
    miniserde::json::from_str(text).map_err(|_| FormatError::Syntax { bytes })
}

/// A text in quotes.
pub(crate) fn quote(text: &str) -> String {
    miniserde::json::to_string(text)
}

/// The field of an object, or `null`.
pub(crate) fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    static NULL: Value = Value::Null;
    let fields = object(value);
    fields.and_then(|fields| fields.get(name)).unwrap_or(&NULL)
}

/// The field of an object, read by `read`.
pub(crate) fn read<'a, T>(
    value: &'a Value,
    name: &str,
    wanted: &'static str,
    read: impl FnOnce(&'a Value) -> Option<T>,
) -> Result<T, FormatError> {
    let found = field(value, name);
    read(found).ok_or_else(|| wrong(format!("`{name}`"), wanted, found))
}

/// Says what something should be.
pub(crate) fn wrong(place: impl Into<String>, wanted: &'static str, found: &Value) -> FormatError {
    let mut found = miniserde::json::to_string(found);
    if let Some((cut, _)) = found.char_indices().nth(FOUND_MAX) {
        found.truncate(cut);
        found.push('…');
    }
    FormatError::Field {
        place: place.into(),
        wanted,
        found,
    }
}

pub(crate) fn text(value: &Value) -> Option<&str> {
    if let Value::String(text) = value {
        Some(text)
    } else {
        None
    }
}

pub(crate) fn flag(value: &Value) -> Option<bool> {
    if let Value::Bool(flag) = value {
        Some(*flag)
    } else {
        None
    }
}

pub(crate) fn number(value: &Value) -> Option<u64> {
    if let Value::Number(Number::U64(number)) = value {
        Some(*number)
    } else {
        None
    }
}

pub(crate) fn list(value: &Value) -> Option<&[Value]> {
    if let Value::Array(list) = value {
        Some(list)
    } else {
        None
    }
}

pub(crate) fn object(value: &Value) -> Option<&Object> {
    if let Value::Object(object) = value {
        Some(object)
    } else {
        None
    }
}

/// A number as `"0x2a"`: those of 64 bits are more than many readers of JSON can hold.
pub(crate) fn hex(value: &Value) -> Option<u64> {
    let digits = text(value)?.strip_prefix("0x")?;
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

/// Characters of what was found that are shown.
const FOUND_MAX: usize = 80;
