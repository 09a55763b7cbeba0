//! Just enough of STUN (RFC 8489) to route a datagram before the engine sees it.

const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER: usize = 20;
const USERNAME: u16 = 0x0006;

pub(crate) type TransactionId = [u8; 12];

/// Of a datagram that is STUN.
pub(crate) fn transaction_id(datagram: &[u8]) -> Option<TransactionId> {
    datagram.get(8..HEADER)?.try_into().ok()
}

pub(crate) fn is_stun(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER && datagram[0] < 4 && datagram[4..8] == MAGIC_COOKIE
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
    let mut at = HEADER;
    while at + 4 <= datagram.len() {
        let kind = u16::from_be_bytes([datagram[at], datagram[at + 1]]);
        let length = usize::from(u16::from_be_bytes([datagram[at + 2], datagram[at + 3]]));
        let value = datagram.get(at + 4..at + 4 + length)?;
        if kind == USERNAME {
            return std::str::from_utf8(value).ok()?.split(':').next();
        }
        // Attributes are padded to four bytes.
        at += 4 + length.next_multiple_of(4);
    }
    None
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
    }

    #[test]
    fn junk_is_no_request() {
        for datagram in [&b""[..], &[0; 20], &request(b"\x00\x06\x00\xff")[..], &request(b"\x00\x06\x00\x02\xff\xff")] {
            assert_eq!(local_ufrag(datagram), None);
        }
    }
}
