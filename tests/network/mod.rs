//! Networks made of Linux network namespaces, a link emulator between them, and members as processes inside.

pub mod address;
pub mod away;
pub mod cuts;
pub mod emulator;
pub mod exchange;
pub mod link;
pub mod member;
pub mod messages;
pub mod namespace;
pub mod nat;
pub mod pair;
pub mod path;
pub mod process;
pub mod runner;
pub mod scenario;
pub mod server;
pub mod words;

/// What a scenario's links draw from: of its own, and another for another `RTCSWARM_NETWORK_SEED`.
pub fn seed(scenario: &str) -> u64 {
    let base = std::env::var("RTCSWARM_NETWORK_SEED").map_or(1, |seed| seed.parse().expect("a seed is a number"));
    // FNV-1a, which is the same everywhere.
    scenario
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325 ^ base, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
