//! The page with the metrics: made when it is asked for, and shared by those who ask at a time.

use core::fmt;
use core::time::Duration;

use crate::buffer::{Buffer, BufferPool};
use crate::status::WorkerStatus;
use crate::time::Timestamp;

use super::render;

/// Makes pages.
pub(super) struct Pages {
    statuses: Box<dyn FnMut() -> Vec<WorkerStatus>>,
    buffers: BufferPool,
    last: Option<(Timestamp, Buffer)>,
    /// Its memory is used again for the next page.
    text: String,
}

impl Pages {
    pub(super) fn new(statuses: impl FnMut() -> Vec<WorkerStatus> + 'static) -> Self {
        Self {
            statuses: Box::new(statuses),
            buffers: BufferPool::new(),
            last: None,
            text: String::new(),
        }
    }

    /// Takes memory from here.
    pub(super) fn set_buffers(&mut self, buffers: BufferPool) {
        self.buffers = buffers;
    }

    /// A copy of `bytes`.
    pub(super) fn copy(&self, bytes: &[u8]) -> Buffer {
        self.buffers.copy_from(bytes)
    }

    /// The page, at most [`FRESH_FOR`] old. All who ask within that time share its memory.
    pub(super) fn metrics(&mut self, now: Timestamp) -> Buffer {
        if let Some((made_at, page)) = &self.last
            && now < made_at.after(FRESH_FOR)
        {
            return page.clone();
        }
        self.text.clear();
        render(&(self.statuses)(), &mut self.text);
        let page = self.buffers.copy_from(self.text.as_bytes());
        self.last = Some((now, page.clone()));
        page
    }

    /// Nobody is there to ask again soon.
    pub(super) fn forget(&mut self) {
        self.last = None;
        self.text = String::new();
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made_at = self.last.as_ref().map(|(made_at, _)| made_at);
        f.debug_struct("Pages")
            .field("made_at", &made_at)
            .finish_non_exhaustive()
    }
}

/// How long a page is handed out before the next is made: so those who ask often cost little, and
/// those who read slowly keep only so many.
const FRESH_FOR: Duration = Duration::from_millis(50);
