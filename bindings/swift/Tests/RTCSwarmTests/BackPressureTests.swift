import Foundation
import Testing

@testable import RTCSwarm

@Suite(.timeLimit(.minutes(2)))
struct BackPressureTests {
    static let size = 100_000

    /// Ada, whose buffers are small; bo, who takes nothing until he is told to; and how ada knows him.
    func slow(
        _ body: (_ ada: Member, _ toBo: RTCSwarm.PeerID, _ bo: RTCSwarm, _ room: Room, _ session: UInt64) async throws -> Void
    ) async throws {
        try await inRoom { room in
            let ada = try room.join("ada") { $0.sendBuffer = .init(high: 300_000, low: 10_000) }
            let bo = try RTCSwarm(room.configuration("bo") { $0.receiveQueue = 200_000 })
            let session = room.add(bo)
            try bo.start()
            _ = try await meet(bo, "ada", room, session)
            do {
                try await body(ada, try await ada.peer("bo"), bo, room, session)
            } catch {
                await bo.free()
                throw error
            }
            await bo.free()
        }
    }

    func taken(_ count: Int, _ swarm: RTCSwarm) async throws -> [Data] {
        try await beforeDeadline {
            var all: [Data] = []
            for await event in swarm.events {
                if case .binary(let binary) = event { all.append(binary.data) }
                if all.count == count { break }
            }
            return all
        }
    }

    @Test func aFullBufferSaysSoAndWhenItIsNot() async throws {
        try await slow { ada, toBo, bo, _, _ in
            let sent = Journal<Int>()
            // What is on its way still finds room in his queue, until that is full, too.
            try await eventually("all is full") {
                while try ada.swarm.sendNow(Data(count: Self.size), to: toBo) { sent.append(Self.size) }
                let delivery = try ada.swarm.broadcast(Data(count: Self.size))
                if delivery.reached == 1 { sent.append(Self.size) }
                return try delivery.skipped == 1 && bo.stats().queuedEvents > 0
            }
            #expect(sent.all.count < 40)
            #expect(try await taken(sent.all.count, bo).count == sent.all.count)
            let writable = try await ada.first { if case .writable(let writable) = $0 { writable } else { nil } }
            #expect(writable.peer == toBo && writable.channel == .fast && writable.userID == "bo")
            #expect(try ada.swarm.sendNow(Data(), to: toBo))
        }
    }

    @Test func sendWaitsAndKeepsTheOrder() async throws {
        try await slow { ada, toBo, bo, _, _ in
            let messages = (0..<40).map { number in Data([UInt8(number)]) + random(Self.size) }
            let sending = Task { for message in messages { try await ada.swarm.send(message, to: toBo) } }
            try await eventually("it waits") { ada.swarm.handle.blocked == 1 }
            #expect(try await taken(messages.count, bo) == messages)
            try await beforeDeadline { try await sending.value }
        }
    }

    @Test func sendWaitsAlsoWhereNobodyTakesTheEventsOfItsSwarm() async throws {
        try await inRoom { room in
            let bo = try room.join("bo")
            let ada = try RTCSwarm(room.configuration("ada") { $0.sendBuffer = .init(high: 300_000, low: 10_000) })
            let session = room.add(ada)
            try ada.start()
            let toBo = try await meet(ada, "bo", room, session)
            // As in a loop that takes events and sends in it: the one that says "writable" is not taken meanwhile.
            try await beforeDeadline { for _ in 0..<100 { try await ada.send(Data(count: Self.size), to: toBo) } }
            #expect(try ada.stats().queuedEvents > 0)
            try await eventually("all has come") {
                bo.events.all.count { if case .binary = $0 { true } else { false } } == 100
            }
            await ada.free()
        }
    }

    @Test func cancelledSendsSendNothing() async throws {
        try await slow { ada, toBo, bo, _, _ in
            let sent = Journal<Int>()
            let sending = Task {
                for number in 0..<1000 {
                    try await ada.swarm.send(Data([UInt8(number)]) + Data(count: Self.size), to: toBo)
                    sent.append(number)
                }
            }
            try await eventually("it waits") { ada.swarm.handle.blocked == 1 }
            sending.cancel()
            await #expect(throws: CancellationError.self) { try await sending.value }
            #expect(ada.swarm.handle.blocked == 0)
            let numbers = sent.all
            #expect(numbers == Array(0..<numbers.count))
            // And what comes next is what is sent next.
            let next = Task { try await ada.swarm.send(Data([255]), to: toBo) }
            let got = try await taken(numbers.count + 1, bo)
            try await next.value
            #expect(got.map { Int($0[0]) } == numbers + [255])
        }
    }

    @Test func waitingSendsEndWithTheirPeerOrTheirSwarm() async throws {
        for way in ["the peer's end", "close", "free"] {
            try await slow { ada, toBo, bo, _, _ in
                let sending = Task { () -> RTCSwarmError.Code? in
                    do {
                        while true { try await ada.swarm.send(Data(count: Self.size), to: toBo) }
                    } catch {
                        return (error as? RTCSwarmError)?.code
                    }
                }
                try await eventually("it waits") { ada.swarm.handle.blocked == 1 }
                switch way {
                case "close": ada.swarm.close()
                case "free": await ada.swarm.free()
                default: try ada.swarm.closePeer(toBo)
                }
                let ended = try await beforeDeadline { await sending.value }
                #expect(ended == (way == "the peer's end" ? .noPeer : .closed), "\(way)")
            }
        }
    }
}
