//! Two ends of SCTP and nothing under them: what a peer says there is behind DTLS for everybody else, and so is what is wrong with it.

use bytes::Bytes;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use webrtc::sctp::{
    Association as Engine, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier, ServerConfig, StreamEvent, TransportConfig,
};
use webrtc::shared::TransportProtocol;

const CHECKSUM: std::ops::Range<usize> = 8..12;
/// As in a link.
const LARGEST_MESSAGE: usize = 262_144;

/// Of both ends: SCTP in DTLS has none.
const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 5000);

struct End {
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Engine)>,
    outbox: VecDeque<Vec<u8>>,
}

pub(crate) struct Association {
    now: Instant,
    ends: [End; 2],
    /// Of the first end.
    first_tsn: Option<u32>,
    greeted: bool,
}

fn transport() -> TransportConfig {
    TransportConfig::default().with_max_message_size(LARGEST_MESSAGE as u32)
}

/// RFC 9260, appendix A.
fn checksum(packet: &[u8]) -> [u8; 4] {
    let mut sum = u32::MAX;
    for (at, byte) in packet.iter().enumerate() {
        sum ^= u32::from(if CHECKSUM.contains(&at) { 0 } else { *byte });
        for _ in 0..8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 };
        }
    }
    (!sum).to_le_bytes()
}

const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const ABORT: u8 = 6;
const ERROR: u8 = 9;
const FORWARD_TSN: u8 = 192;
/// As far as true ones go in what is played here, and little enough for the engine.
const FAR: u32 = 4096;
/// What the blocks of a SACK can say, and no more.
const GAP: u32 = 60_000;

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// What `rtc-sctp` 0.21.1 is known not to survive, so that what else there is can be found:
///
/// - an ABORT or ERROR chunk with a cause that claims to be longer than the chunk: it panics (`chunk/mod.rs`, `ErrorCause::unmarshal`). The
///   driver catches that and ends the one link, so that a peer harms itself only;
/// - a FORWARD TSN far ahead: it counts up to there one by one (`association/mod.rs`, `handle_forward_tsn`), up to two thousand million times
///   for one chunk. Nothing of ours can prevent that;
/// - DATA more than 65,535 ahead: the blocks of the SACK overflow (`queue/payload_queue.rs`, `get_gap_ack_blocks`). Where that is not looked at, as in
///   a release build, the peer that said so gets a SACK that is wrong.
fn is_known(packet: &[u8], first_tsn: Option<u32>) -> bool {
    let lies = |at: usize| {
        let end = (at + length_at(packet, at)).min(packet.len());
        let mut cause = at + 4;
        while cause + 4 <= end {
            match length_at(packet, cause) {
                length if cause + length > end => return true,
                length if length >= 4 => cause += length,
                _ => break,
            }
        }
        false
    };
    // Wherever the engine may take a chunk to begin.
    let far = (CHECKSUM.end..packet.len()).filter(|at| packet[*at] == FORWARD_TSN).any(|at| {
        let ahead = first_tsn.and_then(|first| Some(word(packet, at + 4)?.wrapping_sub(first)));
        ahead.is_none_or(|ahead| (FAR..1 << 31).contains(&ahead))
    });
    let gap = chunks(packet).filter(|at| packet[*at] == DATA).any(|at| {
        let ahead = first_tsn.and_then(|first| Some(word(packet, at + 4)?.wrapping_sub(first)));
        ahead.is_none_or(|ahead| (GAP..1 << 31).contains(&ahead))
    });
    far || gap || chunks(packet).any(|at| matches!(packet[at], ABORT | ERROR) && lies(at))
}

/// The two bytes of a length behind two others; 0 if they are not there.
fn length_at(packet: &[u8], at: usize) -> usize {
    packet.get(at + 2..at + 4).map_or(0, |two| usize::from(u16::from_be_bytes([two[0], two[1]])))
}

/// Where chunks begin.
fn chunks(packet: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let next = |at: &usize| Some(at + length_at(packet, *at).next_multiple_of(4));
    std::iter::successors(Some(CHECKSUM.end), next).take_while(|at| length_at(packet, *at) >= 4)
}

impl End {
    fn hear(&mut self, now: Instant, packet: Vec<u8>) {
        let from = SocketAddr::from(ADDRESS);
        match self.endpoint.handle(now, from, None, Bytes::from(packet)) {
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                self.association = Some((handle, association));
            }
            Some((handle, DatagramEvent::AssociationEvent(event))) => {
                if let Some((_, association)) = self.association.as_mut().filter(|(known, _)| *known == handle) {
                    association.handle_event(event);
                }
            }
            _ => {}
        }
    }

    /// As the engine does it after each packet.
    fn turn(&mut self, now: Instant) {
        let Some((handle, association)) = &mut self.association else { return };
        if association.poll_timeout().is_some_and(|due| due <= now) {
            association.handle_timeout(now);
        }
        let mut readable = Vec::new();
        while let Some(event) = association.poll() {
            if let Event::Stream(StreamEvent::Readable { id }) = event {
                readable.push(id);
            }
        }
        for id in readable {
            let Ok(mut stream) = association.stream(id) else { continue };
            while let Ok(Some(chunks)) = stream.read_sctp() {
                let mut message = vec![0; LARGEST_MESSAGE];
                let _ = chunks.read(&mut message);
            }
        }
        while let Some(transmit) = association.poll_transmit(now) {
            if let Payload::RawEncode(packets) = transmit.message {
                self.outbox.extend(packets.into_iter().map(Vec::from));
            }
        }
        let mut over = Vec::new();
        while let Some(event) = association.poll_endpoint_event() {
            over.push(event);
        }
        let handle = *handle;
        for event in over {
            self.endpoint.handle_event(handle, event);
            self.association = None;
        }
        assert!(self.outbox.len() < 100_000, "what is to be said has no end");
    }
}

impl Association {
    /// Before the first word of the first end.
    pub fn new() -> Self {
        let now = Instant::now();
        let endpoint = |server: bool| {
            let server = server.then(|| Arc::new(ServerConfig::new(transport())));
            Endpoint::new(ADDRESS.into(), TransportProtocol::UDP, Arc::new(EndpointConfig::default()), server)
        };
        let mut ends =
            [false, true].map(|server| End { endpoint: endpoint(server), association: None, outbox: VecDeque::new() });
        let client = ends[0].endpoint.connect(now, ClientConfig::new(transport()), SocketAddr::from(ADDRESS));
        ends[0].association = Some(client.expect("an association begins"));
        let mut this = Self { now, ends, first_tsn: None, greeted: false };
        this.turn();
        let hello = this.ends[0].outbox.front().cloned().unwrap_or_default();
        this.note_first(&hello);
        this
    }

    fn turn(&mut self) {
        for end in &mut self.ends {
            end.turn(self.now);
        }
    }

    /// Everything that is under way, over and back.
    pub fn settle(&mut self) {
        for _ in 0..20 {
            for from in 0..2 {
                for packet in std::mem::take(&mut self.ends[from].outbox) {
                    self.ends[1 - from].hear(self.now, packet);
                }
                self.turn();
            }
            if self.ends.iter().all(|end| end.outbox.is_empty()) {
                return;
            }
        }
    }

    /// The next packet of the first end, changed on its way, or one that it never sent.
    pub fn mutate(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut packet = self.ends[0].outbox.pop_front().unwrap_or_default();
        change(&mut packet);
        if packet.len() >= CHECKSUM.end {
            let sum = checksum(&packet);
            packet[CHECKSUM].copy_from_slice(&sum);
        }
        self.note_first(&packet);
        if !is_known(&packet, self.first_tsn) {
            self.ends[1].hear(self.now, packet);
        }
        self.turn();
    }

    /// An INIT says which TSN comes first. After any further one it is not known any more.
    fn note_first(&mut self, packet: &[u8]) {
        let kind = packet.get(CHECKSUM.end);
        match kind {
            Some(&INIT) if !std::mem::replace(&mut self.greeted, true) => self.first_tsn = word(packet, 28),
            Some(&(INIT | INIT_ACK)) => self.first_tsn = None,
            // Bundled with others, where none may be.
            _ if chunks(packet).any(|at| matches!(packet[at], INIT | INIT_ACK)) => self.first_tsn = None,
            _ => {}
        }
    }

    pub fn send(&mut self, end: usize, stream: u16, data: &[u8]) {
        let now = self.now;
        if let Some((_, association)) = &mut self.ends[end % 2].association {
            if association.stream(stream).is_err() {
                let _ = association.open_stream(stream, PayloadProtocolIdentifier::Binary);
            }
            if let Ok(mut stream) = association.stream(stream) {
                let kind = PayloadProtocolIdentifier::Binary;
                let _ = stream.write_sctp(now, &Bytes::copy_from_slice(data), kind);
            }
        }
        self.turn();
    }

    pub fn close(&mut self, end: usize, stream: u16) {
        let now = self.now;
        if let Some((_, association)) = &mut self.ends[end % 2].association {
            if let Ok(mut stream) = association.stream(stream) {
                let _ = stream.close(now);
            }
        }
        self.turn();
    }

    pub fn wait(&mut self, pause: Duration) {
        self.now += pause;
        self.turn();
    }

    /// The tag by which the second end knows packets of the first.
    pub fn tag(&self) -> Option<[u8; 4]> {
        let packet = self.ends[0].outbox.front()?;
        packet.get(4..8)?.try_into().ok()
    }

    #[cfg(test)]
    pub fn is_up(&self) -> bool {
        self.ends.iter().all(|end| end.association.as_ref().is_some_and(|(_, end)| !end.is_handshaking()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_meet_and_a_changed_packet_is_heard() {
        let mut pair = Association::new();
        pair.settle();
        assert!(pair.is_up());
        pair.send(0, 1, b"hello");
        // With its checksum made anew: or nothing that is changed would get past it.
        let mut seen = Vec::new();
        pair.mutate(|packet| {
            let last = packet.len() - 8;
            packet[last] ^= 1;
            seen = packet.clone();
        });
        // It is acknowledged a little later.
        pair.wait(Duration::from_millis(300));
        assert!(!pair.ends[1].outbox.is_empty());
        assert!(seen.len() > CHECKSUM.end);
    }

    /// One chunk, to an end that is up, and whether it is passed over.
    fn hears(chunk: impl FnOnce(u32) -> Vec<u8>) -> (bool, std::thread::Result<Duration>) {
        let mut pair = Association::new();
        pair.settle();
        pair.send(0, 1, b"hello");
        let tag = pair.tag().unwrap();
        let mut packet = [&[0x13, 0x88, 0x13, 0x88], &tag[..], &[0; 4], &chunk(pair.first_tsn.unwrap())[..]].concat();
        let sum = checksum(&packet);
        packet[CHECKSUM].copy_from_slice(&sum);
        let known = is_known(&packet, pair.first_tsn);
        let began = Instant::now();
        let heard = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pair.ends[1].hear(pair.now, packet);
            began.elapsed()
        }));
        (known, heard)
    }

    /// An engine that takes it as it should makes `is_known` needless.
    #[test]
    fn what_is_passed_over_is_what_the_engine_panics_at() {
        for (length, bad) in [(8, false), (9, true)] {
            let (known, heard) = hears(|_| vec![ERROR, 0, 0, 12, 0, 1, 0, length, 0, 0, 0, 0]);
            assert_eq!((known, heard.is_err()), (bad, bad), "{length}");
        }
    }

    /// The same for what it takes too long for: a thousandth of the worst.
    #[test]
    fn what_is_passed_over_takes_the_engine_long() {
        let forward =
            |by: u32| move |first: u32| [&[FORWARD_TSN, 0, 0, 8], &first.wrapping_add(by).to_be_bytes()[..]].concat();
        let (known, heard) = hears(forward(1));
        assert!(!known && heard.is_ok());
        let (known, heard) = hears(forward(1 << 21));
        assert!(known);
        // It overflows if it comes to the end of all numbers, where that is looked at.
        if let Ok(took) = heard {
            assert!(took > Duration::from_millis(1), "it is quick: {took:?}");
            println!("two million steps took {took:?}");
        }
    }
}
