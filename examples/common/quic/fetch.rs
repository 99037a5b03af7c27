//! What one connection of a client fetches: requests that wait, and responses that are read.

use std::collections::{BTreeMap, VecDeque};

use quinn_proto::{Connection, Dir, ReadError, StreamId, VarInt};
use stillpoint::Timestamp;
use xxhash_rust::xxh3::Xxh3;

use super::request;

/// What a connection has to do.
#[derive(Default)]
pub struct Fetches {
    /// Requests for which there is no stream yet.
    waiting: VecDeque<u64>,
    streams: BTreeMap<StreamId, Fetch>,
    is_connected: bool,
    /// How often it may still be made anew.
    attempts_left: u32,
}

/// A response that is being read.
struct Fetch {
    wanted: u64,
    got: u64,
    hash: Xxh3,
    since: Timestamp,
}

/// A response, or what there was of it.
pub struct Over {
    pub bytes: u64,
    pub hash: u128,
    /// When it was asked for.
    pub since: Timestamp,
    /// Why it is not whole, if it is not.
    pub error: Option<String>,
}

impl Fetches {
    /// So many responses of so many bytes, on a connection that may be made anew so often.
    pub fn new(streams: u16, bytes: u64, attempts_left: u32) -> Self {
        Self {
            waiting: (0..streams).map(|_| bytes).collect(),
            attempts_left,
            ..Self::default()
        }
    }

    /// One more.
    pub fn push(&mut self, bytes: u64) {
        self.waiting.push_back(bytes);
    }

    /// How many are not over.
    pub fn unfinished(&self) -> u64 {
        (self.waiting.len() + self.streams.len()) as u64
    }

    pub const fn connected(&mut self) {
        self.is_connected = true;
    }

    /// All of it from the beginning, for a new connection. `Err` if there may be none.
    pub fn again(mut self) -> Result<Self, Self> {
        let Some(attempts_left) = self.attempts_left.checked_sub(1) else {
            return Err(self);
        };
        let cut_off = self.streams.into_values().map(|fetch| fetch.wanted);
        self.waiting.extend(cut_off);
        Ok(Self {
            waiting: self.waiting,
            attempts_left,
            ..Self::default()
        })
    }

    /// Asks for what waits, as far as the server allows more streams. Says how many it could not ask
    /// for: they are given up.
    pub fn ask(&mut self, now: Timestamp, connection: &mut Connection) -> u64 {
        let mut unasked = 0;
        while self.is_connected
            && !self.waiting.is_empty()
            && let Some(id) = connection.streams().open(Dir::Bi)
            && let Some(wanted) = self.waiting.pop_front()
        {
            let mut stream = connection.send_stream(id);
            if stream.write(&request::encode(wanted)) != Ok(8) || stream.finish().is_err() {
                // It is new, so it takes eight bytes; unless a hundred thousand requests are on
                // their way already.
                _ = stream.reset(VarInt::from_u32(request::MALFORMED));
                unasked += 1;
                continue;
            }
            let fetch = Fetch {
                wanted,
                got: 0,
                hash: Xxh3::new(),
                since: now,
            };
            self.streams.insert(id, fetch);
        }
        unasked
    }

    /// Reads what there is of a response. Gives it once it is over.
    pub fn read(&mut self, connection: &mut Connection, id: StreamId) -> Option<Over> {
        let fetch = self.streams.get_mut(&id)?;
        let error = match fetch.read(connection, id) {
            Ok(false) => return None,
            Ok(true) if fetch.got == fetch.wanted => None,
            Ok(true) => Some(format!("{} bytes instead of {}", fetch.got, fetch.wanted)),
            Err(error) => Some(error),
        };
        let fetch = self.streams.remove(&id)?;
        Some(Over {
            bytes: fetch.got,
            hash: fetch.hash.digest128(),
            since: fetch.since,
            error,
        })
    }
}

impl Fetch {
    /// Reads what there is. Whether that was all; or why there is no more.
    fn read(&mut self, connection: &mut Connection, id: StreamId) -> Result<bool, String> {
        let mut stream = connection.recv_stream(id);
        let mut chunks = stream.read(true).map_err(|error| error.to_string())?;
        let over = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => {
                    self.got += chunk.bytes.len() as u64;
                    self.hash.update(&chunk.bytes);
                }
                Ok(None) => break Ok(true),
                Err(ReadError::Blocked) => break Ok(false),
                Err(error) => break Err(error.to_string()),
            }
        };
        // Whether a window is to be told of: the connection is asked for datagrams in any case.
        let _ = chunks.finalize();
        over
    }
}
