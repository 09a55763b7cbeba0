//! ICE restart: a connection that has lost its path gets new credentials and candidates, and lives on with all that is under way
//! on it (RFC 8445, 2.4; RFC 9429, 5.2.1).

use super::{engine, sdp, stats, EngineResult, Link, Output, Report};
use crate::mesh::LinkState;
use std::net::SocketAddr;
use std::time::Instant;
use webrtc::peer_connection::sdp::RTCSessionDescription;
use webrtc::peer_connection::transport::RTCIceCandidateInit;

impl Link {
    /// Looks for a path anew: an offer that does so follows as a report, as soon as no other negotiation is in its way.
    pub fn restart_ice(&mut self) {
        self.negotiation.restart = true;
    }

    /// Our addresses are others: what is not among `current`, as it was given to [`Link::add_local_candidate`], is no more. `bases`
    /// are the addresses that can be sent from. Where the one in use is gone, the path is lost.
    pub fn keep_local_candidates(
        &mut self,
        now: Instant,
        current: &[String],
        bases: &[SocketAddr],
        output: &mut Output,
    ) {
        self.local_candidates.retain(|candidate| current.contains(candidate));
        if !self.open || self.ended {
            return;
        }
        if self.path.is_from_none_of(bases) {
            if !std::mem::replace(&mut self.path_gone, true) {
                self.enter(now, LinkState::Disconnected);
                output.reports.push(Report::PathLost);
            }
        } else if std::mem::take(&mut self.path_gone) && self.engine_connected {
            // It is back before another was looked for. The engine, which noticed nothing, will not say so.
            self.negotiation.restart = false;
            self.enter(now, LinkState::Connected);
            output.reports.push(Report::State(LinkState::Connected));
        }
    }

    /// The offer, with new credentials if a restart is wanted; whether it is one.
    pub(super) fn create_offer(&mut self) -> EngineResult<(RTCSessionDescription, bool)> {
        let restart = std::mem::take(&mut self.negotiation.restart);
        if restart {
            self.engine.restart_ice();
        }
        Ok((engine(self.engine.create_offer(None))?, restart))
    }

    /// What is sent of it: the engine still names addresses that are no more.
    pub(super) fn with_present_candidates(&self, text: &str) -> String {
        let present: Vec<SocketAddr> =
            self.local_candidates.iter().filter_map(|one| stats::candidate_address(one)).collect();
        sdp::with_candidates(text, |address| present.contains(&address))
    }

    /// The engine has begun anew: it has forgotten our candidates, the other side's, and the path.
    pub(super) fn restarted(&mut self) -> EngineResult<()> {
        self.path_gone = false;
        self.path.forget_remote();
        self.path.forget();
        self.candidates = 0;
        self.guard.forget_askers();
        self.ufrag_changed = true;
        self.nominations.clear();
        for candidate in &self.local_candidates {
            engine(
                self.engine
                    .add_local_candidate(RTCIceCandidateInit { candidate: candidate.clone(), ..Default::default() }),
            )?;
        }
        Ok(())
    }

    /// Whether a description of the other side's restarts ICE.
    pub(super) fn is_restart(&self, sdp: &str) -> bool {
        self.remote_ufrag.is_some() && self.remote_ufrag.as_deref() != sdp::ice_ufrag(sdp)
    }

    /// Our fragment, if it has become another since this was asked last.
    pub fn new_local_ufrag(&mut self) -> Option<String> {
        std::mem::take(&mut self.ufrag_changed).then(|| self.local_ufrag()).flatten()
    }

    /// A restart that did not come about is still wanted.
    pub(super) fn restart_again(&mut self, restart: bool) {
        self.negotiation.restart |= restart && !self.is_connected();
    }
}
