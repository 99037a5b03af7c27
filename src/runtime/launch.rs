//! How threads of workers are started.

use std::io;
use std::thread::{Builder, JoinHandle};

use super::record::Records;
use super::thread::Thread;
use crate::backend::{Backend, BackendConfig, BackendError};
use crate::task::App;
use crate::worker::{Spawned, Spawner};

/// Starts a worker's thread. Knows how its tasks and its backend are made, and keeps their types to
/// itself.
pub(super) type Launch<A> = Box<dyn FnMut(Thread<A>) -> io::Result<JoinHandle<()>> + Send>;

pub(super) fn launcher<A, F, B, M>(spawn: F, make: M, records: Option<Records<A>>) -> Launch<A>
where
    A: App,
    F: FnMut(A::Spawn, Spawner<'_, A>) -> Spawned + Clone + Send + 'static,
    B: Backend,
    M: FnMut(u16, &BackendConfig) -> Result<B, BackendError> + Clone + Send + 'static,
{
    Box::new(move |thread: Thread<A>| {
        let (spawn, make, records) = (spawn.clone(), make.clone(), records.clone());
        let threads = &thread.config.threads;
        let mut builder = Builder::new().name(format!("{}{}", threads.name, thread.index));
        if let Some(bytes) = threads.stack_bytes {
            builder = builder.stack_size(bytes);
        }
        builder.spawn(move || thread.run(spawn, make, records))
    })
}
