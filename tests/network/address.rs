//! A member's only address goes, and another comes.

use super::cuts::{begin, end};
use super::exchange::OPEN;
use super::pair::{Pair, Signaling, ADA, WIRE};
use super::path::Conditions;
use super::scenario::{Figures, Kind, Scenario};
use std::time::Instant;

/// Of the same network.
const ANOTHER: &str = "10.0.0.7/24";

pub fn scenarios() -> Vec<Scenario> {
    [
        ("address changed, the server beside", Signaling::Beside),
        ("address changed, the server behind the link", Signaling::Across),
    ]
    .into_iter()
    .map(|(name, signaling)| {
        let run = move || change(signaling, super::seed(name));
        Scenario::new(Kind::Address, name, 60, run)
    })
    .collect()
}

fn change(signaling: Signaling, seed: u64) -> Figures {
    let mut pair = Pair::meet(signaling, Conditions::delayed(20), seed, OPEN);
    begin(&mut pair);
    pair.ada_network.ip(&format!("addr del {ADA} dev {WIRE}"));
    pair.ada_network.ip(&format!("addr add {ANOTHER} dev {WIRE}"));
    let changed = Instant::now();
    // It went with the address.
    pair.route_across();
    end(pair, changed)
}
