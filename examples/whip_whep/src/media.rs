//! What goes from a publisher to its viewers.

use core::fmt;
use std::sync::Arc;

use stillpoint::Timestamp;
use str0m::format::PayloadParams;
use str0m::media::{MediaTime, Rid};
use str0m::rtp::VideoOrientation;

/// A frame of video, or a packet of audio, as a publisher has sent it.
pub struct Frame {
    pub(crate) kind: Kind,
    /// The codec.
    pub(crate) params: PayloadParams,
    /// Which layer of a simulcast it belongs to.
    pub(crate) rid: Option<Rid>,
    /// When it is to be shown, on the clock of its layer.
    pub(crate) time: MediaTime,
    /// When it came.
    pub(crate) at: Timestamp,
    pub(crate) orientation: Option<VideoOrientation>,
    pub(crate) data: Arc<[u8]>,
}

/// What it takes to show a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing else.
    Audio,
    /// Nothing else: viewers can begin here.
    KeyFrame,
    /// The frame before it.
    Delta,
    /// A frame before it that is lost.
    Broken,
}

/// What is in a frame is nobody's business.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, len) = (self.kind, self.data.len());
        write!(f, "{kind:?} of {len} bytes")
    }
}
