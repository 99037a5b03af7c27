//! From bytes to requests.
//!
//! However the bytes are cut, the same requests come out, and the work is in proportion to the
//! bytes.

use ::http::{Method, Request};

use crate::buffer::{Buffer, BufferPool};

use super::chunked::Progress;
use super::config::HttpConfig;
use super::head::{self, After, Expects, Framing, Head, Refusal};

/// What has come on one connection, and is no part of a request that was given out.
#[derive(Debug, Default)]
pub(super) struct Intake {
    unread: Buffer,
    /// Of this, what has been searched for the end of a head.
    searched: usize,
    /// How much of it there must be for a look at a head without end: it may be wrong already.
    look_at: usize,
    /// A request whose head has come.
    coming: Option<Coming>,
}

#[derive(Debug)]
struct Coming {
    request: Request<()>,
    after: After,
    framing: Framing,
    body: Buffer,
}

/// What comes next.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart where it is made"
)]
pub(super) enum Next {
    /// More has to come.
    Nothing,
    /// The client waits for a word, and sends the body then.
    Continue,
    /// A request that is whole.
    Request(Request<Buffer>, After),
}

impl Intake {
    /// Whether no part of a request is there.
    pub(super) const fn is_empty(&self) -> bool {
        self.unread.is_empty() && self.coming.is_none()
    }

    /// Whether a body is to come.
    pub(super) const fn is_in_body(&self) -> bool {
        self.coming.is_some()
    }

    /// Bytes that nobody has looked at.
    pub(super) const fn unread(&self) -> usize {
        self.unread.len()
    }

    /// The method of the request that is coming, as far as can be seen: `HEAD` or another.
    pub(super) fn method(&self) -> Method {
        match &self.coming {
            Some(coming) => coming.request.method().clone(),
            None if self.unread.starts_with(b"HEAD ") => Method::HEAD,
            None => Method::default(),
        }
    }

    pub(super) fn push(&mut self, data: Buffer) {
        if self.unread.is_empty() {
            self.unread = data;
        } else {
            self.unread.push_back(&data);
        }
    }

    /// Moves what is kept out of memory much larger than it.
    pub(super) fn shrink(&mut self, buffers: &BufferPool) {
        shrink(&mut self.unread, buffers);
    }

    /// Takes the next request out of what has come.
    pub(super) fn poll(
        &mut self,
        config: &HttpConfig,
        buffers: &BufferPool,
    ) -> Result<Next, Refusal> {
        if self.coming.is_none() {
            let Some(head) = self.next_head(config)? else {
                return Ok(Next::Nothing);
            };
            let waits = head.expects == Expects::Continue
                && head.framing != Framing::Length(0)
                && self.unread.is_empty();
            self.coming = Some(Coming {
                request: head.request,
                after: head.after,
                framing: head.framing,
                body: Buffer::empty(),
            });
            if waits {
                return Ok(Next::Continue);
            }
        }
        let Some(mut coming) = self.coming.take() else {
            return Ok(Next::Nothing);
        };
        let progress = coming.take(&mut self.unread, config, buffers);
        if progress != Ok(Progress::Whole) {
            self.coming = Some(coming);
            return progress.map(|_| Next::Nothing);
        }
        shrink(&mut coming.body, buffers);
        let (parts, ()) = coming.request.into_parts();
        let request = Request::from_parts(parts, coming.body);
        Ok(Next::Request(request, coming.after))
    }

    /// Takes a head out. Looks at it when its end has come, and each time that it has doubled: so
    /// byte by byte costs no more than all at once.
    fn next_head(&mut self, config: &HttpConfig) -> Result<Option<Head>, Refusal> {
        while self.unread.starts_with(b"\r\n") {
            self.unread.pop_front(2).unwrap_or_default(); // Some send empty lines behind a body.
            self.searched = 0;
        }
        let fresh = &self.unread[self.searched.saturating_sub(2)..];
        let has_end = fresh.windows(3).any(|end| end == b"\n\r\n")
            || fresh.windows(2).any(|end| end == b"\n\n");
        self.searched = self.unread.len();
        let enough = self.look_at.clamp(1, config.head_bytes_max.max(1));
        if !has_end && self.unread.len() < enough {
            return Ok(None);
        }
        let head = head::parse(&self.unread, config)?;
        match &head {
            Some(head) => {
                self.unread.pop_front(head.bytes).unwrap_or_default();
                (self.searched, self.look_at) = (0, 0);
            }
            None => self.look_at = self.unread.len() * 2,
        }
        Ok(head)
    }
}

impl Coming {
    fn take(
        &mut self,
        unread: &mut Buffer,
        config: &HttpConfig,
        buffers: &BufferPool,
    ) -> Result<Progress, Refusal> {
        let left = match &mut self.framing {
            Framing::Chunked(chunked) => {
                return chunked.take(unread, &mut self.body, config, buffers);
            }
            Framing::Length(left) => left,
        };
        let len = unread.len().min(*left);
        if self.body.is_empty() && len == *left {
            self.body = unread.slice(..len).unwrap_or_default();
        } else {
            append(&mut self.body, &unread[..len], buffers);
        }
        unread.pop_front(len).unwrap_or_default();
        *left -= len;
        Ok(match *left {
            0 => Progress::Whole,
            _ => Progress::Partial,
        })
    }
}

/// Puts `bytes` behind those of `buffer`, in memory of the pool.
pub(super) fn append(buffer: &mut Buffer, bytes: &[u8], buffers: &BufferPool) {
    if bytes.is_empty() {
        // It needs no memory for that.
    } else if buffer.is_empty() {
        *buffer = buffers.copy_from(bytes);
    } else {
        buffer.push_back(bytes);
    }
}

/// Moves what is little out of memory that is much. Sizes of pooled memory differ by eight at most,
/// so nothing is moved twice for the same reason.
fn shrink(buffer: &mut Buffer, buffers: &BufferPool) {
    if buffer.is_empty() {
        *buffer = Buffer::empty();
    } else if buffer.memory() > 8 * buffer.len() + 512 {
        *buffer = buffers.copy_from(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at a head cost what it is long, so there may be few of them.
    #[test]
    fn a_head_that_comes_byte_by_byte_is_looked_at_each_time_that_it_has_doubled() {
        let (config, buffers) = (HttpConfig::new(), BufferPool::new());
        let mut intake = Intake::default();
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(10_000));
        let mut looks = 0;
        for byte in head.bytes() {
            let before = intake.look_at;
            intake.push(Buffer::copy_from(&[byte]));
            let next = intake.poll(&config, &buffers);
            assert!(matches!(next, Ok(Next::Nothing)), "{next:?}");
            looks += usize::from(intake.look_at != before);
            assert!(intake.look_at > intake.unread() && intake.searched == intake.unread());
        }
        assert!((2..20).contains(&looks), "{looks}");
        intake.push(Buffer::copy_from(b"\r\n\r\n"));
        let next = intake.poll(&config, &buffers);
        assert!(matches!(next, Ok(Next::Request(..))), "{next:?}");
        assert!(intake.is_empty());
    }
}
