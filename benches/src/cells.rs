//! What is measured. One cell is one measurement of one library in a process of its own.

use crate::engine::{Engine, FanOut, Mesh, Pair, Role, Sent, Sink, PATIENCE};
use crate::frames::{Stream, Viewer, FRAMES_PER_SECOND, KEY_FRAME_EVERY, TICKS_PER_FRAME};
use crate::measure::{self, median, percentile, Footprint};
use anyhow::{ensure, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Named numbers; the names say their unit.
pub type Figures = BTreeMap<String, f64>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Cell {
    /// Connections, one after the other.
    Connect,
    /// One way, messages of so many bytes.
    Bulk(usize),
    /// There and back, messages of so many bytes.
    Ping(usize),
    /// So many peers in one process, each connected to each; how large a message may be, if not as by default.
    Mesh(usize, Option<usize>),
    /// What a call costs, with messages of so many bytes.
    Calls(usize),
    /// One video to so many receivers.
    FanOut(usize),
    /// So many rounds of connecting and closing.
    Churn(usize),
}

impl Cell {
    /// How long it may take at most; far more than it needs.
    pub fn patience(self) -> Duration {
        Duration::from_secs(match self {
            Self::Connect | Self::Bulk(_) | Self::Ping(_) | Self::Calls(_) | Self::FanOut(_) => 120,
            Self::Mesh(..) => 240,
            Self::Churn(_) => 600,
        })
    }

    /// What tells it from others of its kind, for people.
    pub fn size(self) -> String {
        match self {
            Self::Connect => String::new(),
            Self::Bulk(size) | Self::Ping(size) | Self::Calls(size) if size < 1024 => format!("{size} B"),
            Self::Bulk(size) | Self::Ping(size) | Self::Calls(size) => format!("{} KiB", size >> 10),
            Self::Mesh(size, None) => format!("{size} peers"),
            Self::Mesh(size, Some(limit)) => format!("{size} peers, messages to {} KiB", limit >> 10),
            Self::FanOut(receivers) => format!("{receivers} receivers"),
            Self::Churn(rounds) => format!("{rounds} rounds"),
        }
    }

    pub fn run(self, engine: &impl Engine, quick: bool) -> Result<Figures> {
        match self {
            Self::Connect => connect(engine, if quick { 5 } else { 25 }),
            Self::Bulk(size) => bulk(engine, size, Duration::from_secs(if quick { 1 } else { 4 })),
            Self::Ping(size) => ping(engine, size, if quick { 1000 } else { 5000 }),
            Self::Mesh(size, limit) => mesh(engine, size, limit, Duration::from_secs(if quick { 2 } else { 5 })),
            Self::Calls(size) => calls(engine, size),
            Self::FanOut(receivers) => fan_out(engine, receivers, if quick { 2 } else { 10 }),
            Self::Churn(rounds) => churn(engine, rounds),
        }
    }
}

fn figures<const N: usize>(named: [(&str, f64); N]) -> Figures {
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn pair<E: Engine>(engine: &E) -> Result<E::Pair> {
    engine.connect(Sink::new(Role::Count), Some(Sink::new(Role::Count)))
}

/// What a library does only once in a process is not to be counted.
fn warm_up(engine: &impl Engine, connections: usize) -> Result<()> {
    (0..connections).try_for_each(|_| pair(engine)?.close())
}

/// Waits for a condition by looking; an error after [`PATIENCE`].
fn until(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !condition()? {
        ensure!(Instant::now() < deadline, "in vain waited: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// From before anything of the two peers exists to both ends open. The processor time is of the whole round, with
/// closing, because both libraries go on for a while in threads of their own.
fn connect(engine: &impl Engine, connections: usize) -> Result<Figures> {
    warm_up(engine, 3)?;
    let cpu = measure::cpu();
    let mut times = Vec::with_capacity(connections);
    for _ in 0..connections {
        let start = Instant::now();
        let pair = pair(engine)?;
        times.push(millis(start.elapsed()));
        pair.close()?;
    }
    std::thread::sleep(Duration::from_millis(200));
    Ok(figures([
        ("p50 ms", percentile(&times, 0.5)),
        ("p95 ms", percentile(&times, 0.95)),
        ("best ms", percentile(&times, 0.0)),
        ("CPU ms", millis(measure::cpu() - cpu) / connections as f64),
    ]))
}

fn bulk(engine: &impl Engine, size: usize, duration: Duration) -> Result<Figures> {
    let sink = Sink::new(Role::Count);
    let pair = engine.connect(Sink::new(Role::Count), Some(sink.clone()))?;
    let stop = AtomicBool::new(false);
    let received = || (sink.bytes.load(Ordering::Relaxed), sink.messages.load(Ordering::Relaxed));
    let data = vec![0xA5; size];
    let figures = std::thread::scope(|scope| -> Result<Figures> {
        let sender = scope.spawn(|| -> Result<u64> {
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                match pair.send(&data)? {
                    Sent::Queued => sent += 1,
                    Sent::Full => pair.wait_writable()?,
                }
            }
            Ok(sent)
        });
        // The congestion window opens first.
        std::thread::sleep(Duration::from_millis(500));
        let (start, cpu, before) = (Instant::now(), measure::cpu(), received());
        std::thread::sleep(duration);
        let (seconds, cpu, after) = (start.elapsed().as_secs_f64(), measure::cpu() - cpu, received());
        stop.store(true, Ordering::Relaxed);
        let sent = sender.join().map_err(|_| anyhow::anyhow!("the sender panicked"))??;
        until("all messages arrive", || Ok(received().1 >= sent))?;
        ensure!(received() == (sent * size as u64, sent), "{sent} sent, {:?} received", received());
        let bytes = (after.0 - before.0) as f64;
        Ok(figures([
            ("MB/s", bytes / seconds / 1e6),
            ("messages/s", (after.1 - before.1) as f64 / seconds),
            ("CPU s/GB", cpu.as_secs_f64() / (bytes / 1e9)),
        ]))
    })?;
    pair.close()?;
    Ok(figures)
}

fn ping(engine: &impl Engine, size: usize, count: usize) -> Result<Figures> {
    let warm_up = count / 10;
    let sink = Sink::new(Role::Ping(count + warm_up));
    let pair = engine.connect(sink.clone(), Some(Sink::new(Role::Echo)))?;
    std::thread::sleep(Duration::from_millis(100));
    let data = vec![7; size];
    let cpu = measure::cpu();
    sink.start();
    ensure!(pair.send(&data)? == Sent::Queued, "an idle connection takes nothing");
    ensure!(sink.done.pass(PATIENCE), "only {} of {count} came back", sink.round_trips().len());
    let cpu = measure::cpu() - cpu;
    let times: Vec<f64> = sink.round_trips().iter().skip(warm_up).map(|time| time.as_secs_f64() * 1e6).collect();
    pair.close()?;
    Ok(figures([
        ("p50 µs", percentile(&times, 0.5)),
        ("p99 µs", percentile(&times, 0.99)),
        ("CPU µs", cpu.as_secs_f64() * 1e6 / (count + warm_up) as f64),
    ]))
}

fn mesh(engine: &impl Engine, size: usize, limit: Option<usize>, idle: Duration) -> Result<Figures> {
    warm_up(engine, 1)?;
    std::thread::sleep(Duration::from_millis(500));
    let before = Footprint::trimmed();
    let (start, cpu) = (Instant::now(), measure::cpu());
    let mesh = engine.mesh(size, limit, start + Cell::Mesh(size, limit).patience() / 2)?;
    let (wall, cpu) = (start.elapsed(), measure::cpu() - cpu);
    // Spare offers, last acknowledgements, timers of the handshakes.
    std::thread::sleep(Duration::from_secs(3));
    let settled = Footprint::now();
    let (idle_start, idle_cpu) = (Instant::now(), measure::cpu());
    std::thread::sleep(idle);
    let idle_cpu = (measure::cpu() - idle_cpu).as_secs_f64() / idle_start.elapsed().as_secs_f64();
    let own_threads = mesh.own_threads();
    let closing = Instant::now();
    mesh.close()?;
    let closing = closing.elapsed();
    std::thread::sleep(Duration::from_millis(500));
    let after = Footprint::trimmed();
    let ends = (size * (size - 1)) as f64;
    Ok(figures([
        ("ends", ends),
        ("wall s", wall.as_secs_f64()),
        ("CPU s", cpu.as_secs_f64()),
        ("KiB/end", (settled.rss_kib - before.rss_kib) / ends),
        ("RSS MiB", settled.rss_kib / 1024.0),
        ("threads", settled.threads - own_threads as f64 - 1.0),
        ("descriptors/peer", (settled.descriptors - before.descriptors) / size as f64),
        ("idle CPU %", idle_cpu * 100.0),
        ("close s", closing.as_secs_f64()),
        ("descriptors left", after.descriptors - before.descriptors),
        ("threads left", after.threads - before.threads),
        ("heap left KiB", after.heap_kib - before.heap_kib),
        ("RSS left MiB", (after.rss_kib - before.rss_kib) / 1024.0),
    ]))
}

/// How long the calls themselves take, on the thread that makes them:
///
/// - taking a received message, from a queue that was loaded before, while nothing else happens;
/// - sending on an idle connection, where the call itself may encrypt and write to the socket;
/// - sending into the buffer of a connection whose other end has stopped reading, where nothing can go out;
/// - and being refused there, where the library bounds its buffer at all.
fn calls(engine: &impl Engine, size: usize) -> Result<Figures> {
    let pair = engine.connect(Sink::new(Role::Count), None)?;
    std::thread::sleep(Duration::from_millis(100));
    let data = vec![0x5A; size];
    let mut buffer = vec![0; size];

    // As much as both libraries let wait unread.
    let batch = ((2 << 20) / size).clamp(1, 1000);
    let mut receive = Vec::new();
    for _ in 0..20 {
        for _ in 0..batch {
            while pair.send(&data)? == Sent::Full {
                pair.wait_writable()?;
            }
        }
        until("the batch arrives", || Ok(pair.waiting(size)? >= batch))?;
        std::thread::sleep(Duration::from_millis(10));
        let start = Instant::now();
        for _ in 0..batch {
            ensure!(pair.take(&mut buffer)?, "a message is missing");
        }
        receive.push(nanos(start) / batch as f64);
        ensure!(!pair.take(&mut buffer)?, "a message too many");
    }

    let mut idle = Vec::new();
    for _ in 0..300 {
        std::thread::sleep(Duration::from_millis(1));
        let start = Instant::now();
        let sent = pair.send(&data)?;
        idle.push(nanos(start));
        ensure!(sent == Sent::Queued, "an idle connection takes nothing");
        until("the message arrives", || pair.take(&mut buffer))?;
        until("it is acknowledged", || Ok(pair.buffered()? == 0))?;
    }

    let mut held = stall(&pair, &data)?;
    let room = (512 << 10) / size;
    let start = Instant::now();
    for _ in 0..room {
        ensure!(pair.send(&data)? == Sent::Queued, "there is no room for {room} messages");
    }
    let queued = nanos(start) / room as f64;
    held += room;

    let deadline = Instant::now() + PATIENCE;
    while pair.send(&data)? == Sent::Queued {
        ensure!(Instant::now() < deadline, "the buffer has no bound");
        held += 1;
    }
    std::thread::sleep(Duration::from_millis(50));
    let mut refusals = 0;
    let start = Instant::now();
    while refusals < 100_000 {
        // A probe of the closed window may let a message through now and then.
        match pair.send(&data)? {
            Sent::Full => refusals += 1,
            Sent::Queued => held += 1,
        }
        ensure!(Instant::now() < deadline, "there is room again and again");
    }
    let refused = nanos(start) / f64::from(refusals);

    // What was accepted arrives, and nothing else.
    for _ in 0..held {
        until("what was accepted arrives", || pair.take(&mut buffer))?;
    }
    std::thread::sleep(Duration::from_millis(10));
    ensure!(!pair.take(&mut buffer)?, "a message that was refused arrived");
    pair.close()?;
    Ok(figures([
        ("receive ns", median(&receive)),
        ("send idle ns", median(&idle)),
        ("send queued ns", queued),
        ("send refused ns", refused),
    ]))
}

fn nanos(since: Instant) -> f64 {
    since.elapsed().as_nanos() as f64
}

/// Nobody reads at the other end: fills what is between, bit by bit, until nothing moves. Gives how many messages it
/// took.
fn stall(pair: &impl Pair, data: &[u8]) -> Result<usize> {
    let piece = ((32 << 10) / data.len()).max(1);
    let deadline = Instant::now() + PATIENCE;
    let mut sent = 0;
    let mut moved = Instant::now();
    while moved.elapsed() < Duration::from_millis(500) {
        ensure!(Instant::now() < deadline, "a receiver that does not read takes everything");
        if pair.buffered()? > 0 {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        }
        for _ in 0..piece {
            ensure!(pair.send(data)? == Sent::Queued, "an idle connection takes nothing");
        }
        sent += piece;
        moved = Instant::now();
    }
    Ok(sent)
}

/// A second to get going, then the seconds that count, beginning with a key frame. A frame's latency is from before the
/// call, or the calls, that give it to all receivers to when a receiver has the whole of it.
fn fan_out(engine: &impl Engine, receivers: usize, seconds: u32) -> Result<Figures> {
    warm_up(engine, 1)?;
    std::thread::sleep(Duration::from_millis(500));
    let before = Footprint::trimmed();
    let (first, end) = (FRAMES_PER_SECOND, FRAMES_PER_SECOND * (1 + seconds));
    let stream = Stream::new(end);
    let viewers: Vec<Arc<Viewer>> = (0..receivers).map(|_| Viewer::new(&stream)).collect();
    let mut fan = engine.fan_out(viewers.clone())?;
    std::thread::sleep(Duration::from_millis(500));

    let mut send = |number: u32, due: Instant, key: bool| -> Result<()> {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let key = fan.wants_key_frame() || key;
        fan.send(&stream.next(number, key), number * TICKS_PER_FRAME, key)
    };
    let start = Instant::now();
    let due = |number: u32| start + Duration::from_secs(1) * number / FRAMES_PER_SECOND;
    (0..first).try_for_each(|number| send(number, due(number), number == 0))?;
    let cpu = measure::cpu();
    (first..end).try_for_each(|number| send(number, due(number), (number - first) % KEY_FRAME_EVERY == 0))?;
    // The last frame has its time too.
    std::thread::sleep(due(end).saturating_duration_since(Instant::now()));
    let (cpu, during) = (measure::cpu() - cpu, Footprint::now());

    let sent = (end - first) as usize * receivers;
    let arrived = || viewers.iter().map(|viewer| viewer.count_from(first)).sum::<usize>();
    // What is lost is a figure and no failure.
    let deadline = Instant::now() + Duration::from_secs(2);
    while arrived() < sent && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let viewed: Vec<_> = viewers.iter().map(|viewer| viewer.viewed()).collect();
    let own_threads = fan.own_threads();
    fan.close()?;

    ensure!(viewed.iter().all(|viewed| viewed.harmed == 0), "frames arrived that were not sent");
    let in_order = |frames: &[(u32, bool, Duration)]| frames.windows(2).all(|two| two[0].0 < two[1].0);
    ensure!(viewed.iter().all(|viewed| in_order(&viewed.frames)), "frames arrived twice or out of order");
    let counted = viewed.iter().flat_map(|viewed| &viewed.frames).filter(|frame| frame.0 >= first);
    let (keys, others): (Vec<_>, Vec<_>) = counted.partition(|frame| frame.1);
    let latencies = |frames: &[&(u32, bool, Duration)]| -> Vec<f64> { frames.iter().map(|f| millis(f.2)).collect() };
    let (keys, others) = (latencies(&keys), latencies(&others));
    let all = [keys.as_slice(), &others].concat();
    Ok(figures([
        ("CPU s", cpu.as_secs_f64()),
        ("p50 ms", percentile(&all, 0.5)),
        ("p99 ms", percentile(&all, 0.99)),
        ("worst ms", percentile(&all, 1.0)),
        ("key frames p50 ms", percentile(&keys, 0.5)),
        ("key frames", keys.len() as f64 / receivers as f64),
        ("frames lost", (sent - all.len()) as f64),
        ("RSS MiB", during.rss_kib / 1024.0),
        ("KiB/receiver", (during.rss_kib - before.rss_kib) / receivers as f64),
        ("threads", during.threads - own_threads as f64 - 1.0),
        ("descriptors", during.descriptors - before.descriptors),
    ]))
}

/// Growth is from the lowest sample of the first half to the lowest of the second.
fn churn(engine: &impl Engine, rounds: usize) -> Result<Figures> {
    const SAMPLES: usize = 10;
    measure::use_one_arena();
    let (start, cpu) = (Instant::now(), measure::cpu());
    let mut samples = Vec::new();
    let mut resting = Duration::ZERO;
    for _ in 0..SAMPLES {
        warm_up(engine, rounds / SAMPLES)?;
        std::thread::sleep(Duration::from_millis(300));
        resting += Duration::from_millis(300);
        samples.push(Footprint::trimmed());
    }
    let (wall, cpu) = (start.elapsed() - resting, measure::cpu() - cpu);
    let mut figures =
        figures([("ms/round", millis(wall) / rounds as f64), ("CPU ms/round", millis(cpu) / rounds as f64)]);
    let (first, second) = samples.split_at(SAMPLES / 2);
    for (index, (name, _)) in Footprint::now().named().into_iter().enumerate() {
        let value = |sample: &Footprint| sample.named()[index].1;
        let lowest = |samples: &[Footprint]| samples.iter().map(value).fold(f64::INFINITY, f64::min);
        figures.insert(format!("{name} growth"), lowest(second) - lowest(first));
        for (number, sample) in samples.iter().enumerate() {
            figures.insert(format!("{name} after {}", (number + 1) * rounds / SAMPLES), value(sample));
        }
    }
    Ok(figures)
}
