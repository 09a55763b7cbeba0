extension RTCSwarm {
    /// Every event, to the last.
    ///
    /// An event is taken from the library only when a task asks for it, and nothing is taken in advance. So what is not taken in
    /// time is the library's to deal with: it holds up the peers that send messages, and drops the oldest frames of media.
    ///
    /// A loop ends after ``Event/closed(_:)``, when the swarm is freed, or when its task is cancelled; cancelling loses no event.
    /// Where several tasks take events of one swarm, each event goes to one of them, and who has waited longest is next.
    public struct Events: AsyncSequence, Sendable {
        let swarm: RTCSwarm

        public func makeAsyncIterator() -> AsyncIterator {
            AsyncIterator(swarm: swarm)
        }

        public struct AsyncIterator: AsyncIteratorProtocol, Sendable {
            let swarm: RTCSwarm
            private var inARow = 0

            /// Events that a task may take in a row before other tasks have their turn.
            private static let turn = 64

            init(swarm: RTCSwarm) {
                self.swarm = swarm
            }

            public mutating func next() async -> Event? {
                await next(isolation: nil)
            }

            /// On the caller's actor, so that an event that is there costs no switch.
            public mutating func next(isolation actor: isolated (any Actor)?) async -> Event? {
                inARow += 1
                if inARow >= Self.turn {
                    inARow = 0
                    await Task.yield()
                }
                if Task.isCancelled {
                    return nil
                }
                let taken: Handle.Taken
                if let now = swarm.handle.takeNow() {
                    taken = now
                } else {
                    inARow = 0
                    taken = await swarm.handle.take(until: nil)
                }
                return if case .event(let event) = taken { event } else { nil }
            }
        }
    }

    /// The events of this swarm, for `for await`. Each call takes up where the last one ended.
    public var events: Events { Events(swarm: self) }

    /// The next event; waits for `timeout` at most, without one for as long as it takes. Nil if there was none in time.
    ///
    /// Throws ``RTCSwarmError/Code/closed`` after the last event, and `CancellationError` when the task is cancelled.
    public func nextEvent(timeout: Duration? = nil) async throws -> Event? {
        try Task.checkCancellation()
        // A clock has an end, which would be a crash.
        let deadline = timeout.map { ContinuousClock.now + min($0, .seconds(Int32.max)) }
        let taken: Handle.Taken
        if let now = handle.takeNow() {
            taken = now
        } else if let timeout, timeout <= .zero {
            taken = .late
        } else {
            taken = await handle.take(until: deadline)
        }
        switch taken {
        case .event(let event): return event
        case .late: return nil
        case .cancelled: throw CancellationError()
        case .ended(let error): throw error
        }
    }
}
