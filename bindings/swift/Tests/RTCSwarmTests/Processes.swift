import Foundation

@testable import RTCSwarm

/// What bindings/swift/test.sh builds and puts there: the signaling server, and peers in C and in Swift.
func program(_ name: String) throws -> String {
    guard let folder = ProcessInfo.processInfo.environment["RTCSWARM_TEST_PROGRAMS"] else {
        throw Failed("RTCSWARM_TEST_PROGRAMS is not set: run bindings/swift/test.sh")
    }
    return "\(folder)/\(name)"
}

/// Of the repository.
let examples = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../../../examples").standardized

/// A child whose lines, of both outputs, are collected as they come.
final class Child: Sendable {
    let lines = Journal<String>()
    private let process: Process
    private let input: Pipe
    private static let spawning = NSLock()

    init(_ name: String, _ arguments: [String], environment: [String: String] = [:]) throws {
        process = Process()
        process.executableURL = URL(fileURLWithPath: try program(name))
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let process = self.process
        let input: Pipe, output: Pipe
        (input, output) = try Self.spawning.withLock {
            let (input, output) = (Pipe(), Pipe())
            process.standardInput = input
            process.standardOutput = output
            process.standardError = output
            // Or other children would keep them open, and an end of input or output would be none.
            for file in [input, output].flatMap({ [$0.fileHandleForReading, $0.fileHandleForWriting] }) {
                guard fcntl(file.fileDescriptor, F_SETFD, FD_CLOEXEC) == 0 else { throw Failed("fcntl") }
            }
            // A task's thread lets no signal through, which a child would inherit.
            var none = sigset_t(), before = sigset_t()
            sigemptyset(&none)
            pthread_sigmask(SIG_SETMASK, &none, &before)
            defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
            try process.run()
            return (input, output)
        }
        self.input = input
        let lines = self.lines
        Thread.detachNewThread {
            var rest = Data()
            while true {
                let some = output.fileHandleForReading.availableData
                if some.isEmpty { break }
                rest.append(some)
                while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                    lines.append(String(decoding: rest[..<end], as: UTF8.self))
                    rest = Data(rest[(end + 1)...])
                }
            }
            lines.end()
        }
    }

    deinit {
        if process.isRunning { process.terminate() }
    }

    func line(_ pattern: String) async throws -> String {
        try await lines.first { $0.range(of: pattern, options: .regularExpression) == nil ? nil : $0 }
    }

    func say(_ line: String) throws {
        try input.fileHandleForWriting.write(contentsOf: Data((line + "\n").utf8))
    }

    func endInput() throws { try input.fileHandleForWriting.close() }
    func interrupt() { process.terminate() }

    /// Its exit status, once it has ended and all of its lines are there.
    func status() async throws -> Int32 {
        try await lines.hasEnded()
        try await eventually("\(process.executableURL!.lastPathComponent) has ended") { !self.process.isRunning }
        return process.terminationStatus
    }
}

/// The signaling server, in a process of its own.
struct Server {
    let child: Child
    let url: String
    private let secret: URL

    init() async throws {
        secret = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        guard
            FileManager.default.createFile(
                atPath: secret.path, contents: Data((UUID().uuidString + UUID().uuidString).utf8),
                attributes: [.posixPermissions: 0o600])
        else { throw Failed("no file for the secret") }
        child = try Child("rtcswarm-server", ["--listen", "127.0.0.1:0", "--jwt-secret-file", secret.path])
        url = String(try await child.line("^listening on ").dropFirst("listening on ".count))
    }

    func token(_ userID: String, room: String = "lobby", ttl: String = "1h") async throws -> String {
        let signer = try Child(
            "rtcswarm-server",
            ["token", "--secret-file", secret.path, "--user", userID, "--room", room, "--ttl", ttl])
        let token = try await signer.line(#"^\S+\.\S+\.\S+$"#)
        guard try await signer.status() == 0 else { throw Failed("no token") }
        return token
    }

    func stop() async throws {
        child.interrupt()
        _ = try await child.status()
        try FileManager.default.removeItem(at: secret)
    }

    /// What the programs want to hear.
    func options(_ userID: String, token: String? = nil) async throws -> [String] {
        let bearer = if let token { token } else { try await self.token(userID) }
        return ["--url", url, "--token", bearer, "--room", "lobby", "--user", userID]
    }

    /// A member in this process.
    func join(_ userID: String, before: (RTCSwarm) throws -> Void = { _ in }) async throws -> Member {
        let swarm = try RTCSwarm(
            room: "lobby", userID: userID, signaling: .webSocket(url, token: try await token(userID)))
        try before(swarm)
        let member = Member(swarm, nil)
        try swarm.start()
        return member
    }
}

/// A server for the time of the body.
func withServer(_ body: (Server) async throws -> Void) async throws {
    let server = try await Server()
    do {
        try await body(server)
    } catch {
        try? await server.stop()
        throw error
    }
    try await server.stop()
}
