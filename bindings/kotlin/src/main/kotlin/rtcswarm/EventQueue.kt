package rtcswarm

import java.util.concurrent.atomic.AtomicBoolean
import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock
import kotlin.coroutines.resume
import kotlin.time.Duration.Companion.microseconds
import kotlinx.coroutines.CancellableContinuation
import kotlinx.coroutines.suspendCancellableCoroutine

/**
 * Takes the events of a swarm, one at a time and only when somebody wants one, as the library holds up the peers whose messages are
 * not taken. Who wants one looks for it on its own thread; only where there is none yet does the thread of this queue wait for it.
 * What that one has taken for a coroutine that was cancelled meanwhile, the next one gets.
 */
internal class EventQueue(
    private val handle: Handle,
    private val threadName: String,
    /** Told of each event that was taken, once, without a lock: whom it resumes may run right here. */
    private val onEvent: (Event) -> Unit,
    private val start: (Thread) -> Unit = Thread::start,
) {
    private val lock = ReentrantLock()
    private val wanted = lock.newCondition()

    /** The thread waits in the library, or is about to: nobody else may look, or events would change places. */
    private var waiting = false

    /** What the thread has taken. */
    private var taken: Result<Event>? = null
    private var waiter: CancellableContinuation<Unit>? = null
    private var thread: Thread? = null

    /** After the last event. */
    private var ended = false

    /** A coroutine takes events. */
    private val busy = AtomicBoolean()

    /** Only one of the threads uses it at a time, with the lock between. */
    private val numbers = LongArray(Native.EVENT_NUMBERS)
    private val decoder = Decoder()

    /** [take] is given the only right to take events. */
    inline fun <T> exclusive(take: () -> T): T {
        if (!busy.compareAndSet(false, true)) {
            throw BusyException("the events of this swarm are taken by somebody else; share them by shareIn")
        }
        try {
            return take()
        } finally {
            busy.set(false)
        }
    }

    /** The next event if there is one already. Throws [ClosedException] after the last one, and when the handle is released. */
    fun poll(): Event? {
        val pulled =
            lock.withLock {
                if (handle.released) {
                    taken = null
                    throw ClosedException("this swarm is closed")
                }
                taken?.let { result ->
                    taken = null
                    // The thread has told of it.
                    return result.getOrThrow()
                }
                if (ended) throw ClosedException("this swarm is closed, and its last event was taken")
                if (waiting) return null
                try {
                    pull(0)
                } catch (closed: ClosedException) {
                    ended = true
                    throw closed
                }
            }
        pulled?.let(onEvent)
        return pulled
    }

    /** Until [poll] gives something. */
    suspend fun await() {
        suspendCancellableCoroutine { continuation ->
            continuation.invokeOnCancellation { lock.withLock { if (waiter === continuation) waiter = null } }
            val ready =
                lock.withLock {
                    // A released one has no thread any more: `poll` says so.
                    if (taken != null || ended || handle.released) {
                        Result.success(Unit)
                    } else {
                        waiter = continuation
                        wake()
                    }
                }
            // Not thrown: the continuation would stay, and be resumed once more when its job is cancelled.
            ready?.let(continuation::resumeWith)
        }
    }

    /** When the handle is released: lets the thread end, and go of what it has taken. */
    fun stop() {
        val woken =
            lock.withLock {
                taken = null
                wanted.signal()
                waiter.also { waiter = null }
            }
        woken?.resume(Unit)
    }

    /** Has the thread wait, with the lock held. Gives a failure if there is none to be had, and then nobody waits. */
    private fun wake(): Result<Unit>? {
        if (waiting) return null
        waiting = true
        if (thread != null) {
            wanted.signal()
            return null
        }
        try {
            thread = Thread({ run() }, threadName).also { it.isDaemon = true }.also(start)
            return null
        } catch (failure: Throwable) {
            waiting = false
            waiter = null
            return Result.failure(failure)
        }
    }

    private fun run() {
        while (true) {
            lock.withLock {
                while (!waiting) {
                    if (handle.released) return
                    wanted.awaitUninterruptibly()
                }
            }
            val result = runCatching { pullOne() }
            val woken =
                lock.withLock {
                    waiting = false
                    when {
                        result.exceptionOrNull() is ClosedException -> ended = true
                        !handle.released -> taken = result
                    }
                    waiter.also { waiter = null }
                }
            woken?.resume(Unit)
            result.onSuccess(onEvent)
        }
    }

    private fun pullOne(): Event {
        while (true) pull(-1)?.let { return it }
    }

    /** Null if there was none in time, or none of a kind that this package knows. */
    private fun pull(timeoutMs: Int): Event? {
        while (true) {
            val status = handle.use { Native.nextEvent(it, timeoutMs, numbers).also { status -> throwUnlessDaily(status) } }
            if (status != Native.OK) return null
            return decoder.event(numbers) ?: continue
        }
    }

    private fun throwUnlessDaily(status: Int) {
        if (status != Native.TIMEOUT && status != Native.WOKEN) check(status)
    }
}

/** Makes typed events of native ones. For one thread at a time. */
private class Decoder {
    /** Of the open peers, so that not every message has to tell it. */
    private val userIds = HashMap<Long, String>()

    /** Frees the event, or gives it to the payload. Null for a kind that a newer library has. */
    fun event(numbers: LongArray): Event? {
        val pointer = numbers[Native.POINTER]
        val kind = numbers[Native.KIND].toInt()
        val hasPayload = kind == BINARY || kind == FRAME || kind == RTP
        if (!hasPayload) {
            try {
                return small(pointer, kind, numbers)
            } finally {
                Native.eventFree(pointer)
            }
        }
        val peer = PeerId(numbers[Native.PEER])
        val userId =
            try {
                userId(pointer, numbers)
            } catch (failure: Throwable) {
                Native.eventFree(pointer)
                throw failure
            }
        val payload = Payload.of(pointer, numbers[Native.LENGTH])
        val time = numbers[Native.TIME_US].microseconds
        val track = TrackId(numbers[Native.TRACK])
        val codec = Codec.of(numbers[Native.CODEC].toInt())
        val flags = numbers[Native.FLAGS].toInt()
        return when (kind) {
            BINARY -> Event.Binary(time, peer, userId, channel(numbers), payload)
            RTP -> Event.Rtp(time, peer, userId, track, codec, payload)
            else ->
                Event.Frame(
                    time,
                    peer,
                    userId,
                    track,
                    codec,
                    payload,
                    numbers[Native.RTP_TIME].toUInt(),
                    flags and KEY_FRAME_FLAG != 0,
                    flags and GAP_FLAG != 0,
                )
        }
    }

    private fun small(pointer: Long, kind: Int, numbers: LongArray): Event? {
        val time = numbers[Native.TIME_US].microseconds
        val peer = PeerId(numbers[Native.PEER])
        val track = TrackId(numbers[Native.TRACK])
        val flags = numbers[Native.FLAGS].toInt()
        val reason = Reason.of(numbers[Native.REASON].toInt())
        val state = State.of(numbers[Native.STATE].toInt())
        val status = numbers[Native.STATUS].toInt()

        fun text(which: Int) = Native.eventText(pointer, which)?.decodeToString().orEmpty()

        fun message() = text(Native.TEXT_MESSAGE)

        fun name() = text(Native.TEXT_NAME)

        fun data() = Native.eventBytes(pointer).decodeToString()

        fun userId() = userId(pointer, numbers)

        return when (kind) {
            PEER_OPEN -> {
                val userId = text(Native.TEXT_USER_ID)
                userIds[peer.value] = userId
                Event.PeerOpen(time, peer, userId, text(Native.TEXT_CONNECTION_ID), flags and NATIVE_FLAG != 0)
            }
            PEER_CLOSED -> Event.PeerClosed(time, peer, userId(), reason, message()).also { userIds.remove(peer.value) }
            PEER_FAILED -> Event.PeerFailed(time, peer, userId(), reason, message())
            PEER_STATE -> Event.PeerState(time, peer, userId(), state, numbers[Native.LENGTH])
            TEXT -> Event.Text(time, peer, userId(), channel(numbers), data())
            CHANNEL_OPEN -> Event.ChannelOpen(time, peer, userId(), channel(numbers), name(), flags and REMOTE_FLAG != 0)
            CHANNEL_CLOSED -> Event.ChannelClosed(time, peer, userId(), channel(numbers))
            WRITABLE -> Event.Writable(time, peer, userId(), channel(numbers))
            SIGNAL -> Event.Signal(time, data())
            SIGNALING_STATE -> Event.SignalingState(time, state, message())
            ERROR -> Event.Error(time, status, message())
            CLOSED -> Event.SwarmClosed(time, status, message())
            TRACK -> Event.Track(time, peer, userId(), track, name(), Kind.of(numbers[Native.MEDIA].toInt()))
            TRACK_MUTED -> Event.TrackMuted(time, peer, userId(), track, flags and MUTED_FLAG != 0)
            TRACK_ENDED -> Event.TrackEnded(time, peer, userId(), track)
            STREAM -> Event.Stream(time, peer, userId(), name(), Native.eventTracks(pointer).map(::TrackId))
            KEY_FRAME_WANTED -> Event.KeyFrameWanted(time, peer, userId(), track)
            else -> null
        }
    }

    private fun userId(pointer: Long, numbers: LongArray): String =
        userIds[numbers[Native.PEER]] ?: Native.eventText(pointer, Native.TEXT_USER_ID)?.decodeToString().orEmpty()

    private fun channel(numbers: LongArray) = ChannelId(numbers[Native.CHANNEL].toInt())

    private companion object {
        const val PEER_OPEN = 1
        const val PEER_CLOSED = 2
        const val PEER_FAILED = 3
        const val PEER_STATE = 4
        const val TEXT = 5
        const val BINARY = 6
        const val CHANNEL_OPEN = 7
        const val CHANNEL_CLOSED = 8
        const val WRITABLE = 9
        const val SIGNAL = 10
        const val SIGNALING_STATE = 11
        const val ERROR = 12
        const val CLOSED = 13
        const val TRACK = 14
        const val TRACK_MUTED = 15
        const val TRACK_ENDED = 16
        const val STREAM = 17
        const val FRAME = 18
        const val RTP = 19
        const val KEY_FRAME_WANTED = 20

        const val NATIVE_FLAG = 1
        const val REMOTE_FLAG = 2
        const val KEY_FRAME_FLAG = 4
        const val GAP_FLAG = 8
        const val MUTED_FLAG = 16
    }
}
