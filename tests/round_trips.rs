//! How many times a joiner has to ask: messages between meshes and a hub are counted by their depth, one for each way
//! between a member and the server.

use rtcswarm::hub::{Hub, HubConfig, Output, Principal, Rooms, SessionId};
use rtcswarm::mesh::{Action, Input, Mesh, MeshConfig};
use rtcswarm::protocol::{ClientMessage, RoomId, ServerMessage};
use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Member {
    mesh: Mesh,
    session: SessionId,
}

struct Room {
    hub: Hub,
    members: Vec<Member>,
    /// Client messages on their way to the server, with their depth.
    upstream: VecDeque<(usize, usize, ClientMessage)>,
    now: Instant,
    messages: usize,
    /// The depth of the first answer that reached a member.
    answer: Option<usize>,
}

impl Room {
    fn new() -> Self {
        Self {
            hub: Hub::new(HubConfig::default()),
            members: Vec::new(),
            upstream: VecDeque::new(),
            now: Instant::now(),
            messages: 0,
            answer: None,
        }
    }

    fn join(&mut self, user_id: &str, peer_buffer: usize) {
        let config = MeshConfig {
            room: RoomId::from("room"),
            user_id: user_id.into(),
            peer_buffer,
            max_peers: 10,
            answer_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(1),
            reconnect_timeout: Duration::from_secs(60),
        };
        let session = self.hub.connect(self.now, Principal { user_id: user_id.into(), rooms: Rooms::Any });
        let seed = [self.members.len() as u8; 32];
        self.members.push(Member { mesh: Mesh::new(config, Arc::new(AtomicU64::new(1)), seed), session });
        let member = self.members.len() - 1;
        self.answer = None;
        self.messages = 0;
        self.input(member, 0, Input::Start);
        self.input(member, 0, Input::SignalingUp);
        self.run();
    }

    fn input(&mut self, member: usize, depth: usize, input: Input) {
        self.members[member].mesh.handle(self.now, input);
        while let Some(action) = self.members[member].mesh.poll_action() {
            let sdp = format!("a=fingerprint:{member}");
            match action {
                Action::Signal(message) => self.upstream.push_back((member, depth + 1, message)),
                Action::CreateOffer { connection } => {
                    self.members[member].mesh.handle(self.now, Input::LinkOffer { connection, sdp });
                }
                Action::AcceptOffer { connection, .. } => {
                    self.members[member].mesh.handle(self.now, Input::LinkAnswer { connection, sdp });
                }
                _ => {}
            }
        }
    }

    /// Until nobody has anything to say.
    fn run(&mut self) {
        while let Some((member, depth, message)) = self.upstream.pop_front() {
            self.messages += 1;
            self.hub.receive(self.now, self.members[member].session, &message.to_json());
            while let Some(output) = self.hub.poll_output() {
                let Output::Send { session, message } = output else { panic!("closed: {output:?}") };
                self.messages += 1;
                let to = self.members.iter().position(|member| member.session == session).unwrap();
                if matches!(message, ServerMessage::Answer { .. }) {
                    self.answer.get_or_insert(depth + 1);
                }
                self.input(to, depth + 1, Input::Signal(message));
            }
        }
    }
}

/// Round trips from a second member's joining until its answer is delivered, and all messages up and down.
fn join_second(peer_buffer: usize) -> (usize, usize) {
    let mut room = Room::new();
    room.join("first", peer_buffer);
    room.join("second", peer_buffer);
    let ways = room.answer.expect("an answer was delivered");
    assert_eq!(ways % 2, 0);
    (ways / 2, room.messages)
}

#[test]
fn two_round_trips_when_a_spare_is_there() {
    // init and the joiner's own spare; offerAccepted, accept, offerRequest; answer up and down; the fresh spare.
    assert_eq!(join_second(1), (2, 8));
}

#[test]
fn three_round_trips_when_none_is() {
    // init; offerRequest; offer; offerAccepted, accept; answer up and down.
    assert_eq!(join_second(0), (3, 7));
}
