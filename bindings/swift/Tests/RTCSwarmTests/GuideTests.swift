import Foundation
import Testing

import RTCSwarm

/// What docs/swift.md and docs/swift-threads-and-memory.md show: their snippets are lines of this file, and run here.
@Suite(.timeLimit(.minutes(2)))
struct GuideTests {
    @Test func eventsAndSends() async throws {
        try await withServer { server in
            let (url, token) = (server.url, try await server.token("alice"))
            let bob = try await server.join("bob")
            let image = random(100_000)

            var configuration = RTCSwarm.Configuration(
                room: "lobby", userID: "alice", signaling: .webSocket(url, token: token))
            configuration.iceServers = ["stun:127.0.0.1:3478"]
            configuration.maxPeers = 20
            configuration.timeouts.iceFailed = .seconds(10)
            let swarm = try RTCSwarm(configuration)
            try swarm.start()

            let listening = Task {
                var received: [Data] = []
                for await event in swarm.events {
                    switch event {
                    case .peerOpen(let open):
                        print(open.userID, "is there")
                    case .text(let text):
                        print(text.userID, "says", text.text)
                    case .binary(let binary):
                        received.append(binary.data)  // the library's bytes, not a copy
                    case .peerClosed(let closed):
                        print(closed.userID, "is gone:", closed.reason)
                    case .signalingState(let signaling) where signaling.state == .refused:
                        print(signaling.message)  // a new token helps: swarm.setToken(...)
                    case .closed(let closed):
                        print("closed", closed.error.map { "\($0)" } ?? "in good order")
                    default:
                        break
                    }
                }
                return received
            }
            let peer = try await bob.peer("alice")
            try await eventually("bob is open") { try swarm.peers().count == 1 }
            for peer in try swarm.peers() {
                do {
                    try await swarm.send("look at this", to: peer)
                    try await swarm.send(image, to: peer)
                } catch let error as RTCSwarmError where error.code == .noPeer {
                    continue  // it left a moment ago
                }
            }
            _ = try await bob.binary(image)
            try await bob.swarm.send(image, to: peer)
            try await bob.swarm.send("goodbye", to: peer)
            await bob.swarm.free()
            try await eventually("bob is gone") { try swarm.peers().isEmpty }

            swarm.close()  // the last event follows, and the loop ends
            let received = await listening.value
            await swarm.free()  // returns when everything is given back
            #expect(received == [image])
        }
    }

    @Test func inShort() async throws {
        try await withServer { server in
            let (user, url, token) = ("alice", server.url, try await server.token("alice"))
            let bob = try await server.join("bob")
            let alice = Task {
                let swarm = try RTCSwarm(room: "lobby", userID: user, signaling: .webSocket(url, token: token))
                try swarm.start()
                for await event in swarm.events {
                    switch event {
                    case .peerOpen(let open): try await swarm.send("hello", to: open.peer)
                    case .text(let text): print(text.userID, "says", text.text)
                    default: break
                    }
                }
            }
            _ = try await bob.text("hello")
            let peer = try await bob.peer("alice")
            alice.cancel()
            try await alice.value
            // Nobody has her swarm any more.
            _ = try await bob.closed(peer)
            await bob.swarm.free()
        }
    }

    @Test func backPressureAndChannels() async throws {
        try await inRoom { room in
            let (ada, bo) = (try room.join("ada"), try room.join("bo"))
            let (swarm, peer) = (ada.swarm, try await ada.peer("bo"))
            let position = Data([1, 2, 3])

            // Only the latest position matters: what finds no room is not sent.
            let isQueued = try swarm.sendNow(position, to: peer)
            #expect(isQueued)

            let options = RTCSwarm.ChannelOptions(isOrdered: false, maxRetransmits: 0)
            let channel = try swarm.openChannel(to: peer, label: "positions", options: options)
            // After .channelOpen with this number:
            let opened = try await ada.first {
                if case .channelOpen(let open) = $0 { open.channel } else { nil }
            }
            #expect(opened == channel)
            try await swarm.send(position, to: peer, on: channel)
            _ = try await bo.first {
                if case .binary(let binary) = $0, binary.channel != .fast { true } else { nil }
            }
        }
    }

    @Test func media() async throws {
        struct Encoder {
            var makesKeyFrame = true
            mutating func next() -> (data: Data, isKeyFrame: Bool) {
                defer { makesKeyFrame = false }
                return (vp8(3000, key: makesKeyFrame), makesKeyFrame)
            }
        }
        let decoded = Journal<Data>()
        @Sendable func decode(_ frame: RTCSwarm.Frame) { decoded.append(frame.data) }

        try await withServer { server in
            let sender = RTCSwarm.Configuration(
                room: "lobby", userID: "camera", signaling: .webSocket(server.url, token: try await server.token("camera")))
            let sending = Task {
                let swarm = try RTCSwarm(sender)
                let tracks = try swarm.addStream("cam", tracks: ["audio": .codec(.opus), "video": .codec(.vp8)])
                let video = tracks["video"]!
                try swarm.start()
                var encoder = Encoder()
                var rtpTime: UInt32 = 0
                while true {
                    // A frame each 33 ms; between them the events.
                    let next = ContinuousClock.now + .milliseconds(33)
                    while case let left = ContinuousClock.now.duration(to: next), left > .zero {
                        let event = try await swarm.nextEvent(timeout: left)
                        if case .keyFrameWanted(let wanted)? = event, wanted.track == video {
                            encoder.makesKeyFrame = true
                        }
                    }
                    let (data, isKeyFrame) = encoder.next()
                    try swarm.sendFrame(data, track: video, rtpTime: rtpTime, isKeyFrame: isKeyFrame)
                    rtpTime &+= 90_000 / 30
                }
            }
            let swarm = try RTCSwarm(
                room: "lobby", userID: "viewer", signaling: .webSocket(server.url, token: try await server.token("viewer")))
            try swarm.start()
            let watching = Task {
                for await event in swarm.events {
                    switch event {
                    case .track(let track):
                        print(track.userID, "gives", track.kind, track.name)
                    case .stream(let stream):
                        print("that is all of", stream.name)
                    case .frame(let frame):
                        decode(frame)  // whole, in order; frame.followsGap says where something is missing
                    default:
                        break
                    }
                }
            }
            try await eventually("frames come") { decoded.all.count >= 5 }
            sending.cancel()
            await #expect(throws: CancellationError.self) { try await sending.value }
            watching.cancel()
            await watching.value
            await swarm.free()
        }
    }

    @Test func anotherTransport() async throws {
        try await inRoom { room in
            let bo = try room.join("bo")
            let swarm = try RTCSwarm(room.configuration("ada"))
            let session = room.add(swarm)
            // What the server says goes to `swarm.dispatch(json)`; here the room does that.
            func sendToServer(_ json: String) throws { try room.carry(json, of: session) }

            try swarm.start()
            for await event in swarm.events {
                if case .signal(let signal) = event {
                    try sendToServer(signal.json)
                } else if case .peerOpen = event {
                    break
                }
            }
            _ = try await bo.peer("ada")
            await swarm.free()
        }
    }

    @MainActor
    final class RoomModel {
        private(set) var names: [RTCSwarm.PeerID: String] = [:]

        /// For SwiftUI's `.task { await model.follow(swarm) }`, which cancels it when the view goes.
        func follow(_ swarm: RTCSwarm) async {
            for await event in swarm.events {
                if case .peerOpen(let open) = event { names[open.peer] = open.userID }
                if case .peerClosed(let closed) = event { names[closed.peer] = nil }
            }
        }
    }

    @Test func onTheMainActor() async throws {
        try await withServer { server in
            let bo = try await server.join("bo")
            let swarm = try RTCSwarm(
                room: "lobby", userID: "ada", signaling: .webSocket(server.url, token: try await server.token("ada")))
            try swarm.start()
            let model = RoomModel()
            let following = Task { await model.follow(swarm) }
            try await beforeDeadline {
                while await model.names.values.sorted() != ["bo"] { try await Task.sleep(for: .milliseconds(5)) }
            }
            await bo.swarm.free()
            try await beforeDeadline {
                while await !model.names.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
            }
            following.cancel()
            await following.value
            await swarm.free()
        }
    }

    @Test func partsOfAMessage() async throws {
        let binary = try await someMessage()
        // A slice keeps the whole message alive; a copy of it does not.
        let header = Data(binary.data.prefix(16))
        #expect(header.count == 16)
    }

    private func someMessage() async throws -> RTCSwarm.Binary {
        let message = random(10_000)
        let box = Journal<RTCSwarm.Binary>()
        try await inRoom { room in
            let (ada, bo) = (try room.join("ada"), try room.join("bo"))
            try await ada.swarm.send(message, to: try await ada.peer("bo"))
            box.append(try await bo.binary(message))
        }
        return box.all[0]
    }
}
