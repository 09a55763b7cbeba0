import CRtcSwarm
import Foundation
import Testing

@testable import RTCSwarm

@Suite(.timeLimit(.minutes(2)))
struct MemoryTests {
    @Test func dataIsNotCopiedAndOutlivesItsEventAndItsSwarm() async throws {
        let message = random(200_000)
        var kept: [Data] = []
        weak var event: NativeEvent?
        try await inRoom { room in
            let bo = try room.join("bo")
            let ada = try RTCSwarm(room.configuration("ada"))
            let session = room.add(ada)
            try ada.start()
            _ = try await meet(ada, "bo", room, session)
            let toAda = try await bo.peer("ada")
            for _ in 0..<2 { try await bo.swarm.send(message, to: toAda) }
            // The first one as the library gives it.
            var raw: UnsafeMutablePointer<rtcswarm_event>?
            var data: UnsafePointer<UInt8>?
            while data == nil {
                try ada.handle.check { rtcswarm_next_event($0, 30_000, &raw) }
                let native = NativeEvent(raw!)
                guard case .binary(let binary) = Event(native) else { continue }
                (event, data) = (native, native.raw.data)
                kept.append(binary.data)
            }
            kept[0].withUnsafeBytes { #expect($0.baseAddress == UnsafeRawPointer(data!)) }
            while kept.count < 2 {
                if case .binary(let binary)? = try await ada.nextEvent(timeout: patience) { kept.append(binary.data) }
            }
            await ada.free()
        }
        #expect(kept[0] == message && kept[1] == message)
        #expect(event != nil)
        let part = Data(kept[0][10..<20])
        // Whoever changes it changes his own, at any length.
        kept[1].append(message)
        kept[1][0] ^= 1
        #expect(kept[0] == message && kept[1].count == 400_000 && kept[1].suffix(200_000) == message)
        kept[0].append(1)
        #expect(kept[0].dropLast() == message)
        #expect(event == nil, "the event goes when nothing points into it")
        #expect(part == message[10..<20])
    }

    @Test func eventsThatAreNotKeptAreGivenBack() async throws {
        try await inRoom { room in
            let (ada, bo) = (try room.join("ada"), try RTCSwarm(room.configuration("bo")))
            let session = room.add(bo)
            try bo.start()
            _ = try await meet(bo, "ada", room, session)
            let toBo = try await ada.peer("bo")
            let message = Data(count: 262_144)
            let total = 1000
            let sending = Task { for _ in 0..<total { try await ada.swarm.send(message, to: toBo) } }
            let grown = try await beforeDeadline(.seconds(90)) {
                var (got, before) = (0, 0)
                for await event in bo.events {
                    if case .binary = event { got += 1 }
                    if got == 100 && before == 0 { before = residentBytes() }
                    if got == total { break }
                }
                return residentBytes() - before
            }
            try await sending.value
            // 225 MiB went by.
            #expect(grown < 100 << 20, "\(grown >> 20) MiB")
            await bo.free()
        }
    }
}

/// Of this process; 0 where that is not told.
func residentBytes() -> Int {
    guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
        let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmRSS:") }),
        let kilobytes = line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap({ Int($0) })
    else { return 0 }
    return kilobytes << 10
}
