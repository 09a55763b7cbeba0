// A chat: greets everybody in the room, and says what it hears. The same as chat.c, in Swift.
//
// One task takes the events with a deadline, and goes on from phase to phase; a thread reads stdin, and calls the swarm as any
// thread may.

import Dispatch
import Foundation
import RTCSwarm

struct Options {
    var url = "", token = "", room = "", user = ""
    var expect = 0
    var timeout = Duration.seconds(10)
    var stay = false, tellLinks = false

    init?(_ words: [String]) {
        var words = words[...]
        while let name = words.popFirst() {
            switch name {
            case "--stay": stay = true
            case "--tell-links": tellLinks = true
            default:
                guard let value = words.popFirst() else { return nil }
                switch name {
                case "--url": url = value
                case "--token": token = value
                case "--room": room = value
                case "--user": user = value
                case "--expect":
                    guard let number = Int(value), 0...128 ~= number else { return nil }
                    expect = number
                case "--timeout":
                    guard let seconds = Double(value), seconds > 0, seconds < 1e7 else { return nil }
                    timeout = .seconds(seconds)
                default: return nil
                }
            }
        }
        if url.isEmpty || token.isEmpty || room.isEmpty || user.isEmpty { return nil }
    }

    static let usage = """
        usage: chat --url URL --token TOKEN --room ROOM --user NAME
                    [--expect N]         wait for N peers and their greetings, then print the links to them
                    [--timeout SECONDS]  for that; default 10
                    [--tell-links]       every second, tell the others of the links, for the page of `make demo HOLD=1`
                    [--stay]             run until interrupted; else a line "leave" or the end of stdin ends it
        """
}

/// Lines come at once, also into a pipe.
func printLine(_ line: String, to file: FileHandle) {
    file.write(Data((line + "\n").utf8))
}

struct Peer {
    let id: RTCSwarm.PeerID
    let name: String
    var text = false, binary = false
}

struct Chat {
    enum Phase { case meeting, measuring, complete, ended }

    static let measurePatience = Duration.seconds(3)
    static let tellInterval = Duration.seconds(1)

    let swarm: RTCSwarm
    let options: Options
    var peers: [Peer] = []
    var phase = Phase.meeting
    /// Of the phase.
    var deadline: ContinuousClock.Instant?
    var exitCode: Int32 = 0

    func say(_ line: String) { printLine("\(options.user): \(line)", to: .standardOutput) }
    func complain(_ line: String) { printLine("\(options.user): \(line)", to: .standardError) }

    var greeted: Int { peers.count { $0.text && $0.binary } }
    var isLate: Bool { deadline.map { $0 <= .now } ?? false }

    mutating func enter(_ next: Phase, for patience: Duration?) {
        phase = next
        deadline = patience.map { .now + $0 }
    }

    mutating func run() async throws -> Int32 {
        enter(.meeting, for: options.expect > 0 ? options.timeout : nil)
        if options.expect == 0 { readStdin() }
        while phase != .ended {
            // Statistics have no event.
            let wait = phase == .measuring ? .milliseconds(20) : deadline.map { ContinuousClock.now.duration(to: $0) }
            if let event = try await swarm.nextEvent(timeout: wait) { try await hear(event) }
            proceed()
        }
        return exitCode
    }

    mutating func leave(_ code: Int32) {
        exitCode = code
        deadline = nil
        swarm.close()  // the closed event follows
    }

    mutating func hear(_ event: RTCSwarm.Event) async throws {
        switch event {
        case .peerOpen(let open):
            say("open \(open.userID)")
            peers.append(Peer(id: open.peer, name: open.userID))
            do {
                try await swarm.send("hello from \(options.user)", to: open.peer)
                try await swarm.send(Data("rtcswarm".utf8), to: open.peer)
            } catch let error as RTCSwarmError {
                complain("greeting: \(error)")  // it is gone again, perhaps
            }
        case .peerClosed(let closed):
            say("closed \(closed.userID) (\(closed.reason))")
            peers.removeAll { $0.id == closed.peer }
        case .peerFailed(let failed):
            complain("no connection to \(failed.userID): \(failed.message)")
        case .text(let text) where text.text.hasPrefix("links\t"):
            break  // not for us: see tellLinks()
        case .text(let text):
            say("text from \(text.userID): \(text.text)")
            if let index = peers.firstIndex(where: { $0.id == text.peer }) { peers[index].text = true }
        case .binary(let binary):
            say("binary from \(binary.userID): \(binary.data.count) bytes")
            if let index = peers.firstIndex(where: { $0.id == binary.peer }) { peers[index].binary = true }
        case .signalingState(let signaling) where signaling.state != .connected:
            complain("signaling: \(signaling.message)")
            if signaling.state == .refused { leave(2) }
        case .error(let problem):
            complain("\(problem.error)")
        case .closed:
            enter(.ended, for: nil)
        default:  // later versions may have more to say
            break
        }
    }

    /// Goes on to the next phase when it is time to.
    mutating func proceed() {
        if phase == .meeting && options.expect > 0 && greeted >= options.expect {
            enter(.measuring, for: Self.measurePatience)
        }
        if phase == .meeting && isLate {
            complain("timeout: \(peers.count) of \(options.expect) peers open, \(greeted) of them with both greetings")
            leave(1)
        }
        if phase == .measuring && (isLate || peers.allSatisfy { stats(of: $0)?.roundTrip != nil }) {
            printLinks()
            say("complete \(options.expect)")
            enter(.complete, for: options.tellLinks ? Self.tellInterval : nil)
            readStdin()
        }
        if phase == .complete && isLate {
            tellLinks()
            enter(.complete, for: Self.tellInterval)
        }
    }

    /// Nil when the peer has just gone.
    func stats(of peer: Peer) -> RTCSwarm.PeerStats? { try? swarm.peerStats(peer.id) }

    func printLinks() {
        for peer in peers {
            guard let stats = stats(of: peer) else { continue }
            let roundTrip = stats.roundTrip.map { String(format: "%.2fms", $0 / .milliseconds(1)) } ?? "?"
            let way = stats.isRelayed ? "relayed" : "direct"
            say("link \(peer.name) rtt=\(roundTrip) \(way) sent=\(stats.bytesSent)B received=\(stats.bytesReceived)B")
        }
    }

    /// For the page: a line with "links" and what we are; then one each link, with its round trip in us and bytes.
    func tellLinks() {
        var text = "links\tSwift\n"
        for peer in peers {
            guard let stats = stats(of: peer) else { continue }
            let roundTrip = stats.roundTrip.map { Int($0 / .microseconds(1)) } ?? -1
            let way = stats.isRelayed ? "relayed" : "direct"
            text += "\(peer.name)\t\(roundTrip)\t\(way)\t\(stats.bytesSent)\t\(stats.bytesReceived)\n"
        }
        // Who has no room for it hears the next one.
        _ = try? swarm.broadcast(text)
    }

    /// Lines of stdin: "leave" leaves, others are said to everybody.
    func readStdin() {
        if options.stay { return }
        Thread.detachNewThread { [swarm, user = options.user] in
            while let line = readLine(), line != "leave" {
                do {
                    try swarm.broadcast(line)
                } catch {
                    printLine("\(user): \(error)", to: .standardError)
                }
            }
            swarm.close()
        }
    }
}

guard let options = Options(Array(CommandLine.arguments.dropFirst())) else {
    printLine(Options.usage, to: .standardError)
    exit(64)
}
do {
    let swarm = try RTCSwarm(
        room: options.room, userID: options.user, signaling: .webSocket(options.url, token: options.token))
    let interrupts = [SIGINT, SIGTERM].map { number in
        signal(number, SIG_IGN)  // the source hears of it all the same
        let source = DispatchSource.makeSignalSource(signal: number)
        source.setEventHandler { swarm.close() }
        source.resume()
        return source
    }
    try swarm.start()
    var chat = Chat(swarm: swarm, options: options)
    let exitCode = try await chat.run()
    await swarm.free()
    interrupts.forEach { $0.cancel() }
    if exitCode == 0 { chat.say("left") }
    // Not exit(), which waits for the thread that reads stdin. What was said is written.
    _exit(exitCode)
} catch {
    printLine("\(options.user): \(error)", to: .standardError)
    exit(1)
}
