//! Chooses the scenarios, runs them beside each other, and tells what came of it.

use super::namespace::{Namespace, Tun};
use super::scenario::{table, Figures, Kind, Scenario};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{mpsc, Arc, Mutex};
use std::time::{Duration, Instant};

/// Scenarios at once. They mostly wait, but opening a connection is work for two processes.
const AT_ONCE: usize = 24;

/// For all of them: they take little more than the longest, which is a cut of a minute and its healing.
const ALL: Duration = Duration::from_secs(180);

#[derive(Default)]
struct Wanted {
    names: Vec<String>,
    exact: bool,
    list: bool,
}

impl Wanted {
    fn from_arguments() -> Self {
        let mut wanted = Self::default();
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--exact" => wanted.exact = true,
                "--list" => wanted.list = true,
                "--test-threads" | "--format" | "--color" | "--skip" => drop(arguments.next()),
                option if option.starts_with('-') => {}
                name => wanted.names.push(name.to_owned()),
            }
        }
        wanted
    }

    fn name(&self, scenario: &Scenario) -> bool {
        let matches =
            |wanted: &String| if self.exact { scenario.name == *wanted } else { scenario.name.contains(wanted) };
        self.names.is_empty() || self.names.iter().any(matches)
    }
}

fn all() -> Vec<Scenario> {
    [
        super::emulator::scenarios(),
        super::exchange::scenarios(),
        super::cuts::scenarios(),
        super::away::scenarios(),
        super::address::scenarios(),
        super::nat::scenarios(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn has(command: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {command}")]).stdout(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// What this machine or user lacks for any of this.
fn missing() -> Option<String> {
    // SAFETY: it takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Some("to be root".into());
    }
    if !has("ip") {
        return Some("the command ip (Debian: iproute2)".into());
    }
    if let Err(error) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        return Some(format!("/dev/net/tun: {error}"));
    }
    let tried = catch_unwind(|| Namespace::new().map(|namespace| drop(Tun::new(&namespace, "wire", "10.0.0.1/24"))));
    tried.unwrap_or_else(|_| Err("a TUN device in a network namespace".into())).err()
}

pub fn main() -> ExitCode {
    let wanted = Wanted::from_arguments();
    let mut scenarios = all();
    scenarios.retain(|scenario| wanted.name(scenario));
    if wanted.list {
        scenarios.iter().for_each(|scenario| println!("{}: test", scenario.name));
        return ExitCode::SUCCESS;
    }
    let mut lacking = Vec::new();
    let chosen = scenarios.len();
    if let Some(missing) = missing() {
        lacking.push(format!("tests over emulated networks need {missing}"));
        scenarios.clear();
    }
    for command in ["nft", "turnserver"] {
        if scenarios.iter().any(|scenario| scenario.needs.contains(&command)) && !has(command) {
            lacking.push(format!("tests of NAT need {command} (Debian: nftables, coturn)"));
            scenarios.retain(|scenario| !scenario.needs.contains(&command));
        }
    }
    lacking.iter().for_each(|lacking| println!("SKIPPED: {lacking}"));
    let not_run = chosen - scenarios.len();
    let (rows, failed) = run(scenarios);
    print!("{}", table(&rows));
    let complete = lacking.is_empty() || std::env::var("CI").as_deref() != Ok("true");
    let well = failed.is_empty() && complete;
    let verdict = if well { "ok" } else { "FAILED" };
    let (passed, fail) = (rows.len(), failed.len());
    println!("\ntest result: {verdict}. {passed} passed; {fail} failed; {not_run} not run");
    failed.iter().for_each(|name| println!("failed: {name}"));
    if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

type Row = (Kind, String, Figures);

/// The figures of those that passed, in the order of the list, and the names of those that failed.
fn run(scenarios: Vec<Scenario>) -> (Vec<Row>, Vec<String>) {
    println!("\nrunning {} tests", scenarios.len());
    let mut order: Vec<(usize, Scenario)> = scenarios.into_iter().enumerate().collect();
    // Taken from the end: the longest first.
    order.sort_by_key(|(_, scenario)| scenario.takes);
    let mut running: Vec<String> = order.iter().map(|(_, scenario)| scenario.name.clone()).collect();
    let queue = Arc::new(Mutex::new(order));
    let (tell, outcomes) = mpsc::channel();
    for _ in 0..AT_ONCE {
        let (queue, tell) = (queue.clone(), tell.clone());
        std::thread::spawn(move || loop {
            let Some((index, scenario)) = queue.lock().unwrap().pop() else { return };
            let (kind, name) = (scenario.kind, scenario.name.clone());
            // A thread of its name, so that a panic says where.
            let body = move || catch_unwind(AssertUnwindSafe(|| (scenario.run)())).ok();
            let thread = std::thread::Builder::new().name(name.clone()).spawn(body).unwrap();
            let begun = Instant::now();
            let _ = tell.send((index, kind, name, thread.join().ok().flatten(), begun.elapsed()));
        });
    }
    drop(tell);
    let deadline = Instant::now() + ALL;
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    while !running.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok((index, kind, name, figures, took)) = outcomes.recv_timeout(left) else {
            println!("not done in {ALL:?}: {running:?}");
            failed.append(&mut running);
            break;
        };
        let outcome = if figures.is_some() { "ok" } else { "FAILED" };
        println!("test {}: {name} ... {outcome} ({:.1} s)", kind.title(), took.as_secs_f64());
        running.retain(|running| *running != name);
        match figures {
            Some(figures) => rows.push((index, kind, name, figures)),
            None => failed.push(name),
        }
    }
    rows.sort_by_key(|(index, ..)| *index);
    (rows.into_iter().map(|(_, kind, name, figures)| (kind, name, figures)).collect(), failed)
}
