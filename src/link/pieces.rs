//! Messages larger than [`PIECE`] between native peers: announced by a control message on their channel, then sent in pieces.
//!
//! The engine keeps a buffer of the largest message that a link may carry, of which it reads the length only. Browsers are to be
//! able to send 256 KiB, so that is what we offer; two native peers tell their engines of [`PIECE`] and spare 208 KiB each.

use bytes::BytesMut;

/// Bytes of the largest message that the engines of two native peers see.
pub(super) const PIECE: usize = 49_152;
/// Bytes of messages that are not whole yet, on all channels of a link: room is made for each of them when its first piece comes. A sender
/// of this kind begins a message when the one before is sent, so that few are under way at a time.
const MOST: usize = 32 << 20;

/// Why what comes is of no use.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Nonsense(String),
    /// Too many messages are begun and not ended.
    TooMany,
}

/// A message that is not whole yet.
struct Assembly {
    is_text: bool,
    size: usize,
    data: BytesMut,
}

/// What has come of a message on one channel.
#[derive(Default)]
pub(super) struct Inbox(Option<Assembly>);

/// All inboxes of a link together.
#[derive(Default)]
pub(super) struct Unfinished(usize);

impl Inbox {
    /// The pieces of a message of this size follow.
    pub fn announce(&mut self, is_text: bool, size: usize, limit: usize) -> Result<(), String> {
        if self.0.is_some() {
            return Err("a message begins before the last one is whole".into());
        }
        if size <= PIECE || size > limit {
            return Err(format!("a message of {size} bytes is announced in pieces"));
        }
        self.0 = Some(Assembly { is_text, size, data: BytesMut::new() });
        Ok(())
    }

    /// Gives what is whole: this message, or the one that it was the last piece of.
    pub fn take(
        &mut self,
        unfinished: &mut Unfinished,
        is_text: bool,
        data: BytesMut,
    ) -> Result<Option<(bool, BytesMut)>, Broken> {
        let Some(assembly) = &mut self.0 else { return Ok(Some((is_text, data))) };
        if is_text || data.is_empty() || assembly.data.len() + data.len() > assembly.size {
            return Err(Broken::Nonsense("what comes is not the rest of the message that was announced".into()));
        }
        if assembly.data.is_empty() {
            if unfinished.0 + assembly.size > MOST {
                return Err(Broken::TooMany);
            }
            unfinished.0 += assembly.size;
            assembly.data.reserve(assembly.size);
        }
        assembly.data.extend_from_slice(&data);
        if assembly.data.len() < assembly.size {
            return Ok(None);
        }
        let Some(whole) = self.0.take() else { return Ok(None) };
        unfinished.0 -= whole.size;
        Ok(Some((whole.is_text, whole.data)))
    }

    /// The channel is over.
    pub fn clear(&mut self, unfinished: &mut Unfinished) {
        if let Some(assembly) = self.0.take().filter(|assembly| !assembly.data.is_empty()) {
            unfinished.0 -= assembly.size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_a_whole_and_nothing_else_does() {
        let (mut inbox, mut unfinished) = (Inbox::default(), Unfinished::default());
        let piece = |length: usize| BytesMut::from(&vec![7; length][..]);
        assert_eq!(inbox.take(&mut unfinished, true, piece(3)), Ok(Some((true, piece(3)))));
        for size in [0, PIECE, 262_145, usize::MAX] {
            assert!(inbox.announce(false, size, 262_144).is_err(), "{size}");
        }
        inbox.announce(true, PIECE + 2, 262_144).unwrap();
        assert!(inbox.announce(true, PIECE + 2, 262_144).is_err());
        assert!(inbox.take(&mut unfinished, true, piece(1)).is_err());
        assert!(inbox.take(&mut unfinished, false, piece(0)).is_err());
        assert!(inbox.take(&mut unfinished, false, piece(PIECE + 3)).is_err());
        assert_eq!(inbox.take(&mut unfinished, false, piece(PIECE)), Ok(None));
        assert_eq!(unfinished.0, PIECE + 2);
        assert_eq!(inbox.take(&mut unfinished, false, piece(2)), Ok(Some((true, piece(PIECE + 2)))));
        assert_eq!(unfinished.0, 0);
        inbox.announce(true, PIECE + 2, 262_144).unwrap();
        assert_eq!(inbox.take(&mut unfinished, false, piece(9)), Ok(None));
        inbox.clear(&mut unfinished);
        assert_eq!(unfinished.0, 0);
    }

    #[test]
    fn what_is_begun_and_not_ended_is_bounded() {
        let mut unfinished = Unfinished::default();
        let mut begin = |_| {
            let mut inbox = Inbox::default();
            inbox.announce(false, 262_144, 262_144).unwrap();
            // The room is made for all of it.
            inbox.take(&mut unfinished, false, BytesMut::from(&[0; 1][..])).is_ok()
        };
        assert_eq!((0..2000).take_while(|number| begin(*number)).count(), MOST / 262_144);
    }
}
