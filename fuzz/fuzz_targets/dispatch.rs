//! What a signaling server can say: to the mesh, with links that answer. Each line is a message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rtcswarm::mesh::{Action, Input, Mesh, MeshConfig, MeshEvent};
use rtcswarm::protocol::{RoomId, ServerMessage};
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

fuzz_target!(|text: &str| {
    let config = MeshConfig {
        room: RoomId("room".into()),
        user_id: "me".into(),
        peer_buffer: 1,
        max_peers: 4,
        answer_timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        close_timeout: Duration::from_secs(1),
    };
    let mut mesh = Mesh::new(config, Arc::new(AtomicU64::new(1)), [7; 32]);
    let mut now = Instant::now();
    mesh.handle(now, Input::Start);
    mesh.handle(now, Input::SignalingUp);
    let mut open: HashMap<u64, i32> = HashMap::new();
    for line in text.lines().take(200) {
        act(&mut mesh, now, &mut open);
        match line {
            // What the world may do between messages.
            "tick" => {
                now += Duration::from_millis(700);
                mesh.handle(now, Input::Timeout);
            }
            "down" => mesh.handle(now, Input::SignalingDown),
            "up" => mesh.handle(now, Input::SignalingUp),
            json => {
                if let Ok(Some(message)) = ServerMessage::parse(json) {
                    mesh.handle(now, Input::Signal(message));
                }
            }
        }
    }
    act(&mut mesh, now, &mut open);
    mesh.handle(now, Input::Close);
    act(&mut mesh, now, &mut open);
    assert_eq!(mesh.counts(), (0, 0), "nothing is left");
    assert!(open.values().all(|count| *count == 0), "every peer that opened has closed");
});

/// Links that answer at once, and open when they have both descriptions.
fn act(mesh: &mut Mesh, now: Instant, open: &mut HashMap<u64, i32>) {
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
            Action::Event(MeshEvent::PeerOpen { peer, .. }) => *open.entry(peer.0).or_default() += 1,
            Action::Event(MeshEvent::PeerClosed { peer, .. }) => *open.entry(peer.0).or_default() -= 1,
            _ => {}
        }
    }
}
