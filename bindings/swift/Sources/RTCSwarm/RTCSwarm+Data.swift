import CRtcSwarm

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension RTCSwarm {
    /// How many peers a message or a frame went to.
    public struct Delivery: Hashable, Sendable {
        public let reached: Int
        /// Peers whose send buffers were full, or who do not take the track.
        public let skipped: Int
    }

    /// How a further channel treats its messages. Without a limit every message arrives.
    public struct ChannelOptions: Hashable, Sendable {
        /// Messages arrive in the order in which they were sent.
        public var isOrdered = true
        /// At most one of the two.
        public var maxRetransmits: Int?
        public var maxLifetime: Duration?
        /// A name that both sides agree on, of 256 bytes at most.
        public var `protocol` = ""

        public init(
            isOrdered: Bool = true, maxRetransmits: Int? = nil, maxLifetime: Duration? = nil, protocol: String = ""
        ) {
            self.isOrdered = isOrdered
            self.maxRetransmits = maxRetransmits
            self.maxLifetime = maxLifetime
            self.protocol = `protocol`
        }
    }

    // MARK: Sending

    /// Sends one binary message of 0 to 262144 bytes to one peer: all of it is queued, or nothing. Waits while the peer's send
    /// buffer is full, whether or not anybody takes the events meanwhile. What one task sends arrives in its order.
    ///
    /// Throws ``RTCSwarmError``, or `CancellationError` when the task is cancelled while it waits; nothing is queued then.
    public func send(_ data: some ContiguousBytes & Sendable, to peer: PeerID, on channel: ChannelID = .fast) async throws {
        try await handle.untilDone(.init(peer: peer, channel: channel)) { () throws(RTCSwarmError) in
            try sendNow(data, to: peer, on: channel)
        }
    }

    /// The same for a text message.
    public func send(_ text: String, to peer: PeerID, on channel: ChannelID = .fast) async throws {
        try await handle.untilDone(.init(peer: peer, channel: channel)) { () throws(RTCSwarmError) in
            try sendNow(text, to: peer, on: channel)
        }
    }

    /// Sends without waiting. False: the send buffer is full and nothing was queued; one ``Event/writable(_:)`` follows.
    public func sendNow(
        _ data: some ContiguousBytes, to peer: PeerID, on channel: ChannelID = .fast
    ) throws(RTCSwarmError) -> Bool {
        try handle.done { swarm in
            data.withBytes { rtcswarm_channel_send(swarm, peer.rawValue, channel.rawValue, $0.baseAddress, $0.count) }
        }
    }

    /// The same for a text message.
    public func sendNow(_ text: String, to peer: PeerID, on channel: ChannelID = .fast) throws(RTCSwarmError) -> Bool {
        var text = text
        return try handle.done { swarm in
            text.withChars {
                rtcswarm_channel_send_text(swarm, peer.rawValue, channel.rawValue, $0.baseAddress, $0.count)
            }
        }
    }

    /// Sends one binary message to every open peer, without waiting. Those whose send buffers are full are skipped, and
    /// ``Event/writable(_:)`` follows for each of them.
    @discardableResult
    public func broadcast(_ data: some ContiguousBytes) throws(RTCSwarmError) -> Delivery {
        try deliver { swarm, reached, skipped in
            data.withBytes { rtcswarm_broadcast(swarm, $0.baseAddress, $0.count, reached, skipped) }
        }
    }

    /// The same for a text message.
    @discardableResult
    public func broadcast(_ text: String) throws(RTCSwarmError) -> Delivery {
        var text = text
        return try deliver { swarm, reached, skipped in
            text.withChars { rtcswarm_broadcast_text(swarm, $0.baseAddress, $0.count, reached, skipped) }
        }
    }

    func deliver(
        _ call: (OpaquePointer, UnsafeMutablePointer<Int>, UnsafeMutablePointer<Int>) -> Int32
    ) throws(RTCSwarmError) -> Delivery {
        var reached = 0
        var skipped = 0
        try handle.check { call($0, &reached, &skipped) }
        return Delivery(reached: reached, skipped: skipped)
    }

    // MARK: Channels

    /// Opens a further channel to a native peer. ``Event/channelOpen(_:)`` follows at both ends; sends on it before that throw
    /// ``RTCSwarmError/Code/noChannel``. Several channels may have one label.
    public func openChannel(
        to peer: PeerID, label: String, options: ChannelOptions = ChannelOptions()
    ) throws(RTCSwarmError) -> ChannelID {
        try label.checkForC()
        try options.protocol.checkForC()
        let (reliability, limit): (Int32, UInt32)
        switch (options.maxRetransmits, options.maxLifetime) {
        case (nil, nil):
            (reliability, limit) = (RTCSWARM_RELIABLE, 0)
        case (let retransmits?, nil):
            (reliability, limit) = (RTCSWARM_MAX_RETRANSMITS, try number(retransmits, "maxRetransmits"))
        case (nil, let lifetime?):
            if lifetime < .zero {
                throw RTCSwarmError(.invalid, "maxLifetime is negative")
            }
            (reliability, limit) = (RTCSWARM_MAX_LIFETIME, UInt32(lifetime.wholeMilliseconds))
        default:
            throw RTCSwarmError(.invalid, "a channel has maxRetransmits or maxLifetime, not both")
        }
        var channel: UInt32 = 0
        try handle.check { swarm in
            rtcswarm_channel_open(
                swarm, peer.rawValue, label, options.protocol, options.isOrdered ? 1 : 0, reliability, limit, &channel)
        }
        return ChannelID(rawValue: channel)
    }

    /// Closes a further channel; ``Event/channelClosed(_:)`` follows at both ends. What was sent on it before still arrives.
    public func closeChannel(_ channel: ChannelID, to peer: PeerID) throws(RTCSwarmError) {
        try handle.check { rtcswarm_channel_close($0, peer.rawValue, channel.rawValue) }
    }

    /// Bytes that were accepted for a channel and are not acknowledged by the peer yet.
    public func buffered(to peer: PeerID, on channel: ChannelID = .fast) throws(RTCSwarmError) -> Int {
        var bytes = 0
        try handle.check { rtcswarm_channel_buffered($0, peer.rawValue, channel.rawValue, &bytes) }
        return bytes
    }
}

extension ContiguousBytes {
    func withBytes<Result>(_ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
        withUnsafeBytes { body($0.bindMemory(to: UInt8.self)) }
    }
}

extension String {
    mutating func withChars<Result>(_ body: (UnsafeBufferPointer<CChar>) -> Result) -> Result {
        withUTF8 { $0.withMemoryRebound(to: CChar.self) { body($0) } }
    }
}

/// As C has it; an error that names it if that cannot be.
func number<Wanted: FixedWidthInteger>(_ value: Int, _ name: String) throws(RTCSwarmError) -> Wanted {
    guard let wanted = Wanted(exactly: value) else {
        throw RTCSwarmError(.invalid, "\(name) is not between \(Wanted.min) and \(Wanted.max)")
    }
    return wanted
}
