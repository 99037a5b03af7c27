//! What ends a wait in the models: a wake is kept until the next wait, as a backend keeps it.

use core::sync::atomic::AtomicUsize;

use super::sync::{Arc, Condvar, Mutex, Ordering};

#[derive(Debug, Clone)]
pub(crate) struct Waker {
    woken: Arc<(Mutex<bool>, Condvar)>,
    /// For the story, not in it: the model does not look at this.
    wakes: Arc<AtomicUsize>,
}

impl Waker {
    pub(crate) fn new() -> Self {
        Self {
            woken: Arc::new((Mutex::new(false), Condvar::new())),
            wakes: Arc::default(),
        }
    }

    pub(crate) fn wake(&self) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        let (woken, condition) = &*self.woken;
        *woken.lock().unwrap() = true;
        condition.notify_one();
    }

    pub(crate) fn wait(&self) {
        let (woken, condition) = &*self.woken;
        let mut woken = woken.lock().unwrap();
        while !*woken {
            woken = condition.wait(woken).unwrap();
        }
        *woken = false;
    }

    /// How often it was called.
    pub(crate) fn wakes(&self) -> usize {
        self.wakes.load(Ordering::SeqCst)
    }
}
