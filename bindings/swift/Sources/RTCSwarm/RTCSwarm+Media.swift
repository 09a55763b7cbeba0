import CRtcSwarm

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension RTCSwarm {
    /// What a track is.
    public enum Kind: Int32, Sendable {
        case unknown = 0
        case audio = 1
        case video = 2
    }

    /// What a track is encoded in, and so what a frame of it is.
    public enum Codec: Int32, Sendable {
        case unknown = 0
        /// A packet (RFC 6716).
        case opus = 1
        /// A frame as the encoder gives it (RFC 6386).
        case vp8 = 2
        /// A frame or a superframe as the encoder gives it, of profile 0.
        case vp9 = 3
        /// An access unit with start codes (Annex B); that of a key frame has its parameter sets.
        case h264 = 4
        /// A temporal unit: OBUs that have their sizes; that of a key frame has a sequence header.
        case av1 = 5

        public var kind: Kind {
            switch self {
            case .unknown: .unknown
            case .opus: .audio
            case .vp8, .vp9, .h264, .av1: .video
            }
        }

        /// Units of `rtpTime` in a second.
        public var clockRate: Int { self == .opus ? 48_000 : 90_000 }
    }

    /// What a track of this side's is.
    public enum TrackSource: Hashable, Sendable {
        /// This side sends it, in this codec.
        case codec(Codec)
        /// It is negotiated before there is anything to send, which ``replaceTrack(_:codec:)`` begins.
        case kind(Kind)
        /// It is expected from the other side.
        case expected
    }

    /// A track to be added to a stream. The names have 1 to 256 bytes.
    public struct TrackSpec: Hashable, Sendable {
        public var stream: String
        /// Of its own over all streams of the swarm: this side's track and a peer's of one name belong together.
        public var name: String
        public var source: TrackSource

        public init(stream: String, name: String, source: TrackSource) {
            self.stream = stream
            self.name = name
            self.source = source
        }
    }

    /// Gives named tracks to every peer there is and will be, before the start or after: all of them, or none. Their ids by
    /// their names.
    ///
    ///     let cam = try swarm.addStream("cam", tracks: ["audio": .codec(.opus), "video": .codec(.vp8)])
    ///
    /// A name that there is already keeps its id. It becomes what is said now and is muted no more, unless that is less than it
    /// is: then nothing changes.
    @discardableResult
    public func addStream(_ stream: String, tracks: [String: TrackSource]) throws(RTCSwarmError) -> [String: TrackID] {
        let specs = tracks.sorted { $0.key < $1.key }.map { TrackSpec(stream: stream, name: $0.key, source: $0.value) }
        let ids = try addTracks(specs)
        return Dictionary(uniqueKeysWithValues: zip(specs.map(\.name), ids))
    }

    /// The same for tracks of any streams; their ids in order.
    public func addTracks(_ tracks: [TrackSpec]) throws(RTCSwarmError) -> [TrackID] {
        var specs: [rtcswarm_track_spec] = []
        // The strings have to stay where they are until the call has returned.
        var names: [ContiguousArray<CChar>] = []
        for track in tracks {
            try track.stream.checkForC()
            try track.name.checkForC()
            names.append(track.stream.utf8CString)
            names.append(track.name.utf8CString)
            var spec = rtcswarm_track_spec()
            switch track.source {
            case .codec(.unknown), .kind(.unknown):
                throw RTCSwarmError(.invalid, "unknown is only what the library did not know")
            case .codec(let codec):
                spec.codec = codec.rawValue
            case .kind(let kind):
                spec.media = kind.rawValue
            case .expected:
                break
            }
            specs.append(spec)
        }
        var ids = [UInt64](repeating: 0, count: specs.count)
        let bytes = names.flatMap { $0 }
        try handle.check { swarm in
            bytes.withUnsafeBufferPointer { bytes in
                var next = bytes.baseAddress
                for index in specs.indices {
                    specs[index].stream = next
                    next = next?.advanced(by: names[2 * index].count)
                    specs[index].name = next
                    next = next?.advanced(by: names[2 * index + 1].count)
                }
                return rtcswarm_add_tracks(swarm, specs, specs.count, &ids)
            }
        }
        return ids.map(TrackID.init(rawValue:))
    }

    /// Sends the track to nobody any more.
    public func mute(_ track: TrackID) throws(RTCSwarmError) {
        try handle.check { rtcswarm_mute($0, track.rawValue, 1) }
    }

    /// Sends it to everybody again. Wait for ``Event/keyFrameWanted(_:)`` then, which says that a peer takes it.
    public func unmute(_ track: TrackID) throws(RTCSwarmError) {
        try handle.check { rtcswarm_mute($0, track.rawValue, 0) }
    }

    /// From now on the track is sent in this codec, of its kind: another one than before, or the first. Begin with a key frame.
    public func replaceTrack(_ track: TrackID, codec: Codec) throws(RTCSwarmError) {
        try handle.check { rtcswarm_replace_track($0, track.rawValue, codec.rawValue) }
    }

    /// Sends one encoded frame of 1 to 4194304 bytes to every peer that takes the track. Never waits: what a path is too slow for
    /// is dropped. Frames of one track go in the order of the calls.
    ///
    /// `rtpTime` is when it is to be shown, in units of the codec's clock from anywhere on, wrapping around; `isKeyFrame`: it
    /// needs none before it.
    @discardableResult
    public func sendFrame(
        _ data: some ContiguousBytes, track: TrackID, rtpTime: UInt32, isKeyFrame: Bool = false
    ) throws(RTCSwarmError) -> Delivery {
        try deliver { swarm, reached, skipped in
            data.withBytes {
                rtcswarm_send_frame(
                    swarm, track.rawValue, $0.baseAddress, $0.count, rtpTime,
                    isKeyFrame ? UInt32(RTCSWARM_FLAG_KEY_FRAME) : 0, reached, skipped)
            }
        }
    }

    /// The same for one RTP packet (RFC 3550): its timestamp, marker and payload (1120 bytes at most) are sent.
    @discardableResult
    public func sendRTP(_ packet: some ContiguousBytes, track: TrackID) throws(RTCSwarmError) -> Delivery {
        try deliver { swarm, reached, skipped in
            packet.withBytes { rtcswarm_send_rtp(swarm, track.rawValue, $0.baseAddress, $0.count, reached, skipped) }
        }
    }

    /// Asks a peer for a key frame of one of its tracks: for who decodes only now. After a loss the library does so by itself.
    public func requestKeyFrame(of track: TrackID, from peer: PeerID) throws(RTCSwarmError) {
        try handle.check { rtcswarm_request_key_frame($0, peer.rawValue, track.rawValue) }
    }
}

extension RTCSwarm.Codec: CustomStringConvertible {
    /// "VP8"
    public var description: String { String(cString: rtcswarm_codec_name(rawValue)) }
}
