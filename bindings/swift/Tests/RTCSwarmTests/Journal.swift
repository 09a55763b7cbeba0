import Foundation

/// Longer than anything here should take, on a busy machine too.
let patience = Duration.seconds(30)

struct Failed: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// What has happened so far, for tasks that wait for more of it.
final class Journal<Entry: Sendable>: @unchecked Sendable {
    // Under the lock, all of them.
    private let lock = NSLock()
    private var entries: [Entry] = []
    private var hasEnded = false
    private var waiters: [UUID: CheckedContinuation<Void, Never>] = [:]

    func append(_ entry: Entry) { change { entries.append(entry) } }
    func end() { change { hasEnded = true } }
    var all: [Entry] { lock.withLock { entries } }

    private func change(_ body: () -> Void) {
        let woken = lock.withLock {
            body()
            defer { waiters.removeAll() }
            return Array(waiters.values)
        }
        woken.forEach { $0.resume() }
    }

    /// What `pick` gives for the first entry for which it gives something; waits for it.
    func first<Picked: Sendable>(
        within patience: Duration = patience, _ pick: @Sendable @escaping (Entry) -> Picked?
    ) async throws -> Picked {
        try await beforeDeadline(patience, { "what was waited for is not in \(self.all.suffix(40))" }) {
            while true {
                let (seen, ended) = self.lock.withLock { (self.entries, self.hasEnded) }
                if let picked = seen.lazy.compactMap(pick).first { return picked }
                if ended { throw Failed("ended without what was waited for: \(seen.suffix(40))") }
                try await self.more(than: seen.count)
            }
        }
    }

    func hasEnded(within patience: Duration = patience) async throws {
        try await beforeDeadline(patience, { "not at the end: \(self.all.suffix(40))" }) {
            while true {
                let (count, ended) = self.lock.withLock { (self.entries.count, self.hasEnded) }
                if ended { return }
                try await self.more(than: count)
            }
        }
    }

    private func more(than count: Int) async throws {
        let id = UUID()
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let waits = lock.withLock {
                    let waits = entries.count == count && !hasEnded && !Task.isCancelled
                    if waits { waiters[id] = continuation }
                    return waits
                }
                if !waits { continuation.resume() }
            }
        } onCancel: {
            lock.withLock { waiters.removeValue(forKey: id) }?.resume()
        }
        try Task.checkCancellation()
    }
}

/// Ends the body, by cancelling it, if it takes too long.
func beforeDeadline<Result: Sendable>(
    _ patience: Duration = patience, _ words: @Sendable @escaping () -> String = { "it took too long" },
    _ body: @Sendable @escaping () async throws -> Result
) async throws -> Result {
    try await withThrowingTaskGroup(of: Result.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await Task.sleep(for: patience)
            throw Failed(words())
        }
        defer { group.cancelAll() }
        guard let result = try await group.next() else { throw Failed("nothing ran") }
        return result
    }
}

/// Looks until it is so.
func eventually(_ words: String, _ isSo: @Sendable @escaping () throws -> Bool) async throws {
    try await beforeDeadline(patience, { "not so in time: \(words)" }) {
        while try !isSo() { try await Task.sleep(for: .milliseconds(5)) }
    }
}
