//! What the other side repeats of a DTLS handshake, and the engine must not hear.
//!
//! Any record of a handshake stops the engine's timer by which it repeats its own flight, one that it knows already too
//! (`rtc-dtls/src/handshaker.rs`, `wait`), and it does not answer that one by its flight either, as RFC 6347, 4.2.4 has it. Both ends then
//! wait for ever once a flight was lost: of a hundred connections over a way that loses 5 % of its datagrams, seven did not open.

use bytes::BytesMut;
use std::hash::{DefaultHasher, Hash, Hasher};

const RECORD_HEADER: usize = 13;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const MESSAGE_HEADER: usize = 12;

/// A handshake has about twenty messages; what more there is goes through as it comes.
const MOST: usize = 64;

#[derive(Default)]
pub(super) struct Repeats {
    /// Hashes of the messages (or fragments) that were heard.
    heard: Vec<u64>,
    /// A ClientHello with a cookie was.
    greeted: bool,
}

impl Repeats {
    /// A datagram of a handshake that is not over, without the records that only repeat; `None` if nothing is left.
    pub fn without(&mut self, datagram: BytesMut) -> Option<BytesMut> {
        let (mut rest, mut kept) = (&datagram[..], BytesMut::new());
        let mut dropped = false;
        while !rest.is_empty() {
            // What is no whole record is the engine's to refuse.
            let length =
                rest.get(11..RECORD_HEADER).map_or(0, |length| usize::from(u16::from_be_bytes([length[0], length[1]])));
            let (record, after) = rest.split_at((RECORD_HEADER + length).min(rest.len()));
            rest = after;
            if self.repeats(record) {
                dropped = true;
            } else {
                kept.extend_from_slice(record);
            }
        }
        match (dropped, kept.is_empty()) {
            (false, _) => Some(datagram),
            (true, false) => Some(kept),
            (true, true) => None,
        }
    }

    /// Whether it holds messages in the clear, all of which were heard before.
    fn repeats(&mut self, record: &[u8]) -> bool {
        let in_the_clear = record.len() > RECORD_HEADER && record[0] == HANDSHAKE && record[3..5] == [0, 0];
        if !in_the_clear {
            return false;
        }
        let (mut rest, mut all) = (&record[RECORD_HEADER..], true);
        while !rest.is_empty() {
            let Some(header) = rest.get(..MESSAGE_HEADER) else { return false };
            let length = header[9..12].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            let (message, after) = rest.split_at((MESSAGE_HEADER + length).min(rest.len()));
            rest = after;
            all &= self.is_heard(message);
        }
        all
    }

    /// By all its bytes, so that a forged one does not take the place of the true one.
    fn is_heard(&mut self, message: &[u8]) -> bool {
        if message[0] == CLIENT_HELLO {
            if message[4..6] == [0, 0] {
                // The first is answered with a cookie each time: the engine keeps no timer for that.
                return self.greeted;
            }
            self.greeted = true;
        }
        let mut hasher = DefaultHasher::new();
        message.hash(&mut hasher);
        let hash = hasher.finish();
        if self.heard.contains(&hash) {
            return true;
        }
        if self.heard.len() < MOST {
            self.heard.push(hash);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, number: u8, body: &[u8]) -> Vec<u8> {
        let length = body.len() as u8;
        [&[kind, 0, 0, length, 0, number, 0, 0, 0, 0, 0, length], body].concat()
    }

    fn record(kind: u8, epoch: u8, number: u8, payload: &[u8]) -> Vec<u8> {
        [&[kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, number, 0, payload.len() as u8], payload].concat()
    }

    fn passes(repeats: &mut Repeats, datagram: &[u8]) -> Vec<u8> {
        repeats.without(datagram.into()).map(Vec::from).unwrap_or_default()
    }

    #[test]
    fn a_record_is_heard_once_whatever_its_number() {
        let mut repeats = Repeats::default();
        let [one, two] = [1, 2].map(|number| message(11, number, b"certificate"));
        let first = [record(HANDSHAKE, 0, 0, &one), record(HANDSHAKE, 0, 1, &two)].concat();
        assert_eq!(passes(&mut repeats, &first), first);
        assert_eq!(passes(&mut repeats, &record(HANDSHAKE, 0, 2, &one)), b"");
        // With one that is new: in the same datagram, or in the same record.
        let fresh = record(HANDSHAKE, 0, 4, &message(12, 3, b"key"));
        let mixed = [record(HANDSHAKE, 0, 3, &two), fresh.clone()].concat();
        assert_eq!(passes(&mut repeats, &mixed), fresh);
        let together = record(HANDSHAKE, 0, 5, &[one.clone(), message(14, 4, b"")].concat());
        assert_eq!(passes(&mut repeats, &together), together);
        // The same number with another content is not the same.
        let other = record(HANDSHAKE, 0, 6, &message(11, 1, b"another one"));
        assert_eq!(passes(&mut repeats, &other), other);
    }

    #[test]
    fn what_is_no_handshake_in_the_clear_passes_as_often_as_it_comes() {
        let mut repeats = Repeats::default();
        for datagram in
            [record(HANDSHAKE, 1, 0, &message(20, 5, b"finished")), record(20, 0, 3, &[1]), b"\x16junk".to_vec()]
        {
            for _ in 0..2 {
                assert_eq!(passes(&mut repeats, &datagram), datagram);
            }
        }
    }

    #[test]
    fn a_hello_without_a_cookie_is_answered_until_there_is_one_with_it() {
        let mut repeats = Repeats::default();
        let hello = |number| record(HANDSHAKE, 0, number, &message(CLIENT_HELLO, 0, b"hello"));
        assert_eq!(passes(&mut repeats, &hello(0)), hello(0));
        assert_eq!(passes(&mut repeats, &hello(1)), hello(1));
        let with_cookie = record(HANDSHAKE, 0, 2, &message(CLIENT_HELLO, 1, b"hello and cookie"));
        assert_eq!(passes(&mut repeats, &with_cookie), with_cookie);
        assert_eq!(passes(&mut repeats, &hello(3)), b"");
        assert_eq!(passes(&mut repeats, &with_cookie), b"");
    }
}
