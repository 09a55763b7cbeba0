import CRtcSwarm
import Foundation
import Testing

@testable import RTCSwarm

/// Waiting, cancelling, closing, and what is given back.
@Suite(.timeLimit(.minutes(2)))
struct LifeTests {
    @Test func theLastEventIsTheLast() async throws {
        try await inRoom { room in
            let (ada, bo) = (try room.join("ada"), try room.join("bo"))
            let (toBo, toAda) = (try await ada.peer("bo"), try await bo.peer("ada"))
            try await ada.swarm.send("goodbye", to: toBo)
            ada.swarm.close()
            ada.swarm.close()
            try await ada.events.hasEnded()
            guard case .closed(let closed)? = ada.events.all.last else { throw Failed("no closed event") }
            #expect(closed.error == nil)
            _ = try await bo.text("goodbye")
            #expect(try await bo.closed(toAda) == .remoteClose)
            await #expect { try await ada.swarm.nextEvent() } throws: { ($0 as? RTCSwarmError)?.code == .closed }
            for await event in ada.swarm.events { Issue.record("after the last one: \(event)") }
            await #expect { try await ada.swarm.send("x", to: toBo) } throws: { ($0 as? RTCSwarmError)?.code == .closed }
            await ada.swarm.free()
            await ada.swarm.free()
            ada.swarm.close()
            #expect(code { try ada.swarm.peers() } == .closed)
            await #expect { try await ada.swarm.nextEvent() } throws: { ($0 as? RTCSwarmError)?.code == .closed }
            for await event in ada.swarm.events { Issue.record("after free: \(event)") }
        }
    }

    @Test func freeingEndsWhoWaits() async throws {
        let swarm = try RTCSwarm(Room().configuration("ada"))
        try swarm.start()
        let reading = Task { for await _ in swarm.events {} }
        let next = Task { while true { _ = try await swarm.nextEvent(timeout: .seconds(100)) } }
        try await eventually("both wait") { swarm.handle.waiting == 2 }
        try await beforeDeadline { await swarm.free() }
        await reading.value
        await #expect { try await next.value } throws: { ($0 as? RTCSwarmError)?.code == .closed }
    }

    @Test func aSwarmThatNobodyHasClosesItself() async throws {
        try await inRoom { room in
            let bo = try room.join("bo")
            do {
                // No task takes its events any more when this scope ends.
                let ada = try RTCSwarm(room.configuration("ada"))
                let session = room.add(ada)
                try ada.start()
                let open = try await beforeDeadline {
                    for await event in ada.events {
                        if case .signal(let signal) = event { try room.carry(signal.json, of: session) }
                        if case .peerOpen = event { return true }
                    }
                    return false
                }
                #expect(open)
                room.remove(session)
            }
            #expect(try await bo.closed(bo.peer("ada")) == .remoteClose)
        }
    }

    @Test func timeoutsOfEvents() async throws {
        let swarm = try RTCSwarm(Room().configuration("ada"))
        // Nothing happens before the start.
        #expect(try await swarm.nextEvent(timeout: .zero) == nil)
        #expect(try await swarm.nextEvent(timeout: .seconds(-1)) == nil)
        for milliseconds in [1, 50] {
            let began = ContinuousClock.now
            #expect(try await swarm.nextEvent(timeout: .milliseconds(milliseconds)) == nil)
            let took = ContinuousClock.now - began
            #expect(took >= .milliseconds(milliseconds) && took < .seconds(10))
        }
        let patient = Task { try await swarm.nextEvent(timeout: .seconds(Int64.max)) }
        try await eventually("it waits") { swarm.handle.waiting == 1 }
        patient.cancel()
        await #expect(throws: CancellationError.self) { try await patient.value }
        // One that is in a hurry beside one that waits for ever.
        let waiting = Task { try await swarm.nextEvent() }
        try await eventually("it waits") { swarm.handle.waiting == 1 }
        #expect(try await swarm.nextEvent(timeout: .milliseconds(20)) == nil)
        #expect(swarm.handle.waiting == 1)
        try swarm.start()
        #expect(try await beforeDeadline { try await waiting.value } != nil)
        await swarm.free()
    }

    @Test func wakingUpHidesNoEvent() async throws {
        let swarm = try RTCSwarm(Room().configuration("ada"))
        try swarm.start()
        // Readable: the first signal is there.
        var descriptor: Int32 = -1
        #expect(try swarm.handle.use { rtcswarm_get_fd($0, &descriptor) } == RTCSWARM_OK)
        var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        #expect(poll(&polled, 1, 30_000) == 1)
        for _ in 1...3 {
            #expect(try swarm.handle.use { rtcswarm_wakeup($0) } == RTCSWARM_OK)
        }
        #expect(try await swarm.nextEvent(timeout: .zero) != nil)
        await swarm.free()
    }

    @Test func cancellingLosesNothing() async throws {
        try await inRoom { room in
            let bo = try room.join("bo")
            let ada = try RTCSwarm(room.configuration("ada"))
            let session = room.add(ada)
            try ada.start()
            let toBo = try await meet(ada, "bo", room, session)
            let toAda = try await bo.peer("ada")
            let total = 2000
            var got: [String] = []
            for number in 0..<total {
                let reading = Task { () -> [String] in
                    var texts: [String] = []
                    for await event in ada.events {
                        if case .text(let text) = event { texts.append(text.text) }
                        if case .signal(let signal) = event { try room.carry(signal.json, of: session) }
                    }
                    return texts
                }
                // It is cancelled about when a message comes: before, while the thread has it, or after.
                while ada.handle.waiting == 0 && !reading.isCancelled { await Task.yield() }
                #expect(try bo.swarm.sendNow("\(number)", to: toAda))
                let moment = ContinuousClock.now + .microseconds(Int.random(in: 0...200))
                while ContinuousClock.now < moment {}
                reading.cancel()
                got += try await reading.value
            }
            while got.count < total, let event = try await ada.nextEvent(timeout: .seconds(5)) {
                if case .text(let text) = event { got.append(text.text) }
            }
            #expect(got == (0..<total).map(String.init))
            // A task that is cancelled already gets nothing, and takes nothing.
            try await bo.swarm.send("last", to: toAda)
            let late = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                for await event in ada.events { Issue.record("\(event)") }
                await #expect(throws: CancellationError.self) { try await ada.nextEvent() }
            }
            await late.value
            let last = try await beforeDeadline {
                for await event in ada.events { if case .text(let text) = event { return text.text } }
                return "nothing"
            }
            #expect(last == "last")
            try ada.closePeer(toBo)
            await ada.free()
        }
    }

    @Test func severalReadersShareTheEvents() async throws {
        try await inRoom { room in
            let bo = try room.join("bo")
            let ada = try RTCSwarm(room.configuration("ada"))
            let session = room.add(ada)
            try ada.start()
            _ = try await meet(ada, "bo", room, session)
            let toAda = try await bo.peer("ada")
            let total = 1000
            let readers = (0..<3).map { _ in
                Task { () -> [Int] in
                    var numbers: [Int] = []
                    for await event in ada.events {
                        if case .text(let text) = event { numbers.append(Int(text.text)!) }
                        if case .signal(let signal) = event { try room.carry(signal.json, of: session) }
                    }
                    return numbers
                }
            }
            for number in 0..<total { try await bo.swarm.send("\(number)", to: toAda) }
            bo.swarm.close()
            try await bo.events.hasEnded()
            try await eventually("all is taken") { try ada.peers().isEmpty && ada.stats().queuedEvents == 0 }
            ada.close()
            var all: [Int] = []
            for reader in readers {
                let numbers = try await beforeDeadline { try await reader.value }
                #expect(numbers == numbers.sorted())
                all += numbers
            }
            #expect(all.sorted() == Array(0..<total))
            await ada.free()
        }
    }

    @Test func nothingIsTakenInAdvance() async throws {
        try await inRoom { room in
            let bo = try room.join("bo")
            let ada = try RTCSwarm(room.configuration("ada") { $0.receiveQueue = 100_000 })
            let session = room.add(ada)
            try ada.start()
            _ = try await meet(ada, "bo", room, session)
            let toAda = try await bo.peer("ada")
            // Far more than the queues hold: the sender is held up.
            let message = Data(count: 50_000)
            let sent = Journal<Int>()
            let sending = Task {
                for number in 0..<400 {
                    try await bo.swarm.send(message, to: toAda)
                    sent.append(number)
                }
                sent.end()
            }
            try await eventually("the sender is held up") { bo.swarm.handle.blocked == 1 }
            #expect(sent.all.count < 200)
            // Two of 50000 bytes fill the queue, and one more may be on its way into it.
            #expect(try ada.stats().queuedEvents <= 6)
            try await beforeDeadline {
                var got = 0
                for await event in ada.events {
                    if case .binary(let binary) = event {
                        #expect(binary.data.count == message.count)
                        got += 1
                        if got == 400 { break }
                    }
                }
            }
            try await sending.value
            await ada.free()
        }
    }

    @Test func allIsGivenBack() async throws {
        // Other tests run beside this one: so its own objects are looked at, and not the process. The thread keeps the handle.
        let swarm = Weak<RTCSwarm>()
        let handle = Weak<Handle>()
        do {
            let made = try RTCSwarm(Room().configuration("ada"))
            (swarm.object, handle.object) = (made, made.handle)
            try made.start()
            _ = try await made.nextEvent(timeout: .seconds(10))
        }
        #expect(swarm.object == nil)
        try await eventually("its thread has ended") { handle.object == nil }
    }
}

/// `@unchecked Sendable`: set by one task before others look, and a weak reference may be read by any.
final class Weak<Object: AnyObject>: @unchecked Sendable {
    weak var object: Object?
}

/// Takes events until that peer is open.
func meet(_ swarm: RTCSwarm, _ userID: String, _ room: Room, _ session: UInt64) async throws -> RTCSwarm.PeerID {
    try await beforeDeadline {
        for await event in swarm.events {
            if case .signal(let signal) = event { try room.carry(signal.json, of: session) }
            if case .peerOpen(let open) = event, open.userID == userID { return open.peer }
        }
        throw Failed("it ended")
    }
}
