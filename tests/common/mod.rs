//! A room in one process: swarms whose signals a hub carries, and what they heard.

#![allow(dead_code)]

use rtcswarm::hub::{Hub, HubConfig, Output, Principal, Rooms, SessionId};
use rtcswarm::{Config, Error, Event, Swarm};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longer than anything here should take, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Carries the signals of every swarm of a test.
#[derive(Clone)]
pub struct Carrier(Arc<Mutex<Carried>>);

struct Carried {
    hub: Hub,
    swarms: HashMap<SessionId, Arc<Swarm>>,
    /// Messages from the hub by type, to count round trips.
    pub log: Vec<String>,
    /// What the swarms have said to the hub.
    signals: Vec<String>,
    /// Signals for which this says `false` are lost on the way to the hub.
    passes: fn(&str) -> bool,
}

impl Carrier {
    pub fn new() -> Self {
        Self::losing(|_| true)
    }

    /// One that loses the signals for which `passes` is `false`.
    pub fn losing(passes: fn(&str) -> bool) -> Self {
        let hub = Hub::new(HubConfig { messages_per_second: 100_000, ..HubConfig::default() });
        Self(Arc::new(Mutex::new(Carried {
            hub,
            swarms: HashMap::new(),
            log: Vec::new(),
            signals: Vec::new(),
            passes,
        })))
    }

    pub fn join(&self, config: Config) -> Member {
        self.join_with(config, |_| {})
    }

    /// Something is done with the swarm before it begins.
    pub fn join_with(&self, config: Config, prepare: impl FnOnce(&Swarm)) -> Member {
        let user_id = config.user_id.clone();
        let swarm = Arc::new(Swarm::new(config).unwrap());
        prepare(&swarm);
        let session = {
            let mut carried = self.0.lock().unwrap();
            let session = carried.hub.connect(Instant::now(), Principal { user_id, rooms: Rooms::Any });
            carried.swarms.insert(session, swarm.clone());
            session
        };
        Member::start(swarm, session, self.clone())
    }

    fn receive(&self, session: SessionId, json: &str) {
        let mut carried = self.0.lock().unwrap();
        if !(carried.passes)(json) {
            return;
        }
        carried.signals.push(json.to_owned());
        carried.hub.receive(Instant::now(), session, json);
        carried.flush();
    }

    /// All that the swarms have said so far.
    pub fn signals(&self) -> Vec<String> {
        self.0.lock().unwrap().signals.clone()
    }

    fn leave(&self, session: SessionId) {
        let mut carried = self.0.lock().unwrap();
        carried.swarms.remove(&session);
        carried.hub.disconnect(Instant::now(), session);
        carried.flush();
    }
}

impl Carried {
    fn flush(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            if let Output::Send { session, message } = output {
                if let Some(swarm) = self.swarms.get(&session) {
                    match swarm.dispatch(&message.to_json()) {
                        Ok(()) | Err(Error::Closed) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }
    }
}

#[derive(Default)]
struct Heard {
    events: Mutex<Vec<Event>>,
    changed: Condvar,
}

/// A swarm whose events are taken by a thread.
pub struct Member {
    pub swarm: Arc<Swarm>,
    heard: Arc<Heard>,
    /// While set, no event is taken.
    hold: Arc<(Mutex<bool>, Condvar)>,
    puller: Option<JoinHandle<()>>,
}

impl Member {
    fn start(swarm: Arc<Swarm>, session: SessionId, carrier: Carrier) -> Self {
        let heard = Arc::new(Heard::default());
        let hold = Arc::new((Mutex::new(false), Condvar::new()));
        let puller = std::thread::spawn({
            let (swarm, heard, hold) = (swarm.clone(), heard.clone(), hold.clone());
            move || {
                loop {
                    {
                        let held = hold.0.lock().unwrap();
                        drop(hold.1.wait_timeout_while(held, PATIENCE, |held| *held).unwrap());
                    }
                    match swarm.next_event(Some(Duration::from_millis(20))) {
                        Ok(Some(Event::Signal { json })) => carrier.receive(session, &json),
                        Ok(Some(event)) => {
                            heard.events.lock().unwrap().push(event);
                            heard.changed.notify_all();
                        }
                        Ok(None) => {}
                        Err(_) => break,
                    }
                }
                carrier.leave(session);
            }
        });
        swarm.start().unwrap();
        Self { swarm, heard, hold, puller: Some(puller) }
    }

    /// Takes no more events, or takes them again.
    pub fn hold(&self, held: bool) {
        *self.hold.0.lock().unwrap() = held;
        self.hold.1.notify_all();
    }

    pub fn wait<T>(&self, what: &str, mut look: impl FnMut(&[Event]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut events = self.heard.events.lock().unwrap();
        loop {
            if let Some(found) = look(&events) {
                return found;
            }
            let now = Instant::now();
            assert!(now < deadline, "{}: no {what} among {:?}", self.swarm.config().user_id, summary(&events));
            events = self.heard.changed.wait_timeout(events, deadline - now).unwrap().0;
        }
    }

    pub fn events(&self) -> Vec<Event> {
        self.heard.events.lock().unwrap().clone()
    }

    /// The id of the peer with this user id, once it is open.
    pub fn peer(&self, user_id: &str) -> u64 {
        self.wait(&format!("open {user_id}"), |events| {
            events.iter().rev().find_map(|event| match event {
                Event::PeerOpen { peer, .. } if peer.user_id() == user_id => Some(peer.id()),
                _ => None,
            })
        })
    }

    pub fn close(mut self) {
        self.swarm.close();
        self.hold(false);
        self.wait("closed", |events| events.iter().any(|e| matches!(e, Event::Closed { .. })).then_some(()));
        self.puller.take().unwrap().join().unwrap();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.swarm.close();
        self.hold(false);
    }
}

fn summary(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| format!("{event:?}").chars().take(100).collect()).collect()
}

/// A config for tests on one machine.
pub fn config(user_id: &str) -> Config {
    let mut config = Config::new("room", user_id);
    config.bind_addresses = vec!["127.0.0.1".parse().unwrap()];
    config
}
