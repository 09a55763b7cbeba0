//! A seed's story: members come, go, crash and come back, and talk, while the network and the server are not well; then the network is
//! well, and after a while everything must be right; then everyone leaves, and nothing may be left.

use super::member::{Life, Member};
use super::network::Weather;
use super::world::World;
use super::Outcome;
use crate::hub::{HubConfig, HubStats};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// For the room to be right once the network is well: longer than every deadline and back-off together.
const PATIENCE: Duration = Duration::from_secs(150);
/// For which it must stay right: longer than it takes to notice a link that does not work.
const STABLE: Duration = Duration::from_secs(10);

/// Plays a seed on this thread.
pub(super) fn play(seed: u64, traced: bool) -> (Outcome, World) {
    let mut world = build(seed, traced);
    let outcome = story(&mut world);
    (outcome, world)
}

fn build(seed: u64, traced: bool) -> World {
    let mut random = StdRng::seed_from_u64(seed);
    let hub = HubConfig {
        spares_per_member: 8,
        spare_ttl: SECOND * random.random_range(30..100),
        grace: SECOND * random.random_range(1..8),
        ..HubConfig::default()
    };
    let latency = Duration::from_millis([2, 30, 150, 600][random.random_range(0..4)]);
    let calm = random.random_bool(0.3);
    let mut pick = |choices: [f64; 4]| if calm { choices[0] } else { choices[random.random_range(0..4)] };
    let (loss, duplication) = (pick([0.0, 0.01, 0.05, 0.12]), pick([0.0, 0.0, 0.02, 0.2]));
    let (delay, jitter) = (pick([5.0, 1.0, 30.0, 120.0]), pick([0.0, 3.0, 20.0, 80.0]));
    let millis = |millis: f64| Duration::from_millis(millis as u64);
    let weather = Weather { delay: millis(delay), jitter: millis(jitter), loss, duplication };
    let mut world = World::new(random, traced, hub, latency, weather);
    world.say(format!("seed {seed}: signaling {latency:?}, {weather:?}"));
    world
}

fn story(world: &mut World) -> Outcome {
    let users = [2, 2, 3, 3, 3, 4, 5][world.random.random_range(0..7)];
    let mut mishaps = world.random.random_range(0..=7);
    let mut absent: Vec<String> = (0..users).map(|user| format!("user{user}")).collect();
    let at_once = world.chance(0.3);
    while at_once && !absent.is_empty() {
        join(world, &mut absent)?;
    }
    loop {
        let longest = if world.chance(0.5) { SECOND / 2 } else { SECOND * 5 };
        let pause = world.between(Duration::ZERO, longest);
        world.run_until(world.now + pause)?;
        if !absent.is_empty() && (mishaps == 0 || world.chance(0.5)) {
            join(world, &mut absent)?;
        } else if mishaps == 0 {
            break;
        } else {
            mishaps -= 1;
            mishap(world, &mut absent)?;
        }
    }
    world.say("the network is well".into());
    world.network.mend();
    becomes_right(world)?;

    while let Some(node) = world.running().first().copied() {
        if world.chance(0.8) {
            world.leave(node)?;
        } else {
            world.crash(node);
        }
        let pause = world.between(Duration::ZERO, SECOND);
        world.run_until(world.now + pause)?;
    }
    world.run_until(world.now + SECOND * 15)?;
    nothing_is_left(world)
}

fn join(world: &mut World, absent: &mut Vec<String>) -> Outcome {
    let user = absent.swap_remove(world.random.random_range(0..absent.len()));
    let (buffer, nat) = (world.random.random_range(0..=2), world.chance(0.3));
    world.join(&user, buffer, nat)
}

fn mishap(world: &mut World, absent: &mut Vec<String>) -> Outcome {
    let running = world.running();
    if running.is_empty() {
        return Ok(());
    }
    let node = running[world.random.random_range(0..running.len())];
    let other = running[world.random.random_range(0..running.len())];
    match world.random.random_range(0..100) {
        0..=9 => {
            absent.push(world.members[node].user_id.clone());
            world.leave(node)?;
        }
        10..=19 => {
            absent.push(world.members[node].user_id.clone());
            world.crash(node);
        }
        20..=34 => world.lose_socket(node),
        35..=39 => world.restart_hub(),
        40..=74 if node != other => {
            let longest = if world.chance(0.5) { SECOND * 2 } else { SECOND * 15 };
            let until = world.now + world.between(SECOND / 10, longest);
            let both = world.chance(0.5);
            world.journal.count(if both { "cut both ways" } else { "cut one way" });
            world.say(format!("cut #{node} -> #{other} until {until:?}, both ways: {both}"));
            world.network.cut(node, other, until);
            if both {
                world.network.cut(other, node, until);
            }
        }
        75..=81 => {
            world.journal.count("member offline");
            world.say(format!("{} is offline", world.name(node)));
            let until = world.now + world.between(SECOND, SECOND * 12);
            for other in running.into_iter().filter(|other| *other != node) {
                world.network.cut(node, other, until);
                world.network.cut(other, node, until);
            }
            world.lose_socket(node);
        }
        82..=88 => world.move_away(node),
        89..=94 => world.add_stream(node)?,
        95..=97 => {
            world.journal.count("sleep");
            let until = world.now + world.between(SECOND / 2, SECOND * 12);
            world.say(format!("{} sleeps until {until:?}", world.name(node)));
            world.members[node].asleep = until;
        }
        98..=99 if node != other => world.close_peer(node, other)?,
        _ => {}
    }
    Ok(())
}

/// The room is right within the patience, stays so for a while, and what is said meanwhile arrives.
fn becomes_right(world: &mut World) -> Outcome {
    let last = world.now + PATIENCE;
    loop {
        while let Err(error) = everyone_is_connected(world) {
            if world.now >= last {
                return Err(error);
            }
            world.run_until(world.now + SECOND / 2)?;
        }
        world.run_until(world.now + STABLE)?;
        if everyone_is_connected(world).is_ok() {
            break;
        }
    }
    for node in world.running() {
        world.speak(node)?;
        world.settle(node)?;
    }
    world.talk = None;
    // What was lost before is sent again only after a while.
    let last = world.now + SECOND * 70;
    while let Err(error) = everything_has_arrived(world) {
        if world.now >= last {
            return Err(error);
        }
        world.run_until(world.now + SECOND / 10)?;
    }
    // A link whose path had gone by then may only just be found out, and is mended.
    let last = world.now + PATIENCE;
    while let Err(error) = everyone_is_connected(world) {
        if world.now >= last {
            return Err(error);
        }
        world.run_until(world.now + SECOND / 2)?;
    }
    Ok(())
}

/// Every pair of running members has exactly one open link, the same at both ends, and nothing else is on the way.
fn everyone_is_connected(world: &World) -> Outcome {
    let running = world.running();
    let by_user: BTreeMap<&str, usize> =
        running.iter().map(|node| (world.members[*node].user_id.as_str(), *node)).collect();
    for node in &running {
        let (member, name) = (&world.members[*node], world.name(*node));
        if !member.socket.is_some_and(|socket| world.signaling.is_up(socket)) {
            return Err(format!("{name} has no signaling"));
        }
        let seen: BTreeMap<_, _> = member.open_peers().map(|(user, id)| (user.as_str(), id)).collect();
        let by_mesh: BTreeMap<_, _> = member.mesh.open_links().collect();
        if seen != by_mesh {
            return Err(format!("{name} saw {seen:?} and has {by_mesh:?}"));
        }
        for (user, id) in &seen {
            let Some(other) = by_user.get(user) else {
                return Err(format!("{name} is connected to {user}, who is not here"));
            };
            let back = world.members[*other].mesh.open_links().find(|(user, _)| *user == member.user_id);
            if back.map(|(_, id)| id) != Some(id) {
                return Err(format!("{name} has {id} to {}, who has {back:?}", world.name(*other)));
            }
        }
        let open: Vec<_> = member.table.slots.values().filter(|slot| slot.open).map(|slot| &slot.id).collect();
        if open.len() != seen.len() || open.iter().any(|id| !seen.values().any(|used| used == id)) {
            return Err(format!("{name} uses {seen:?}, and open are {open:?}"));
        }
        for other in running.iter().filter(|other| *other != node) {
            let other_member = &world.members[*other];
            let shunned =
                member.shunned.contains(&other_member.user_id) || other_member.shunned.contains(&member.user_id);
            if !seen.contains_key(other_member.user_id.as_str()) && !shunned {
                return Err(format!("{name} is not connected to {}", world.name(*other)));
            }
        }
        let peers = member.mesh.counts().1;
        if peers != seen.len() {
            return Err(format!("{name} has {peers} peers of which {} are open", seen.len()));
        }
    }
    let stats = world.signaling.hub.stats();
    if stats.members != running.len() || stats.sessions != running.len() {
        return Err(format!("the hub counts {stats:?}"));
    }
    Ok(())
}

fn everything_has_arrived(world: &World) -> Outcome {
    for node in world.running() {
        for (_, id) in world.members[node].mesh.open_links() {
            world.ledger.is_complete(id, node)?;
            let heard = |other: &Member| other.table.of(id).map(|slot| slot.streams.clone());
            let others = world.members.iter().enumerate().filter(|(other, _)| *other != node);
            let heard = others.filter_map(|(_, other)| heard(other)).next().unwrap_or_default();
            let given = &world.members[node].streams.streams;
            if !given.keys().eq(heard.iter()) {
                return Err(format!("{} gives {given:?} on {id}, and {heard:?} is heard of", world.name(node)));
            }
        }
    }
    Ok(())
}

fn nothing_is_left(world: &World) -> Outcome {
    let signaling = &world.signaling;
    let stats = signaling.hub.stats();
    if stats != HubStats::default() || signaling.hub.poll_timeout().is_some() || !signaling.is_deserted() {
        return Err(format!("everybody left, and the hub has {stats:?}, waits {:?}", signaling.hub.poll_timeout()));
    }
    for (node, member) in world.members.iter().enumerate() {
        if member.life == Life::Running || member.table.sizes() != [0; 4] || !member.letters.is_empty() {
            return Err(format!("{} has {:?} left", world.name(node), member.table.sizes()));
        }
    }
    Ok(())
}
