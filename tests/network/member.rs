//! The test's side of a member's process: orders, and what it has said so far.

use super::namespace::Namespace;
use super::words::{Order, Said, Setup};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Set for the process that is to be a member.
pub const MEMBER: &str = "RTCSWARM_NETWORK_MEMBER";

/// For a member to answer a question and to leave.
const ANSWER: Duration = Duration::from_secs(15);

/// Of what was said, in a failure's text.
const TOLD: usize = 25;

#[derive(Default)]
struct Heard {
    said: Mutex<Vec<(Instant, Said)>>,
    changed: Condvar,
}

impl Heard {
    /// Also after a wait that has failed.
    fn lock(&self) -> MutexGuard<'_, Vec<(Instant, Said)>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct Member {
    name: String,
    child: Child,
    orders: ChildStdin,
    heard: Arc<Heard>,
}

impl Member {
    /// Started inside the namespace; it joins the room at once.
    pub fn start(namespace: &Namespace, setup: &Setup) -> Self {
        let mut child = namespace.run(|| {
            Command::new(std::env::current_exe().unwrap())
                .env(MEMBER, "1")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        });
        let heard = Arc::new(Heard::default());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn({
            let heard = heard.clone();
            move || {
                for line in lines.map_while(Result::ok) {
                    let said = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
                    heard.lock().push((Instant::now(), said));
                    heard.changed.notify_all();
                }
            }
        });
        let mut orders = child.stdin.take().unwrap();
        writeln!(orders, "{}", serde_json::to_string(setup).unwrap()).unwrap();
        Self { name: setup.user.clone(), child, orders, heard }
    }

    pub fn order(&mut self, order: &Order) {
        let written = writeln!(self.orders, "{}", serde_json::to_string(order).unwrap());
        written.unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// What it has said so far, and when.
    pub fn said(&self) -> Vec<(Instant, Said)> {
        self.heard.lock().clone()
    }

    pub fn count(&self, which: impl Fn(&Said) -> bool) -> usize {
        self.heard.lock().iter().filter(|(_, said)| which(said)).count()
    }

    /// Looks at what it has said until there is what is looked for. Fails when that takes too long, and as soon as a message was wrong.
    pub fn wait<T>(&self, what: &str, bound: Duration, look: impl Fn(&[(Instant, Said)]) -> Option<T>) -> T {
        let deadline = Instant::now() + bound;
        let mut said = self.heard.lock();
        loop {
            if let Some(found) = look(&said) {
                return found;
            }
            if let Some((_, Said::Wrong { what })) = said.iter().find(|(_, said)| matches!(said, Said::Wrong { .. })) {
                panic!("{}: {what}", self.name);
            }
            let now = Instant::now();
            assert!(now < deadline, "{}: no {what} in {bound:?}", self.name);
            said = self.heard.changed.wait_timeout(said, deadline - now).unwrap().0;
        }
    }

    /// When it first said so, not before `since`.
    pub fn first(&self, what: &str, bound: Duration, since: Instant, which: impl Fn(&Said) -> bool) -> Instant {
        self.wait(what, bound, |said| said.iter().find(|(at, said)| *at >= since && which(said)).map(|(at, _)| *at))
    }

    /// The last message that has come.
    pub fn got(&self) -> Option<u64> {
        self.said().iter().rev().find_map(|(_, said)| match said {
            Said::Got { number } => Some(*number),
            _ => None,
        })
    }

    /// Waits for the message of this number.
    pub fn wait_got(&self, wanted: u64, bound: Duration) -> Instant {
        self.wait(&format!("message {wanted}"), bound, |said| {
            said.iter().find_map(|(at, said)| matches!(said, Said::Got { number } if *number >= wanted).then_some(*at))
        })
    }

    /// Stops it from sending, and says how many messages it has sent.
    pub fn stop(&mut self) -> u64 {
        self.order(&Order::Stop);
        self.sent(ANSWER)
    }

    pub fn sent(&self, bound: Duration) -> u64 {
        self.wait("end of sending", bound, |said| {
            said.iter().rev().find_map(|(_, said)| match said {
                Said::Sent { count } => Some(*count),
                _ => None,
            })
        })
    }

    pub fn stats(&mut self) -> Said {
        let before = self.count(|said| matches!(said, Said::Stats { .. }));
        self.order(&Order::Stats);
        self.wait("figures", ANSWER, |said| {
            said.iter().map(|(_, said)| said).filter(|said| matches!(said, Said::Stats { .. })).nth(before).cloned()
        })
    }

    /// It leaves in good order.
    pub fn close(mut self) {
        self.order(&Order::Close);
        let error = self.wait("end", ANSWER, |said| {
            said.iter().find_map(|(_, said)| match said {
                Said::Over { error } => Some(error.clone()),
                _ => None,
            })
        });
        assert_eq!(error, None, "{}", self.name);
        assert!(self.child.wait().unwrap().success(), "{}", self.name);
    }

    /// All that it has said but for the messages, with seconds since the first.
    pub fn story(&self) -> String {
        story(&self.said())
    }
}

fn story(said: &[(Instant, Said)]) -> String {
    let Some((begin, _)) = said.first() else { return "nothing".into() };
    let got = said.iter().rev().find(|(_, said)| matches!(said, Said::Got { .. }));
    let others = said.iter().filter(|(_, said)| !matches!(said, Said::Got { .. }));
    let others: Vec<_> = others.chain(got).collect();
    let last = &others[others.len().saturating_sub(TOLD)..];
    let line = |(at, said): &&(Instant, Said)| format!("\n  {:7.2} s {said:?}", (*at - *begin).as_secs_f64());
    last.iter().map(line).collect()
}

impl Drop for Member {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} said: {}", self.name, self.story());
        }
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
