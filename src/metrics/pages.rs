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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_ask_at_a_time_share_a_page() {
        let mut pages = Pages::new(|| vec![WorkerStatus::default()]);
        let first = pages.metrics(Timestamp::EPOCH);
        let (memory, len) = (first.as_ptr(), first.len());
        let second = pages.metrics(Timestamp::EPOCH.after(Duration::from_millis(49)));
        assert_eq!((second.as_ptr(), second.len()), (memory, len));
        let third = pages.metrics(Timestamp::EPOCH.after(Duration::from_millis(50)));
        assert_ne!(third.as_ptr(), memory);
    }
}
