//! What happened, when: as one number over everything, as lines if they are wanted, and counted by kind.

use std::collections::hash_map::DefaultHasher;
use std::collections::BTreeMap;
use std::hash::Hasher;
use std::time::Duration;

#[derive(Default)]
pub(super) struct Journal {
    /// With the same keys always.
    hash: DefaultHasher,
    lines: Option<Vec<String>>,
    happened: BTreeMap<&'static str, usize>,
}

impl Journal {
    pub fn new(traced: bool) -> Self {
        Self { lines: traced.then(Vec::new), ..Self::default() }
    }

    /// `bytes` are what counts, `line` is for people.
    pub fn note(&mut self, now: Duration, bytes: &[u8], line: impl FnOnce() -> String) {
        self.hash.write_u128(now.as_nanos());
        self.hash.write_usize(bytes.len());
        self.hash.write(bytes);
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>11.3} {}", now.as_secs_f64() * 1e3, line()));
        }
    }

    pub fn say(&mut self, now: Duration, text: String) {
        self.note(now, text.as_bytes(), || text.chars().take(300).collect());
    }

    pub fn count(&mut self, kind: &'static str) {
        *self.happened.entry(kind).or_default() += 1;
    }

    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }

    pub fn happened(&self) -> &BTreeMap<&'static str, usize> {
        &self.happened
    }

    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}
