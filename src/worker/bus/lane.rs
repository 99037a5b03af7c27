//! What waits to be delivered, by where it comes from.

use std::collections::VecDeque;

use super::subscriptions::Round;
use crate::bus::Item;
use crate::id::TaskId;

/// Items from one source, in order. What is published is handed to its subscribers one by one
/// before anything behind it is looked at.
#[derive(Debug)]
pub(super) struct Lane<C, M> {
    pub(super) items: VecDeque<Item<C, M>>,
    pub(super) published: Option<Published<C, M>>,
    /// The most that has ever waited.
    pub(super) longest: usize,
}

/// A message on its way round the subscribers of this worker.
#[derive(Debug)]
pub(super) struct Published<C, M> {
    pub(super) from: Option<TaskId>,
    pub(super) channel: C,
    pub(super) message: M,
    pub(super) round: Round,
}

impl<C, M> Lane<C, M> {
    pub(super) const fn new() -> Self {
        Self {
            items: VecDeque::new(),
            published: None,
            longest: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len() + usize::from(self.published.is_some())
    }

    pub(super) fn is_clear(&self) -> bool {
        self.items.is_empty() && self.published.is_none()
    }

    pub(super) fn push(&mut self, item: Item<C, M>) {
        self.items.push_back(item);
        self.longest = self.longest.max(self.len());
    }
}
