//! Whole rooms, members and server, in virtual time under a seed: thousands of stories with late messages, lost
//! sockets, crashes and failing links, each of which must come out right.
//!
//! `RTCSWARM_SIM_SEEDS=N` plays N seeds, from `RTCSWARM_SIM_FIRST` on; `RTCSWARM_SIM_SEED=k` replays one with its trace.

mod sim;

use sim::scenario;
use std::collections::BTreeMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::Duration;

const SEEDS: u64 = 6_000;

/// Failing seeds after which no more are played.
const ENOUGH: usize = 20;

fn from_env(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number, not {value:?}")))
}

/// How often each kind of thing happened.
type Happened = BTreeMap<&'static str, usize>;

/// What happened, and the longest that a pair was without its link.
fn play(seed: u64) -> Result<(Happened, Duration), String> {
    match catch_unwind(AssertUnwindSafe(|| scenario::play(seed, false))) {
        Ok(played) => played.map(|world| (world.happened, world.healing.longest)).map_err(|(error, _)| error),
        Err(_) => Err("it panicked".into()),
    }
}

#[test]
fn every_story_comes_out_right() {
    if let Some(seed) = from_env("RTCSWARM_SIM_SEED") {
        let (outcome, trace) = match scenario::play(seed, true) {
            Ok(world) => {
                println!("{:#?}", world.happened);
                (Ok(()), world.trace.unwrap_or_default())
            }
            Err((error, trace)) => (Err(error), trace),
        };
        trace.iter().for_each(|line| println!("{line}"));
        return outcome.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    let seeds = from_env("RTCSWARM_SIM_SEEDS").unwrap_or(SEEDS);
    let first = from_env("RTCSWARM_SIM_FIRST").unwrap_or(0);
    let next = AtomicU64::new(first);
    let failures = Mutex::new(Vec::new());
    let happened = Mutex::new(Happened::new());
    let longest = Mutex::new((Duration::ZERO, 0));
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
        for _ in 0..threads {
            scope.spawn(|| loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + seeds || failures.lock().unwrap().len() >= ENOUGH {
                    break;
                }
                if seed > first && (seed - first) % 100_000 == 0 {
                    println!("{} stories", seed - first);
                }
                match play(seed) {
                    Ok((one, healing)) => {
                        let mut longest = longest.lock().unwrap();
                        *longest = (healing, seed).max(*longest);
                        let mut all = happened.lock().unwrap();
                        one.into_iter().for_each(|(kind, times)| *all.entry(kind).or_default() += times);
                    }
                    Err(error) => {
                        println!("seed {seed}: {error}");
                        failures.lock().unwrap().push((seed, error));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    if let Some((seed, error)) = failures.first() {
        panic!(
            "seed {seed}: {error}\nreplay it with its trace: \
             RTCSWARM_SIM_SEED={seed} cargo test --test simulator every_story -- --nocapture"
        );
    }
    let happened = happened.into_inner().unwrap();
    let (longest, seed) = longest.into_inner().unwrap();
    println!("{seeds} stories: {happened:#?}");
    println!("at most {:.0} s after the last blow a pair had its link (seed {seed})", longest.as_secs_f64());
    if seeds >= SEEDS {
        for kind in KINDS {
            assert!(happened.contains_key(kind), "in no story there was: {kind}");
        }
    }
}

/// Each of these must come to pass, or the stories have become too tame to prove anything.
const KINDS: &[&str] = &[
    "init with connections",
    "drop",
    "refuse",
    "leaveSwarm",
    "linked",
    "offerRequest",
    "too many spares",
    "closed by remote",
    "closed by the application",
    "closed, left",
    "closed, lost",
    "failed, left",
    "failed, no answer",
    "failed, no channel",
    "failed, too many",
    "connected again",
    "JS peer open",
    "init came too late",
    "moved",
    "nothing happens for a minute",
    "half-open socket",
    "impostor refused",
    "lost socket",
    "path broken",
    "path broken for a while",
    "path broken one way",
    "an older process waits",
    "superseded",
    "the server restarts",
    "twin",
    "woke",
];

#[test]
fn a_room_of_a_hundred_is_connected_and_leaves_nothing() {
    scenario::crowd(100).unwrap_or_else(|error| panic!("{error}"));
}
