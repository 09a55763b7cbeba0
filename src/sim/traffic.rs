//! Numbered messages, and who has had which: in order, whole, once, and none lost on a link that lives.

use super::Outcome;
use crate::protocol::ConnectionId;
use bytes::BytesMut;
use std::collections::BTreeMap;

const HEADER: usize = 16;
/// Most are small; some take more than one datagram, and a few are sent in pieces. None is smaller than what opens a channel (16 bytes):
/// the engine counts that as acknowledged and not as sent, and would say too early that everything is acknowledged.
const SIZES: [usize; 8] = [HEADER + 1, 20, 40, 100, 1_150, 1_300, 5_000, 70_000];

/// One way of one link.
#[derive(Default)]
struct Flow {
    sent: u64,
    received: u64,
}

#[derive(Default)]
pub(super) struct Ledger {
    /// By link and sending member.
    flows: BTreeMap<(ConnectionId, usize), Flow>,
}

fn message(sender: usize, number: u64, size: usize) -> BytesMut {
    let mut data = BytesMut::zeroed(size.max(HEADER));
    data[..8].copy_from_slice(&number.to_be_bytes());
    data[8..16].copy_from_slice(&((sender as u64) << 32 | size as u64).to_be_bytes());
    for (at, byte) in data[HEADER..].iter_mut().enumerate() {
        *byte = (number as usize * 31 + sender * 17 + at * 7 + at / 251) as u8;
    }
    data
}

impl Ledger {
    /// The next one. It counts once [`Self::sent`] says so.
    pub fn next(&self, id: &ConnectionId, sender: usize, die: usize) -> BytesMut {
        let number = self.flows.get(&(id.clone(), sender)).map_or(0, |flow| flow.sent);
        message(sender, number, SIZES[die % SIZES.len()])
    }

    pub fn sent(&mut self, id: &ConnectionId, sender: usize) {
        self.flows.entry((id.clone(), sender)).or_default().sent += 1;
    }

    pub fn receive(&mut self, id: &ConnectionId, receiver: usize, data: &[u8]) -> Outcome {
        if data.len() < HEADER {
            return Err(format!("a message of {} bytes on {id}", data.len()));
        }
        let number = u64::from_be_bytes(data[..8].try_into().unwrap());
        let tail = u64::from_be_bytes(data[8..16].try_into().unwrap());
        let (sender, size) = ((tail >> 32) as usize, (tail & 0xffff_ffff) as usize);
        let Some(flow) = self.flows.get_mut(&(id.clone(), sender)).filter(|_| sender != receiver) else {
            return Err(format!("#{receiver} gets a message of #{sender} on {id}, where that sent nothing"));
        };
        if number != flow.received {
            return Err(format!("#{receiver} gets message {number} of #{sender} on {id} after {}", flow.received));
        }
        if number >= flow.sent || data != &message(sender, number, size)[..] {
            return Err(format!("message {number} of #{sender} on {id} is not as it was sent"));
        }
        flow.received += 1;
        Ok(())
    }

    /// Everything that was sent on a link that lives has arrived.
    pub fn is_complete(&self, id: &ConnectionId, sender: usize) -> Outcome {
        match self.flows.get(&(id.clone(), sender)) {
            Some(flow) if flow.received != flow.sent => {
                Err(format!("{} of {} messages of #{sender} arrived on {id}", flow.received, flow.sent))
            }
            _ => Ok(()),
        }
    }
}
