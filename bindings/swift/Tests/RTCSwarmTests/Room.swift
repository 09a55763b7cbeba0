import CRtcSwarm
import Foundation

@testable import RTCSwarm

typealias Event = RTCSwarm.Event

/// A room in one process: the library's hub is its server, and this carries the signals.
final class Room: @unchecked Sendable {
    // Under the lock, all of them.
    private let lock = NSLock()
    private let hub: OpaquePointer
    private var swarms: [UInt64: RTCSwarm] = [:]
    private var members: [Member] = []

    init() {
        var made: OpaquePointer?
        precondition(rtcswarm_hub_new(nil, &made) == RTCSWARM_OK)
        hub = made!
    }

    deinit { rtcswarm_hub_free(hub) }

    /// A swarm whose signals somebody else takes and gives to `carry`.
    func add(_ swarm: RTCSwarm) -> UInt64 {
        lock.withLock {
            var session: UInt64 = 0
            precondition(rtcswarm_hub_connect(hub, swarm.userID, nil, 0, &session) == RTCSWARM_OK)
            swarms[session] = swarm
            return session
        }
    }

    func remove(_ session: UInt64) {
        lock.withLock { swarms[session] = nil }
    }

    func carry(_ json: String, of session: UInt64) throws {
        try lock.withLock {
            precondition(rtcswarm_hub_receive(hub, session, json, json.utf8.count) == RTCSWARM_OK)
            var output: UnsafeMutablePointer<rtcswarm_hub_output>?
            while rtcswarm_hub_next_output(hub, &output) == RTCSWARM_OK, let raw = output {
                defer { rtcswarm_hub_output_free(raw) }
                guard raw.pointee.kind == RTCSWARM_HUB_SEND, let swarm = swarms[raw.pointee.session] else { continue }
                do {
                    guard try swarm.dispatchNow(String(cString: raw.pointee.text)) else {
                        throw Failed("\(swarm.userID) has too many signals to deal with")
                    }
                } catch let error as RTCSwarmError where error.code == .closed {
                    swarms[raw.pointee.session] = nil
                }
            }
        }
    }

    /// A member whose events are taken as they come.
    func join(
        _ userID: String, _ configure: (inout RTCSwarm.Configuration) -> Void = { _ in },
        before: (RTCSwarm) throws -> Void = { _ in }
    ) throws -> Member {
        let swarm = try RTCSwarm(configuration(userID, configure))
        try before(swarm)
        let member = Member(swarm, self, add(swarm))
        try swarm.start()
        lock.withLock { members.append(member) }
        return member
    }

    func configuration(
        _ userID: String, _ configure: (inout RTCSwarm.Configuration) -> Void = { _ in }
    ) -> RTCSwarm.Configuration {
        var configuration = RTCSwarm.Configuration(room: "room", userID: userID)
        configuration.bindAddresses = ["127.0.0.1"]
        configure(&configuration)
        return configuration
    }

    func leave() async {
        let leaving = lock.withLock { () -> [Member] in
            defer { members.removeAll() }
            swarms.removeAll()
            return members
        }
        for member in leaving { await member.swarm.free() }
    }
}

/// A room for the time of the body.
func inRoom(_ body: (Room) async throws -> Void) async throws {
    let room = Room()
    do {
        try await body(room)
    } catch {
        await room.leave()
        throw error
    }
    await room.leave()
}

/// A swarm whose events a task takes and keeps.
final class Member: Sendable {
    let swarm: RTCSwarm
    let session: UInt64
    let events = Journal<Event>()

    init(_ swarm: RTCSwarm, _ room: Room?, _ session: UInt64 = 0) {
        self.swarm = swarm
        self.session = session
        Task { [events] in
            for await event in swarm.events {
                if let room, case .signal(let signal) = event {
                    try room.carry(signal.json, of: session)
                } else {
                    events.append(event)
                }
            }
            events.end()
        }
    }

    func first<Picked: Sendable>(_ pick: @Sendable @escaping (Event) -> Picked?) async throws -> Picked {
        try await events.first(pick)
    }

    func peer(_ userID: String) async throws -> RTCSwarm.PeerID {
        try await first { if case .peerOpen(let open) = $0, open.userID == userID { open.peer } else { nil } }
    }

    func closed(_ peer: RTCSwarm.PeerID) async throws -> RTCSwarm.Reason {
        try await first { if case .peerClosed(let closed) = $0, closed.peer == peer { closed.reason } else { nil } }
    }

    func text(_ text: String) async throws -> RTCSwarm.Text {
        try await first { if case .text(let got) = $0, got.text == text { got } else { nil } }
    }

    func binary(_ data: Data) async throws -> RTCSwarm.Binary {
        try await first { if case .binary(let got) = $0, got.data == data { got } else { nil } }
    }
}

func random(_ count: Int) -> Data {
    var generator = SystemRandomNumberGenerator()
    var data = Data(capacity: count)
    while data.count < count {
        withUnsafeBytes(of: generator.next()) { data.append(contentsOf: $0.prefix(count - data.count)) }
    }
    return data
}

/// The code of what a call throws.
func code(_ call: () throws -> Any) -> RTCSwarmError.Code? {
    do {
        _ = try call()
        return nil
    } catch {
        return (error as? RTCSwarmError)?.code
    }
}
