//! A seed's story: members come, go, crash and come back while everything in `faults` befalls them; then the weather
//! clears, and after a while everything must be right; then everyone leaves, and nothing may be left.

use super::faults;
use super::member::Member;
use super::world::{random, Outcome, Weather, World, SECOND};
use rand::Rng;
use rtcswarm::hub::HubConfig;
use rtcswarm::mesh::Input;
use std::time::Duration;

/// Longer than it takes anybody to notice what befell it, unless it sleeps.
const CALM: Duration = Duration::from_secs(100);

/// Longer than any sleep, back-off and deadline there is.
const PATIENCE: Duration = Duration::from_secs(140);

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
        spares_per_member: random.random_range(1..=8),
        spare_ttl: SECOND
            * if random.random_bool(0.1) { random.random_range(5..20) } else { random.random_range(20..100) },
        grace: SECOND * random.random_range(1..10),
        ..HubConfig::default()
    };
    let latency = Duration::from_millis([2, 20, 100, 1000][random.random_range(0..4)]);
    let rough = if random.random_bool(0.3) { 0.0 } else { 0.01 };
    let weather = Weather { latency, stragglers: rough / 5.0, refused: rough * 2.0, stillborn: rough * 5.0 };
    World::new(random, hub, weather)
}

/// What kind of members a story has.
struct Cast {
    most: usize,
    buffer: usize,
    js: f64,
}

fn story(world: &mut World) -> Outcome {
    let users = world.random.random_range(2..=7usize);
    let most = if world.chance(0.1) { world.random.random_range(1..4) } else { 64 };
    let buffer = if world.chance(0.1) { 12 } else { 3 };
    let js = if world.chance(0.4) { world.random.random_range(0.1..0.6) } else { 0.0 };
    let cast = Cast { most, buffer, js };
    let at_once = world.chance(0.3);
    let faults = faults::choose(world);
    let mut actions = world.random.random_range(0..25usize);
    let mut absent: Vec<String> = (0..users).map(|user| format!("user{user}")).collect();

    while at_once && !absent.is_empty() {
        let user = absent.pop().unwrap_or_default();
        join(world, &user, &cast)?;
    }
    loop {
        let pause = faults::pause(world);
        world.watch_until(world.now + pause)?;
        let join_next = !absent.is_empty() && (actions == 0 || world.chance(0.4));
        if join_next {
            let next = world.random.random_range(0..absent.len());
            let user = absent.swap_remove(next);
            join(world, &user, &cast)?;
        } else if actions == 0 {
            break;
        } else {
            actions -= 1;
            faults::strike(world, &faults, &mut absent)?;
        }
    }
    world.weather = Weather { latency: world.weather.latency, ..Weather::default() };
    world.watch_until(world.now + CALM)?;
    settles(world, World::everyone_is_connected)?;
    // Spares that grow too old are being replaced for ever: at some moment none is on its way.
    settles(world, |world| world.spares_are_in_place())?;
    // And stays so.
    if world.nothing_is_excused() {
        world.calm = true;
        world.watch_until(world.now + SECOND * 60)?;
        world.everyone_is_connected()?;
        world.calm = false;
        world.count("nothing happens for a minute");
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
    world.run_until(world.now + CALM)?;
    world.run_until(world.now + PATIENCE)?;
    world.nothing_is_left()
}

/// What must hold soon.
fn settles(world: &mut World, holds: impl Fn(&mut World) -> Outcome) -> Outcome {
    let patience = world.now + PATIENCE;
    let mut pause = SECOND / 20;
    while let Err(error) = holds(world) {
        if world.now >= patience {
            return Err(error);
        }
        world.watch_until(world.now + pause)?;
        // Not in step with anything.
        pause = (pause * 21 / 20).min(SECOND * 2);
    }
    Ok(())
}

fn join(world: &mut World, user: &str, cast: &Cast) -> Outcome {
    let buffer = world.random.random_range(0..=cast.buffer);
    let brain = if world.chance(cast.js) { world.js(user, buffer) } else { world.native(user, buffer, cast.most) };
    world.join(Member::new(user, brain, buffer)).map(drop)
}

/// Many members, half of them at once; one comes into another network; then all leave. At the rate that servers have.
pub fn crowd(size: usize) -> Outcome {
    let hub = HubConfig { members_per_room: size, ..HubConfig::default() };
    let weather = Weather { latency: Duration::from_millis(50), ..Weather::default() };
    let mut world = World::new(random(size as u64), hub, weather);
    world.addresses = 12;
    for member in 0..size {
        let user = format!("user{member}");
        let brain = world.native(&user, 1, size * 2);
        world.join(Member::new(&user, brain, 1))?;
        if member >= size / 2 {
            world.run_until(world.now + SECOND / 10)?;
        }
    }
    world.run_until(world.now + SECOND * 10)?;
    world.everyone_is_connected()?;
    world.spares_are_in_place()?;
    // As often as uses up what the joins have earned.
    for _ in 0..3 {
        world.run_until(world.now + SECOND * 15)?;
        for connection in world.links.of(0) {
            if world.links.is_open_at(&connection, 0) {
                world.input(0, Input::PathLost { connection })?;
            }
        }
    }
    world.run_until(world.now + SECOND * 10)?;
    world.everyone_is_connected()?;
    for node in world.running() {
        world.leave(node)?;
    }
    world.run_until(world.now + SECOND * 10)?;
    world.nothing_is_left()
}
