//! Offers and answers of one link: one negotiation at a time, by a fixed rule when both ends begin one.

use super::sections::{sections, with_names, with_open_directions, Section};
use super::{engine, for_engine, sdp, EngineResult, Link, LinkConfig, MediaReport, Output, Report};
use crate::link::channels::ChannelOptions;
use crate::media::LocalStreams;
use crate::mesh::LinkEnd;
use crate::protocol::FAST_CHANNEL;
use std::sync::Arc;
use std::time::{Duration, Instant};
use webrtc::peer_connection::sdp::RTCSessionDescription;

/// An offer that is not answered is repeated: signaling may have been away. Then after twice as long, and so on …
const FIRST_REPEAT: Duration = Duration::from_secs(3);
/// … up to this.
const LAST_REPEAT: Duration = Duration::from_secs(12);
/// Who made an offer of its own and takes ours in its place has answered by then. A browser does; the JS original in Node waits for
/// ever for our answer, and gets it.
const GLARE_PATIENCE: Duration = Duration::from_secs(2);

/// An offer of ours that is under way.
struct Offering {
    text: String,
    sections: Vec<Section>,
    repeat: Instant,
    pause: Duration,
    /// The other side's, which came meanwhile and was not taken, and since when it waits for the other side to take ours instead.
    ignored: Option<(String, Instant)>,
    /// It restarts ICE.
    restart: bool,
}

#[derive(Default)]
pub(super) struct Negotiation {
    offering: Option<Offering>,
    /// After one that failed.
    not_before: Option<Instant>,
    /// The next offer is to restart ICE.
    pub(super) restart: bool,
    /// The engine has restarted ICE for an offer that was taken back: it knows no credentials of the other side's any more.
    restart_taken_back: bool,
}

fn mids(sections: &[Section]) -> Vec<&str> {
    sections.iter().map(|section| section.mid.as_str()).collect()
}

impl Negotiation {
    /// An offer of ours is under way.
    pub fn is_offering(&self) -> bool {
        self.offering.is_some()
    }

    pub fn deadline(&self) -> Option<Instant> {
        let Some(offering) = &self.offering else { return self.not_before };
        let glare = offering.ignored.as_ref().map(|(_, since)| *since + GLARE_PATIENCE);
        [Some(offering.repeat), glare].into_iter().flatten().min()
    }
}

impl Link {
    /// A link that offers, and its offer.
    pub fn offer(config: &LinkConfig, now: Instant, streams: Arc<LocalStreams>) -> EngineResult<(Self, String)> {
        let mut link = Self::new(config, now, true)?;
        let fast = engine(link.engine.create_data_channel(FAST_CHANNEL, None))?.id();
        link.channels.own(fast, None, FAST_CHANNEL, &ChannelOptions::default());
        link.media.set_local(&mut link.engine, streams)?;
        let text = link.make_offer(now)?;
        Ok((link, text))
    }

    /// A link made from a remote offer, and its answer.
    pub fn answer(
        config: &LinkConfig,
        now: Instant,
        offer: &str,
        streams: Arc<LocalStreams>,
    ) -> EngineResult<(Self, String)> {
        let mut link = Self::new(config, now, false)?;
        link.media.set_local(&mut link.engine, streams)?;
        let answer = link.make_answer(now, offer)?;
        Ok((link, answer))
    }

    fn make_offer(&mut self, now: Instant) -> EngineResult<String> {
        self.media.before_offer(&mut self.engine);
        let (offer, restart) = self.create_offer()?;
        let text = self.with_present_candidates(&sdp::outgoing(&offer.sdp, false));
        engine(self.engine.set_local_description(now, offer))?;
        if restart {
            self.restarted()?;
        }
        self.media.after_offer(&mut self.engine);
        let text = with_names(&text, |mid| self.media.name_of(mid));
        self.negotiation.offering = Some(Offering {
            sections: sections(&text),
            text: text.clone(),
            repeat: now + FIRST_REPEAT,
            pause: FIRST_REPEAT,
            ignored: None,
            restart,
        });
        Ok(text)
    }

    fn make_answer(&mut self, now: Instant, offer: &str) -> EngineResult<String> {
        sdp::check(offer)?;
        let theirs = sections(offer);
        let description = engine(RTCSessionDescription::offer(with_open_directions(&for_engine(offer))))?;
        // Another restart is one enough.
        let theirs_restarts = self.is_restart(offer);
        self.negotiation.restart &= !theirs_restarts;
        let restart = theirs_restarts || std::mem::take(&mut self.negotiation.restart_taken_back);
        let answered = engine(self.engine.set_remote_description(now, description)).and_then(|()| {
            if restart {
                self.restarted()?;
            }
            self.remote_described(now, offer);
            self.media.before_answer(&mut self.engine, &theirs)?;
            let answer = engine(self.engine.create_answer(None))?;
            let text = sdp::outgoing(&answer.sdp, self.offerer);
            engine(self.engine.set_local_description(now, answer))?;
            Ok(text)
        });
        match answered {
            Ok(text) => {
                self.media.agreed(&sections(&text), &theirs, true);
                Ok(text)
            }
            Err(error) => {
                // It is as if the offer had never come; where nothing was changed by it, there is nothing to take back.
                let rollback = RTCSessionDescription::rollback(None);
                let _ = rollback.map(|rollback| self.engine.set_remote_description(now, rollback));
                Err(error)
            }
        }
    }

    /// A renegotiation by the other side; gives the answer, or nothing where an offer of ours goes before.
    pub fn apply_offer(&mut self, now: Instant, offer: &str) -> EngineResult<Option<String>> {
        sdp::check(offer)?;
        if let Some(offering) = &mut self.negotiation.offering {
            // A browser takes its own back when ours arrives. Of two natives, who made the connection's first offer wins.
            if !self.native || self.offerer {
                offering.ignored = Some((offer.to_owned(), now));
                return Ok(None);
            }
            self.take_back(now)?;
        }
        self.make_answer(now, offer).map(Some)
    }

    /// The offer that is under way, if any, is said again now.
    pub fn repeat_offer(&mut self, now: Instant) {
        if let Some(offering) = &mut self.negotiation.offering {
            (offering.repeat, offering.pause) = (now, FIRST_REPEAT);
        }
    }

    /// What was to be in our offer is in the next.
    fn take_back(&mut self, now: Instant) -> EngineResult<()> {
        let restart = self.negotiation.offering.take().is_some_and(|offering| offering.restart);
        self.negotiation.restart_taken_back |= restart;
        self.restart_again(restart);
        let rollback = engine(RTCSessionDescription::rollback(None))?;
        engine(self.engine.set_local_description(now, rollback))?;
        self.media.rolled_back(&mut self.engine);
        Ok(())
    }

    /// One that answers nothing, because its offer was repeated, is passed over.
    pub fn apply_answer(&mut self, now: Instant, answer: &str) -> EngineResult<()> {
        sdp::check(answer)?;
        let Some(offering) = self.negotiation.offering.take() else { return Ok(()) };
        let theirs = sections(answer);
        // The engine would find out only after it has left the state in which the right answer could come.
        if self.remote_set && mids(&theirs) != mids(&offering.sections) {
            self.negotiation.offering = Some(offering);
            return Err("it answers another offer".into());
        }
        let applied = engine(RTCSessionDescription::answer(for_engine(answer)))
            .and_then(|description| engine(self.engine.set_remote_description(now, description)));
        match applied {
            Ok(()) => {
                self.remote_described(now, answer);
                self.media.agreed(&offering.sections, &theirs, false);
                Ok(())
            }
            Err(error) => {
                // The engine may have left the offer behind already, or not: either way it is as if there had been none, and what is
                // still wanted is offered again, though not at once.
                self.restart_again(offering.restart);
                let _ = self.take_back(now);
                self.negotiation.not_before = Some(now + FIRST_REPEAT);
                Err(error)
            }
        }
    }

    /// Begins a negotiation if one is wanted, and goes on with the one that is under way.
    pub(super) fn negotiate(&mut self, now: Instant, output: &mut Output) {
        if !self.open || self.ended {
            return;
        }
        self.media.find_seconds();
        self.media.presume(now);
        if let Some(offering) = &mut self.negotiation.offering {
            if let Some((theirs, _)) = offering.ignored.take_if(|(_, since)| now >= *since + GLARE_PATIENCE) {
                match self.take_back(now).and_then(|()| self.make_answer(now, &theirs)) {
                    Ok(answer) => output.reports.push(Report::Answer(answer)),
                    // What cannot be used changes nothing.
                    Err(error) => {
                        self.negotiation.not_before = Some(now + FIRST_REPEAT);
                        let detail = format!("an offer that was put off cannot be used: {error}");
                        output.reports.push(Report::Media(MediaReport::Nonsense(detail)));
                    }
                }
                return;
            }
            if now >= offering.repeat {
                if let Some((_, since)) = &mut offering.ignored {
                    // The other side takes its own back for this one, too.
                    *since = now;
                }
                offering.pause = (offering.pause * 2).min(LAST_REPEAT);
                offering.repeat = now + offering.pause;
                output.reports.push(Report::Offer(offering.text.clone()));
            }
            return;
        }
        if self.negotiation.not_before.is_some_and(|at| now < at) {
            return;
        }
        self.negotiation.not_before = None;
        if self.negotiation.restart || self.media.wants_negotiation() || self.media.nudges(now) {
            match self.make_offer(now) {
                Ok(offer) => output.reports.push(Report::Offer(offer)),
                Err(error) => self.end(LinkEnd::Error(error), output),
            }
        }
    }
}
