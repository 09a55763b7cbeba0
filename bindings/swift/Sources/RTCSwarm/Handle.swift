import CRtcSwarm

/// The native swarm with its one thread, and who waits for what.
///
/// The thread waits in `rtcswarm_next_event` while a task wants an event and there is none, and at no other time: what nobody
/// wants stays in the library, which then holds up the peers that send it. At the end the thread frees the swarm, for which it
/// may have to wait, as a task must not.
///
/// `@unchecked Sendable`: `pointer` never changes, the library takes it from any thread, and `use` sees to it that it is freed
/// after the last call with it. All else is in `state`, under its lock.
final class Handle: @unchecked Sendable {
    private let pointer: OpaquePointer
    private let state = Guarded(State())

    struct Key: Hashable {
        let peer: RTCSwarm.PeerID
        let channel: RTCSwarm.ChannelID
    }

    /// What became of the wish for an event.
    enum Taken: Sendable {
        case event(RTCSwarm.Event)
        case late
        case cancelled
        case ended(RTCSwarmError)
    }

    private struct Reader {
        let id: UInt64
        let deadline: ContinuousClock.Instant?
        let continuation: CheckedContinuation<Taken, Never>
    }

    private struct Writer {
        let id: UInt64
        let key: Key
        let lookAgain: ContinuousClock.Instant
        let continuation: CheckedContinuation<Void, Never>
    }

    private struct State {
        /// Calls that have the pointer now, but for `rtcswarm_next_event`.
        var calls = 0
        /// Somebody, the thread or a task, is in `rtcswarm_next_event`. One at a time, or events would change their order.
        var isTaking = false
        /// An event that was taken for a task which was cancelled meanwhile: the next one's.
        var left: RTCSwarm.Event?
        /// What there is in place of further events.
        var end: RTCSwarmError?
        var readers: [Reader] = []
        var writers: [Writer] = []
        /// How often a channel has become writable, or was gone.
        var changes: UInt64 = 0
        var lastID: UInt64 = 0
        var isReleased = false
        var isFreed = false
        var awaitingFree: [CheckedContinuation<Void, Never>] = []

        mutating func newID() -> UInt64 {
            lastID += 1
            return lastID
        }
    }

    /// Continuations that are to be resumed without the lock.
    private typealias Wakes = [() -> Void]

    /// How long a task waits for a channel to be writable, if nobody takes the event that says so, until it looks for itself.
    private static let lookAgain = Duration.milliseconds(20)

    init(_ config: OpaquePointer) throws(RTCSwarmError) {
        var made: OpaquePointer?
        try RTCSwarmError.check(rtcswarm_new(config, &made))
        guard let made else { throw RTCSwarmError(.panic, "the library gave no swarm") }
        pointer = made
        if !startThread({ self.run() }) {
            rtcswarm_free(made)
            throw RTCSwarmError(.io, "there is no thread to be had for the swarm")
        }
    }

    // MARK: Calls

    func use<Result>(_ call: (OpaquePointer) -> Result) throws(RTCSwarmError) -> Result {
        let isOpen = state.withLock { state in
            if !state.isReleased {
                state.calls += 1
            }
            return !state.isReleased
        }
        guard isOpen else { throw .isClosed }
        defer {
            let isLast = state.withLock { state in
                state.calls -= 1
                return state.calls == 0 && state.isReleased
            }
            if isLast {
                state.signal()
            }
        }
        return call(pointer)
    }

    func check(_ call: (OpaquePointer) -> Int32) throws(RTCSwarmError) {
        try RTCSwarmError.check(use(call))
    }

    // MARK: The end

    /// No call begins from now on. The swarm is closed and freed by its thread.
    func release() {
        state.withLock { state in
            guard !state.isReleased else { return }
            state.isReleased = true
            rtcswarm_wakeup(pointer)
        }
        state.signal()
    }

    /// Returns when all is given back. After `release`.
    func freed() async {
        await withCheckedContinuation { continuation in
            let isFreed = state.withLock { state in
                if !state.isFreed {
                    state.awaitingFree.append(continuation)
                }
                return state.isFreed
            }
            if isFreed {
                continuation.resume()
            }
        }
    }

    // MARK: Events

    /// The next event, if it is there, or if there will be none. Nil: it has to be waited for.
    func takeNow() -> Taken? {
        enum Step {
            case done(Taken?)
            case pull
        }
        let step = state.withLock { state -> Step in
            if state.isReleased {
                return .done(.ended(.isClosed))
            }
            if let event = state.left {
                state.left = nil
                return .done(.event(event))
            }
            if let end = state.end {
                return .done(.ended(end))
            }
            if state.isTaking || !state.readers.isEmpty {
                return .done(nil)
            }
            state.isTaking = true
            return .pull
        }
        switch step {
        case .done(let taken):
            return taken
        case .pull:
            let pulled = pull(0)
            var wakes: Wakes = []
            let (taken, others) = state.withLock { state -> (Taken?, Bool) in
                state.isTaking = false
                let others = !state.readers.isEmpty || state.isReleased
                switch pulled {
                case .nothing:
                    return (nil, others)
                case .failed(let error):
                    state.end = error
                    return (.ended(error), others)
                case .event(let event):
                    notice(event, &state, &wakes)
                    return (.event(event), others)
                }
            }
            if others {
                state.signal()
            }
            wakes.forEach { $0() }
            return taken
        }
    }

    /// The next event. Who came first gets it first.
    func take(until deadline: ContinuousClock.Instant?) async -> Taken {
        let id = state.withLock { $0.newID() }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                wait(Reader(id: id, deadline: deadline, continuation: continuation))
            }
        } onCancel: {
            cancelReader(id)
        }
    }

    private func wait(_ reader: Reader) {
        let instead = state.withLock { state -> Taken? in
            // A cancellation that comes after this look finds the reader in the list.
            if Task.isCancelled {
                return .cancelled
            }
            if state.isReleased {
                return .ended(.isClosed)
            }
            if let event = state.left {
                state.left = nil
                return .event(event)
            }
            if let end = state.end {
                return .ended(end)
            }
            state.readers.append(reader)
            if state.isTaking && reader.deadline != nil {
                // The thread waits for somebody's event already, and perhaps for longer.
                rtcswarm_wakeup(pointer)
            }
            return nil
        }
        if let instead {
            reader.continuation.resume(returning: instead)
        } else {
            state.signal()
        }
    }

    private func cancelReader(_ id: UInt64) {
        let reader = state.withLock { state -> Reader? in
            guard let index = state.readers.firstIndex(where: { $0.id == id }) else { return nil }
            if state.readers.count == 1 && state.isTaking {
                // Nobody wants what the thread waits for.
                rtcswarm_wakeup(pointer)
            }
            return state.readers.remove(at: index)
        }
        reader?.continuation.resume(returning: .cancelled)
    }

    /// Tasks that wait for an event.
    var waiting: Int { state.withLock { $0.readers.count } }

    /// Tasks that wait for room to send.
    var blocked: Int { state.withLock { $0.writers.count } }

    // MARK: Back-pressure

    /// Tries until it is true, each time that the channel may have become writable.
    func untilDone(_ key: Key, _ attempt: () throws(RTCSwarmError) -> Bool) async throws {
        while true {
            let changes = state.withLock { $0.changes }
            if try attempt() {
                return
            }
            try await awaitChange(key, since: changes)
        }
    }

    private func awaitChange(_ key: Key, since changes: UInt64) async throws {
        let id = state.withLock { $0.newID() }
        let lookAgain = ContinuousClock.now + Self.lookAgain
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let writer = Writer(id: id, key: key, lookAgain: lookAgain, continuation: continuation)
                let waits = state.withLock { state in
                    let waits = !Task.isCancelled && !state.isReleased && state.changes == changes
                    if waits {
                        state.writers.append(writer)
                    }
                    return waits
                }
                if waits {
                    state.signal()
                } else {
                    continuation.resume()
                }
            }
        } onCancel: {
            let writer = state.withLock { state in
                state.writers.firstIndex { $0.id == id }.map { state.writers.remove(at: $0) }
            }
            writer?.continuation.resume()
        }
        try Task.checkCancellation()
    }

    private func notice(_ event: RTCSwarm.Event, _ state: inout State, _ wakes: inout Wakes) {
        let concerned: (Key) -> Bool
        switch event {
        case .writable(let event):
            concerned = { $0 == Key(peer: event.peer, channel: event.channel) }
        case .channelClosed(let event):
            concerned = { $0 == Key(peer: event.peer, channel: event.channel) }
        case .peerClosed(let event):
            concerned = { $0.peer == event.peer }
        case .closed:
            concerned = { _ in true }
        default:
            return
        }
        state.changes += 1
        wake(&state, &wakes) { concerned($0.key) }
    }

    private func wake(_ state: inout State, _ wakes: inout Wakes, _ concerned: (Writer) -> Bool) {
        state.writers.removeAll { writer in
            guard concerned(writer) else { return false }
            wakes.append { writer.continuation.resume() }
            return true
        }
    }

    // MARK: The thread

    private enum Pulled {
        case event(RTCSwarm.Event)
        case nothing
        case failed(RTCSwarmError)
    }

    private func pull(_ milliseconds: Int32) -> Pulled {
        var raw: UnsafeMutablePointer<rtcswarm_event>?
        var status = rtcswarm_next_event(pointer, milliseconds, &raw)
        // A wake of earlier, whose wait was over already, says nothing about what is there.
        while milliseconds == 0 && status == RTCSWARM_WOKEN {
            status = rtcswarm_next_event(pointer, milliseconds, &raw)
        }
        switch status {
        case RTCSWARM_OK:
            guard let raw else { return .nothing }
            return .event(RTCSwarm.Event(NativeEvent(raw)))
        case RTCSWARM_TIMEOUT, RTCSWARM_WOKEN:
            return .nothing
        default:
            return .failed(.ofLastCall(status))
        }
    }

    private func run() {
        enum Task {
            case pull(Int32)
            case free
        }
        while true {
            var wakes: Wakes = []
            let task = state.wait { state -> Guarded<State>.Look<Task?> in
                let now = ContinuousClock.now
                self.wakeLate(now, &state, &wakes)
                if !wakes.isEmpty {
                    return .done(nil)
                }
                if state.isReleased {
                    return state.calls == 0 && !state.isTaking ? .done(.free) : .again(nil)
                }
                if !state.readers.isEmpty && !state.isTaking && state.end == nil {
                    state.isTaking = true
                    let deadline = state.readers.compactMap(\.deadline).min()
                    return .done(.pull(deadline.map { now.duration(to: $0).wholeMilliseconds } ?? -1))
                }
                return .again(state.writers.map(\.lookAgain).min().map { now.duration(to: $0) })
            }
            switch task {
            case nil:
                break
            case .pull(let milliseconds):
                settle(pull(milliseconds), &wakes)
            case .free:
                rtcswarm_free(pointer)
                wakes = state.withLock { state in
                    state.isFreed = true
                    state.left = nil
                    return state.awaitingFree.map { continuation in { continuation.resume() } }
                }
            }
            wakes.forEach { $0() }
            if case .free = task {
                return
            }
        }
    }

    /// Those whose time is over, or all of them when the swarm is released.
    private func wakeLate(_ now: ContinuousClock.Instant, _ state: inout State, _ wakes: inout Wakes) {
        let isReleased = state.isReleased
        let end = isReleased ? RTCSwarmError.isClosed : state.end
        state.readers.removeAll { reader in
            let taken: Taken
            if let end {
                taken = .ended(end)
            } else if let deadline = reader.deadline, deadline <= now {
                taken = .late
            } else {
                return false
            }
            wakes.append { reader.continuation.resume(returning: taken) }
            return true
        }
        wake(&state, &wakes) { isReleased || $0.lookAgain <= now }
    }

    private func settle(_ pulled: Pulled, _ wakes: inout Wakes) {
        state.withLock { state in
            state.isTaking = false
            switch pulled {
            case .nothing:
                break
            case .failed(let error):
                state.end = error
            case .event(let event):
                notice(event, &state, &wakes)
                if state.readers.isEmpty {
                    state.left = event
                } else {
                    let reader = state.readers.removeFirst()
                    wakes.append { reader.continuation.resume(returning: .event(event)) }
                }
            }
        }
    }
}

extension Duration {
    /// Rounded up, so that a short wait does not become a busy one; 0 for none, and no more than C takes.
    var wholeMilliseconds: Int32 {
        let (seconds, attoseconds) = components
        if self <= .zero {
            return 0
        }
        if seconds >= Int64(Int32.max) / 1000 {
            return Int32.max
        }
        return Int32(seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }
}
