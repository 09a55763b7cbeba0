import Foundation
import Testing

/// The programs in examples/swift, which test.sh builds.
@Suite(.timeLimit(.minutes(3)))
struct ExampleTests {
    @Test func chatsMeetAndPart() async throws {
        try await withServer { server in
            let wanted = ["--expect", "2", "--timeout", "30"]
            // One leaves by a line, one by the end of its input, one stays until a signal.
            let a = try Child("chat-c", try await server.options("a") + wanted)
            let b = try Child("chat-swift", try await server.options("b") + wanted)
            let c = try Child("chat-swift", try await server.options("c") + wanted + ["--stay", "--tell-links"])
            let all = ["a": a, "b": b, "c": c]
            for (user, child) in all {
                _ = try await child.line("^\(user): complete 2$")
                for other in all.keys where other != user {
                    _ = try await child.line("^\(user): open \(other)$")
                    _ = try await child.line("^\(user): text from \(other): hello from \(other)$")
                    _ = try await child.line("^\(user): binary from \(other): 8 bytes$")
                    let number = #"([0-9]+\.[0-9]{2}ms|\?)"#
                    _ = try await child.line("^\(user): link \(other) rtt=\(number) direct sent=[0-9]+B received=[0-9]+B$")
                }
            }
            try b.say("one more line")
            _ = try await a.line("^a: text from b: one more line$")
            try a.say("leave")
            #expect(try await a.status() == 0)
            for (user, child) in [("b", b), ("c", c)] { _ = try await child.line(#"^\#(user): closed a \(remote close\)$"#) }
            try b.endInput()
            #expect(try await b.status() == 0)
            _ = try await b.line("^b: left$")
            _ = try await c.line(#"^c: closed b \(remote close\)$"#)
            c.interrupt()
            #expect(try await c.status() == 0)
            _ = try await c.line("^c: left$")
        }
    }

    @Test func chatTellsOfItsLinks() async throws {
        try await withServer { server in
            let ada = try await server.join("ada")
            let child = try Child(
                "chat-swift", try await server.options("b") + ["--expect", "1", "--timeout", "30", "--tell-links"])
            let peer = try await ada.peer("b")
            try await ada.swarm.send("hello", to: peer)
            try await ada.swarm.send(Data("rtcswarm".utf8), to: peer)
            let told = try await ada.first {
                if case .text(let text) = $0, text.text.hasPrefix("links\t") { text.text } else { nil }
            }
            #expect(told.range(of: "^links\tSwift\nada\t-?[0-9]+\tdirect\t[0-9]+\t[0-9]+\n$", options: .regularExpression) != nil)
            try child.say("leave")
            #expect(try await child.status() == 0)
            await ada.swarm.free()
        }
    }

    @Test func chatSaysWhatIsWrong() async throws {
        try await withServer { server in
            let refused = try Child("chat-swift", try await server.options("eve", token: "nonsense") + ["--expect", "1"])
            _ = try await refused.line("^eve: signaling: ")
            #expect(try await refused.status() == 2)

            let alone = try Child("chat-swift", try await server.options("alone") + ["--expect", "1", "--timeout", "0.3"])
            _ = try await alone.line("^alone: timeout: 0 of 1 ")
            #expect(try await alone.status() == 1)

            for options in [["--url", "x", "--room", "y"], ["--expect"], ["--what", "x"], try await server.options("a") + ["--expect", "x"]] {
                let asked = try Child("chat-swift", options)
                _ = try await asked.line("^usage: chat --url URL ")
                #expect(try await asked.status() == 64)
            }

            let broken = try Child("chat-swift", ["--url", "http://x", "--token", "t", "--room", "r", "--user", "u"])
            _ = try await broken.line("^u: RTCSWARM_ERR_INVALID: ")
            #expect(try await broken.status() == 1)
        }
    }

    @Test func hellosGreetEachOther() async throws {
        try await withServer { server in
            let users = ["alice", "bob", "carol", "dave"]
            var running: [String: Child] = [:]
            for user in users {
                running[user] = try Child(
                    "hello-swift", [],
                    environment: [
                        "RTCSWARM_URL": server.url, "RTCSWARM_USER": user,
                        "RTCSWARM_TOKEN": try await server.token(user),
                    ])
            }
            for (user, child) in running {
                #expect(try await child.status() == 0)
                let others = users.filter { $0 != user }
                #expect(child.lines.all.filter { $0.contains(" says ") }.sorted() == others.map { "\($0) says hello" })
            }
        }
    }
}
