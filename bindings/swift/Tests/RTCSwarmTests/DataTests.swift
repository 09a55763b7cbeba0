import Foundation
import Testing

@testable import RTCSwarm

@Suite(.timeLimit(.minutes(2)))
struct DataTests {
    @Test func twoMembersMeetAndPart() async throws {
        try await inRoom { room in
            let (ada, bo) = (try room.join("ada"), try room.join("bo"))
            let (toBo, toAda) = (try await ada.peer("bo"), try await bo.peer("ada"))
            #expect(try ada.swarm.peers() == [toBo])
            #expect(try ada.swarm.userID(of: toBo) == "bo")
            for text in ["grüß dich", "", String(repeating: "x", count: 1000)] {
                try await ada.swarm.send(text, to: toBo)
                let got = try await bo.text(text)
                #expect(got.peer == toAda && got.userID == "ada" && got.channel == .fast && got.time > .zero)
            }
            for size in [0, 1, 14, 15, 262_144] {
                let data = random(size)
                try await bo.swarm.send(data, to: toAda)
                let got = try await ada.binary(data)
                #expect(got.peer == toBo && got.data.startIndex == 0)
            }
            #expect(try ada.swarm.sendNow([UInt8]("array".utf8), to: toBo))
            _ = try await bo.binary(Data("array".utf8))
            #expect(try ada.swarm.broadcast("to all") == RTCSwarm.Delivery(reached: 1, skipped: 0))
            _ = try await bo.text("to all")
            #expect(try ada.swarm.broadcast(Data([1, 2, 3])).reached == 1)
            _ = try await bo.binary(Data([1, 2, 3]))

            let stats = try ada.swarm.peerStats(toBo)
            #expect(stats.isNative && !stats.isRelayed && stats.localCandidateType == "host")
            #expect(stats.bytesReceived >= 262_174 && stats.messagesReceived == 5)
            #expect(stats.remoteAddress.hasPrefix("127.0.0.1:") && stats.localAddress.hasPrefix("127.0.0.1:"))
            let member = ada.swarm
            try await eventually("the round trip is measured") { try member.peerStats(toBo).roundTrip != nil }
            #expect(try ada.swarm.stats().peers == 1)
            #expect(try ada.swarm.stats().datagramsSent > 0)

            try ada.swarm.closePeer(toBo)
            #expect(try await ada.closed(toBo) == .localClose)
            #expect(try await bo.closed(toAda) == .remoteClose)
            #expect("\(RTCSwarm.Reason.remoteClose)" == "remote close")
            await #expect(throws: RTCSwarmError.self) { try await ada.swarm.send("too late", to: toBo) }
            #expect(try ada.swarm.peers().isEmpty)
        }
    }

    @Test func furtherChannels() async throws {
        try await inRoom { room in
            let (ada, bo) = (try room.join("ada"), try room.join("bo"))
            let peer = try await ada.peer("bo")
            let ways: [RTCSwarm.ChannelOptions] = [
                .init(), .init(isOrdered: false, maxRetransmits: 3), .init(maxLifetime: .milliseconds(500), protocol: "p"),
            ]
            for options in ways {
                let channel = try ada.swarm.openChannel(to: peer, label: "möre", options: options)
                let ours = try await ada.first {
                    if case .channelOpen(let open) = $0, open.channel == channel { open } else { nil }
                }
                #expect(!ours.isRemote && ours.label == "möre" && ours.peer == peer)
                let theirs = try await bo.first {
                    if case .channelOpen(let open) = $0, open.channel == channel { open } else { nil }
                }
                #expect(theirs.isRemote && theirs.label == "möre")
                try await ada.swarm.send("on \(channel)", to: peer, on: channel)
                #expect(try await bo.text("on \(channel)").channel == theirs.channel)
                try await bo.swarm.send(Data("back on \(channel)".utf8), to: theirs.peer, on: theirs.channel)
                #expect(try await ada.binary(Data("back on \(channel)".utf8)).channel == channel)
                let swarm = ada.swarm
                try await eventually("all is acknowledged") { try swarm.buffered(to: peer, on: channel) == 0 }
                try ada.swarm.closeChannel(channel, to: peer)
                for member in [ada, bo] {
                    _ = try await member.first {
                        if case .channelClosed(let closed) = $0, closed.channel == channel { true } else { nil }
                    }
                }
                #expect(code { try ada.swarm.sendNow("x", to: peer, on: channel) } == .noChannel)
            }
            #expect(
                code {
                    try ada.swarm.openChannel(
                        to: peer, label: "x", options: .init(maxRetransmits: 1, maxLifetime: .seconds(1)))
                } == .invalid)
            #expect(code { try ada.swarm.openChannel(to: peer, label: "x", options: .init(maxRetransmits: -1)) } == .invalid)
            for lifetime in [Duration.seconds(-1), .seconds(66), .seconds(Int64.max)] {
                #expect(
                    code { try ada.swarm.openChannel(to: peer, label: "x", options: .init(maxLifetime: lifetime)) } == .invalid)
            }
            #expect(code { try ada.swarm.openChannel(to: peer, label: "a\0b") } == .invalid)
            #expect(code { try ada.swarm.closeChannel(.fast, to: peer) } == .invalid)
        }
    }

    @Test func whatCannotBeSaysSo() async throws {
        try await inRoom { room in
            let (ada, bo) = (try room.join("ada"), try room.join("bo"))
            let peer = try await ada.peer("bo")
            let nobody = RTCSwarm.PeerID(rawValue: 123_456_789)
            let swarm = ada.swarm
            #expect(code { try swarm.sendNow("@fast/x", to: peer) } == .reserved)
            #expect(code { try swarm.sendNow(Data(count: 262_145), to: peer) } == .tooLarge)
            #expect(code { try swarm.sendNow(Data(), to: nobody) } == .noPeer)
            #expect(code { try swarm.sendNow(Data(), to: peer, on: .init(rawValue: 9)) } == .noChannel)
            #expect(code { try swarm.peerStats(nobody) } == .noPeer)
            #expect(code { try swarm.userID(of: nobody) } == .noPeer)
            #expect(code { try swarm.closePeer(nobody) } == .noPeer)
            #expect(code { try swarm.buffered(to: nobody) } == .noPeer)
            #expect(code { try swarm.start() } == .state)
            #expect(code { try swarm.setToken("token") } == .state)
            #expect(code { try swarm.dispatchNow("no JSON") } == .malformed)
            #expect(code { try swarm.broadcast("@fast") } == .reserved)
            do {
                try await swarm.send("@fast/x", to: peer)
                Issue.record("reserved text was sent")
            } catch let error as RTCSwarmError {
                #expect(error.code == .reserved && !error.message.isEmpty)
                #expect("\(error)" == "RTCSWARM_ERR_RESERVED: \(error.message)")
            }
            // None of it did anything.
            try await swarm.send("fine", to: peer)
            _ = try await bo.text("fine")
            #expect(bo.events.all.allSatisfy { if case .text(let text) = $0 { text.text == "fine" } else { true } })
        }
    }

    @Test func configurationsThatCannotWork() throws {
        let refused: [(inout RTCSwarm.Configuration) -> Void] = [
            { $0.room = "" },
            { $0.room = String(repeating: "r", count: 300) },
            { $0.room = "a\0b" },
            { $0.userID = "" },
            { $0.userID = "a\0b" },
            { $0.maxPeers = 0 },
            { $0.maxPeers = -1 },
            { $0.peerBuffer = 65 },
            { $0.maxMessageSize = 262_145 },
            { $0.maxMessageSize = -1 },
            { $0.sendBuffer = .init(high: 5, low: 10) },
            { $0.sendBuffer = .init(high: -5, low: -10) },
            { $0.receiveQueue = -1 },
            { $0.mediaQueue = -1 },
            {
                $0.usesIPv4 = false
                $0.usesIPv6 = false
            },
            { $0.iceServers = ["http://x"] },
            { $0.iceServers = [.init("turn:x", username: "a\0b", credential: "c")] },
            { $0.iceTransportPolicy = .relay },
            { $0.bindAddresses = ["nonsense"] },
            { $0.interfaces = ["a\0b"] },
            { $0.signaling = .webSocket("http://x") },
            { $0.signaling = .webSocket("ws://127.0.0.1:1/", token: "a\0b") },
            { $0.signaling = .webSocket("wss://127.0.0.1:1/", caFile: "/does/not/exist") },
            { $0.timeouts.connect = .zero },
            { $0.timeouts.close = .seconds(100_000) },
        ]
        for (number, change) in refused.enumerated() {
            var configuration = RTCSwarm.Configuration(room: "room", userID: "ada")
            change(&configuration)
            let refusal: RTCSwarmError?
            do throws(RTCSwarmError) {
                _ = try RTCSwarm(configuration)
                refusal = nil
            } catch {
                refusal = error
            }
            #expect(refusal?.message.isEmpty == false, "number \(number)")
            #expect(refusal?.code == .invalid || refusal?.code == .io, "number \(number): \(String(describing: refusal))")
        }
    }

    @Test func configurationsThatWork() async throws {
        var configuration = RTCSwarm.Configuration(room: "room", userID: "ada")
        configuration.peerBuffer = 2
        configuration.maxPeers = 10
        configuration.iceServers = ["stun:127.0.0.1:9", .init("turn:127.0.0.1:9", username: "user", credential: "secret")]
        configuration.iceTransportPolicy = .relay
        configuration.bindAddresses = ["127.0.0.1"]
        configuration.usesIPv6 = false
        configuration.maxMessageSize = 1000
        configuration.sendBuffer = .init(high: 2000, low: 1000)
        configuration.receiveQueue = 100_000
        configuration.mediaQueue = 100_000
        configuration.timeouts.answer = .seconds(1)
        configuration.timeouts.connect = .seconds(1.5)
        configuration.timeouts.close = .milliseconds(100)
        configuration.timeouts.iceKeepalive = .seconds(1)
        configuration.timeouts.iceDisconnected = .seconds(2)
        configuration.timeouts.iceFailed = .seconds(3)
        let swarm = try RTCSwarm(configuration)
        #expect(swarm.room == "room" && swarm.userID == "ada")
        #expect(code { try swarm.broadcast("x") } == .state)
        await swarm.free()
        #expect(RTCSwarm.libraryVersion.hasPrefix("0.1."))
    }

    @Test func theLogIsHeard() async throws {
        let lines = Journal<String>()
        try RTCSwarm.setLogHandler(.trace) { level, target, message in lines.append("\(level) \(target) \(message)") }
        try await inRoom { room in
            let ada = try room.join("ada")
            // Something to complain about.
            try await ada.swarm.dispatch(
                #"{"type":"accept","id":"x","userId":"carol","signals":[{"type":"offer","sdp":"nonsense"}]}"#)
            let failed = try await ada.first { if case .peerFailed(let failed) = $0 { failed } else { nil } }
            #expect(failed.userID == "carol" && failed.reason == .protocolViolation && !failed.message.isEmpty)
            _ = try await lines.first { $0.contains("rtc") ? true : nil }
        }
        RTCSwarm.removeLogHandler()
    }
}
