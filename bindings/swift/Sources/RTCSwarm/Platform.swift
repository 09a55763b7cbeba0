#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Android)
    import Android
#else
    #error("rtcswarm needs POSIX threads")
#endif

/// A value behind a mutex, for threads that wait until it has changed.
///
/// `@unchecked Sendable`: `value` is touched only with the mutex held, which `withLock` and `Locked` see to.
final class Guarded<Value>: @unchecked Sendable {
    private var value: Value
    // Not stored inline: a mutex must not move.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init(_ value: Value) {
        self.value = value
        // With these attributes they fail only for lack of memory.
        precondition(pthread_mutex_init(mutex, nil) == 0, "no memory")
        #if canImport(Darwin)
            precondition(pthread_cond_init(condition, nil) == 0, "no memory")
        #else
            var attributes = pthread_condattr_t()
            precondition(pthread_condattr_init(&attributes) == 0, "no memory")
            defer { pthread_condattr_destroy(&attributes) }
            // The clock of `waitAtMost`, which nobody sets.
            precondition(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0, "no monotonic clock")
            precondition(pthread_cond_init(condition, &attributes) == 0, "no memory")
        #endif
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body(&value)
    }

    /// Wakes the threads in `wait`, which look again.
    func signal() {
        pthread_cond_broadcast(condition)
    }

    /// Looks at the value each time that it may have changed, until `body` gives a result; what it gives in place of one is how
    /// long to wait at most for the next look (nil: until somebody signals). Blocks the thread: not for tasks.
    func wait<Result>(_ body: (inout Value) -> Look<Result>) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while true {
            switch body(&value) {
            case .done(let result):
                return result
            case .again(nil):
                pthread_cond_wait(condition, mutex)
            case .again(let patience?):
                waitAtMost(patience)
            }
        }
    }

    /// With the mutex held.
    private func waitAtMost(_ patience: Duration) {
        let (seconds, attoseconds) = max(patience, .zero).components
        let nanoseconds = Int(attoseconds / 1_000_000_000)
        #if canImport(Darwin)
            var time = timespec(tv_sec: time_t(seconds), tv_nsec: nanoseconds)
            pthread_cond_timedwait_relative_np(condition, mutex, &time)
        #else
            var until = timespec()
            clock_gettime(CLOCK_MONOTONIC, &until)
            let sum = Int(until.tv_nsec) + nanoseconds
            until.tv_sec += time_t(seconds) + time_t(sum / 1_000_000_000)
            until.tv_nsec = .init(sum % 1_000_000_000)
            pthread_cond_timedwait(condition, mutex, &until)
        #endif
    }

    enum Look<Result> {
        case done(Result)
        case again(Duration?)
    }
}

/// Starts a thread that nobody joins. False: the system has none to give.
func startThread(_ body: @escaping @Sendable () -> Void) -> Bool {
    final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var attributes = pthread_attr_t()
    guard pthread_attr_init(&attributes) == 0 else { return false }
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    let box = Unmanaged.passRetained(Box(body))
    #if canImport(Darwin)
        var thread: pthread_t?
        let status = pthread_create(&thread, &attributes, { box in
            Unmanaged<Box>.fromOpaque(box).takeRetainedValue().body()
            return nil
        }, box.toOpaque())
    #else
        var thread = pthread_t()
        let status = pthread_create(&thread, &attributes, { box in
            box.map { Unmanaged<Box>.fromOpaque($0).takeRetainedValue().body() }
            return nil
        }, box.toOpaque())
    #endif
    if status != 0 {
        box.release()
    }
    return status == 0
}
