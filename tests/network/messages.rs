//! Numbered messages, and what holds that they come whole, in order and once.

/// Number and length.
const HEADER: usize = 12;

/// `size` bytes, at least the header. The rest depends on the number, so that two messages cannot be mixed unseen.
pub fn make(number: u64, size: usize) -> Vec<u8> {
    let size = size.max(HEADER);
    let mut message = Vec::with_capacity(size);
    message.extend(number.to_be_bytes());
    message.extend((size as u32).to_be_bytes());
    message.extend((HEADER..size).map(|index| (index * 31) as u8 ^ number as u8));
    message
}

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Next(u64),
    /// The same, and some numbers before it are missing.
    AfterHole(u64),
    Wrong(String),
}

/// Of one sender.
#[derive(Debug, Default)]
pub struct Ledger {
    pub last: Option<u64>,
}

impl Ledger {
    pub fn take(&mut self, message: &[u8]) -> Verdict {
        let Some((number, rest)) = message.split_first_chunk::<8>() else {
            return Verdict::Wrong(format!("a message of {} bytes", message.len()));
        };
        let number = u64::from_be_bytes(*number);
        let size = rest.first_chunk::<4>().map_or(0, |size| u32::from_be_bytes(*size) as usize);
        if message != make(number, size) {
            return Verdict::Wrong(format!("message {number} of {} bytes is damaged", message.len()));
        }
        if self.last.is_some_and(|last| number <= last) {
            return Verdict::Wrong(format!("message {number} after {:?}", self.last));
        }
        let expected = self.last.map_or(0, |last| last + 1);
        self.last = Some(number);
        if number == expected {
            Verdict::Next(number)
        } else {
            Verdict::AfterHole(number)
        }
    }
}
