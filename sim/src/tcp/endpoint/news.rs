//! What an end has to tell its worker, one thing at a time.

use stillpoint::{Entity, ListenerId, NetworkError, NetworkEvent, Reading, StreamId, Token};

use super::{Endpoint, Holder, Stage, Tools};
use crate::network::Held;

/// What its worker is to be told next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Incoming(ListenerId),
    Refused(StreamId),
    Connected(StreamId, Token),
    ConnectFailed(StreamId, Token),
    Writable(StreamId),
    Received(StreamId),
    ReadEnded(StreamId),
    Closed(StreamId, Option<NetworkError>),
}

/// Whether an end tells its news late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tcp) enum KeptBack {
    No,
    /// Until the world says so.
    Yes,
    /// It has been. The next piece may be told.
    Over,
}

impl Endpoint {
    /// The listener that it is to be taken in at, if that is what it has to tell next.
    pub(crate) fn wants_in(&self) -> Option<u32> {
        if let (News::Incoming(_), Holder::Listener { slot, .. }) = (self.news()?, self.holder) {
            Some(slot)
        } else {
            None
        }
    }

    /// The number of the piece that it has to hand out next, and whose draws are for it; unless
    /// the piece has been kept back already.
    pub(crate) fn next_piece(&self) -> Option<(Entity, u64)> {
        let fresh = self.kept_back == KeptBack::No;
        if !fresh || !matches!(self.news()?, News::Received(_)) {
            return None;
        }
        let direction = self.direction(self.name.side.other());
        Some((direction, self.receiving.pieces()))
    }

    /// Tells nothing until [`Endpoint::let_go`].
    pub(crate) const fn keep_back(&mut self) {
        self.kept_back = KeptBack::Yes;
    }

    /// Tells its news again.
    pub(crate) fn let_go(&mut self) {
        if self.kept_back == KeptBack::Yes {
            self.kept_back = KeptBack::Over;
        }
    }

    /// The next thing that its worker is to be told.
    pub(crate) fn poll_news(&mut self, tools: &mut Tools<'_>) -> Option<NetworkEvent> {
        let peer = self.peer;
        let streams = &mut tools.counters.streams;
        Some(match self.news()? {
            News::Incoming(listener) => NetworkEvent::Incoming {
                listener,
                incoming: self.incoming(),
                peer,
                local: self.local,
                room: self.sending.room.tell(),
            },
            News::Refused(stream) => {
                let (bytes, error) = self.sending.room.take_refused()?;
                NetworkEvent::WriteFailed {
                    stream,
                    bytes,
                    error,
                }
            }
            News::Connected(stream, token) => {
                self.token = None;
                streams.connected += 1;
                NetworkEvent::Connected {
                    stream,
                    token,
                    peer,
                    local: self.local,
                    room: self.sending.room.tell(),
                }
            }
            News::ConnectFailed(stream, token) => {
                self.holder = Holder::Nobody;
                streams.connect_failed += 1;
                NetworkEvent::ConnectFailed {
                    stream,
                    token,
                    peer,
                    error: self.error.unwrap_or(NetworkError::TimedOut),
                }
            }
            News::Writable(stream) => NetworkEvent::Writable {
                stream,
                room: self.sending.room.tell(),
            },
            News::Received(stream) => {
                self.kept_back = KeptBack::No;
                // The direction is the peer's.
                let direction = self.direction(self.name.side.other());
                let data = self.receiving.give(tools.give, direction, tools.pool);
                streams.bytes_in += data.len() as u64;
                tools.counters.stream_bytes.under_way -= data.len() as u64;
                NetworkEvent::Received { stream, data }
            }
            News::ReadEnded(stream) => {
                self.read_end_told = true;
                NetworkEvent::ReadEnded { stream }
            }
            News::Closed(stream, error) => {
                self.holder = Holder::Nobody;
                self.limit = None;
                streams.failed += u64::from(self.error.is_some());
                self.discard_received(tools.counters);
                NetworkEvent::StreamClosed {
                    stream,
                    peer,
                    error,
                }
            }
        })
    }

    pub(super) fn news(&self) -> Option<News> {
        if self.held == Held::Yes || self.kept_back == KeptBack::Yes {
            return None;
        }
        match self.holder {
            Holder::Listener { id, ready, .. } => {
                (ready && self.stage == Stage::Joined).then_some(News::Incoming(id))
            }
            Holder::Task(stream) => self.news_of_task(stream),
            Holder::Closing(stream) => {
                let over = self.stage == Stage::Dead
                    || self.sending.is_acknowledged()
                    || (self.receiving.has_ended() && self.sending.is_ended());
                over.then_some(News::Closed(stream, None))
            }
            Holder::Nobody => None,
        }
    }

    fn news_of_task(&self, stream: StreamId) -> Option<News> {
        if self.sending.room.has_refused() {
            return Some(News::Refused(stream));
        }
        if let Some(token) = self.token {
            return match self.stage {
                Stage::Joined => Some(News::Connected(stream, token)),
                Stage::Dead => Some(News::ConnectFailed(stream, token)),
                Stage::Calling | Stage::Answering => None,
            };
        }
        let dead = self.stage == Stage::Dead;
        if !dead && self.sending.is_open() && self.sending.room.should_tell() {
            return Some(News::Writable(stream));
        }
        if dead && self.error_of_writing && self.reading == Reading::Paused {
            return Some(News::Closed(stream, self.error));
        }
        if self.reading == Reading::Flowing {
            if self.receiving.available() > 0 {
                return Some(News::Received(stream));
            }
            if self.receiving.has_ended() && !self.read_end_told {
                return Some(News::ReadEnded(stream));
            }
            if dead {
                return Some(News::Closed(stream, self.error));
            }
        }
        (self.read_end_told && self.sending.is_ended()).then_some(News::Closed(stream, None))
    }
}
