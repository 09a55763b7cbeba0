//! A seed's story: members come, go, crash and come back while messages are late, sockets die, links fail and the server
//! restarts; then the weather clears, and after a while everything must be right; then everyone leaves, and nothing may be
//! left.

use super::member::Life;
use super::world::{random, Outcome, Weather, World};
use rand::Rng;
use rtcswarm::hub::{HubConfig, HubStats};
use std::collections::BTreeMap;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// What may happen in a story besides joining, leaving and lost sockets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    pub links: bool,
    pub server: bool,
    pub shun: bool,
}

/// Plays a seed. On failure, what is wrong, and what happened if it was to be traced.
pub fn play(seed: u64, traced: bool) -> Result<World, (String, Vec<String>)> {
    let mut world = build(seed);
    world.trace = traced.then(Vec::new);
    match story(&mut world) {
        Ok(()) => Ok(world),
        Err(error) => Err((error, world.trace.unwrap_or_default())),
    }
}

fn build(seed: u64) -> World {
    let mut random = random(seed);
    let hub = HubConfig {
        spares_per_member: 8,
        spare_ttl: SECOND * random.random_range(20..100),
        grace: SECOND * random.random_range(1..10),
        ..HubConfig::default()
    };
    let latency = Duration::from_millis([2, 20, 100, 1000][random.random_range(0..4)]);
    let calm = random.random_bool(0.3);
    let weather = Weather { latency, refused: if calm { 0.0 } else { 0.02 }, stillborn: if calm { 0.0 } else { 0.05 } };
    World::new(random, hub, weather)
}

fn story(world: &mut World) -> Outcome {
    let users = world.random.random_range(2..=7usize);
    let most = if world.chance(0.1) { world.random.random_range(1..4) } else { 64 };
    let at_once = world.chance(0.3);
    let faults = Faults { links: world.chance(0.6), server: world.chance(0.2), shun: world.chance(0.1) };
    let mut actions = world.random.random_range(0..25usize);
    let mut absent: Vec<String> = (0..users).map(|user| format!("user{user}")).collect();

    while at_once && !absent.is_empty() {
        let user = absent.pop().unwrap_or_default();
        join(world, &user, most)?;
    }
    loop {
        let longest = if world.chance(0.5) { SECOND / 5 } else { SECOND * 4 };
        let pause = world.between(Duration::ZERO, longest);
        world.run_until(world.now + pause)?;
        let join_next = !absent.is_empty() && (actions == 0 || world.chance(0.4));
        if join_next {
            let next = world.random.random_range(0..absent.len());
            let user = absent.swap_remove(next);
            if world.is_heard_out(&user) {
                join(world, &user, most)?;
            } else {
                absent.push(user);
            }
        } else if actions == 0 {
            break;
        } else {
            actions -= 1;
            mishap(world, faults, &mut absent)?;
        }
    }
    world.weather.refused = 0.0;
    world.weather.stillborn = 0.0;
    // Longer than any deadline and back-off there is.
    world.run_until(world.now + SECOND * 240)?;
    everyone_is_connected(world)?;
    // Spares that grow too old are being replaced for ever: at some moment none is on its way.
    let patience = world.now + SECOND * 20;
    while let Err(error) = spares_are_in_place(world) {
        if world.now >= patience {
            return Err(error);
        }
        world.run_until(world.now + SECOND / 20)?;
    }

    while let Some(node) = world.running().first().copied() {
        if world.chance(0.8) {
            world.leave(node)?;
        } else {
            world.crash(node);
        }
        let pause = world.between(Duration::ZERO, SECOND);
        world.run_until(world.now + pause)?;
    }
    world.run_until(world.now + SECOND * 240)?;
    nothing_is_left(world)
}

fn join(world: &mut World, user: &str, most: usize) -> Outcome {
    let buffer = world.random.random_range(0..=3);
    world.join(user, buffer, most)
}

fn mishap(world: &mut World, faults: Faults, absent: &mut Vec<String>) -> Outcome {
    let running = world.running();
    if running.is_empty() {
        return Ok(());
    }
    let node = running[world.random.random_range(0..running.len())];
    match world.random.random_range(0..100) {
        0..=14 => {
            absent.push(world.members[node].user_id.clone());
            world.leave(node)?;
        }
        15..=34 => {
            absent.push(world.members[node].user_id.clone());
            world.crash(node);
        }
        35..=69 => world.lose_socket(node),
        70..=89 if faults.links => {
            let links = world.links.of(node);
            let answered: Vec<_> = links.into_iter().filter(|id| world.links.all[id].answered).collect();
            if !answered.is_empty() {
                let id = &answered[world.random.random_range(0..answered.len())];
                world.break_link(id);
            }
        }
        90..=94 if faults.server => world.restart_hub(),
        95..=99 if faults.shun => {
            let other = running[world.random.random_range(0..running.len())];
            world.close_peer(node, other)?;
        }
        _ => {}
    }
    Ok(())
}

/// Every pair of running members has exactly one open link, and nothing else is on the way.
fn everyone_is_connected(world: &World) -> Outcome {
    let running = world.running();
    let by_user: BTreeMap<&str, usize> =
        running.iter().map(|node| (world.members[*node].user_id.as_str(), *node)).collect();
    let limited = running.iter().any(|node| world.members[*node].max_peers < running.len());
    for node in &running {
        let member = &world.members[*node];
        if !world.socket_is_up(*node) {
            return Err(format!("{} has no signaling", world.name(*node)));
        }
        let seen: BTreeMap<_, _> = member.open_peers().collect();
        let by_mesh: BTreeMap<_, _> = member.mesh.open_links().collect();
        if seen.len() != by_mesh.len() || seen.iter().any(|(user, id)| by_mesh.get(user.as_str()) != Some(id)) {
            return Err(format!("{} saw {seen:?} and has {by_mesh:?}", world.name(*node)));
        }
        for (user, id) in &seen {
            let Some(other) = by_user.get(user.as_str()) else {
                return Err(format!("{} is connected to {user}, who is not here", world.name(*node)));
            };
            if world.links.side(id, *other).is_none() {
                return Err(format!("{} has {id} to {}, who has not", world.name(*node), world.name(*other)));
            }
        }
        for other in running.iter().filter(|other| *other != node) {
            let other_member = &world.members[*other];
            let shunned =
                member.shunned.contains(&other_member.user_id) || other_member.shunned.contains(&member.user_id);
            if !seen.contains_key(&other_member.user_id) && !shunned && !limited {
                return Err(format!("{} is not connected to {}", world.name(*node), world.name(*other)));
            }
        }
        if seen.len() > member.max_peers {
            return Err(format!("{} has {} peers of {}", world.name(*node), seen.len(), member.max_peers));
        }
        let peers = member.mesh.counts().1;
        if peers != seen.len() && !limited {
            return Err(format!("{} has {peers} peers of which {} are open", world.name(*node), seen.len()));
        }
    }
    let stats = world.hub.stats();
    if stats.members != running.len() || stats.sessions != running.len() {
        return Err(format!("the hub counts {stats:?}"));
    }
    Ok(())
}

/// Each member has as many spare offers as it is to have, the hub has the same ones, and nobody waits for one.
fn spares_are_in_place(world: &World) -> Outcome {
    let running = world.running();
    if running.iter().any(|node| world.members[*node].max_peers < running.len() + 8) {
        return Ok(());
    }
    let mut spares = 0;
    for node in &running {
        let member = &world.members[*node];
        let (connections, peers) = member.mesh.counts();
        if connections < peers + member.peer_buffer {
            return Err(format!("{} has {connections} connections for {peers} peers", world.name(*node)));
        }
        spares += connections - peers;
    }
    let stats = world.hub.stats();
    if stats.spares != spares || stats.waiting != 0 {
        return Err(format!("members have {spares} spares, the hub counts {stats:?}"));
    }
    Ok(())
}

fn nothing_is_left(world: &World) -> Outcome {
    let stats = world.hub.stats();
    if stats != HubStats::default() || world.hub.poll_timeout().is_some() || !world.nobody_connected() {
        return Err(format!("everybody left, and the hub has {stats:?}, waits {:?}", world.hub.poll_timeout()));
    }
    match world.members.iter().find(|member| member.life == Life::Running) {
        Some(member) => Err(format!("{} still runs", member.user_id)),
        None => Ok(()),
    }
}
