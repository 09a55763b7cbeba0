import CRtcSwarm

extension RTCSwarm {
    /// Who carries the messages between the swarm and its signaling server.
    public enum Signaling: Hashable, Sendable {
        /// The library keeps a WebSocket to this server (`ws://` or `wss://`), with this token (nil for none). `caFile` names a PEM
        /// file with further authorities that may vouch for it, beside the system's.
        case webSocket(_ url: String, token: String? = nil, caFile: String? = nil)
        /// The caller: ``Event/signal(_:)`` out, ``dispatch(_:)`` in.
        case carriedByCaller
    }

    /// A STUN or TURN server: `stun:host[:port]` or `turn:host[:port]`, over UDP. User name and credential are for TURN.
    public struct ICEServer: Hashable, Sendable, ExpressibleByStringLiteral {
        public var url: String
        public var username: String?
        public var credential: String?

        public init(_ url: String, username: String? = nil, credential: String? = nil) {
            self.url = url
            self.username = username
            self.credential = credential
        }

        public init(stringLiteral url: String) {
            self.init(url)
        }

        func add(to config: OpaquePointer) throws(RTCSwarmError) {
            try url.checkForC()
            try username?.checkForC()
            try credential?.checkForC()
            try RTCSwarmError.check(rtcswarm_config_add_ice_server(config, url, username, credential))
        }
    }

    public enum ICETransportPolicy: Int32, Sendable {
        /// Candidates of every kind may be used.
        case all = 0
        /// Only relayed ones: no address of this host is told to anyone. Needs a TURN server.
        case relay = 1
    }

    /// How much may wait in a channel's send buffer, in bytes.
    public struct SendBuffer: Hashable, Sendable {
        /// From here on a send has to wait.
        public var high: Int
        /// Until the buffer has fallen to this.
        public var low: Int

        public init(high: Int, low: Int) {
            self.high = high
            self.low = low
        }
    }

    /// Deadlines, from 1 ms to a day; nil for the default.
    public struct Timeouts: Hashable, Sendable {
        /// From "your offer was taken" to its answer; default 15 s.
        public var answer: Duration?
        /// From the answer to the open channel; default 20 s.
        public var connect: Duration?
        /// For what is still queued when a peer or the swarm is closed; default 2 s.
        public var close: Duration?
        /// Between checks of a quiet path; default 5 s.
        public var iceKeepalive: Duration?
        /// Silence until a peer counts as disconnected; default 15 s.
        public var iceDisconnected: Duration?
        /// Silence from then on until it is given up; default 15 s.
        public var iceFailed: Duration?
        /// From the loss of a peer's link to its next one, after which the peer is closed; default 60 s.
        public var reconnect: Duration?

        public init() {}
    }

    /// What a swarm is told before it is made. Nil is for the library's default. Whether the values make sense, alone and
    /// together, ``init(_:)`` checks, and its error says which does not.
    public struct Configuration: Hashable, Sendable {
        /// The room to meet in: 1 to 256 bytes.
        public var room: String
        /// The name of this member in the room: 1 to 256 bytes. The server checks it against the token.
        public var userID: String
        public var signaling: Signaling
        /// Spare offers kept on the server for who comes next: 0 to 64, default 1. 0 costs each joiner one more round trip.
        public var peerBuffer: Int?
        /// 1 to 4096, default 128.
        public var maxPeers: Int?
        public var iceServers: [ICEServer] = []
        public var iceTransportPolicy = ICETransportPolicy.all
        /// Local addresses to use, as text; none for those of all suitable interfaces.
        public var bindAddresses: [String] = []
        /// Interfaces to use, by name; none for all of them.
        public var interfaces: [String] = []
        public var usesIPv4 = true
        public var usesIPv6 = true
        /// Loopback addresses are offered too, so that peers on one machine meet without a network.
        public var usesLoopback = true
        /// The local UDP port; 0 for any free one.
        public var port: UInt16 = 0
        /// The largest message in bytes, sent or taken: 1 to 262144, the default.
        public var maxMessageSize: Int?
        /// Default 1048576 and 262144.
        public var sendBuffer: SendBuffer?
        /// Bytes of received messages that may wait to be taken before the senders feel it; default 4194304.
        public var receiveQueue: Int?
        /// Bytes of received media that may wait to be taken before the oldest is dropped; default 8388608.
        public var mediaQueue: Int?
        /// Media comes as ``Event/rtp(_:)`` and not as ``Event/frame(_:)``.
        public var receivesRTP = false
        public var timeouts = Timeouts()

        public init(room: String, userID: String, signaling: Signaling = .carriedByCaller) {
            self.room = room
            self.userID = userID
            self.signaling = signaling
        }
    }
}

extension RTCSwarm.Configuration {
    /// As the library has it, for the time of `body`.
    func withNative<Result>(
        _ body: (OpaquePointer) throws(RTCSwarmError) -> Result
    ) throws(RTCSwarmError) -> Result {
        guard let config = rtcswarm_config_new() else { throw RTCSwarmError(.io, "there is no memory") }
        defer { rtcswarm_config_free(config) }
        try fill(config)
        return try body(config)
    }

    private func fill(_ config: OpaquePointer) throws(RTCSwarmError) {
        let check = RTCSwarmError.check
        try room.checkForC()
        try check(rtcswarm_config_set_room(config, room))
        try userID.checkForC()
        try check(rtcswarm_config_set_user_id(config, userID))
        if case .webSocket(let url, let token, let caFile) = signaling {
            try url.checkForC()
            try token?.checkForC()
            try check(rtcswarm_config_set_signaling(config, url, token))
            if let caFile {
                try caFile.checkForC()
                try check(rtcswarm_config_set_signaling_ca_file(config, caFile))
            }
        }
        for server in iceServers {
            try server.add(to: config)
        }
        try check(rtcswarm_config_set_ice_transport_policy(config, iceTransportPolicy.rawValue))
        for address in bindAddresses {
            try address.checkForC()
            try check(rtcswarm_config_add_bind_address(config, address))
        }
        for name in interfaces {
            try name.checkForC()
            try check(rtcswarm_config_add_interface(config, name))
        }
        try check(rtcswarm_config_set_ip_families(config, usesIPv4 ? 1 : 0, usesIPv6 ? 1 : 0))
        try check(rtcswarm_config_set_loopback(config, usesLoopback ? 1 : 0))
        try check(rtcswarm_config_set_port(config, port))
        try check(rtcswarm_config_set_receive_rtp(config, receivesRTP ? 1 : 0))
        try fillNumbers(config)
    }

    private func fillNumbers(_ config: OpaquePointer) throws(RTCSwarmError) {
        let check = RTCSwarmError.check
        if let peerBuffer {
            try check(rtcswarm_config_set_peer_buffer(config, number(peerBuffer, "peerBuffer")))
        }
        if let maxPeers {
            try check(rtcswarm_config_set_max_peers(config, number(maxPeers, "maxPeers")))
        }
        if let maxMessageSize {
            try check(rtcswarm_config_set_max_message_size(config, size(maxMessageSize, "maxMessageSize")))
        }
        if let sendBuffer {
            let (high, low) = (try size(sendBuffer.high, "sendBuffer"), try size(sendBuffer.low, "sendBuffer"))
            try check(rtcswarm_config_set_send_buffer(config, high, low))
        }
        if let receiveQueue {
            try check(rtcswarm_config_set_receive_queue(config, size(receiveQueue, "receiveQueue")))
        }
        if let mediaQueue {
            try check(rtcswarm_config_set_media_queue(config, size(mediaQueue, "mediaQueue")))
        }
        let deadlines = [
            (RTCSWARM_TIMEOUT_ANSWER, timeouts.answer),
            (RTCSWARM_TIMEOUT_CONNECT, timeouts.connect),
            (RTCSWARM_TIMEOUT_CLOSE, timeouts.close),
            (RTCSWARM_TIMEOUT_ICE_KEEPALIVE, timeouts.iceKeepalive),
            (RTCSWARM_TIMEOUT_ICE_DISCONNECTED, timeouts.iceDisconnected),
            (RTCSWARM_TIMEOUT_ICE_FAILED, timeouts.iceFailed),
            (RTCSWARM_TIMEOUT_RECONNECT, timeouts.reconnect),
        ]
        for case (let which, let time?) in deadlines {
            try check(rtcswarm_config_set_timeout(config, which, UInt32(time.wholeMilliseconds)))
        }
    }
}

/// C's size_t, which Swift has as an `Int`.
private func size(_ bytes: Int, _ name: String) throws(RTCSwarmError) -> Int {
    if bytes < 0 {
        throw RTCSwarmError(.invalid, "\(name) is negative")
    }
    return bytes
}
