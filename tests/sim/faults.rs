//! What may befall a room. Each story has some kinds of it.

use super::member::Member;
use super::paths::Cut;
use super::world::{Outcome, World, MILLISECOND, SECOND};
use rand::Rng;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Leave,
    Crash,
    /// A new process of the same user, while the old one runs.
    Twin,
    /// Another principal claims to be this user.
    Impostor,
    LoseSocket,
    HalfOpen,
    /// A path dies, and both ends notice, or one.
    Break,
    /// It dies and comes back, perhaps in time.
    Flap,
    OneWay,
    Sleep,
    /// Into another network.
    Move,
    ClosePeer,
    Restart,
    /// The server is away for a minute.
    Away,
}

/// How often each is in a story.
const KINDS: &[(Fault, f64)] = &[
    (Fault::Leave, 1.0),
    (Fault::Crash, 1.0),
    (Fault::Twin, 0.2),
    (Fault::Impostor, 0.2),
    (Fault::LoseSocket, 0.6),
    (Fault::HalfOpen, 0.6),
    (Fault::Break, 0.6),
    (Fault::Flap, 0.4),
    (Fault::OneWay, 0.4),
    (Fault::Sleep, 0.4),
    (Fault::Move, 0.4),
    (Fault::ClosePeer, 0.1),
    (Fault::Restart, 0.2),
    (Fault::Away, 0.1),
];

pub fn choose(world: &mut World) -> Vec<Fault> {
    KINDS.iter().filter(|(_, share)| world.chance(*share)).map(|(kind, _)| *kind).collect()
}

/// One of the chosen faults befalls somebody.
pub fn strike(world: &mut World, faults: &[Fault], absent: &mut Vec<String>) -> Outcome {
    let awake: Vec<usize> = world.running().into_iter().filter(|node| world.members[*node].asleep.is_none()).collect();
    if awake.is_empty() {
        return Ok(());
    }
    let node = awake[world.random.random_range(0..awake.len())];
    let fault = faults[world.random.random_range(0..faults.len())];
    match fault {
        Fault::Leave => {
            gone(world, node, absent);
            world.leave(node)?;
        }
        Fault::Crash => {
            gone(world, node, absent);
            world.crash(node);
        }
        Fault::Twin => {
            let user = world.members[node].user_id.clone();
            if world.members[node].principal == user {
                let twin = world.native(&user, 1, 64);
                world.count("twin");
                world.join(Member::new(&user, twin, 1))?;
            }
        }
        Fault::Impostor => {
            let user = world.members[node].user_id.clone();
            let brain = if world.chance(0.5) { world.native(&user, 2, 64) } else { world.js(&user, 2) };
            let mut impostor = Member::new(&user, brain, 2);
            impostor.principal = "mallory".into();
            world.join(impostor)?;
        }
        Fault::LoseSocket | Fault::HalfOpen => {
            if let Some(socket) = world.members[node].socket {
                world.count(if fault == Fault::HalfOpen { "half-open socket" } else { "lost socket" });
                if fault == Fault::HalfOpen {
                    world.half_open(socket);
                } else {
                    world.lose_socket(socket);
                }
            }
        }
        Fault::Break | Fault::Flap | Fault::OneWay => path_fault(world, node, fault),
        Fault::Sleep => {
            let long = if world.chance(0.4) { SECOND * 4 } else { SECOND * 80 };
            let long = world.between(SECOND, long);
            world.falls_asleep(node, long);
        }
        Fault::Move => {
            world.count("moved");
            world.moves(node)?;
        }
        Fault::ClosePeer => {
            let other = awake[world.random.random_range(0..awake.len())];
            world.close_peer(node, other)?;
        }
        Fault::Restart | Fault::Away => {
            let away = if fault == Fault::Away { world.between(SECOND * 30, SECOND * 70) } else { SECOND };
            let politely = world.chance(0.5);
            world.count("the server restarts");
            world.restart_hub(away, politely)?;
        }
    }
    Ok(())
}

/// The user comes back later, unless it is still here by another process.
fn gone(world: &World, node: usize, absent: &mut Vec<String>) {
    let member = &world.members[node];
    let here = |other: &usize| *other != node && world.members[*other].user_id == member.user_id;
    let back = member.principal == member.user_id && !world.inside().iter().any(here);
    if back && !absent.contains(&member.user_id) {
        absent.push(member.user_id.clone());
    }
}

fn path_fault(world: &mut World, node: usize, fault: Fault) {
    let links = world.links.of(node);
    let answered: Vec<_> = links.into_iter().filter(|id| world.links.all[id].answered).collect();
    if answered.is_empty() {
        return;
    }
    let id = answered[world.random.random_range(0..answered.len())].clone();
    let (one, other) = (world.until_ice_fails(), world.until_ice_fails());
    let fails = match world.random.random_range(0..4) {
        0 => [Some(one), Some(one)],
        1 => [Some(one), None],
        2 => [None, Some(one)],
        _ => [Some(one), Some(other)],
    };
    let silent = match fault {
        Fault::OneWay if world.chance(0.5) => [true, false],
        Fault::OneWay => [false, true],
        _ => [true, true],
    };
    let heals = (fault == Fault::Flap || world.chance(0.2)).then(|| world.between(MILLISECOND, SECOND * 15));
    world.count(match fault {
        Fault::Break => "path broken",
        Fault::Flap => "path broken for a while",
        _ => "path broken one way",
    });
    world.cut_path(&id, Cut { silent, fails, heals });
}

/// Some time until the next thing happens.
pub fn pause(world: &mut World) -> Duration {
    let longest = match world.random.random_range(0..10) {
        0..=4 => SECOND / 5,
        5..=8 => SECOND * 4,
        _ => SECOND * 40,
    };
    world.between(Duration::ZERO, longest)
}
