//! What docs/rust.md shows: its lines are lines of this file.

#![cfg(feature = "server")]

mod common;

use common::{config, Carrier, Member, PATIENCE};
use rtcswarm::hub::{Principal, Rooms};
use rtcswarm::server::{Admission, Knock, Refusal, Server, ServerConfig};
use rtcswarm::signaling::SignalingConfig;
use rtcswarm::swarm::{ChannelOptions, Codec, Reliability, Signaling, SignalingState, Source};
use rtcswarm::{Config, Error, Event, Swarm};
use std::sync::Arc;

/// Ada and Bo, who have met, and Bo's id at Ada's.
fn pair(carrier: &Carrier) -> (Member, Member, u64) {
    let (ada, bo) = (carrier.join(config("ada")), carrier.join(config("bo")));
    let peer = ada.peer("bo");
    bo.peer("ada");
    (ada, bo, peer)
}

fn told(event: Event) -> Option<String> {
    match event {
        Event::PeerOpen { peer, .. } => Some(format!("{} can be sent to, as {}", peer.user_id(), peer.id())),
        Event::Text { peer, text, .. } => Some(format!("{} says {}", peer.user_id(), String::from_utf8_lossy(&text))),
        Event::Binary { peer, data, .. } => Some(format!("{} sends {} bytes", peer.user_id(), data.len())),
        Event::PeerClosed { peer, reason, .. } => Some(format!("{} is gone: {reason:?}", peer.user_id())),
        Event::PeerFailed { peer, detail, .. } => Some(format!("{} never opened: {detail}", peer.user_id())),
        Event::SignalingState { state: SignalingState::Refused, detail } => {
            Some(format!("the server will not have us: {detail}"))
        }
        _ => None, // There are more, and later versions may have more still.
    }
}

#[test]
fn events() {
    let carrier = Carrier::new();
    let (ada, bo, peer) = pair(&carrier);
    bo.swarm.broadcast_text("a text").unwrap();
    bo.swarm.broadcast(b"bytes").unwrap();
    bo.close();
    ada.wait("end", |events| events.iter().any(|e| matches!(e, Event::PeerClosed { .. })).then_some(()));
    let lines: Vec<_> = ada.events().into_iter().filter_map(told).collect();
    let opened = format!("bo can be sent to, as {peer}");
    assert_eq!(lines, [&opened, "bo says a text", "bo sends 5 bytes", "bo is gone: RemoteClose"]);
}

fn send(swarm: &Swarm, peer: u64, message: &[u8]) -> &'static str {
    match swarm.send(peer, message) {
        Ok(()) => "it is on its way",
        Err(Error::NoPeer(_)) => "it is gone; its PeerClosed comes, or has come",
        Err(Error::WouldBlock) => "its buffer is full; Writable follows",
        Err(Error::TooLarge { .. }) => "split it",
        Err(Error::Closed) => "we have left",
        Err(_) => "a mistake of ours: its text says which",
    }
}

#[test]
fn errors() {
    let carrier = Carrier::new();
    let (ada, _bo, peer) = pair(&carrier);
    assert_eq!(send(&ada.swarm, peer, b"small"), "it is on its way");
    assert_eq!(send(&ada.swarm, peer + 1000, b"small"), "it is gone; its PeerClosed comes, or has come");
    assert_eq!(send(&ada.swarm, peer, &[0; 262_145]), "split it");
    let swarm = ada.swarm.clone();
    ada.close();
    assert_eq!(send(&swarm, peer, b"small"), "we have left");
}

#[test]
fn channels() -> Result<(), Error> {
    let carrier = Carrier::new();
    let (ada, bo, peer) = pair(&carrier);
    let swarm = &ada.swarm;

    let options =
        ChannelOptions { ordered: false, reliability: Reliability::MaxRetransmits(0), ..ChannelOptions::default() };
    let positions = swarm.open_channel(peer, "positions", &options)?;

    ada.wait("channel", |events| events.iter().any(|e| matches!(e, Event::ChannelOpen { .. })).then_some(()));
    swarm.channel_send(peer, positions, false, b"1 2 3")?;
    bo.wait("position", |events| events.iter().any(|e| matches!(e, Event::Binary { .. })).then_some(()));
    Ok(())
}

#[test]
fn media() -> Result<(), Error> {
    let carrier = Carrier::new();
    let (ada, bo, _) = pair(&carrier);
    let swarm = &ada.swarm;
    let frame = [b"\x10\0\0\x9d\x01\x2a\x40\x01\xb4\0".as_slice(), &[0; 2000]].concat();

    let tracks = [("audio", Source::Encoded(Codec::Opus)), ("video", Source::Encoded(Codec::Vp8))];
    let ids = swarm.add_stream("cam", &tracks)?;
    let video = ids[1];

    ada.wait("wish", |events| {
        let wanted = |e: &Event| matches!(e, Event::KeyFrameWanted { track, .. } if *track == video);
        events.iter().any(wanted).then_some(())
    });
    let sent = swarm.send_frame(video, &frame, 0, true)?;
    assert_eq!((sent.reached, sent.skipped), (1, 0));
    bo.wait("frame", |events| events.iter().any(|e| matches!(e, Event::Frame { .. })).then_some(()));
    Ok(())
}

#[test]
fn every_method_from_any_thread() {
    let carrier = Carrier::new();
    let (ada, bo, _) = pair(&carrier);

    let swarm: Arc<Swarm> = ada.swarm.clone();
    let workers = [1, 2, 3].map(|number| {
        let swarm = swarm.clone();
        std::thread::spawn(move || swarm.broadcast_text(&format!("thread {number}")))
    });
    for worker in workers {
        assert_eq!(worker.join().unwrap().unwrap().reached, 1);
    }
    bo.wait("three texts", |events| {
        (events.iter().filter(|e| matches!(e, Event::Text { .. })).count() == 3).then_some(())
    });
}

/// A task that greets whom it meets, and ends when it has been greeted.
async fn chat(mut config: Config, url: &str, token: &str) -> Result<String, Error> {
    config.signaling = Signaling::WebSocket(SignalingConfig::new(url, token));
    let swarm = Swarm::new(config)?;
    swarm.start()?;
    loop {
        match swarm.event().await? {
            Event::PeerOpen { peer, .. } => swarm.send_text(peer.id(), "hello")?,
            Event::Text { text, .. } => break Ok(String::from_utf8_lossy(&text).into_owned()),
            _ => {}
        }
    } // What is dropped is closed; what was sent before still leaves.
}

/// Whoever knows the word of the day, under the name that is before it.
fn by_word(knock: Knock<'_>) -> Result<Admission, Refusal> {
    match knock.token.and_then(|token| token.split_once(':')) {
        Some((user, "swordfish")) => {
            let principal = Principal { user_id: user.to_owned(), rooms: Rooms::Any };
            Ok(Admission { principal, expires: None })
        }
        _ => Err(Refusal::unauthorized("wrong-word", "that is not the word of the day")),
    }
}

#[tokio::test]
async fn tasks_and_a_server() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::bind(ServerConfig::new("127.0.0.1:0".parse()?, by_word)).await?;
    let (address, handle) = (server.local_addr()?, server.handle());
    let serving = tokio::spawn(server.serve());

    let url = format!("ws://{address}/");
    let both = async {
        tokio::try_join!(chat(config("ada"), &url, "ada:swordfish"), chat(config("bo"), &url, "bo:swordfish"),)
    };
    let heard = tokio::time::timeout(PATIENCE, both).await??;
    assert_eq!(heard, ("hello".to_owned(), "hello".to_owned()));
    handle.stop();
    tokio::time::timeout(PATIENCE, serving).await??;
    Ok(())
}
