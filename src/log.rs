//! Where the library's own threads log to: `tracing`, as any Rust library, or a sink of a C program's.
//!
//! No global subscriber is ever set. A sink is heard by a subscriber that is the default of the library's
//! own threads only, and of a thread of the application's while it does their work.

use once_cell::sync::Lazy;
use std::cell::RefCell;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, Interest, Subscriber};
use tracing::{Dispatch, Event, Level, Metadata};

/// Level (1 error … 5 trace), where in the library, and the message.
pub(crate) type Sink = dyn Fn(u8, &str, &str) + Send + Sync;

static SINK: RwLock<Option<Arc<Sink>>> = RwLock::new(None);
static MAX_LEVEL: AtomicU8 = AtomicU8::new(0);
static CLAIMED: AtomicBool = AtomicBool::new(false);
/// One for all threads: making it costs a look at every place that logs.
static FORWARDER: Lazy<Dispatch> = Lazy::new(|| Dispatch::new(Forwarder));

thread_local! {
    static GUARD: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) };
}

/// The sink of the C API; `None` for silence. Gives the sink that it replaces, which may still run on
/// another thread.
pub(crate) fn set_sink(max_level: u8, sink: Option<Arc<Sink>>) -> Option<Arc<Sink>> {
    let mut current = SINK.write().unwrap_or_else(PoisonError::into_inner);
    MAX_LEVEL.store(if sink.is_some() { max_level } else { 0 }, Ordering::Relaxed);
    std::mem::replace(&mut *current, sink)
}

/// From here on the library's new threads log to the sink: a C program has no subscriber of its own.
pub(crate) fn claim_threads() {
    CLAIMED.store(true, Ordering::Relaxed);
}

/// Each thread of the library calls this first.
pub(crate) fn on_thread_start() {
    if CLAIMED.load(Ordering::Relaxed) {
        let guard = tracing::dispatcher::set_default(&FORWARDER);
        GUARD.with(|slot| *slot.borrow_mut() = Some(guard));
    }
}

/// For a thread of the application's that does the library's work until this is dropped.
pub(crate) fn while_working() -> Option<DefaultGuard> {
    CLAIMED.load(Ordering::Relaxed).then(|| tracing::dispatcher::set_default(&FORWARDER))
}

struct Forwarder;

fn rank(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

impl Subscriber for Forwarder {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // The level may change at any time.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        rank(*metadata.level()) <= MAX_LEVEL.load(Ordering::Relaxed) && metadata.is_event()
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let sink = SINK.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(sink) = sink {
            let mut line = Line(String::new());
            event.record(&mut line);
            sink(rank(*event.metadata().level()), event.metadata().target(), &line.0);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The message first as it stands, then each field as `name=value`.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, "{name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_thread_that_does_the_library_s_work_is_heard_meanwhile() {
        static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let sink = |_: u8, _: &str, message: &str| {
            // Other tests log, too.
            if message.starts_with("by hand") {
                HEARD.lock().unwrap().push(message.to_owned());
            }
        };
        claim_threads();
        drop(set_sink(1, Some(Arc::new(sink))));
        tracing::error!("by hand, before");
        let working = while_working();
        tracing::error!("by hand, meanwhile");
        drop(working);
        tracing::error!("by hand, after");
        drop(set_sink(0, None));
        assert_eq!(*HEARD.lock().unwrap(), ["by hand, meanwhile"]);
    }
}
