//! What the owner of a connection is to hear, in order.

use crate::link::{MediaReport, Message, Report};
use crate::mesh::LinkEnd;
use crate::net::candidate::LocalCandidate;
use crate::protocol::IceCandidate;
use std::collections::VecDeque;

/// Messages that the owner is given at once.
const RUN: usize = 64;
/// Channel openings and closings that may wait behind messages which the owner does not take. Nobody has an honest use for more.
const MAX_CHANNEL_NOTICES: usize = 4096;

/// Frames and packets that may wait for the owner to begin.
const MAX_EARLY_MEDIA: usize = 1024;

/// What waits for no message.
pub(crate) enum Aside {
    Media(MediaReport),
    Description { sdp: String, is_offer: bool },
}

pub(crate) enum Notice {
    Candidate(Option<IceCandidate>),
    Report(Report),
}

/// What is told next.
pub(crate) enum Next {
    /// Those that the owner does not take are given back.
    Messages(VecDeque<Message>),
    Aside(Aside),
    Notice(Notice),
    /// Nothing comes after it. `ours`: the other side does not know yet that it is over.
    End {
        notice: Notice,
        ours: bool,
    },
}

#[derive(Default)]
pub(crate) struct Deliveries {
    /// What the application hears of, and the end after it.
    queue: VecDeque<Notice>,
    /// Of the link itself: whoever keeps it going hears of it at once, however slow the application is.
    prompt: VecDeque<Notice>,
    asides: VecDeque<Aside>,
    channel_notices: usize,
    /// Its end is among the notices, or told: nothing comes after it.
    ended: bool,
    /// It ended by an excess: what the owner has not taken by then it does not get.
    cut_off: bool,
    /// A thread is telling, with no lock held: no other may.
    pub busy: bool,
    /// Somebody waits until none is.
    pub awaited: bool,
    /// Local candidates up to this number are told, and whether their end is.
    candidates: u64,
    candidates_ended: bool,
    /// There were others before.
    candidates_anew: bool,
    started: bool,
    opened: bool,
    /// The owner has closed the connection: it hears nothing more.
    closed: bool,
}

impl Deliveries {
    /// `fast` was opened, and the owner has begun to read.
    pub fn start(&mut self) {
        self.started = true;
    }

    /// The owner wants to hear nothing more.
    pub fn close(&mut self) {
        self.closed = true;
        self.queue.clear();
        self.prompt.clear();
        self.asides.clear();
        self.channel_notices = 0;
    }

    pub fn push(&mut self, reports: Vec<Report>) {
        for mut report in reports {
            if self.closed || self.ended {
                return;
            }
            match report {
                Report::Media(report) => {
                    self.push_aside(Aside::Media(report));
                    continue;
                }
                Report::Offer(sdp) => {
                    self.push_aside(Aside::Description { sdp, is_offer: true });
                    continue;
                }
                Report::Answer(sdp) => {
                    self.push_aside(Aside::Description { sdp, is_offer: false });
                    continue;
                }
                Report::Open | Report::State(_) | Report::PathLost => {
                    self.opened |= matches!(report, Report::Open);
                    self.prompt.push_back(Notice::Report(report));
                    continue;
                }
                Report::ChannelOpen { .. } | Report::ChannelClosed(_) => self.channel_notices += 1,
                _ => {}
            }
            if self.channel_notices > MAX_CHANNEL_NOTICES {
                report = Report::Ended(LinkEnd::Excess("it opens and closes channels without end".into()));
            }
            self.ended = matches!(report, Report::Ended(_));
            if matches!(report, Report::Ended(LinkEnd::Excess(_))) {
                self.cut_off = true;
                // Who does this loses what was to come, too.
                self.queue.clear();
                self.channel_notices = 0;
            }
            self.queue.push_back(Notice::Report(report));
        }
    }

    fn push_aside(&mut self, aside: Aside) {
        let is_flow = |aside: &Aside| matches!(aside, Aside::Media(MediaReport::Frame(_) | MediaReport::Rtp { .. }));
        if self.asides.len() >= MAX_EARLY_MEDIA {
            // The oldest of what flows; the rest is little.
            if let Some(oldest) = self.asides.iter().position(is_flow) {
                self.asides.remove(oldest);
            }
        }
        self.asides.push_back(aside);
    }

    /// There are others than before, and perhaps more to come.
    pub fn begin_candidates_anew(&mut self) {
        self.candidates_ended = false;
        self.candidates_anew = true;
    }

    pub fn wants_candidates(&self) -> bool {
        self.candidates_anew && !self.candidates_ended
    }

    /// Those that it has not told yet, for the link alone: the next restart's description names them.
    pub fn keep_to_the_link(&mut self, candidates: &[(u64, LocalCandidate)]) -> Vec<String> {
        let told = self.candidates;
        let fresh = candidates.iter().filter(|(number, _)| *number > told);
        let texts = fresh.map(|(_, candidate)| candidate.to_string()).collect();
        self.candidates = candidates.iter().map(|(number, _)| *number).fold(told, u64::max);
        texts
    }

    /// Those of our candidates that it has not told yet, and their end, if that is new: what the link is to hear too.
    pub fn announce(
        &mut self,
        candidates: &[(u64, LocalCandidate)],
        complete: bool,
        ufrag: Option<&str>,
    ) -> (Vec<String>, bool) {
        let mut fresh = Vec::new();
        if self.closed || self.candidates_ended {
            return (fresh, false);
        }
        for (number, candidate) in candidates {
            if *number > self.candidates {
                self.candidates = *number;
                let text = candidate.to_string();
                self.prompt.push_back(Notice::Candidate(Some(IceCandidate {
                    candidate: format!("candidate:{text}"),
                    sdp_mid: Some("0".into()),
                    sdp_m_line_index: Some(0),
                    username_fragment: ufrag.map(str::to_owned),
                })));
                fresh.push(text);
            }
        }
        if complete {
            self.candidates_ended = true;
            self.prompt.push_back(Notice::Candidate(None));
        }
        (fresh, complete)
    }

    /// Takes what is to be told now. `paused`: the owner takes no messages.
    pub fn next(&mut self, paused: bool) -> Option<Next> {
        if self.started {
            if let Some(aside) = self.asides.pop_front() {
                return Some(Next::Aside(aside));
            }
        }
        if let Some(notice) = self.prompt.pop_front() {
            return Some(Next::Notice(notice));
        }
        let held = match self.queue.front()? {
            Notice::Report(Report::Message(_)) => !self.started || paused,
            // What waits of them is bounded, in `push`.
            Notice::Report(Report::ChannelOpen { .. } | Report::ChannelClosed(_)) => paused,
            // Who never opened has nothing that would have to come first.
            Notice::Report(Report::Ended(_)) => self.opened && !self.started,
            _ => false,
        };
        if held {
            return None;
        }
        if let Some(run) = self.take_messages() {
            return Some(Next::Messages(run));
        }
        let notice = self.queue.pop_front()?;
        match &notice {
            Notice::Report(Report::ChannelOpen { .. } | Report::ChannelClosed(_)) => {
                self.channel_notices = self.channel_notices.saturating_sub(1);
            }
            Notice::Report(Report::Ended(end)) => {
                let ours = matches!(end, LinkEnd::Error(_) | LinkEnd::Excess(_));
                // Whatever else the engine may still come up with is not for the owner.
                self.close();
                return Some(Next::End { notice, ours });
            }
            _ => {}
        }
        Some(Next::Notice(notice))
    }

    /// The messages that are next, if any are.
    fn take_messages(&mut self) -> Option<VecDeque<Message>> {
        let mut run = VecDeque::new();
        while run.len() < RUN {
            match self.queue.pop_front() {
                Some(Notice::Report(Report::Message(message))) => run.push_back(message),
                Some(other) => {
                    self.queue.push_front(other);
                    break;
                }
                None => break,
            }
        }
        (!run.is_empty()).then_some(run)
    }

    /// Messages that wait.
    pub fn messages(&self) -> usize {
        self.queue.iter().filter(|notice| matches!(notice, Notice::Report(Report::Message(_)))).count()
    }

    /// Messages that the owner did not take.
    pub fn give_back(&mut self, run: VecDeque<Message>) {
        if !self.closed && !self.cut_off {
            run.into_iter().rev().for_each(|message| self.queue.push_front(Notice::Report(Report::Message(message))));
        }
    }
}
