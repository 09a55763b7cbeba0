//! What links tell, on its way to the mesh and to the application.

use super::member::{Key, Letter};
use super::world::World;
use super::Outcome;
use crate::driver::deliveries::{Aside, Next, Notice};
use crate::link::{ChannelId, MediaReport, Message, Report};
use crate::mesh::Input;
use crate::protocol::{parse_text, ConnectionId, TextKind};

impl World {
    /// Takes what a link has for its owner, in the order and under the conditions of the driver's.
    pub(super) fn deliver(&mut self, node: usize, key: Key) -> Outcome {
        let now = self.instant();
        while let Some(slot) = self.members[node].table.slots.get_mut(&key) {
            let (id, next) = (slot.id.clone(), slot.deliveries.next(false));
            let Some(next) = next else { break };
            match next {
                Next::Messages(messages) => {
                    for message in messages {
                        self.receive(node, &id, message)?;
                    }
                }
                Next::Aside(Aside::Media(report)) => self.hear_media(node, key, report)?,
                Next::Aside(Aside::Description { sdp, is_offer }) => {
                    self.post(
                        node,
                        if is_offer {
                            Input::LinkOffer { connection: id, sdp }
                        } else {
                            Input::LinkAnswer { connection: id, sdp }
                        },
                    );
                }
                Next::Notice(notice) => self.tell(node, key, id, notice),
                Next::End { notice, ours } => {
                    self.tell(node, key, id, notice);
                    let slot = self.members[node].table.slots.get_mut(&key);
                    let datagrams = slot.map(|slot| slot.vanish(now, ours)).unwrap_or_default();
                    self.transmit(node, datagrams)?;
                    self.members[node].table.remove(key);
                }
            }
        }
        Ok(())
    }

    fn post(&mut self, node: usize, input: Input) {
        self.members[node].letters.push_back(Letter::Input(input));
    }

    fn tell(&mut self, node: usize, key: Key, connection: ConnectionId, notice: Notice) {
        let input = match notice {
            Notice::Candidate(candidate) => Input::LinkCandidate { connection, candidate },
            Notice::Report(Report::Open) => return self.members[node].letters.push_back(Letter::Open(key)),
            Notice::Report(Report::State(state)) => {
                self.say(format!("{}: {connection} is {state:?}", self.name(node)));
                Input::LinkState { connection, state }
            }
            Notice::Report(Report::PathLost) => Input::PathLost { connection },
            Notice::Report(Report::Ended(cause)) => {
                self.say(format!("{}: {connection} ended: {cause:?}", self.name(node)));
                Input::LinkEnded { connection, cause }
            }
            Notice::Report(_) => return,
        };
        self.post(node, input);
    }

    pub(super) fn opened(&mut self, node: usize, key: Key) -> Option<Input> {
        let slot = self.members[node].table.slots.get(&key)?;
        let (connection, native) = (slot.id.clone(), slot.link.is_native());
        self.say(format!("{}: {connection} is open", self.name(node)));
        Some(Input::LinkOpen { connection, native })
    }

    /// `again`: the peer had another link before.
    pub(super) fn start_reading(&mut self, node: usize, id: &ConnectionId, again: bool) -> Outcome {
        let table = &mut self.members[node].table;
        let Some(&key) = table.by_id.get(id) else { return Ok(()) };
        let Some(slot) = table.slots.get_mut(&key) else { return Ok(()) };
        slot.started = true;
        slot.deliveries.start();
        if again {
            slot.link.tell_media_again();
        }
        self.pump(node, key)?;
        self.deliver(node, key)
    }

    fn receive(&mut self, node: usize, id: &ConnectionId, message: Message) -> Outcome {
        if message.channel != ChannelId::FAST {
            return Err(format!("a message on a channel that nobody opened, {id}"));
        }
        self.journal.note(self.now, &message.data, || format!("#{node} receives {} bytes on {id}", message.data.len()));
        if !message.is_text {
            self.journal.count("message");
            return self.ledger.receive(id, node, &message.data);
        }
        let text = std::str::from_utf8(&message.data).map_err(|error| error.to_string())?;
        match parse_text(text) {
            TextKind::Control(control) => {
                self.journal.count("control message");
                self.post(node, Input::Control { connection: id.clone(), control });
                Ok(())
            }
            other => Err(format!("a text that nobody sent: {other:?}")),
        }
    }

    fn hear_media(&mut self, node: usize, key: Key, report: MediaReport) -> Outcome {
        match report {
            MediaReport::Stream { name, tracks } => {
                self.journal.count("stream");
                self.say(format!("{} hears of stream {name}: {} tracks", self.name(node), tracks.len()));
                let slot = self.members[node].table.slots.get_mut(&key);
                slot.map(|slot| slot.streams.insert(name));
            }
            MediaReport::Nonsense(detail) => return Err(format!("{}: nonsense: {detail}", self.name(node))),
            _ => {}
        }
        Ok(())
    }
}
