import CRtcSwarm

extension RTCSwarm {
    /// Graver ones are smaller.
    public enum LogLevel: Int32, Sendable {
        case error = 1
        case warn = 2
        case info = 3
        case debug = 4
        case trace = 5
    }

    /// The level, where in the library, and the message.
    public typealias LogHandler = @Sendable (_ level: LogLevel, _ target: String, _ message: String) -> Void

    /// Hears the library's log, of the whole process: messages of `level` and graver ones. Without a handler the library is
    /// silent: it never prints.
    ///
    /// It is called on threads of the library and of swarms, and on tasks that take events, several at a time. It must not call the
    /// library.
    public static func setLogHandler(_ level: LogLevel, _ handler: @escaping LogHandler) throws(RTCSwarmError) {
        let box = Unmanaged.passRetained(LogBox(handler))
        let status = rtcswarm_set_log_callback(
            level.rawValue,
            { level, target, message, box in
                guard let box, let target, let message else { return }
                let handler = Unmanaged<LogBox>.fromOpaque(box).takeUnretainedValue().handler
                handler(LogLevel(rawValue: level) ?? .error, String(cString: target), String(cString: message))
            },
            box.toOpaque(),
            { box in box.map { Unmanaged<LogBox>.fromOpaque($0).release() } }
        )
        if status != RTCSWARM_OK {
            box.release()
        }
        try RTCSwarmError.check(status)
    }

    /// Silence, as at first. The handler is let go when it is not running any more.
    public static func removeLogHandler() {
        rtcswarm_set_log_callback(0, nil, nil, nil)
    }
}

private final class LogBox: Sendable {
    let handler: RTCSwarm.LogHandler

    init(_ handler: @escaping RTCSwarm.LogHandler) {
        self.handler = handler
    }
}
