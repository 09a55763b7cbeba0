//! A member's only address goes, and another comes.

use super::cuts::{begin, end, Outcome};
use super::exchange::OPEN;
use super::pair::{Pair, Signaling, ADA, WIRE};
use super::path::Conditions;
use super::scenario::{Figures, Kind, Scenario};
use super::words::Said;
use std::time::{Duration, Instant};

/// Addresses are looked at every two seconds, and what follows takes round trips of 40 ms.
const NOTICES: Duration = Duration::from_secs(8);

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
    if signaling == Signaling::Across {
        // It leaves the session by itself: TCP would go on trying from the old address for much longer.
        for state in ["Reconnecting", "Connected"] {
            let is = |said: &Said| matches!(said, Said::Signaling { state: now } if now == state);
            pair.ada.first(state, NOTICES, changed, is);
        }
    }
    // What was under way at the change does not count.
    end(pair, changed + Duration::from_millis(100), NOTICES, Outcome::Lives)
}
