import Foundation
import Testing

@testable import RTCSwarm

/// With the signaling server, and with peers in C, each in a process of its own.
@Suite(.timeLimit(.minutes(3)))
struct ServerTests {
    func state(_ member: Member, _ wanted: RTCSwarm.State) async throws -> String {
        try await member.first {
            if case .signalingState(let signaling) = $0, signaling.state == wanted { signaling.message } else { nil }
        }
    }

    @Test func twoMembersMeetOverTheServer() async throws {
        try await withServer { server in
            let (ada, bo) = (try await server.join("ada"), try await server.join("bo"))
            _ = try await state(ada, .connected)
            let (toBo, toAda) = (try await ada.peer("bo"), try await bo.peer("ada"))
            try await ada.swarm.send("hello", to: toBo)
            _ = try await bo.text("hello")
            #expect(code { try ada.swarm.dispatchNow("{}") } == .state)
            await ada.swarm.free()
            #expect(try await bo.closed(toAda) == .remoteClose)
            await bo.swarm.free()
        }
    }

    @Test func aBadTokenIsRefusedUntilThereIsAGoodOne() async throws {
        try await withServer { server in
            let bo = try await server.join("bo")
            let ada = Member(
                try RTCSwarm(room: "lobby", userID: "ada", signaling: .webSocket(server.url, token: "nonsense")), nil)
            try ada.swarm.start()
            #expect(try await !state(ada, .refused).isEmpty)
            try ada.swarm.setToken(try await server.token("ada"))
            _ = try await (ada.peer("bo"), bo.peer("ada"))
            #expect(code { try ada.swarm.setToken("a\0b") } == .invalid)
            await ada.swarm.free()
            await bo.swarm.free()
        }
    }

    @Test func aServerThatIsNotThereIsSaid() async throws {
        let ada = Member(
            try RTCSwarm(room: "lobby", userID: "ada", signaling: .webSocket("ws://127.0.0.1:1/", token: "t")), nil)
        try ada.swarm.start()
        #expect(try await !state(ada, .reconnecting).isEmpty)
        await ada.swarm.free()
    }

    @Test func aPeerInC() async throws {
        try await withServer { server in
            let ada = try await server.join("ada")
            let options = try await server.options("cleo") + ["--expect", "1", "--timeout", "30"]
            let cleo = try Child("chat-c", options)
            let toCleo = try await ada.peer("cleo")
            _ = try await ada.text("hello from cleo")
            _ = try await ada.binary(Data("rtcswarm".utf8))
            try await ada.swarm.send("grüß dich", to: toCleo)
            _ = try await cleo.line("^cleo: text from ada: grüß dich$")
            try await ada.swarm.send(random(12_345), to: toCleo)
            _ = try await cleo.line("^cleo: binary from ada: 12345 bytes$")
            _ = try await cleo.line("^cleo: complete 1$")
            try cleo.say("one more line")
            _ = try await ada.text("one more line")
            #expect(try ada.swarm.peerStats(toCleo).isNative)
            try cleo.say("leave")
            #expect(try await ada.closed(toCleo) == .remoteClose)
            #expect(try await cleo.status() == 0)
            await ada.swarm.free()
        }
    }

    @Test func framesOfAPeerInC() async throws {
        try await withServer { server in
            let ada = try await server.join("ada")
            let clip = examples.appendingPathComponent("clip.ivf")
            let sound = examples.appendingPathComponent("clip.ogg")
            let options = try await server.options("cleo") + ["--video", clip.path, "--audio", sound.path, "--loop"]
            let cleo = try Child("media-send-c", options)
            let tracks = try await ada.stream(of: "cleo")
            let frames = try ivfFrames(Data(contentsOf: clip))
            let video = tracks["video"]!, audio = tracks["audio"]!
            let total = 40
            try await eventually("\(total) frames") {
                ada.events.all.count { if case .frame(let frame) = $0, frame.track == video { true } else { false } }
                    >= total
            }
            let got = ada.events.all.compactMap { event -> RTCSwarm.Frame? in
                if case .frame(let frame) = event, frame.track == video { frame } else { nil }
            }
            // They are the clip's, in order. It begins again at a key frame where one is wanted, and what is lost is said.
            var place = -1
            var inOrder = 0
            for frame in got {
                let next = (place + 1) % frames.count
                #expect(frame.codec == .vp8 && frame.isKeyFrame == (frame.data[0] & 1 == 0))
                if frame.data == frames[next] {
                    inOrder += 1
                    place = next
                } else {
                    #expect(frame.isKeyFrame || frame.followsGap)
                    place = try #require(frames.firstIndex(of: frame.data))
                }
            }
            #expect(inOrder >= total - 8)
            let heard = try await ada.first {
                if case .frame(let frame) = $0, frame.track == audio { frame } else { nil }
            }
            #expect(heard.codec == .opus && !heard.data.isEmpty)
            cleo.interrupt()
            #expect(try await cleo.status() == 0)
            await ada.swarm.free()
        }
    }

    @Test func framesToAPeerInC() async throws {
        try await withServer { server in
            let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
            defer { try? FileManager.default.removeItem(at: folder) }
            let clip = try ivfFrames(Data(contentsOf: examples.appendingPathComponent("clip.ivf")))
            let frames = clip + clip
            let ada = try await server.join("ada")
            let video = try ada.swarm.addStream("cam", tracks: ["video": .codec(.vp8)])["video"]!
            let cleo = try Child("media-record-c", try await server.options("cleo") + ["--out", folder.path])
            try await ada.wanted(video)
            for (number, frame) in frames.enumerated() {
                let delivery = try ada.swarm.sendFrame(
                    frame, track: video, rtpTime: UInt32(number * 3000), isKeyFrame: frame[0] & 1 == 0)
                #expect(delivery.reached == 1)
                try await Task.sleep(for: .milliseconds(5))
            }
            let peer = try await ada.peer("cleo")
            #expect(try ada.swarm.trackStats(video, peer: peer).frames == frames.count)
            // What it has got it writes when its peer leaves.
            await ada.swarm.free()
            _ = try await cleo.line("^cleo: wrote .*ivf: [0-9]+ frames, .*, 0 gaps")
            cleo.interrupt()
            #expect(try await cleo.status() == 0)
            let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            let recorded = try #require(files.first { $0.pathExtension == "ivf" })
            let written = try ivfFrames(Data(contentsOf: recorded))
            // It begins with a key frame, perhaps not with the first one; from then on it has them all.
            #expect(written.count >= clip.count)
            #expect((0...frames.count - written.count).contains { written == Array(frames[$0..<$0 + written.count]) })
        }
    }
}

/// The frames of an IVF file: a header of 32 bytes; then for each its length in 4 bytes, its time in 8, and it.
func ivfFrames(_ file: Data) throws -> [Data] {
    var frames: [Data] = []
    var rest = file.dropFirst(32)
    while !rest.isEmpty {
        guard rest.count >= 12 else { throw Failed("the file ends within a frame") }
        let length = rest.prefix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
        rest = rest.dropFirst(12)
        guard rest.count >= length else { throw Failed("the file ends within a frame") }
        frames.append(Data(rest.prefix(length)))
        rest = rest.dropFirst(length)
    }
    guard !frames.isEmpty else { throw Failed("no frames") }
    return frames
}
