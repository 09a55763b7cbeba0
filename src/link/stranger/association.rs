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
    /// Read of any stream.
    messages: usize,
}

pub(crate) struct Association {
    now: Instant,
    ends: [End; 2],
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
                self.messages += usize::from(chunks.read(&mut message).is_ok());
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
        let mut ends = [false, true].map(|server| End {
            endpoint: endpoint(server),
            association: None,
            outbox: VecDeque::new(),
            messages: 0,
        });
        let client = ends[0].endpoint.connect(now, ClientConfig::new(transport()), SocketAddr::from(ADDRESS));
        ends[0].association = Some(client.expect("an association begins"));
        let mut this = Self { now, ends };
        this.turn();
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
        self.ends[1].hear(self.now, packet);
        self.turn();
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

    const DATA: u8 = 0;
    const SACK: u8 = 3;
    const ABORT: u8 = 6;
    const ERROR: u8 = 9;
    const FORWARD_TSN: u8 = 192;

    /// Two ends that are up, and the TSN of what the first says next.
    fn met() -> (Association, [u8; 4], u32) {
        let mut pair = Association::new();
        pair.settle();
        pair.send(0, 1, b"hello");
        let packet = &pair.ends[0].outbox[0];
        let (tag, tsn) = (packet[4..8].try_into().unwrap(), u32::from_be_bytes(packet[16..20].try_into().unwrap()));
        assert_eq!(packet[12], DATA);
        pair.settle();
        assert_eq!(pair.ends[1].messages, 1);
        (pair, tag, tsn.wrapping_add(1))
    }

    fn say(pair: &mut Association, tag: [u8; 4], chunk: &[u8]) {
        let mut packet = [&[0x13, 0x88, 0x13, 0x88], &tag[..], &[0; 4], chunk].concat();
        let sum = checksum(&packet);
        packet[CHECKSUM].copy_from_slice(&sum);
        pair.ends[1].hear(pair.now, packet);
        pair.turn();
    }

    fn hears_on(mut pair: Association) -> bool {
        let before = pair.ends[1].messages;
        pair.send(0, 1, b"and on");
        pair.settle();
        pair.ends[1].messages == before + 1
    }

    /// The engine as it comes panics at these.
    #[test]
    fn a_cause_that_claims_more_than_there_is_ends_nothing() {
        for kind in [ABORT, ERROR] {
            let (mut pair, tag, _) = met();
            say(&mut pair, tag, &[kind, 0, 0, 12, 0, 1, 0, 9, 0, 0, 0, 0]);
            assert!(hears_on(pair), "{kind}");
        }
        let (mut pair, tag, _) = met();
        say(&mut pair, tag, &[ABORT, 0, 0, 12, 0, 1, 0, 8, 0, 0, 0, 0]);
        assert!(!hears_on(pair), "an ABORT that is one");
    }

    /// Of what is skipped nothing is heard, and what comes after it is.
    #[test]
    fn a_forward_tsn_is_believed() {
        for ahead in [0, 5, u32::from(u16::MAX), 1 << 30] {
            let (mut pair, tag, next) = met();
            let skipped = next.wrapping_add(ahead);
            let data =
                |tsn: u32| [&[DATA, 7, 0, 20], &tsn.to_be_bytes()[..], &[0, 1, 0, 9, 0, 0, 0, 53], b"skip"].concat();
            let within = skipped.wrapping_sub(ahead.min(3));
            if ahead == 5 {
                // It waits there for what is missing before it: of no ordered stream, so it is heard at once.
                say(&mut pair, tag, &data(within));
            }
            let before = pair.ends[1].messages;
            say(&mut pair, tag, &[&[FORWARD_TSN, 0, 0, 8], &skipped.to_be_bytes()[..]].concat());
            say(&mut pair, tag, &data(within));
            assert_eq!(pair.ends[1].messages, before, "{ahead}: behind it");
            say(&mut pair, tag, &data(skipped.wrapping_add(1)));
            assert_eq!(pair.ends[1].messages, before + 1, "{ahead}: after it");
        }
    }

    /// The engine as it comes counts up to each, for half an hour.
    #[test]
    fn a_packet_full_of_forward_tsns_takes_no_time() {
        let (mut pair, tag, next) = met();
        let chunk = |nth: u32| [&[FORWARD_TSN, 0, 0, 8], &next.wrapping_add(nth << 30).to_be_bytes()[..]].concat();
        let chunks: Vec<u8> = (1..=148).flat_map(chunk).collect();
        let (done, result) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            say(&mut pair, tag, &chunks);
            done.send(()).unwrap();
        });
        result.recv_timeout(Duration::from_secs(10)).expect("it is done");
    }

    /// The engine as it comes tells of them by what is left of their distance.
    #[test]
    fn data_out_of_the_reach_of_a_sack_is_not_taken() {
        for (ahead, taken) in
            [(1, true), (u32::from(u16::MAX) - 2, true), (u32::from(u16::MAX), false), (100_000, false)]
        {
            let (mut pair, tag, next) = met();
            let tsn = next.wrapping_add(ahead);
            let chunk = [&[DATA, 3, 0, 20], &tsn.to_be_bytes()[..], &[0, 1, 0, 9, 0, 0, 0, 53], b"late"].concat();
            say(&mut pair, tag, &chunk);
            pair.wait(Duration::from_millis(300));
            let sack = pair.ends[1].outbox.iter().rfind(|packet| packet[12] == SACK).expect("a SACK");
            let blocks = u16::from_be_bytes(sack[24..26].try_into().unwrap());
            assert_eq!(blocks, u16::from(taken), "{ahead}");
            if taken {
                let ends = [28, 30].map(|at| u32::from(u16::from_be_bytes(sack[at..at + 2].try_into().unwrap())));
                assert_eq!(ends, [ahead + 1; 2]);
            }
        }
    }

    /// The engine as it comes waits twice as long each time, up to a minute, and gives up after the fifth.
    #[test]
    fn a_path_that_comes_back_is_noticed_within_two_seconds_however_long_it_was_away() {
        for away in [5, 20, 60, 600] {
            let (mut pair, _, _) = met();
            pair.send(0, 1, b"lost");
            for _ in 0..away * 10 {
                pair.ends[0].outbox.clear();
                pair.wait(Duration::from_millis(100));
            }
            pair.ends[0].outbox.clear();
            let until = pair.now + Duration::from_secs(2);
            while pair.ends[1].messages == 1 {
                assert!(pair.now <= until, "{away} s away");
                pair.wait(Duration::from_millis(100));
                pair.settle();
            }
        }
    }

    /// Nothing is acknowledged before it is sent again: what tells is that it came twice.
    #[test]
    fn a_round_trip_of_more_than_two_seconds_is_measured_and_nothing_is_sent_twice_for_ever() {
        let (mut pair, _, _) = met();
        let mut under_way: VecDeque<(Instant, usize, Vec<u8>)> = VecDeque::new();
        let mut said = Vec::new();
        for tick in 0..1000 {
            if tick % 100 == 0 {
                pair.send(0, 1, b"far away");
                said.push(0);
            }
            for from in 0..2 {
                for packet in std::mem::take(&mut pair.ends[from].outbox) {
                    *said.last_mut().unwrap() += usize::from(from == 0 && packet[12] == DATA);
                    under_way.push_back((pair.now + Duration::from_millis(1500), from, packet));
                }
            }
            pair.wait(Duration::from_millis(100));
            while under_way.front().is_some_and(|(at, ..)| *at <= pair.now) {
                let (_, from, packet) = under_way.pop_front().unwrap();
                pair.ends[1 - from].hear(pair.now, packet);
            }
            pair.turn();
        }
        assert_eq!(pair.ends[1].messages, 1 + said.len());
        assert_eq!(said[3..], [1; 7], "{said:?}");
    }
}
