//! The application of a member: it talks to its peers, and gives streams.

use super::member::{Key, Life};
use super::world::{Happening, World};
use super::Outcome;
use crate::link::SendError;
use crate::media::{Codec, LocalStreams, LocalTrack, Source, TrackId};
use crate::protocol::ConnectionId;
use rand::Rng;
use std::sync::Arc;

impl World {
    /// A member gives one more stream, on all links that there are and will be.
    pub(super) fn add_stream(&mut self, node: usize) -> Outcome {
        self.journal.count("added stream");
        let member = &mut self.members[node];
        let mut streams = LocalStreams::clone(&member.streams);
        streams.version += 1;
        let track = LocalTrack { id: TrackId(streams.version), source: Source::Encoded(Codec::Vp8), muted: false };
        let (stream, name) = (format!("stream{}", streams.version), format!("{}{}", member.user_id, streams.version));
        streams.streams.insert(stream, vec![name.clone()]);
        streams.tracks.insert(name, track);
        member.streams = Arc::new(streams);
        let streams = member.streams.clone();
        let keys: Vec<Key> = member.table.slots.keys().copied().collect();
        self.say(format!("{} gives {:?}", self.name(node), streams.streams));
        for key in keys {
            let slot = self.members[node].table.slots.get_mut(&key).filter(|slot| !slot.gone);
            if let Some(Err(error)) = slot.map(|slot| slot.link.set_streams(streams.clone())) {
                return Err(format!("{} cannot give it: {error}", self.name(node)));
            }
            self.pump(node, key)?;
        }
        self.settle(node)
    }

    /// The application says something to each of its peers.
    pub(super) fn talk(&mut self, node: usize) -> Outcome {
        if self.members[node].life != Life::Running {
            return Ok(());
        }
        if let Some(talk) = self.talk {
            let pause = self.between(talk / 10, talk * 2);
            self.plan(self.now + pause, Happening::Talk { node });
            let burst = if self.chance(0.1) { 12 } else { 1 };
            for _ in 0..burst {
                self.speak(node)?;
            }
        }
        self.settle(node)
    }

    pub(super) fn speak(&mut self, node: usize) -> Outcome {
        let now = self.instant();
        let links: Vec<ConnectionId> = self.members[node].open_peers().map(|(_, id)| id.clone()).collect();
        for id in links {
            // The largest are rare.
            let die = self.random.random_range(0..40);
            let data = self.ledger.next(&id, node, if die == 0 { 7 } else { die % 7 });
            let table = &mut self.members[node].table;
            let Some(&key) = table.by_id.get(&id) else { continue };
            let Some(slot) = table.slots.get_mut(&key).filter(|slot| slot.open) else { continue };
            match slot.send(now, false, data, false) {
                Ok(()) => self.ledger.sent(&id, node),
                Err(SendError::WouldBlock) => self.journal.count("send that would block"),
                // It is ending, and that is on its way to us.
                Err(SendError::NotOpen) => {}
                Err(error) => return Err(format!("{} cannot send on {id}: {error}", self.name(node))),
            }
            self.pump(node, key)?;
        }
        Ok(())
    }
}
