//! Datagrams of strangers, while two links meet and after: true ones that are changed, lost, doubled or old, and such as never were, from
//! anywhere. Then what STUN and TURN servers say.

use super::input::Input;
use crate::driver::IceServer;
use crate::link::pair::Pair;
use crate::link::stranger::{camera, Stranger};
use crate::link::stun;
use crate::net::server::BindingRequest;
use crate::net::turn::Allocation;
use bytes::BytesMut;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const STRANGE: &str = "203.0.113.9:9";

pub(super) fn play(input: &[u8]) {
    let mut input = Input::new(input);
    match input.below(4) {
        0 => of_servers(input),
        1 => before_a_description(input),
        way => of_peers(input, way == 2),
    }
}

/// A STUN message with any attributes.
fn stun_message(input: &mut Input) -> BytesMut {
    let (kind, transaction) = (input.short() & 0x3fff, [input.byte(); 12]);
    let attributes: Vec<(u16, &[u8])> = (0..input.below(8)).map(|_| (input.short(), input.piece())).collect();
    stun::message(kind, transaction, &attributes)
}

/// They are `Pair`s of ours; what comes to the second is what is tried.
fn of_peers(mut input: Input, media: bool) {
    let streams = || if media { camera() } else { Arc::default() };
    let mut pair = Pair::meet(streams(), streams(), str::to_owned);
    let mut kept: Vec<BytesMut> = Vec::new();
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        let from = pair.a.address;
        match input.below(9) {
            0 => {
                pair.settle();
                pair.now += Duration::from_millis(u64::from(input.byte()));
            }
            1 => {
                pair.a.pump(pair.now);
                let Some(mut datagram) = pair.a.outbox.pop_front() else { continue };
                kept.push(datagram.clone());
                let (at, value) = (usize::from(input.short()), input.byte());
                if let Some(byte) = datagram.get_mut(at) {
                    *byte = value;
                }
                pair.hear(from, datagram);
            }
            2 => {
                pair.a.pump(pair.now);
                let Some(mut datagram) = pair.a.outbox.pop_front() else { continue };
                datagram.truncate(usize::from(input.short()));
                datagram.extend_from_slice(input.piece());
                pair.hear(from, datagram);
            }
            3 => pair.hear(from, input.piece().into()),
            4 => pair.hear(STRANGE.parse().expect("an address"), input.piece().into()),
            5 => {
                pair.a.pump(pair.now);
                kept.extend(pair.a.outbox.pop_front());
            }
            6 if !kept.is_empty() => {
                let datagram = kept[input.below(kept.len())].clone();
                pair.hear(from, datagram);
            }
            7 => {
                let datagram = stun_message(&mut input);
                pair.hear(from, datagram);
            }
            _ => {
                pair.now += Duration::from_millis(u64::from(input.short()));
                pair.a.pump(pair.now);
                pair.b.pump(pair.now);
            }
        }
    }
    pair.settle();
    pair.b.link.close();
    pair.settle();
}

fn before_a_description(mut input: Input) {
    let mut stranger = Stranger::new();
    let (mut link, offer) = stranger.offering(false);
    let (ours, theirs): (SocketAddr, SocketAddr) =
        (crate::link::stranger::US.parse().expect("an address"), crate::link::stranger::THEM.parse().expect("one"));
    let mut described = false;
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        match input.below(4) {
            0 if !described => {
                let answer = stranger.answer_to(&offer);
                link.apply_answer(stranger.now, &answer).expect("the answer is good");
                described = true;
            }
            1 => {
                let datagram = stun_message(&mut input);
                link.handle_datagram(stranger.now, ours, theirs, datagram);
            }
            _ => link.handle_datagram(stranger.now, ours, theirs, input.piece().into()),
        }
        stranger.pump(&mut link, 1, Duration::from_millis(10));
    }
    stranger.pump(&mut link, 10, Duration::from_millis(100));
}

fn of_servers(mut input: Input) {
    let now = std::time::Instant::now();
    let server: SocketAddr = "192.0.2.9:3478".parse().expect("an address");
    let account = IceServer { url: "turn:192.0.2.9".into(), username: "u".into(), credential: "c".into() };
    let mut request = BindingRequest::new(server, now).expect("a request can be made");
    let asked = request.poll(now).expect("it is asked at once").to_vec();
    let mut allocation = Allocation::new(now, ([127, 0, 0, 1], 9).into(), None, server, &account).expect("a client");
    let mut later = now;
    let mut sent = Vec::new();
    for _ in 0..32 {
        if input.is_empty() {
            break;
        }
        allocation.poll_datagrams(&mut sent);
        // An answer is one by its transaction.
        let mut said = if input.flag() { stun_message(&mut input) } else { input.piece().into() };
        let to = match input.below(3) {
            0 => Some(asked.clone()),
            1 => sent.last().map(|datagram| datagram.data.to_vec()),
            _ => None,
        };
        if let Some((transaction, place)) = to.as_ref().and_then(|to| to.get(4..20)).zip(said.get_mut(4..20)) {
            place.copy_from_slice(transaction);
        }
        request.answer(server, &said);
        allocation.handle(later, &said);
        later += Duration::from_millis(u64::from(input.short()));
        allocation.handle_timeout(later);
        allocation.poll_events(later, |_| {});
        if let Some(datagram) = allocation.send(later, ([192, 0, 2, 7], 7).into(), b"hello"[..].into()) {
            sent.push(datagram);
        }
        assert!(sent.len() < 10_000, "questions without end");
    }
}
