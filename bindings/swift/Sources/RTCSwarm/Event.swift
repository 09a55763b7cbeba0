#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension RTCSwarm {
    /// What a swarm tells. The first event of a peer is `peerOpen` and its last `peerClosed`; a peer that never opened has one
    /// event, `peerFailed`. `closed` is the last of all.
    ///
    /// An event belongs to who has it: it may be kept, and taken to any thread, also when its swarm is gone.
    public enum Event: Sendable {
        /// A peer can be sent to.
        case peerOpen(PeerOpen)
        /// A peer that was open is no more.
        case peerClosed(PeerClosed)
        /// A peer never opened.
        case peerFailed(PeerFailed)
        /// The path to an open peer changed.
        case peerState(PeerState)
        /// A text message.
        case text(Text)
        /// A binary message.
        case binary(Binary)
        /// A further channel is open.
        case channelOpen(ChannelOpen)
        /// A further channel is closed.
        case channelClosed(ChannelClosed)
        /// After a `sendNow` that was false: a send may be tried again.
        case writable(Writable)
        /// A peer's track is there. Frames of it may follow.
        case track(Track)
        /// A peer sends a track no more, or again.
        case trackMuted(TrackMuted)
        /// A peer's track is gone, while the peer stays: its tracks follow with new ids.
        case trackEnded(TrackEnded)
        /// Every track that a peer has announced for this stream is there. Once more when it has announced further ones and they
        /// are there too.
        case stream(Stream)
        /// One encoded frame of a peer's track, in order.
        case frame(Frame)
        /// One RTP packet of a peer's track, in place of frames (``Configuration/receivesRTP``).
        case rtp(RTP)
        /// A peer cannot begin, or go on with, a track of this side's without a key frame.
        case keyFrameWanted(KeyFrameWanted)
        /// To be carried to the signaling server (``Signaling/carriedByCaller``).
        case signal(Signal)
        /// The library's own signaling connection changed. Open peers are not touched.
        case signalingState(SignalingState)
        /// Something went wrong that ended nothing.
        case error(Problem)
        /// The last event of a swarm.
        case closed(Closed)
        /// Of a kind that this package does not know yet.
        case unknown(Unknown)
    }

    /// Why a peer is no more, or never was.
    public enum Reason: Int32, Sendable {
        case unknown = 0
        /// This side closed the swarm or the peer.
        case localClose = 1
        /// The other side closed the connection in good order.
        case remoteClose = 2
        /// The server said that it left, and its link is gone.
        case left = 3
        /// The path to it is lost.
        case connectionLost = 4
        /// It took our offer and never answered.
        case answerTimeout = 5
        /// No path to it was found in time.
        case connectTimeout = 6
        /// This side has as many peers as it may.
        case tooManyPeers = 7
        /// What it sent could not be used.
        case protocolViolation = 8
        /// It went over a limit that no honest peer reaches, and was cut off. It is not let in again for five minutes.
        case limitExceeded = 9
    }

    /// Of the path to a peer, or of signaling.
    public enum State: Int32, Sendable {
        case unknown = 0
        case connected = 1
        /// No answer from a peer for a while; it may come back.
        case disconnected = 2
        /// The link to a peer is lost, or the signaling server cannot be reached; the library goes on trying.
        case reconnecting = 3
        /// The signaling server will not have this member, or its token is over. Nothing more is tried until ``setToken(_:)``.
        case refused = 4
        /// Another path to a peer is looked for, for the same link.
        case checking = 5
    }

    // Each has `time`, which is since the swarm was made; where it is a peer's, `peer` and `userID`.

    public struct PeerOpen: Sendable {
        public let time: Duration
        public let peer: PeerID
        public let userID: String
        /// As the signaling messages name the connection.
        public let connectionID: String
        /// It is a rtcswarm, and takes further channels.
        public let isNative: Bool
    }

    public struct PeerClosed: Sendable {
        public let time: Duration
        public let peer: PeerID
        public let userID: String
        public let reason: Reason
        /// Words for people.
        public let message: String
    }

    public struct PeerFailed: Sendable {
        public let time: Duration
        public let peer: PeerID
        public let userID: String
        public let reason: Reason
        /// Words for people.
        public let message: String
    }

    public struct PeerState: Sendable {
        public let time: Duration
        public let peer: PeerID
        public let userID: String
        /// `connected`, `disconnected`, `checking` or `reconnecting`
        public let state: State
        /// With `reconnecting`: bytes that were sent to it and not acknowledged, which may be lost.
        public let unacknowledged: Int
    }

    public struct Text: Sendable {
        public let time: Duration
        public let peer: PeerID
        public let userID: String
        public let channel: ChannelID
        public let text: String
    }

    public struct Binary: Sendable {
        public let time: Duration
        public let peer: PeerID
        public let userID: String
        public let channel: ChannelID
        /// The library's bytes, not copied: they are given back when the last copy of this `Data` is gone. `Data(...)` of a part of
        /// it copies that part, so that a small part does not keep the whole.
        public let data: Data
    }

    public struct ChannelOpen: Sendable {
        public let time: Duration
        public let peer: PeerID
        public let userID: String
        public let channel: ChannelID
        public let label: String
        /// The other side asked for it.
        public let isRemote: Bool
    }

    public struct ChannelClosed: Sendable {
        public let time: Duration
        public let peer: PeerID
        public let userID: String
        public let channel: ChannelID
    }

    public struct Writable: Sendable {
        public let time: Duration
        public let peer: PeerID
        public let userID: String
        public let channel: ChannelID
    }

    public struct Track: Sendable {
        public let time: Duration
        public let peer: PeerID
        public let userID: String
        public let track: TrackID
        public let name: String
        public let kind: Kind
    }

    public struct TrackMuted: Sendable {
        public let time: Duration
        public let peer: PeerID
        public let userID: String
        public let track: TrackID
        public let isMuted: Bool
    }

    public struct TrackEnded: Sendable {
        public let time: Duration
        public let peer: PeerID
        public let userID: String
        public let track: TrackID
    }

    public struct Stream: Sendable {
        public let time: Duration
        public let peer: PeerID
        public let userID: String
        public let name: String
        public let tracks: [TrackID]
    }

    public struct Frame: Sendable {
        public let time: Duration
        public let peer: PeerID
        public let userID: String
        public let track: TrackID
        public let codec: Codec
        /// The library's bytes, not copied, as in ``Binary``.
        public let data: Data
        /// When it is to be shown, in units of the codec's clock; it wraps around.
        public let rtpTime: UInt32
        /// It needs none before it.
        public let isKeyFrame: Bool
        /// Something before it is missing: lost on the way, or dropped because it was not taken in time.
        public let followsGap: Bool
    }

    public struct RTP: Sendable {
        public let time: Duration
        public let peer: PeerID
        public let userID: String
        public let track: TrackID
        public let codec: Codec
        /// The library's bytes, not copied, as in ``Binary``.
        public let packet: Data
    }

    public struct KeyFrameWanted: Sendable {
        public let time: Duration
        public let peer: PeerID
        public let userID: String
        /// Of this side's tracks.
        public let track: TrackID
    }

    public struct Signal: Sendable {
        public let time: Duration
        public let json: String
    }

    public struct SignalingState: Sendable {
        public let time: Duration
        /// `connected`, `reconnecting` or `refused`
        public let state: State
        /// Words for people.
        public let message: String
    }

    public struct Problem: Sendable {
        public let time: Duration
        public let error: RTCSwarmError
    }

    public struct Closed: Sendable {
        public let time: Duration
        /// Why the swarm broke, if it did.
        public let error: RTCSwarmError?
    }

    public struct Unknown: Sendable {
        public let time: Duration
        /// `RTCSWARM_EVENT_...`
        public let kind: Int32
    }
}

extension RTCSwarm.Reason: CustomStringConvertible {
    /// "remote close"
    public var description: String { Self.name(rawValue) }
}
