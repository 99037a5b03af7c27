//! How values are written into a recording and read back.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use core::time::Duration;
use std::sync::Arc;

use crate::buffer::Buffer;
use crate::entropy::Entity;
use crate::id::{DeviceId, ListenerId, RequestId, ResourceId, SocketId, StreamId, TaskId};
use crate::net::Token;
use crate::slots::Key;
use crate::time::Timestamp;

/// A value that can be written into a recording and read back.
///
/// What an application spawns, commands and sends has to be, if it is to be recorded; what comes
/// from the network is already. Numbers, texts, addresses, ids, [`Buffer`], and options, vectors
/// and tuples of these are; [`recordable!`](crate::recordable) sees to structs and enums.
///
/// # Example
///
/// ```
/// use stillpoint::{Recordable, RecordedBytes, recordable};
///
/// #[derive(Debug, PartialEq)]
/// enum Spawn { Listener(u16), Dialer { host: String, tries: u32 }, Idle }
/// recordable!(enum Spawn { 0 = Listener(port), 1 = Dialer { host, tries }, 2 = Idle });
///
/// let spawn = Spawn::Dialer { host: "example.org".to_owned(), tries: 3 };
/// let mut bytes = Vec::new();
/// spawn.write(&mut bytes);
/// assert_eq!(Spawn::read(&mut RecordedBytes::new(&bytes)), Some(spawn));
/// ```
pub trait Recordable: Sized {
    /// Writes the value behind what is in `to`.
    fn write(&self, to: &mut Vec<u8>);

    /// Takes a value off the front. `None` if what is there is none; how much was taken then does
    /// not matter.
    fn read(from: &mut RecordedBytes<'_>) -> Option<Self>;
}

/// Bytes of a recording that are still to be read.
#[derive(Debug, Clone)]
pub struct RecordedBytes<'a>(&'a [u8]);

impl<'a> RecordedBytes<'a> {
    /// All of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// How many are left.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none are left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the first `len` bytes. `None`, and nothing taken, if there are fewer.
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    /// Takes the first `N` bytes. `None`, and nothing taken, if there are fewer.
    pub fn take_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    /// Takes bytes behind their length, which is never believed to be more than there are.
    fn take_counted(&mut self) -> Option<&'a [u8]> {
        let len = u32::read(self)?;
        self.take(len as usize)
    }
}

/// Makes a struct or an enum [`Recordable`], whose fields are.
///
/// Variants have numbers, which must not change as long as old recordings are to be read. Fields
/// are written in the order in which they are named here; all must be.
#[macro_export]
macro_rules! recordable {
    (struct $type:ty { $($field:ident),* $(,)? }) => {
        $crate::recordable!(@struct [] $type { $($field),* });
    };
    (enum $type:ty {
        $($number:literal = $variant:ident $(($($item:ident),*))? $({ $($field:ident),* $(,)? })?),*
        $(,)?
    }) => {
        $crate::recordable!(@enum [] $type {
            $($number = $variant $(($($item),*))? $({ $($field),* })?,)*
        });
    };
    (@struct [$($generics:tt)*] $type:ty { $($field:ident),* }) => {
        impl<$($generics)*> $crate::Recordable for $type {
            fn write(&self, to: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($crate::Recordable::write($field, to);)*
            }

            fn read(from: &mut $crate::RecordedBytes<'_>) -> Option<Self> {
                Some(Self { $($field: $crate::Recordable::read(from)?),* })
            }
        }
    };
    (@enum [$($generics:tt)*] $type:ty {
        $($number:literal = $variant:ident $(($($item:ident),*))? $({ $($field:ident),* })?,)*
    }) => {
        impl<$($generics)*> $crate::Recordable for $type {
            fn write(&self, to: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $(($($item),*))? $({ $($field),* })? => {
                        to.push($number);
                        $($($crate::Recordable::write($item, to);)*)?
                        $($($crate::Recordable::write($field, to);)*)?
                    })*
                }
            }

            fn read(from: &mut $crate::RecordedBytes<'_>) -> Option<Self> {
                let number: u8 = $crate::Recordable::read(from)?;
                Some(match number {
                    $($number => {
                        $($(let $item = $crate::Recordable::read(from)?;)*)?
                        $($(let $field = $crate::Recordable::read(from)?;)*)?
                        Self::$variant $(($($item),*))? $({ $($field),* })?
                    })*
                    _ => return None,
                })
            }
        }
    };
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl Recordable for $number {
            #[inline]
            fn write(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_le_bytes());
            }

            #[inline]
            fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
                Some(Self::from_le_bytes(from.take_array()?))
            }
        })*
    };
}

numbers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64);

impl Recordable for usize {
    fn write(&self, to: &mut Vec<u8>) {
        (*self as u64).write(to);
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        u64::read(from)?.try_into().ok()
    }
}

impl Recordable for bool {
    fn write(&self, to: &mut Vec<u8>) {
        to.push(u8::from(*self));
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        match u8::read(from)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Recordable for char {
    fn write(&self, to: &mut Vec<u8>) {
        u32::from(*self).write(to);
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        Self::from_u32(u32::read(from)?)
    }
}

impl Recordable for () {
    fn write(&self, _: &mut Vec<u8>) {}

    fn read(_: &mut RecordedBytes<'_>) -> Option<Self> {
        Some(())
    }
}

/// Writes bytes behind their length.
fn write_counted(bytes: &[u8], to: &mut Vec<u8>) {
    write_len(bytes.len(), to);
    to.extend_from_slice(bytes);
}

/// Writes a length. One that 32 bits do not hold is not read back, as nobody records 4 GiB at once.
pub(super) fn write_len(len: usize, to: &mut Vec<u8>) {
    u32::try_from(len).unwrap_or(u32::MAX).write(to);
}

impl Recordable for String {
    fn write(&self, to: &mut Vec<u8>) {
        write_counted(self.as_bytes(), to);
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        let text = core::str::from_utf8(from.take_counted()?).ok()?;
        Some(text.to_owned())
    }
}

impl Recordable for Box<str> {
    fn write(&self, to: &mut Vec<u8>) {
        write_counted(self.as_bytes(), to);
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        String::read(from).map(String::into_boxed_str)
    }
}

impl Recordable for Buffer {
    fn write(&self, to: &mut Vec<u8>) {
        write_counted(self, to);
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        from.take_counted().map(Self::copy_from)
    }
}

impl<T: Recordable> Recordable for Vec<T> {
    fn write(&self, to: &mut Vec<u8>) {
        write_len(self.len(), to);
        for value in self {
            value.write(to);
        }
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        let len = u32::read(from)? as usize;
        // What takes no bytes could be claimed in any number.
        let most = if size_of::<T>() == 0 {
            EMPTY_MAX
        } else {
            from.len()
        };
        if len > most {
            return None;
        }
        let mut values = Self::new();
        for _ in 0..len {
            values.push(T::read(from)?);
        }
        Some(values)
    }
}

/// How many values without bytes may be in a row.
const EMPTY_MAX: usize = 1 << 16;

impl<T: Recordable> Recordable for Option<T> {
    fn write(&self, to: &mut Vec<u8>) {
        to.push(u8::from(self.is_some()));
        if let Some(value) = self {
            value.write(to);
        }
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        Some(if bool::read(from)? {
            Some(T::read(from)?)
        } else {
            None
        })
    }
}

macro_rules! pointers {
    ($($pointer:ident),*) => {
        $(impl<T: Recordable> Recordable for $pointer<T> {
            fn write(&self, to: &mut Vec<u8>) {
                T::write(self, to);
            }

            fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
                T::read(from).map(Self::new)
            }
        })*
    };
}

pointers!(Box, Arc);

impl<const N: usize> Recordable for [u8; N] {
    fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self);
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        from.take_array()
    }
}

macro_rules! tuples {
    ($(($($name:ident: $type:ident),*),)*) => {
        $(impl<$($type: Recordable),*> Recordable for ($($type,)*) {
            fn write(&self, to: &mut Vec<u8>) {
                let ($($name,)*) = self;
                $($name.write(to);)*
            }

            fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
                Some(($($type::read(from)?,)*))
            }
        })*
    };
}

tuples!((a: A, b: B), (a: A, b: B, c: C), (a: A, b: B, c: C, d: D),);

impl Recordable for Ipv4Addr {
    fn write(&self, to: &mut Vec<u8>) {
        self.octets().write(to);
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        <[u8; 4]>::read(from).map(Self::from)
    }
}

impl Recordable for Ipv6Addr {
    fn write(&self, to: &mut Vec<u8>) {
        self.octets().write(to);
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        <[u8; 16]>::read(from).map(Self::from)
    }
}

impl Recordable for SocketAddrV4 {
    fn write(&self, to: &mut Vec<u8>) {
        (*self.ip(), self.port()).write(to);
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        let (ip, port) = Recordable::read(from)?;
        Some(Self::new(ip, port))
    }
}

impl Recordable for SocketAddrV6 {
    fn write(&self, to: &mut Vec<u8>) {
        (*self.ip(), self.port(), self.flowinfo(), self.scope_id()).write(to);
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        let (ip, port, flowinfo, scope_id) = Recordable::read(from)?;
        Some(Self::new(ip, port, flowinfo, scope_id))
    }
}

recordable!(enum IpAddr { 4 = V4(ip), 6 = V6(ip) });
recordable!(enum SocketAddr { 4 = V4(address), 6 = V6(address) });

impl Recordable for Duration {
    fn write(&self, to: &mut Vec<u8>) {
        (self.as_secs(), self.subsec_nanos()).write(to);
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        let (seconds, nanos) = Recordable::read(from)?;
        (nanos < 1_000_000_000).then(|| Self::new(seconds, nanos))
    }
}

impl Recordable for Timestamp {
    fn write(&self, to: &mut Vec<u8>) {
        self.as_nanos().write(to);
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        u64::read(from).map(Self::from_nanos)
    }
}

impl Recordable for Entity {
    fn write(&self, to: &mut Vec<u8>) {
        self.number().write(to);
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        u64::read(from).map(Self::new)
    }
}

impl Recordable for Token {
    fn write(&self, to: &mut Vec<u8>) {
        self.0.write(to);
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        u64::read(from).map(Self)
    }
}

recordable!(struct Key { slot, generation });
recordable!(struct TaskId { worker, group, key });
recordable!(struct RequestId { worker, key });
recordable!(struct SocketId { worker, key });
recordable!(struct ListenerId { worker, key });
recordable!(struct StreamId { worker, key });
recordable!(struct DeviceId { worker, key });
recordable!(enum ResourceId { 0 = Socket(id), 1 = Listener(id), 2 = Stream(id), 3 = Device(id) });

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(value: &impl Recordable) -> Vec<u8> {
        let mut bytes = Vec::new();
        value.write(&mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(
            value: (u64, Option<String>, Vec<(bool, u8)>, (i32, Vec<()>)),
            at: SocketAddr,
            time: Duration,
            rest: Vec<u8>,
        ) {
            let value = (value, at, (time, 'ß'), (usize::MAX, [1u8; 3]));
            let mut bytes = written(&value);
            bytes.extend(&rest);
            let from = &mut RecordedBytes::new(&bytes);
            prop_assert_eq!(Recordable::read(from), Some(value));
            prop_assert_eq!(from.take(rest.len()), Some(&rest[..]));
        }

        /// Neither a panic nor memory for what is only claimed.
        #[test]
        fn any_bytes_are_a_value_or_none(bytes: Vec<u8>) {
            type Values = ((Vec<String>, Vec<()>), (Buffer, char), Option<ResourceId>, Duration);
            drop(Values::read(&mut RecordedBytes::new(&bytes)));
        }
    }

    #[test]
    fn a_length_that_is_only_claimed_is_none() {
        let mut bytes = u32::MAX.to_le_bytes().to_vec();
        bytes.extend(b"few");
        assert_eq!(Vec::<u8>::read(&mut RecordedBytes::new(&bytes)), None);
        assert_eq!(Vec::<()>::read(&mut RecordedBytes::new(&bytes)), None);
        assert_eq!(String::read(&mut RecordedBytes::new(&bytes)), None);
        assert_eq!(Buffer::read(&mut RecordedBytes::new(&bytes)), None);
    }
}
