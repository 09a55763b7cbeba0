//! The tokio runtime that all swarms of a process share. It is there as long as a swarm is, and never
//! dropped in a way that blocks one of its own workers.

use once_cell::sync::Lazy;
use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};

static SHARED: Lazy<Mutex<Weak<SharedRuntime>>> = Lazy::new(|| Mutex::new(Weak::new()));

pub(crate) struct SharedRuntime {
    runtime: Option<Runtime>,
    process: u32,
}

impl SharedRuntime {
    /// The process's runtime, started if there is none. After a fork the child gets one of its own: its
    /// parent's threads do not exist there.
    pub fn get() -> io::Result<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = shared.upgrade() {
            if runtime.process == std::process::id() {
                return Ok(runtime);
            }
            // Not dropped: its drop would wait for threads that this process does not have.
            std::mem::forget(runtime);
        }
        // The application's threads, which send and often read, want cores too; and of two workers one wakes the other for every
        // bit of work, to watch the sockets meanwhile.
        let workers = std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2).min(4));
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            // Name look-ups only.
            .max_blocking_threads(4)
            .thread_keep_alive(Duration::from_secs(2))
            .thread_name("rtcswarm")
            .on_thread_start(crate::log::on_thread_start)
            .enable_all()
            .build()?;
        let runtime = Arc::new(Self { runtime: Some(runtime), process: std::process::id() });
        *shared = Arc::downgrade(&runtime);
        Ok(runtime)
    }
}

impl Deref for SharedRuntime {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        self.runtime.as_ref().expect("taken only by drop").handle()
    }
}

impl Drop for SharedRuntime {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if self.process != std::process::id() {
            std::mem::forget(runtime);
        } else if Handle::try_current().is_ok() {
            // The last swarm went away on a worker (its own task, or the caller's runtime): waiting here is forbidden.
            runtime.shutdown_background();
        } else {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shared_and_may_be_dropped_anywhere() {
        let runtime = SharedRuntime::get().unwrap();
        assert!(Arc::ptr_eq(&runtime, &SharedRuntime::get().unwrap()));
        let (sender, receiver) = std::sync::mpsc::channel();
        let on_worker = runtime.clone();
        runtime.spawn(async move {
            drop(on_worker);
            sender.send(()).unwrap();
        });
        drop(runtime);
        receiver.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}
