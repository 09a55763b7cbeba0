//! The signaling server is away for a minute, and the links are well.

use super::cuts::{begin, same_peer};
use super::exchange::OPEN;
use super::member::Member;
use super::pair::{setup, wait_signaling, Pair, Signaling};
use super::path::Conditions;
use super::scenario::{Figures, Kind, Scenario};
use super::server::Server;
use super::words::Said;
use std::time::{Duration, Instant};

const AWAY: Duration = Duration::from_secs(60);

/// The members' longest pause between two attempts is 5 s here; one that is under way when the server comes back has 10 s.
const BACK: Duration = Duration::from_secs(25);

pub fn scenarios() -> Vec<Scenario> {
    let killed = "the server is killed, and another starts 60 s later";
    let silent = "the ways to the server swallow everything for 60 s";
    vec![
        Scenario::new(Kind::Away, killed, 110, move || server_killed(super::seed(killed))),
        Scenario::new(Kind::Away, silent, 110, move || server_silent(super::seed(silent))),
    ]
}

fn server_killed(seed: u64) -> Figures {
    let mut pair = Pair::meet(Signaling::Beside, Conditions::delayed(20), seed, OPEN);
    begin(&mut pair);
    let server = pair.server.take().unwrap();
    let port = server.port();
    server.kill();
    messages_flow(&pair);
    pair.server = Some(Server::start_at(&pair.server_network, port));
    all_is_well(pair, Instant::now())
}

/// Half-open at both ends: neither hears that the other cannot be reached.
fn server_silent(seed: u64) -> Figures {
    let mut pair = Pair::meet(Signaling::Beside, Conditions::delayed(20), seed, OPEN);
    begin(&mut pair);
    pair.sides.iter().for_each(|side| side.cut(true));
    messages_flow(&pair);
    pair.sides.iter().for_each(|side| side.cut(false));
    all_is_well(pair, Instant::now())
}

/// All the while, both ways.
fn messages_flow(pair: &Pair) {
    let got = || [pair.ada.got(), pair.bo.got()].map(Option::unwrap_or_default);
    let (mut before, steps) = (got(), 6);
    for _ in 0..steps {
        // Nothing is waited for: this is the time without a server.
        std::thread::sleep(AWAY / steps);
        let now = got();
        // One each 50 ms; the machine is busy.
        assert!((0..2).all(|end| now[end] >= before[end] + 100), "{before:?} {now:?}");
        before = now;
    }
    for member in [&pair.ada, &pair.bo] {
        let reconnecting = Said::Signaling { state: "Reconnecting".into() };
        assert!(member.count(|said| *said == reconnecting) > 0, "{}", member.story());
    }
}

/// Both come back by themselves, their link is the one that it was, and a newcomer gets in to both.
fn all_is_well(mut pair: Pair, back: Instant) -> Figures {
    let connected = |said: &Said| matches!(said, Said::Signaling { state } if state == "Connected");
    let took = [&pair.ada, &pair.bo].map(|member| member.first("signaling", BACK, back, connected) - back);
    for member in [&pair.ada, &pair.bo] {
        assert_eq!(
            member.count(|said| matches!(said, Said::State { .. } | Said::Hole { .. })),
            0,
            "{}",
            member.story()
        );
        same_peer(member);
    }
    let server = pair.server.as_ref().unwrap();
    let cy = Member::start(&pair.bo_network, &setup(server, "cy", pair.bo_host));
    wait_signaling(&cy, OPEN);
    for member in [&pair.ada, &pair.bo, &cy] {
        member.wait("two peers", OPEN, |said| (opens(said.iter().map(|(_, said)| said)) == 2).then_some(()));
    }
    let sent = [pair.ada.stop(), pair.bo.stop()];
    pair.bo.wait_got(sent[0] - 1, OPEN);
    pair.ada.wait_got(sent[1] - 1, OPEN);
    for member in [&pair.ada, &pair.bo, &cy] {
        let said = member.said();
        assert_eq!(opens(said.iter().map(|(_, said)| said)), 2, "no link twice: {}", member.story());
        let harm = |said: &Said| matches!(said, Said::Closed { .. } | Said::Failed { .. } | Said::Hole { .. });
        assert_eq!(member.count(harm), 0, "{}", member.story());
    }
    let remark = "nothing was lost, nobody was told of anything, and a newcomer opened both".into();
    let figures =
        Figures { open: Some(pair.opened_in), took: took.to_vec(), messages: sent[0] + sent[1], failed: 0, remark };
    cy.close();
    pair.close();
    figures
}

fn opens<'a>(said: impl Iterator<Item = &'a Said>) -> usize {
    said.filter(|said| matches!(said, Said::Open { .. })).count()
}
