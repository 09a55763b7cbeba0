//! What a signaling server can say: to the mesh, with links that answer. Each line is a message.

use super::input::text;
use crate::mesh::{Action, Input, LinkEnd, LinkState, Mesh, MeshConfig, MeshEvent};
use crate::protocol::{parse_text, ConnectionId, RoomId, ServerMessage, TextKind, CONTROL_PREFIX};
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) fn play(input: &[u8]) {
    let text = text(input);
    let config = MeshConfig {
        room: RoomId("room".into()),
        user_id: "me".into(),
        peer_buffer: 1,
        max_peers: 4,
        answer_timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        close_timeout: Duration::from_secs(1),
        reconnect_timeout: Duration::from_secs(3),
    };
    let mut mesh = Mesh::new(config, Arc::new(AtomicU64::new(1)), [7; 32]);
    let mut now = Instant::now();
    mesh.handle(now, Input::Start);
    mesh.handle(now, Input::SignalingUp);
    let mut open: HashMap<u64, i32> = HashMap::new();
    let mut links = Vec::new();
    for line in text.lines().take(200) {
        act(&mut mesh, now, &mut open, &mut links);
        match line {
            // What the world may do between messages.
            "tick" => {
                now += Duration::from_millis(700);
                mesh.handle(now, Input::Timeout);
            }
            "down" => mesh.handle(now, Input::SignalingDown),
            "up" => mesh.handle(now, Input::SignalingUp),
            "moved" => mesh.handle(now, Input::AddressesChanged),
            // Of the link that opened last.
            "lost" => of_last(&mut mesh, now, &links, |connection| Input::PathLost { connection }),
            "checking" => of_last(&mut mesh, now, &links, |connection| Input::LinkState {
                connection,
                state: LinkState::Checking,
            }),
            "ended" => {
                of_last(&mut mesh, now, &links, |connection| Input::LinkEnded {
                    connection,
                    cause: LinkEnd::IceFailed,
                });
                links.pop();
            }
            control if control.starts_with(CONTROL_PREFIX) => {
                if let TextKind::Control(control) = parse_text(control) {
                    of_last(&mut mesh, now, &links, |connection| Input::Control { connection, control });
                }
            }
            json => {
                if let Ok(Some(message)) = ServerMessage::parse(json) {
                    mesh.handle(now, Input::Signal(message));
                }
            }
        }
    }
    act(&mut mesh, now, &mut open, &mut links);
    mesh.handle(now, Input::Close);
    act(&mut mesh, now, &mut open, &mut links);
    assert_eq!(mesh.counts(), (0, 0), "nothing is left");
    assert!(open.values().all(|count| *count == 0), "every peer that opened has closed");
}

fn of_last(mesh: &mut Mesh, now: Instant, links: &[ConnectionId], input: impl FnOnce(ConnectionId) -> Input) {
    if let Some(connection) = links.last() {
        mesh.handle(now, input(connection.clone()));
    }
}

/// Links that answer at once, and open when they have both descriptions.
fn act(mesh: &mut Mesh, now: Instant, open: &mut HashMap<u64, i32>, links: &mut Vec<ConnectionId>) {
    while let Some(action) = mesh.poll_action() {
        match action {
            Action::CreateOffer { connection } => {
                mesh.handle(now, Input::LinkOffer { connection, sdp: "offer".into() });
            }
            Action::AcceptOffer { connection, .. } => {
                mesh.handle(now, Input::LinkAnswer { connection: connection.clone(), sdp: "answer".into() });
                mesh.handle(now, Input::LinkOpen { connection, native: true });
            }
            Action::ApplyAnswer { connection, .. } => {
                mesh.handle(now, Input::LinkOpen { connection, native: false });
            }
            Action::Event(MeshEvent::PeerOpen { peer, connection, .. }) => {
                *open.entry(peer.0).or_default() += 1;
                links.push(connection);
            }
            Action::Event(MeshEvent::PeerClosed { peer, .. }) => *open.entry(peer.0).or_default() -= 1,
            _ => {}
        }
    }
}
