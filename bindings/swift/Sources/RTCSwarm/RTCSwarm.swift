import CRtcSwarm

/// A member of a room, connected to each other member.
///
///     let swarm = try RTCSwarm(room: "lobby", userID: "alice", signaling: .webSocket("wss://signal.example/", token: token))
///     try swarm.start()
///     for await event in swarm.events { ... }
///
/// Everything may be called from any thread and any task, and what is not `async` never waits. A swarm that nobody has any more
/// closes itself; to wait until it has said goodbye, as at the end of a program, use ``free()``.
public final class RTCSwarm: Sendable {
    public let room: String
    public let userID: String
    let handle: Handle

    /// Binds the sockets; silent until ``start()``. Throws ``RTCSwarmError/Code/invalid`` with what is wrong with the
    /// configuration.
    public init(_ configuration: Configuration) throws(RTCSwarmError) {
        room = configuration.room
        userID = configuration.userID
        handle = try configuration.withNative { config throws(RTCSwarmError) in try Handle(config) }
    }

    /// With defaults for the rest of its ``Configuration``.
    public convenience init(
        room: String, userID: String, signaling: Signaling = .carriedByCaller
    ) throws(RTCSwarmError) {
        try self.init(Configuration(room: room, userID: userID, signaling: signaling))
    }

    deinit {
        handle.release()
    }

    // MARK: Life

    /// Joins the room. No event comes before. Once.
    public func start() throws(RTCSwarmError) {
        try handle.check { rtcswarm_start($0) }
    }

    /// Leaves the room: tells the peers and the server, and sends what is queued. ``Event/closed(_:)`` follows as the last event.
    /// Returns at once. Idempotent, also after ``free()``.
    public func close() {
        // It has no other errors.
        try? handle.check { rtcswarm_close($0) }
    }

    /// Gives everything back, having closed the swarm if that was not done, and returns when this is done: after
    /// ``Timeouts/close`` and two seconds at most. Whoever waits for events or for room to send is told at once that the
    /// swarm is closed. Idempotent.
    public func free() async {
        handle.release()
        await handle.freed()
    }

    /// Another token for the library's own signaling connection, such as one that lasts longer: for the sessions to come, and at
    /// once after ``State/refused``. Open peers are not touched.
    public func setToken(_ token: String) throws(RTCSwarmError) {
        try token.checkForC()
        try handle.check { swarm in token.withCString { rtcswarm_set_token(swarm, $0) } }
    }

    /// These STUN and TURN servers, and no others, from now on: for TURN credentials that are good for a time only, before it is over,
    /// or when ``Event/error(_:)`` has the code ``RTCSwarmError/Code/iceServer``. Links go on, and spare offers are made anew.
    public func setICEServers(_ servers: [ICEServer]) throws(RTCSwarmError) {
        guard let config = rtcswarm_config_new() else { throw RTCSwarmError(.io, "there is no memory") }
        defer { rtcswarm_config_free(config) }
        for server in servers {
            try server.add(to: config)
        }
        try handle.check { swarm in rtcswarm_set_ice_servers(swarm, config) }
    }

    /// One message of the signaling server's, where the caller carries them (``Signaling/carriedByCaller``). Waits while the swarm
    /// has not dealt with those before.
    public func dispatch(_ json: String) async throws {
        while try !dispatchNow(json) {
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// The same without waiting. False: not now, try again soon; no event says when.
    public func dispatchNow(_ json: String) throws(RTCSwarmError) -> Bool {
        var json = json
        return try handle.done { swarm in
            json.withUTF8 { text in
                text.withMemoryRebound(to: CChar.self) { rtcswarm_dispatch(swarm, $0.baseAddress, $0.count) }
            }
        }
    }

    // MARK: Peers

    /// The open peers, in the order in which they opened.
    public func peers() throws(RTCSwarmError) -> [PeerID] {
        var ids = [UInt64](repeating: 0, count: 16)
        while true {
            var count = 0
            try handle.check { rtcswarm_peers($0, &ids, ids.count, &count) }
            if count <= ids.count {
                return ids.prefix(count).map(PeerID.init(rawValue:))
            }
            ids = [UInt64](repeating: 0, count: count + 8)
        }
    }

    /// An open peer's user id.
    public func userID(of peer: PeerID) throws(RTCSwarmError) -> String {
        var buffer = [CChar](repeating: 0, count: 257)
        while true {
            var length = 0
            try handle.check { rtcswarm_peer_user_id($0, peer.rawValue, &buffer, buffer.count, &length) }
            if length < buffer.count {
                return String(decoding: buffer.prefix(length).map(UInt8.init(bitPattern:)), as: UTF8.self)
            }
            buffer = [CChar](repeating: 0, count: length + 1)
        }
    }

    /// Lets go of one peer: it is told, and ``Event/peerClosed(_:)`` follows.
    public func closePeer(_ peer: PeerID) throws(RTCSwarmError) {
        try handle.check { rtcswarm_peer_close($0, peer.rawValue) }
    }

    /// "0.1.0": of the library that is loaded.
    public static var libraryVersion: String { String(cString: rtcswarm_version_string()) }
}

extension RTCSwarm {
    /// A peer. Never used again in the process: that of a peer that is gone is answered with ``RTCSwarmError/Code/noPeer``.
    public struct PeerID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
        public let rawValue: UInt64
        public init(rawValue: UInt64) { self.rawValue = rawValue }
        public var description: String { String(rawValue) }
    }

    /// A channel of a peer's.
    public struct ChannelID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public var description: String { String(rawValue) }

        /// The channel that every peer has.
        public static let fast = ChannelID(rawValue: UInt32(RTCSWARM_CHANNEL_FAST))
    }

    /// A track, of this side's or of a peer's. Never used again in the process.
    public struct TrackID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
        public let rawValue: UInt64
        public init(rawValue: UInt64) { self.rawValue = rawValue }
        public var description: String { String(rawValue) }
    }
}

extension RTCSwarm.Reason {
    static func name(_ reason: Int32) -> String { String(cString: rtcswarm_reason_name(reason)) }
}

extension Handle {
    /// A call that may have to be made again. False: it would have to wait, and has done nothing.
    func done(_ call: (OpaquePointer) -> Int32) throws(RTCSwarmError) -> Bool {
        let status = try use(call)
        if status == RTCSWARM_WOULD_BLOCK {
            return false
        }
        try RTCSwarmError.check(status)
        return true
    }
}

extension String {
    /// For C's NUL-terminated strings: what stands behind a NUL would be lost unseen.
    func checkForC() throws(RTCSwarmError) {
        if utf8.contains(0) {
            throw RTCSwarmError(.invalid, "the text contains a NUL character")
        }
    }
}
