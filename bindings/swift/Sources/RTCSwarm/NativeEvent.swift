import CRtcSwarm

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Owns an event of the library's, for as long as something points into it.
///
/// `@unchecked Sendable`: the event is only read, and the library frees it from any thread, also after its swarm.
final class NativeEvent: @unchecked Sendable {
    private let pointer: UnsafeMutablePointer<rtcswarm_event>

    init(_ pointer: UnsafeMutablePointer<rtcswarm_event>) {
        self.pointer = pointer
    }

    deinit {
        rtcswarm_event_free(pointer)
    }

    var raw: rtcswarm_event { pointer.pointee }

    /// The bytes where they are; they keep the event. They are this event's alone, so that whoever changes the `Data` in place
    /// changes nothing else.
    var data: Data {
        let raw = raw
        guard let bytes = raw.data, raw.length > 0 else { return Data() }
        return Data(
            bytesNoCopy: UnsafeMutableRawPointer(mutating: bytes),
            count: raw.length,
            // However often `Data` calls it, or does not: the event goes with the closure.
            deallocator: .custom { _, _ in withExtendedLifetime(self) {} }
        )
    }

    var text: String {
        String(decoding: UnsafeBufferPointer(start: raw.data, count: raw.length), as: UTF8.self)
    }
}

extension RTCSwarm.Event {
    /// What it says is copied, but for the bytes of messages, frames and packets.
    init(_ event: NativeEvent) {
        let raw = event.raw
        let time = Duration.microseconds(Int64(clamping: raw.time_us))
        let peer = RTCSwarm.PeerID(rawValue: raw.peer)
        let userID = words(raw.user_id)
        let channel = RTCSwarm.ChannelID(rawValue: raw.channel)
        let track = RTCSwarm.TrackID(rawValue: raw.track)
        let message = words(raw.message)
        let reason = RTCSwarm.Reason(rawValue: raw.reason) ?? .unknown
        let state = RTCSwarm.State(rawValue: raw.state) ?? .unknown
        let error = RTCSwarmError(RTCSwarmError.Code(rawValue: raw.status), message)
        func has(_ flag: Int32) -> Bool { raw.flags & UInt32(flag) != 0 }

        self =
            switch raw.kind {
            case RTCSWARM_EVENT_PEER_OPEN:
                .peerOpen(
                    .init(
                        time: time, peer: peer, userID: userID, connectionID: words(raw.connection_id),
                        isNative: has(RTCSWARM_FLAG_NATIVE)))
            case RTCSWARM_EVENT_PEER_CLOSED:
                .peerClosed(.init(time: time, peer: peer, userID: userID, reason: reason, message: message))
            case RTCSWARM_EVENT_PEER_FAILED:
                .peerFailed(.init(time: time, peer: peer, userID: userID, reason: reason, message: message))
            case RTCSWARM_EVENT_PEER_STATE:
                .peerState(
                    .init(time: time, peer: peer, userID: userID, state: state, unacknowledged: Int(raw.unacknowledged)))
            case RTCSWARM_EVENT_TEXT:
                .text(.init(time: time, peer: peer, userID: userID, channel: channel, text: event.text))
            case RTCSWARM_EVENT_BINARY:
                .binary(.init(time: time, peer: peer, userID: userID, channel: channel, data: event.data))
            case RTCSWARM_EVENT_CHANNEL_OPEN:
                .channelOpen(
                    .init(
                        time: time, peer: peer, userID: userID, channel: channel, label: words(raw.name),
                        isRemote: has(RTCSWARM_FLAG_REMOTE)))
            case RTCSWARM_EVENT_CHANNEL_CLOSED:
                .channelClosed(.init(time: time, peer: peer, userID: userID, channel: channel))
            case RTCSWARM_EVENT_WRITABLE:
                .writable(.init(time: time, peer: peer, userID: userID, channel: channel))
            case RTCSWARM_EVENT_SIGNAL:
                .signal(.init(time: time, json: event.text))
            case RTCSWARM_EVENT_SIGNALING_STATE:
                .signalingState(.init(time: time, state: state, message: message))
            case RTCSWARM_EVENT_ERROR:
                .error(.init(time: time, error: error))
            case RTCSWARM_EVENT_CLOSED:
                .closed(.init(time: time, error: raw.status == RTCSWARM_OK ? nil : error))
            case RTCSWARM_EVENT_TRACK:
                .track(
                    .init(
                        time: time, peer: peer, userID: userID, track: track, name: words(raw.name),
                        kind: RTCSwarm.Kind(rawValue: raw.media) ?? .unknown))
            case RTCSWARM_EVENT_TRACK_MUTED:
                .trackMuted(
                    .init(time: time, peer: peer, userID: userID, track: track, isMuted: has(RTCSWARM_FLAG_MUTED)))
            case RTCSWARM_EVENT_TRACK_ENDED:
                .trackEnded(.init(time: time, peer: peer, userID: userID, track: track))
            case RTCSWARM_EVENT_STREAM:
                .stream(
                    .init(
                        time: time, peer: peer, userID: userID, name: words(raw.name),
                        tracks: UnsafeBufferPointer(start: raw.tracks, count: raw.track_count)
                            .map(RTCSwarm.TrackID.init(rawValue:))))
            case RTCSWARM_EVENT_FRAME:
                .frame(
                    .init(
                        time: time, peer: peer, userID: userID, track: track,
                        codec: RTCSwarm.Codec(rawValue: raw.codec) ?? .unknown, data: event.data, rtpTime: raw.rtp_time,
                        isKeyFrame: has(RTCSWARM_FLAG_KEY_FRAME), followsGap: has(RTCSWARM_FLAG_GAP)))
            case RTCSWARM_EVENT_RTP:
                .rtp(
                    .init(
                        time: time, peer: peer, userID: userID, track: track,
                        codec: RTCSwarm.Codec(rawValue: raw.codec) ?? .unknown, packet: event.data))
            case RTCSWARM_EVENT_KEY_FRAME_WANTED:
                .keyFrameWanted(.init(time: time, peer: peer, userID: userID, track: track))
            default:
                .unknown(.init(time: time, kind: raw.kind))
            }
    }
}

private func words(_ text: UnsafePointer<CChar>?) -> String {
    text.map { String(cString: $0) } ?? ""
}
