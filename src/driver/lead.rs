//! Who reads a swarm's sockets: the driver's task, or a thread of the application's that waits for an event anyway.
//!
//! While messages come one after the other it is the latter, which leads then. A datagram wakes one thread and not one after
//! the other, and what a link needs stays in the cache of one core: that is most of a short round trip. The task takes the sockets
//! back when the leading thread stays away, or has nothing to do.

use once_cell::sync::Lazy;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the task looks whether the leading thread still comes. One that stays away for a whole period does not lead any more.
const PERIOD: Duration = Duration::from_millis(2);

#[derive(Default)]
pub(super) struct Lead(Mutex<State>);

#[derive(Default)]
struct State {
    /// The application's thread reads, and not the task.
    led: bool,
    /// It waits at the sockets now.
    inside: bool,
    /// How often it has come, and how often it had when the task looked.
    visits: u64,
    seen: u64,
    /// When the task looks again; it need not where it is woken by the thread's leaving.
    look: Option<Instant>,
    /// The driver's task has ended.
    over: bool,
}

impl Lead {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread wants to read. `None` if it may not; otherwise whether the task is to be told.
    pub fn enter(&self) -> Option<bool> {
        let mut state = self.state();
        if state.inside || state.over {
            return None;
        }
        state.inside = true;
        state.visits += 1;
        Some(!std::mem::replace(&mut state.led, true))
    }

    /// It goes to do something else; `idle`: it had nothing to read. Whether the task is to be told.
    pub fn leave(&self, idle: bool) -> bool {
        let mut state = self.state();
        state.inside = false;
        state.led &= !idle;
        idle || state.over || state.look.is_none()
    }

    /// For the task: whether it reads itself, and when it is to look again.
    pub fn look(&self, now: Instant) -> (bool, Option<Instant>) {
        let mut state = self.state();
        if !state.led {
            state.look = None;
            return (true, None);
        }
        if state.look.is_none_or(|look| look <= now) {
            let came = state.seen != state.visits;
            state.seen = state.visits;
            if came || (state.look.is_none() && !state.inside) {
                state.look = Some(now + PERIOD);
            } else {
                // Waiting all the time, it says when it leaves. Away all the time, it has lost the lead.
                state.look = None;
                state.led = state.inside;
            }
        }
        (!state.led, state.look)
    }

    /// Nobody may enter any more. Whether nobody is inside.
    pub fn end(&self) -> bool {
        let mut state = self.state();
        state.over = true;
        state.led = false;
        !state.inside
    }
}

/// The leading thread looks at its sockets for so long before it sleeps, if the last thing came as quickly.
const SPIN: Duration = Duration::from_micros(100);

/// Whether what the leading thread waits for comes so quickly that sleeping costs more than looking again and again: a core that
/// has gone to sleep takes longer to wake than a peer on the same machine takes to answer. Who waits longer than [`SPIN`]
/// even once sleeps again, so that nothing is spent where the other side is further away.
#[derive(Default)]
pub(super) struct Briskness(AtomicBool);

impl Briskness {
    /// Waits for one of the descriptors, at most `wait`; whether there is one that is ready.
    #[cfg(unix)]
    pub fn wait(&self, descriptors: &mut [libc::pollfd], wait: Duration) -> bool {
        let start = Instant::now();
        let spins = self.0.load(Ordering::Relaxed) && *SEVERAL_CORES;
        while spins && start.elapsed() < SPIN.min(wait) {
            if poll(descriptors, Duration::ZERO) {
                return true;
            }
            std::hint::spin_loop();
        }
        let ready = poll(descriptors, wait.saturating_sub(start.elapsed()));
        self.0.store(ready && start.elapsed() < SPIN, Ordering::Relaxed);
        ready
    }
}

/// On a single one the other side does not run while we look.
static SEVERAL_CORES: Lazy<bool> =
    Lazy::new(|| std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1));

#[cfg(unix)]
fn poll(descriptors: &mut [libc::pollfd], wait: Duration) -> bool {
    // Up: a wait that ends too soon would be begun again, and again.
    let millis = i32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
    // SAFETY: as many valid entries as it says.
    unsafe { libc::poll(descriptors.as_mut_ptr(), descriptors.len() as libc::nfds_t, millis) > 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_keeps_coming_leads_and_wakes_nobody() {
        let (lead, start) = (Lead::default(), Instant::now());
        assert_eq!(lead.look(start), (true, None));
        assert_eq!(lead.enter(), Some(true), "the task is told to let go");
        assert_eq!(lead.enter(), None, "one at a time");
        assert_eq!(lead.look(start), (false, Some(start + PERIOD)));
        let mut now = start;
        for _ in 0..10 {
            assert!(!lead.leave(false));
            assert_eq!(lead.enter(), Some(false));
            now += PERIOD;
            assert_eq!(lead.look(now), (false, Some(now + PERIOD)));
        }
        // It waits, and the task need not look.
        now += PERIOD;
        assert_eq!(lead.look(now), (false, None));
        assert!(lead.leave(false), "the task is to look again");
        assert_eq!(lead.look(now), (false, Some(now + PERIOD)));
    }

    #[test]
    fn who_stays_away_loses_the_lead() {
        let (lead, start) = (Lead::default(), Instant::now());
        assert_eq!(lead.enter(), Some(true));
        assert_eq!(lead.look(start), (false, Some(start + PERIOD)));
        assert!(!lead.leave(false));
        assert_eq!(lead.look(start + PERIOD), (true, None));
        // And who had nothing to read at once.
        assert_eq!(lead.enter(), Some(true));
        assert!(lead.leave(true));
        assert_eq!(lead.look(start + PERIOD), (true, None));
    }

    #[test]
    fn it_ends_when_the_last_one_is_out() {
        let lead = Lead::default();
        assert_eq!(lead.enter(), Some(true));
        assert!(!lead.end());
        assert!(lead.leave(false), "the task waits for this");
        assert!(lead.end());
        assert_eq!(lead.enter(), None);
    }
}
