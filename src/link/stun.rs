//! Just enough of STUN (RFC 8489) to route a datagram before the engine sees it, and to send one without it.

use bytes::{BufMut, BytesMut};
use std::net::{IpAddr, SocketAddr};
use webrtc::stun::message::TransactionId as FreshTransactionId;

const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER: usize = 20;
const USERNAME: u16 = 0x0006;
const ERROR_CODE: u16 = 0x0009;
const LIFETIME: u16 = 0x000d;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const DATA: u16 = 0x0013;
const USE_CANDIDATE: u16 = 0x0025;
const BINDING_INDICATION: u16 = 0x0011;
const SEND_INDICATION: u16 = 0x0016;
const ALLOCATE_SUCCESS: u16 = 0x0103;
const REFRESH_SUCCESS: u16 = 0x0104;
const REFRESH_ERROR: u16 = 0x0114;
const CREATE_PERMISSION_SUCCESS: u16 = 0x0108;
const CREATE_PERMISSION_ERROR: u16 = 0x0118;

pub(crate) type TransactionId = [u8; 12];

/// Of a datagram that is STUN.
pub(crate) fn transaction_id(datagram: &[u8]) -> Option<TransactionId> {
    datagram.get(8..HEADER)?.try_into().ok()
}

pub(crate) fn is_stun(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER && datagram[0] < 4 && datagram[4..8] == MAGIC_COOKIE
}

/// What is not STUN and begins as a DTLS record does (RFC 7983).
pub(crate) fn is_dtls(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| (20..64).contains(first))
}

pub(crate) fn is_binding_request(datagram: &[u8]) -> bool {
    is_stun(datagram) && datagram[..2] == [0x00, 0x01]
}

pub(crate) fn is_binding_success(datagram: &[u8]) -> bool {
    is_stun(datagram) && datagram[..2] == [0x01, 0x01]
}

/// The receiver's fragment of a binding request's USERNAME: what stands before the colon (RFC 8445, 7.2.2).
pub(crate) fn local_ufrag(datagram: &[u8]) -> Option<&str> {
    if !is_binding_request(datagram) {
        return None;
    }
    std::str::from_utf8(attribute(datagram, USERNAME)?).ok()?.split(':').next()
}

/// The controlling side wants this pair (RFC 8445, 7.1.2).
pub(crate) fn is_nomination(datagram: &[u8]) -> bool {
    is_binding_request(datagram) && attribute(datagram, USE_CANDIDATE).is_some()
}

/// The value of the first attribute of a kind.
fn attribute(datagram: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut at = HEADER;
    while at + 4 <= datagram.len() {
        let kind = u16::from_be_bytes([datagram[at], datagram[at + 1]]);
        let length = usize::from(u16::from_be_bytes([datagram[at + 2], datagram[at + 3]]));
        let value = datagram.get(at + 4..at + 4 + length)?;
        if kind == wanted {
            return Some(value);
        }
        // Attributes are padded to four bytes.
        at += 4 + length.next_multiple_of(4);
    }
    None
}

pub(crate) fn message(kind: u16, transaction: TransactionId, attributes: &[(u16, &[u8])]) -> BytesMut {
    let length: usize = attributes.iter().map(|(_, value)| 4 + value.len().next_multiple_of(4)).sum();
    let mut datagram = BytesMut::with_capacity(HEADER + length);
    datagram.put_u16(kind);
    datagram.put_u16(length as u16);
    datagram.put_slice(&MAGIC_COOKIE);
    datagram.put_slice(&transaction);
    for (kind, value) in attributes {
        datagram.put_u16(*kind);
        datagram.put_u16(value.len() as u16);
        datagram.put_slice(value);
        datagram.put_bytes(0, value.len().next_multiple_of(4) - value.len());
    }
    datagram
}

/// Keeps the mapping of a NAT before a STUN server alive; it is not answered (RFC 8489, 6.1).
pub(crate) fn binding_indication() -> BytesMut {
    message(BINDING_INDICATION, FreshTransactionId::new().0, &[])
}

/// Asks a TURN server to send this on to a peer (RFC 8656, 11.1).
pub(crate) fn send_indication(peer: SocketAddr, data: &[u8]) -> BytesMut {
    let transaction = FreshTransactionId::new().0;
    message(SEND_INDICATION, transaction, &[(XOR_PEER_ADDRESS, &xored(peer, transaction)), (DATA, data)])
}

/// Whether a TURN server gives a permission by this (RFC 8656, 9.2).
pub(crate) fn is_permission_success(datagram: &[u8]) -> bool {
    is_stun(datagram) && datagram[..2] == CREATE_PERMISSION_SUCCESS.to_be_bytes()
}

/// What a TURN server refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Refresh,
    Permission,
}

/// What is refused by this, and why: the number, and the words (RFC 8489, 14.8).
pub(crate) fn refusal(datagram: &[u8]) -> Option<(Refused, u16, String)> {
    if !is_stun(datagram) {
        return None;
    }
    let refused = match u16::from_be_bytes([datagram[0], datagram[1]]) {
        REFRESH_ERROR => Refused::Refresh,
        CREATE_PERMISSION_ERROR => Refused::Permission,
        _ => return None,
    };
    let value = attribute(datagram, ERROR_CODE)?;
    let (class, number) = (u16::from(*value.get(2)?) & 7, u16::from(*value.get(3)?));
    let words: String = String::from_utf8_lossy(&value[4..]).chars().filter(|c| !c.is_control()).take(128).collect();
    Some((refused, class * 100 + number, words))
}

/// For how long an allocation is good, in seconds, by an answer that makes or refreshes it.
pub(crate) fn allocation_lifetime(datagram: &[u8]) -> Option<u32> {
    if !is_stun(datagram)
        || ![ALLOCATE_SUCCESS, REFRESH_SUCCESS].map(u16::to_be_bytes).contains(&[datagram[0], datagram[1]])
    {
        return None;
    }
    Some(u32::from_be_bytes(attribute(datagram, LIFETIME)?.try_into().ok()?))
}

/// What a TURN server says that gives no permission, without its reason.
pub(crate) fn permission_error(transaction: TransactionId) -> BytesMut {
    message(CREATE_PERMISSION_ERROR, transaction, &[])
}

/// RFC 8489, 14.2.
pub(crate) fn xored(address: SocketAddr, transaction: TransactionId) -> Vec<u8> {
    let mask = MAGIC_COOKIE.iter().chain(&transaction);
    let port = address.port() ^ u16::from_be_bytes([MAGIC_COOKIE[0], MAGIC_COOKIE[1]]);
    let (family, ip) = match address.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let mut value = vec![0, family];
    value.extend(port.to_be_bytes());
    value.extend(ip.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(attributes: &[u8]) -> Vec<u8> {
        let mut datagram = vec![0, 1, 0, attributes.len() as u8];
        datagram.extend(MAGIC_COOKIE);
        datagram.extend([0; 12]);
        datagram.extend(attributes);
        datagram
    }

    #[test]
    fn the_ufrag_of_a_request_is_found_behind_other_attributes() {
        let datagram = request(b"\x80\x22\x00\x03abc\0\x00\x06\x00\x09us:remote\0\0\0");
        assert_eq!(local_ufrag(&datagram), Some("us"));
        assert!(!is_nomination(&datagram));
        assert!(is_nomination(&request(b"\x80\x22\x00\x03abc\0\x00\x25\x00\x00")));
    }

    /// Against the sample of RFC 5769, 2.2 and 2.3.
    #[test]
    fn addresses_are_masked() {
        let transaction = *b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";
        let masked = xored("192.0.2.1:32853".parse().unwrap(), transaction);
        assert_eq!(masked, b"\0\x01\xa1\x47\xe1\x12\xa6\x43");
        let masked = xored("[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap(), transaction);
        assert_eq!(masked, b"\0\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9");
    }

    #[test]
    fn an_indication_is_padded_and_says_its_length() {
        let datagram = send_indication("192.0.2.1:32853".parse().unwrap(), b"hello");
        assert!(is_stun(&datagram) && datagram.len() == HEADER + 12 + 12);
        assert_eq!((&datagram[..4], &datagram[32..41]), (&b"\0\x16\0\x18"[..], &b"\0\x13\0\x05hello"[..]));
        assert_eq!(binding_indication().len(), HEADER);
    }

    #[test]
    fn junk_is_no_request() {
        for datagram in [&b""[..], &[0; 20], &request(b"\x00\x06\x00\xff")[..], &request(b"\x00\x06\x00\x02\xff\xff")] {
            assert_eq!(local_ufrag(datagram), None);
        }
    }
}
