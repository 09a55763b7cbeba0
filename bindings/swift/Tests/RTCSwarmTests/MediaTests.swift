import Foundation
import Testing

@testable import RTCSwarm

let cam: [String: RTCSwarm.TrackSource] = ["audio": .codec(.opus), "video": .codec(.vp8)]

/// All that the library looks at in a frame of VP8 is its first byte.
func vp8(_ size: Int, key: Bool) -> Data {
    Data([key ? 0x10 : 0x11]) + random(size - 1)
}

extension Member {
    /// The tracks of a peer's stream by their names, once all of them are there.
    func stream(of userID: String, _ name: String = "cam") async throws -> [String: RTCSwarm.TrackID] {
        let stream = try await first {
            if case .stream(let stream) = $0, stream.userID == userID, stream.name == name { stream } else { nil }
        }
        var tracks: [String: RTCSwarm.TrackID] = [:]
        for id in stream.tracks {
            let track = try await first { if case .track(let track) = $0, track.track == id { track } else { nil } }
            #expect(track.peer == stream.peer && track.kind == (track.name == "audio" ? .audio : .video))
            tracks[track.name] = id
        }
        return tracks
    }

    func wanted(_ track: RTCSwarm.TrackID) async throws {
        try await first { if case .keyFrameWanted(let wanted) = $0, wanted.track == track { () } else { nil } }
    }

    func wishes(for track: RTCSwarm.TrackID) -> Int {
        events.all.count { if case .keyFrameWanted(let wanted) = $0 { wanted.track == track } else { false } }
    }

    func frame(_ data: Data) async throws -> RTCSwarm.Frame {
        try await first { if case .frame(let frame) = $0, frame.data == data { frame } else { nil } }
    }

    func muted(_ isMuted: Bool) async throws -> RTCSwarm.TrackID {
        try await first {
            if case .trackMuted(let muted) = $0, muted.isMuted == isMuted { muted.track } else { nil }
        }
    }
}

@Suite(.timeLimit(.minutes(2)))
struct MediaTests {
    @Test func streamsComeWithTheirTracksAndFramesGoBothWays() async throws {
        try await inRoom { room in
            // One before the start, one after.
            let ada = try room.join("ada", before: { try $0.addStream("cam", tracks: cam) })
            let bo = try room.join("bo")
            let ours = [try ada.swarm.addStream("cam", tracks: cam), try bo.swarm.addStream("cam", tracks: cam)]
            let theirs = [try await ada.stream(of: "bo"), try await bo.stream(of: "ada")]
            #expect((ours + theirs).allSatisfy { $0.keys.sorted() == ["audio", "video"] })
            try await ada.wanted(ours[0]["video"]!)
            try await bo.wanted(ours[1]["video"]!)
            for (size, key) in [(10, true), (1, false), (1120, false), (40_000, true)] {
                let data = vp8(size, key: key)
                for (giver, taker, which) in [(ada, bo, 0), (bo, ada, 1)] {
                    let time = UInt32.max - 100 &+ UInt32(size)
                    let delivery = try giver.swarm.sendFrame(
                        data, track: ours[which]["video"]!, rtpTime: time, isKeyFrame: key)
                    #expect(delivery == RTCSwarm.Delivery(reached: 1, skipped: 0))
                    let got = try await taker.frame(data)
                    #expect(got.track == theirs[1 - which]["video"]! && got.codec == .vp8 && got.isKeyFrame == key)
                    #expect(got.rtpTime == time && !got.followsGap)
                }
            }
            let sound = Data([0xf8]) + random(99)
            #expect(try ada.swarm.sendFrame(sound, track: ours[0]["audio"]!, rtpTime: 960).reached == 1)
            let heard = try await bo.frame(sound)
            #expect(heard.codec == .opus && "\(heard.codec)" == "opus" && heard.codec.clockRate == 48_000)

            let received = try bo.swarm.trackStats(theirs[1]["video"]!, peer: try await bo.peer("ada"))
            #expect(received.frames == 4 && received.packets >= 38 && received.bytes > 41_000 && received.bitrate == nil)
            let sent = try ada.swarm.trackStats(ours[0]["video"]!, peer: try await ada.peer("bo"))
            #expect(sent.frames == 4 && sent.packets >= 38 && sent.bytes > 41_000 && sent.jitter == .zero)
        }
    }

    @Test func muting() async throws {
        try await inRoom { room in
            let (ada, bo) = (try room.join("ada"), try room.join("bo"))
            let video = try ada.swarm.addStream("cam", tracks: cam)["video"]!
            let theirs = try await bo.stream(of: "ada")["video"]!
            try await ada.wanted(video)
            try ada.swarm.mute(video)
            #expect(try await bo.muted(true) == theirs)
            #expect(
                try ada.swarm.sendFrame(vp8(10, key: true), track: video, rtpTime: 0, isKeyFrame: true)
                    == RTCSwarm.Delivery(reached: 0, skipped: 1))
            try ada.swarm.unmute(video)
            #expect(try await bo.muted(false) == theirs)
        }
    }

    @Test func keyFramesCanBeAskedFor() async throws {
        try await inRoom { room in
            let (ada, bo) = (try room.join("ada"), try room.join("bo"))
            let video = try ada.swarm.addStream("cam", tracks: cam)["video"]!
            let theirs = try await bo.stream(of: "ada")["video"]!
            try await ada.wanted(video)
            // That was the library, on its own; with a key frame there it has no reason to.
            let data = vp8(10, key: true)
            try ada.swarm.sendFrame(data, track: video, rtpTime: 0, isKeyFrame: true)
            _ = try await bo.frame(data)
            let earlier = ada.wishes(for: video)
            let peer = try await bo.peer("ada")
            // Again, because one too soon after another changes nothing.
            try await eventually("a key frame is wanted once more") {
                try bo.swarm.requestKeyFrame(of: theirs, from: peer)
                return ada.wishes(for: video) > earlier
            }
        }
    }

    @Test func aWarmTrackBecomesARealOneAndChangesItsCodec() async throws {
        try await inRoom { room in
            let (ada, bo) = (try room.join("ada"), try room.join("bo"))
            _ = try await bo.peer("ada")
            let tracks = try ada.swarm.addStream("cam", tracks: ["video": .kind(.video), "theirs": .expected])
            let video = tracks["video"]!
            #expect(tracks.count == 2)
            #expect(code { try ada.swarm.sendFrame(vp8(10, key: true), track: video, rtpTime: 0) } == .state)
            #expect(try ada.swarm.addStream("cam", tracks: ["video": .codec(.vp8)]) == ["video": video])
            let theirs = try await bo.first { if case .track(let track) = $0 { track.track } else { nil } }
            for codec in [RTCSwarm.Codec.vp8, .vp9] {
                try ada.swarm.replaceTrack(video, codec: codec)
                let swarm = ada.swarm
                try await eventually("it is taken in \(codec)") {
                    try swarm.sendFrame(vp8(500, key: true), track: video, rtpTime: 3000, isKeyFrame: true).reached == 1
                }
                let got = try await bo.first {
                    if case .frame(let frame) = $0, frame.codec == codec { frame } else { nil }
                }
                #expect(got.track == theirs)
            }
        }
    }

    @Test func tracksOfSeveralStreams() async throws {
        try await inRoom { room in
            let (ada, bo) = (try room.join("ada"), try room.join("bo"))
            let ids = try ada.swarm.addTracks([
                .init(stream: "cam", name: "video", source: .codec(.vp8)),
                .init(stream: "screen", name: "scröön", source: .codec(.vp9)),
                .init(stream: "both", name: "video", source: .expected),
            ])
            #expect(ids.count == 3 && ids[0] == ids[2] && ids[0] != ids[1])
            let screen = try await bo.stream(of: "ada", "screen")
            #expect(Array(screen.keys) == ["scröön"])
            #expect(try ada.swarm.addTracks([]).isEmpty)
            #expect(try ada.swarm.addStream("none", tracks: [:]).isEmpty)
        }
    }

    @Test func packetsInPlaceOfFrames() async throws {
        try await inRoom { room in
            let ada = try room.join("ada")
            let bo = try room.join("bo") { $0.receivesRTP = true }
            let video = try ada.swarm.addStream("cam", tracks: cam)["video"]!
            let theirs = try await bo.stream(of: "ada")["video"]!
            try await ada.wanted(video)
            let packet = Data([0x80, 0x80, 0, 1, 0, 1, 2, 3, 4, 5, 6, 7]) + Data("payload".utf8)
            #expect(try ada.swarm.sendRTP(packet, track: video).reached == 1)
            let got = try await bo.first { if case .rtp(let rtp) = $0 { rtp } else { nil } }
            #expect(got.codec == .vp8)
            #expect(got.track == theirs && got.packet[4..<8] == packet[4..<8] && got.packet.suffix(7) == packet.suffix(7))
            #expect(code { try ada.swarm.sendRTP(packet.prefix(11), track: video) } == .invalid)
            #expect(code { try ada.swarm.sendRTP(packet + Data(count: 1120), track: video) } == .tooLarge)
        }
    }

    @Test func whoIsSlowLosesTheOldestAndIsTold() async throws {
        try await inRoom { room in
            let ada = try room.join("ada")
            let bo = try RTCSwarm(room.configuration("bo") { $0.mediaQueue = 50_000 })
            let session = room.add(bo)
            try bo.start()
            let video = try ada.swarm.addStream("cam", tracks: ["video": .codec(.vp8)])["video"]!
            let (track, peer) = try await beforeDeadline {
                var theirs: RTCSwarm.Track?
                while true {
                    switch try await bo.nextEvent(timeout: .milliseconds(10)) {
                    case .signal(let signal): try room.carry(signal.json, of: session)
                    case .track(let track): theirs = track
                    default: break
                    }
                    let sent = try ada.swarm.sendFrame(vp8(10, key: true), track: video, rtpTime: 0, isKeyFrame: true)
                    if let theirs, sent.reached == 1 { return (theirs.track, theirs.peer) }
                }
            }
            // Nobody takes these; the last one's number is its time.
            for number in 1...100 {
                let data = vp8(5000, key: true)
                try ada.swarm.sendFrame(data, track: video, rtpTime: UInt32(number), isKeyFrame: true)
                try await eventually("frame \(number) is there") {
                    try bo.trackStats(track, peer: peer).frames >= number
                }
            }
            #expect(try bo.trackStats(track, peer: peer).dropped > 80)
            try ada.swarm.broadcast("still there")
            let frames = try await beforeDeadline {
                var frames: [RTCSwarm.Frame] = []
                for await event in bo.events {
                    if case .frame(let frame) = event { frames.append(frame) }
                    if case .text = event { break }
                }
                return frames
            }
            #expect(frames.first?.followsGap == true && frames.last?.rtpTime == 100 && frames.count < 20)
            await bo.free()
        }
    }

    @Test func whatCannotBeSaysSo() async throws {
        try await inRoom { room in
            let (ada, bo) = (try room.join("ada"), try room.join("bo"))
            let swarm = ada.swarm
            let video = try swarm.addStream("cam", tracks: cam)["video"]!
            let theirs = try await bo.stream(of: "ada")["video"]!
            let peer = try await ada.peer("bo")
            let refused: [[String: RTCSwarm.TrackSource]] = [
                ["": .expected], [String(repeating: "v", count: 257): .expected], ["audio": .codec(.vp8)],
                ["video": .kind(.audio)], ["x": .codec(.unknown)], ["x": .kind(.unknown)], ["a\0b": .expected],
            ]
            for tracks in refused {
                #expect(code { try swarm.addStream("cam", tracks: tracks) } == .invalid, "\(tracks)")
            }
            let many = (0..<63).map { RTCSwarm.TrackSpec(stream: "many", name: "track \($0)", source: .expected) }
            #expect(code { try swarm.addTracks(many) } == .invalid)
            for strange in [RTCSwarm.TrackID(rawValue: 0), .init(rawValue: .max), theirs] {
                #expect(code { try swarm.mute(strange) } == .noTrack)
                #expect(code { try swarm.unmute(strange) } == .noTrack)
                #expect(code { try swarm.sendFrame(Data([1]), track: strange, rtpTime: 0) } == .noTrack)
                #expect(code { try swarm.replaceTrack(strange, codec: .vp8) } == .noTrack)
                #expect(code { try swarm.requestKeyFrame(of: strange, from: peer) } == .noTrack)
                #expect(code { try swarm.trackStats(strange, peer: peer) } == .noTrack)
            }
            #expect(code { try swarm.trackStats(video, peer: .init(rawValue: 123_456)) } == .noPeer)
            #expect(code { try swarm.replaceTrack(video, codec: .opus) } == .invalid)
            #expect(code { try swarm.replaceTrack(video, codec: .unknown) } == .invalid)
            #expect(code { try swarm.sendFrame(Data(), track: video, rtpTime: 0, isKeyFrame: true) } == .invalid)
            #expect(code { try swarm.sendFrame(Data(count: 4_194_305), track: video, rtpTime: 0) } == .tooLarge)
        }
    }
}
