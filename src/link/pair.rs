//! Two links and nothing else: the datagrams pass from hand to hand, in the order and at the time of the test's choosing.

// The tests use more of it than the targets do.
#![cfg_attr(not(test), allow(dead_code))]

use super::*;
use crate::media::LocalStreams;
use std::collections::VecDeque;

pub const A: &str = "192.0.2.1:1000";
pub const B: &str = "192.0.2.2:2000";

pub struct End {
    pub link: Link,
    pub address: SocketAddr,
    /// Sent, and not carried yet.
    pub outbox: VecDeque<BytesMut>,
    pub reports: Vec<Report>,
}

impl End {
    pub fn new(link: Link, address: &str) -> Self {
        let mut link = link;
        let address: SocketAddr = address.parse().unwrap();
        link.add_local_candidate(&candidate(address)).unwrap();
        Self { link, address, outbox: VecDeque::new(), reports: Vec::new() }
    }

    pub fn pump(&mut self, now: Instant) {
        let mut output = Output::default();
        self.link.pump(now, true, &mut output);
        self.outbox.extend(output.datagrams.into_iter().map(|datagram| datagram.data));
        self.reports.extend(output.reports);
    }

    pub fn send(&mut self, now: Instant, channel: ChannelId, data: &[u8]) {
        self.link.send(now, channel, false, data.into(), false).unwrap();
    }

    pub fn received(&self, channel: ChannelId) -> Vec<&[u8]> {
        let messages = self.reports.iter().filter_map(|report| match report {
            Report::Message(message) if message.channel == channel => Some(&message.data[..]),
            _ => None,
        });
        messages.collect()
    }

    pub fn channel(&self, wanted: &str) -> Option<ChannelId> {
        self.reports.iter().find_map(|report| match report {
            Report::ChannelOpen { channel, label, .. } if label == wanted => Some(*channel),
            _ => None,
        })
    }

    pub fn is_closed(&self, channel: ChannelId) -> bool {
        self.reports.iter().any(|report| matches!(report, Report::ChannelClosed(closed) if *closed == channel))
    }
}

pub fn candidate(address: SocketAddr) -> String {
    format!("1 1 udp 2130706431 {} {} typ host", address.ip(), address.port())
}

pub fn carry(now: Instant, from: &mut End, to: &mut End, mut lost: impl FnMut() -> bool) {
    from.pump(now);
    for data in std::mem::take(&mut from.outbox) {
        if lost() {
            continue;
        }
        to.link.handle_datagram(now, to.address, from.address, data);
        to.pump(now);
    }
}

pub struct Pair {
    pub a: End,
    pub b: End,
    pub now: Instant,
}

impl Pair {
    pub fn open() -> Self {
        Self::open_with(Arc::default(), Arc::default(), str::to_owned)
    }

    /// With what each gives from the start, and what becomes of descriptions on the way.
    pub fn open_with(ours: Arc<LocalStreams>, theirs: Arc<LocalStreams>, on_the_way: fn(&str) -> String) -> Self {
        let mut pair = Self::meet(ours, theirs, on_the_way);
        pair.run("both are open", |pair| {
            let open = |end: &End| end.reports.iter().any(|report| matches!(report, Report::Open));
            open(&pair.a) && open(&pair.b)
        });
        pair.settle();
        pair
    }

    /// They know each other's descriptions and candidates, and nothing was carried yet.
    pub fn meet(ours: Arc<LocalStreams>, theirs: Arc<LocalStreams>, on_the_way: fn(&str) -> String) -> Self {
        let (config, now) = (config(), Instant::now());
        let (a, offer) = Link::offer(&config, now, ours).unwrap();
        let (b, answer) = Link::answer(&config, now, &on_the_way(&offer), theirs).unwrap();
        let answer = on_the_way(&answer);
        let mut pair = Self { a: End::new(a, A), b: End::new(b, B), now };
        pair.a.link.apply_answer(now, &answer).unwrap();
        let told = |address: &str| IceCandidate {
            candidate: format!("candidate:{}", candidate(address.parse().unwrap())),
            sdp_mid: Some("0".into()),
            sdp_m_line_index: Some(0),
            username_fragment: None,
        };
        pair.a.link.add_remote_candidate(&told(B));
        pair.b.link.add_remote_candidate(&told(A));
        pair
    }

    /// Carries everything over, once.
    pub fn carry(&mut self) {
        carry(self.now, &mut self.a, &mut self.b, || false);
        carry(self.now, &mut self.b, &mut self.a, || false);
    }

    /// The second end hears this, from anywhere.
    pub fn hear(&mut self, from: SocketAddr, datagram: BytesMut) {
        self.b.link.handle_datagram(self.now, self.b.address, from, datagram);
        self.b.pump(self.now);
    }

    /// Until neither has anything to say at this time.
    pub fn settle(&mut self) {
        for _ in 0..1000 {
            self.carry();
            if self.a.outbox.is_empty() && self.b.outbox.is_empty() {
                return;
            }
        }
        panic!("they talk for ever");
    }

    pub fn run(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..2000 {
            self.settle();
            if done(self) {
                return;
            }
            self.now += Duration::from_millis(10);
        }
        panic!("never: {what}");
    }

    pub fn open_channel(&mut self, label: &str, options: &ChannelOptions) -> (ChannelId, ChannelId) {
        let ours = self.a.link.open_channel(label, options).unwrap();
        self.run(label, |pair| pair.a.channel(label).is_some() && pair.b.channel(label).is_some());
        assert_eq!(self.a.channel(label), Some(ours));
        (ours, self.b.channel(label).unwrap())
    }
}

pub fn config() -> LinkConfig {
    LinkConfig::new(&crate::driver::DriverConfig::for_tests(), None).unwrap()
}
