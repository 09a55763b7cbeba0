//! Sequence numbers of 16 bits as numbers that do not wrap, and a sender that begins anew (RFC 3550, A.1).

/// A jump farther than this is no loss and no delay: the sender has begun anew, if the next packet says so too.
const FARTHEST: i64 = 3000;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Number(i64),
    /// Too far away. Whether that is a new beginning the next packet tells.
    Stray,
    /// This and the stray one before it are the first of a new sequence.
    Restart,
}

#[derive(Default)]
pub(super) struct Sequence {
    newest: Option<i64>,
    /// What a new sequence would go on with.
    after_stray: Option<u16>,
}

impl Sequence {
    pub fn place(&mut self, sequence: u16) -> Place {
        let newest = *self.newest.get_or_insert(sequence.into());
        let distance = i64::from(sequence.wrapping_sub(newest as u16) as i16);
        if distance.abs() <= FARTHEST {
            self.after_stray = None;
            self.newest = Some(newest.max(newest + distance));
            return Place::Number(newest + distance);
        }
        if self.after_stray == Some(sequence) {
            return Place::Restart;
        }
        self.after_stray = Some(sequence.wrapping_add(1));
        Place::Stray
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_over_the_wrap_and_back() {
        let mut sequence = Sequence::default();
        for (number, expected) in [(65_534, 65_534), (1, 65_537), (65_535, 65_535), (0, 65_536), (2_000, 67_536)] {
            assert_eq!(sequence.place(number), Place::Number(expected));
        }
        let mut sequence = Sequence::default();
        assert_eq!(sequence.place(0), Place::Number(0));
        assert_eq!(sequence.place(65_535), Place::Number(-1));
        for lap in 0..5i64 {
            for number in (0..=65_535u16).step_by(2_999) {
                assert_eq!(sequence.place(number), Place::Number(lap * 65_536 + i64::from(number)));
            }
        }
    }

    #[test]
    fn two_in_a_row_are_a_new_beginning() {
        let mut sequence = Sequence::default();
        assert_eq!(sequence.place(100), Place::Number(100));
        assert_eq!(sequence.place(40_000), Place::Stray);
        assert_eq!(sequence.place(40_000), Place::Stray);
        assert_eq!(sequence.place(101), Place::Number(101));
        // The one that it would have been is forgotten.
        assert_eq!(sequence.place(40_001), Place::Stray);
        assert_eq!(sequence.place(40_002), Place::Restart);
        assert_eq!(sequence.place(3_102), Place::Stray);
        assert_eq!(sequence.place(3_101), Place::Number(3_101));
    }
}
