//! Whole rooms, members and server, in virtual time under a seed: thousands of stories with late messages, lost sockets,
//! crashes and failing links, each of which must come out right.
//!
//! `RTCSWARM_SIM_SEEDS=N` plays N seeds, `RTCSWARM_SIM_SEED=k` replays one with its trace.

mod sim;

use sim::scenario;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;

const SEEDS: u64 = 2_000;

/// Failing seeds after which no more are played.
const ENOUGH: usize = 20;

fn from_env(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number, not {value:?}")))
}

fn play(seed: u64, traced: bool) -> Result<(), (String, Vec<String>)> {
    match catch_unwind(AssertUnwindSafe(|| scenario::play(seed, traced))) {
        Ok(played) => played.map(|_| ()),
        Err(_) => Err(("it panicked".into(), Vec::new())),
    }
}

#[test]
fn every_story_comes_out_right() {
    if let Some(seed) = from_env("RTCSWARM_SIM_SEED") {
        let (outcome, trace) = match scenario::play(seed, true) {
            Ok(world) => (Ok(()), world.trace.unwrap_or_default()),
            Err((error, trace)) => (Err(error), trace),
        };
        trace.iter().for_each(|line| println!("{line}"));
        return outcome.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    let seeds = from_env("RTCSWARM_SIM_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
        for _ in 0..threads {
            scope.spawn(|| loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds || failures.lock().unwrap().len() >= ENOUGH {
                    break;
                }
                if let Err((error, _)) = play(seed, false) {
                    failures.lock().unwrap().push((seed, error));
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    failures.iter().for_each(|(seed, error)| println!("seed {seed}: {error}"));
    if let Some((seed, error)) = failures.first() {
        panic!(
            "seed {seed}: {error}\nreplay it with its trace: \
             RTCSWARM_SIM_SEED={seed} cargo test --test simulator every_story -- --nocapture"
        );
    }
}
