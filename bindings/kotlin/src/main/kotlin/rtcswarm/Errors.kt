package rtcswarm

/**
 * A call failed and has done nothing: nothing was queued, sent or lost. There is a subclass for each status of the C API; a
 * status that this package does not know yet comes as this class.
 */
public open class RtcSwarmException internal constructor(
    message: String,
    /** The C API's number, such as -13. */
    public val status: Int,
) : Exception(message) {
    /** The C API's name, such as `RTCSWARM_ERR_NO_PEER`. */
    public val statusName: String get() = statusName(status)
}

/** An argument or a configuration that cannot be used. */
public class InvalidArgumentException internal constructor(message: String) : RtcSwarmException(message, -10)

/** Not now: before the start, a second start, or the wrong kind of signaling. */
public class InvalidStateException internal constructor(message: String) : RtcSwarmException(message, -11)

/** The swarm is closed or closing. */
public class ClosedException internal constructor(message: String) : RtcSwarmException(message, -12)

/** No open peer has this id; it may have been right a moment ago. */
public class NoPeerException internal constructor(message: String) : RtcSwarmException(message, -13)

/** The peer has no open channel of this number. */
public class NoChannelException internal constructor(message: String) : RtcSwarmException(message, -14)

/** The message is larger than this side sends or the other side takes. */
public class TooLargeException internal constructor(message: String) : RtcSwarmException(message, -15)

/** Text that begins with `@fast` belongs to the protocol. */
public class ReservedException internal constructor(message: String) : RtcSwarmException(message, -16)

/** A signaling message that cannot be read. */
public class MalformedException internal constructor(message: String) : RtcSwarmException(message, -17)

/** The other side, or this system, cannot do this. */
public class UnsupportedException internal constructor(message: String) : RtcSwarmException(message, -18)

/** Somebody else takes the events of this swarm already. */
public class BusyException internal constructor(message: String) : RtcSwarmException(message, -19)

/** The operating system refused something. */
public class OsFailureException internal constructor(message: String) : RtcSwarmException(message, -20)

/** The swarm belongs to the process that made it, not to a fork of it. */
public class ForkedException internal constructor(message: String) : RtcSwarmException(message, -21)

/** A bug in the library was caught; the swarm is closed. */
public class InternalErrorException internal constructor(message: String) : RtcSwarmException(message, -22)

/** No track of ours, or of that peer's, has this id; it may have been right a moment ago. */
public class NoTrackException internal constructor(message: String) : RtcSwarmException(message, -24)

internal fun statusName(status: Int): String = Native.statusName(status).decodeToString()

/** Of the call of this thread that failed just now. */
internal fun errorFor(status: Int): RtcSwarmException {
    val message = Native.lastErrorMessage()?.decodeToString().orEmpty().ifEmpty { "status $status" }
    return when (status) {
        -10 -> InvalidArgumentException(message)
        -11 -> InvalidStateException(message)
        -12 -> ClosedException(message)
        -13 -> NoPeerException(message)
        -14 -> NoChannelException(message)
        -15 -> TooLargeException(message)
        -16 -> ReservedException(message)
        -17 -> MalformedException(message)
        -18 -> UnsupportedException(message)
        -19 -> BusyException(message)
        -20 -> OsFailureException(message)
        -21 -> ForkedException(message)
        -22 -> InternalErrorException(message)
        -24 -> NoTrackException(message)
        else -> RtcSwarmException(message, status)
    }
}
