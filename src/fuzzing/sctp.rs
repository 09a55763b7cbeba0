//! SCTP as a peer says it inside DTLS, to the engine: true packets that are changed on the way, and such as never were.

use super::input::Input;
use crate::link::stranger::association::Association;
use std::time::Duration;

pub(super) fn play(input: &[u8]) {
    let mut input = Input::new(input);
    let mut pair = Association::new();
    // Its own handshake may be what is changed.
    if input.flag() {
        pair.settle();
    }
    let mut tag = pair.tag();
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        match input.below(8) {
            0 => pair.settle(),
            1 => pair.send(input.below(2), input.short(), input.piece()),
            2 => pair.close(input.below(2), input.short()),
            3 => pair.wait(Duration::from_millis(u64::from(input.short()))),
            4 => {
                let (at, value) = (usize::from(input.short()), input.byte());
                pair.mutate(|packet| {
                    if let Some(byte) = packet.get_mut(at) {
                        *byte = value;
                    }
                });
            }
            5 => {
                let length = usize::from(input.short());
                pair.mutate(|packet| packet.truncate(length));
            }
            6 => {
                let more = input.piece();
                pair.mutate(|packet| packet.extend_from_slice(more));
            }
            // Chunks of any kind behind a good header.
            _ => {
                let chunks = input.piece();
                tag = pair.tag().or(tag);
                let tag = tag.unwrap_or_default();
                pair.mutate(|packet| {
                    let header = [&[0x13, 0x88, 0x13, 0x88], &tag[..], &[0; 4]].concat();
                    *packet = [&header, chunks].concat();
                });
            }
        }
    }
    for _ in 0..4 {
        pair.settle();
        pair.wait(Duration::from_secs(5));
    }
}
