import CRtcSwarm

/// A call that failed has done nothing: nothing was queued, sent or lost.
public struct RTCSwarmError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Which of the C interface's statuses it was. Later versions of the library may have further ones.
    public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
        /// `RTCSWARM_ERR_...`
        public let rawValue: Int32

        public init(rawValue: Int32) {
            self.rawValue = rawValue
        }

        /// An argument or a configuration that cannot be used.
        public static let invalid = Code(rawValue: RTCSWARM_ERR_INVALID)
        /// Not now: before `start`, a second start, or the wrong kind of signaling.
        public static let state = Code(rawValue: RTCSWARM_ERR_STATE)
        /// The swarm is closed or closing, or its last event was taken.
        public static let closed = Code(rawValue: RTCSWARM_ERR_CLOSED)
        /// No open peer has this id; it may have been right a moment ago.
        public static let noPeer = Code(rawValue: RTCSWARM_ERR_NO_PEER)
        /// The peer has no open channel of this number.
        public static let noChannel = Code(rawValue: RTCSWARM_ERR_NO_CHANNEL)
        /// The message is larger than this side sends or the other side takes.
        public static let tooLarge = Code(rawValue: RTCSWARM_ERR_TOO_LARGE)
        /// Text that begins with `@fast` is the protocol's.
        public static let reserved = Code(rawValue: RTCSWARM_ERR_RESERVED)
        /// A signal that cannot be read.
        public static let malformed = Code(rawValue: RTCSWARM_ERR_MALFORMED)
        /// The other side, or this system, cannot do this.
        public static let unsupported = Code(rawValue: RTCSWARM_ERR_UNSUPPORTED)
        /// Events are taken in another way already.
        public static let busy = Code(rawValue: RTCSWARM_ERR_BUSY)
        /// The operating system refused something.
        public static let io = Code(rawValue: RTCSWARM_ERR_IO)
        /// The swarm belongs to the process that made it, not to a fork of it.
        public static let forked = Code(rawValue: RTCSWARM_ERR_FORKED)
        /// A bug in the library was caught. The swarm closes; the process lives.
        public static let panic = Code(rawValue: RTCSWARM_ERR_PANIC)
        /// The signaling server refused something; in ``RTCSwarm/Event/error(_:)``.
        public static let refused = Code(rawValue: RTCSWARM_ERR_REFUSED)
        /// No track of this side's, or of that peer's, has this id; it may have been right a moment ago.
        public static let noTrack = Code(rawValue: RTCSWARM_ERR_NO_TRACK)
        /// A STUN or TURN server gives nothing; in ``Event/error(_:)``. See ``RTCSwarm/setICEServers(_:)``.
        public static let iceServer = Code(rawValue: RTCSWARM_ERR_ICE_SERVER)

        /// "RTCSWARM_ERR_NO_PEER"
        public var description: String { String(cString: rtcswarm_status_name(rawValue)) }
    }

    public let code: Code
    /// What went wrong, in words.
    public let message: String

    public var description: String { message.isEmpty ? code.description : "\(code): \(message)" }

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// Of the call that this thread has just made; its words are of this thread, too.
    static func ofLastCall(_ status: Int32) -> RTCSwarmError {
        RTCSwarmError(Code(rawValue: status), String(cString: rtcswarm_last_error_message()))
    }

    static func check(_ status: Int32) throws(RTCSwarmError) {
        if status != RTCSWARM_OK {
            throw ofLastCall(status)
        }
    }

    static let isClosed = RTCSwarmError(.closed, "the swarm is closed")
}
