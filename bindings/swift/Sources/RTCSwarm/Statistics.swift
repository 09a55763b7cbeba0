import CRtcSwarm

extension RTCSwarm {
    /// Figures of one peer's link.
    public struct PeerStats: Hashable, Sendable {
        /// The last measured one, if there is one yet.
        public let roundTrip: Duration?
        /// Payload of messages in bytes, all channels.
        public let bytesSent: UInt64
        public let bytesReceived: UInt64
        public let messagesSent: UInt64
        public let messagesReceived: UInt64
        /// Bytes accepted and not acknowledged yet, all channels.
        public let buffered: UInt64
        /// Through a TURN server at either end.
        public let isRelayed: Bool
        /// The other end is a rtcswarm.
        public let isNative: Bool
        /// "192.0.2.1:5000"; empty if not known.
        public let localAddress: String
        public let remoteAddress: String
        /// "host", "srflx", "prflx" or "relay" (RFC 8445, 5.1.1); empty if not known.
        public let localCandidateType: String
        public let remoteCandidateType: String
        /// Datagrams of media that were more than the way takes, and were not sent.
        public let mediaDropped: UInt64
    }

    /// Figures of a swarm.
    public struct SwarmStats: Hashable, Sendable {
        /// Open peers.
        public let peers: UInt64
        /// Links in any state, spares included.
        public let connections: UInt64
        /// Events that wait to be taken.
        public let queuedEvents: UInt64
        public let datagramsSent: UInt64
        public let datagramsReceived: UInt64
        /// Datagrams that belonged to no link.
        public let datagramsUnrouted: UInt64
        /// What the kernel gave, in bytes; small ones cost throughput.
        public let socketReceiveBuffer: UInt64
        public let socketSendBuffer: UInt64
    }

    /// Figures of a track at one peer. What makes no sense for its direction is 0 or nil.
    public struct TrackStats: Hashable, Sendable {
        /// Sent or received, repeated ones among the received too.
        public let packets: UInt64
        /// Of their payload.
        public let bytes: UInt64
        public let frames: UInt64
        /// Packets that did not arrive.
        public let lost: UInt64
        /// Packets that came too late or twice.
        public let useless: UInt64
        /// Received frames or packets that were not taken in time (``Configuration/mediaQueue``).
        public let dropped: UInt64
        /// Packets that the other side asked for again.
        public let retransmissions: UInt64
        /// How often the other side wanted a key frame.
        public let keyFrameRequests: UInt64
        /// As in RFC 3550.
        public let jitter: Duration
        /// By the other side's reports on what this side sends.
        public let roundTrip: Duration?
        /// What the way to the other side is thought to take, in bits a second.
        public let bitrate: Int64?
    }

    /// Figures of an open peer's link.
    public func peerStats(_ peer: PeerID) throws(RTCSwarmError) -> PeerStats {
        var raw = rtcswarm_peer_stats()
        raw.struct_size = MemoryLayout<rtcswarm_peer_stats>.size
        try handle.check { rtcswarm_get_peer_stats($0, peer.rawValue, &raw) }
        return PeerStats(
            roundTrip: microseconds(raw.round_trip_us),
            bytesSent: raw.bytes_sent,
            bytesReceived: raw.bytes_received,
            messagesSent: raw.messages_sent,
            messagesReceived: raw.messages_received,
            buffered: raw.buffered,
            isRelayed: raw.relayed != 0,
            isNative: raw.native != 0,
            localAddress: text(raw.local_address),
            remoteAddress: text(raw.remote_address),
            localCandidateType: text(raw.local_candidate_type),
            remoteCandidateType: text(raw.remote_candidate_type),
            mediaDropped: raw.media_dropped
        )
    }

    /// Figures of this swarm.
    public func stats() throws(RTCSwarmError) -> SwarmStats {
        var raw = rtcswarm_stats()
        raw.struct_size = MemoryLayout<rtcswarm_stats>.size
        try handle.check { rtcswarm_get_stats($0, &raw) }
        return SwarmStats(
            peers: raw.peers,
            connections: raw.connections,
            queuedEvents: raw.queued_events,
            datagramsSent: raw.datagrams_sent,
            datagramsReceived: raw.datagrams_received,
            datagramsUnrouted: raw.datagrams_unrouted,
            socketReceiveBuffer: raw.socket_receive_buffer,
            socketSendBuffer: raw.socket_send_buffer
        )
    }

    /// Of a peer's track, or of one of this side's on the way to that peer.
    public func trackStats(_ track: TrackID, peer: PeerID) throws(RTCSwarmError) -> TrackStats {
        var raw = rtcswarm_track_stats()
        raw.struct_size = MemoryLayout<rtcswarm_track_stats>.size
        try handle.check { rtcswarm_get_track_stats($0, peer.rawValue, track.rawValue, &raw) }
        return TrackStats(
            packets: raw.packets,
            bytes: raw.bytes,
            frames: raw.frames,
            lost: raw.lost,
            useless: raw.useless,
            dropped: raw.dropped,
            retransmissions: raw.retransmissions,
            keyFrameRequests: raw.key_frame_requests,
            jitter: .microseconds(Int64(clamping: raw.jitter_us)),
            roundTrip: microseconds(raw.round_trip_us),
            bitrate: raw.bitrate < 0 ? nil : raw.bitrate
        )
    }
}

private func microseconds(_ value: Int64) -> Duration? {
    value < 0 ? nil : .microseconds(value)
}

/// Of an array of characters, which Swift has as a tuple.
private func text<Characters>(_ characters: Characters) -> String {
    withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}
