//! Ids of connections.

use rand::RngCore;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Names one offerer–answerer connection; made by the offerer, opaque to everyone else. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ConnectionId(Arc<str>);

impl ConnectionId {
    /// 144 random bits as 24 characters of base64url: nobody can guess the id of a connection, and two never collide.
    pub fn random(random: &mut dyn RngCore) -> Self {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut bits = [0u8; 24];
        random.fill_bytes(&mut bits);
        let text: String = bits.iter().map(|byte| ALPHABET[(byte & 63) as usize] as char).collect();
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for ConnectionId {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for ConnectionId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<ConnectionId> for String {
    fn from(id: ConnectionId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{rngs::StdRng, SeedableRng};
    use std::collections::HashSet;

    #[test]
    fn random_ids_are_long_and_differ() {
        let mut random = StdRng::seed_from_u64(7);
        let ids: HashSet<ConnectionId> = (0..1000).map(|_| ConnectionId::random(&mut random)).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.as_str().len() * 6 >= 128));
    }
}
