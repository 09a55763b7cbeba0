package rtcswarm

import java.nio.ByteBuffer
import java.util.concurrent.atomic.AtomicInteger
import kotlin.concurrent.thread
import kotlin.time.Duration
import kotlin.time.Duration.Companion.microseconds
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.delay
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.FlowCollector
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.withTimeoutOrNull
import kotlinx.coroutines.yield

/**
 * A member of a room, connected to each other member.
 *
 * ```
 * Swarm("lobby", "alice", url, token).use { swarm ->
 *     swarm.start()
 *     swarm.events.collect { event -> … }
 * }
 * ```
 *
 * Every function may be called from any thread. Those that are not `suspend` do not wait, but for [close]. After [close] they throw
 * [ClosedException]. A swarm that is garbage closes itself.
 */
public class Swarm(config: SwarmConfig) : AutoCloseable {
    public val room: String = config.room
    public val userId: String = config.userId
    private val core = Core(Handle(config.create()), "rtcswarm-$userId")
    private val watch = watchOver(this, core)

    /** The same, with the config made here. Without a URL the caller carries the signals. */
    public constructor(
        room: String,
        userId: String,
        signaling: String? = null,
        token: String? = null,
        configure: SwarmConfig.() -> Unit = {},
    ) : this(
        SwarmConfig(room, userId)
            .apply {
                this.signaling = signaling
                this.token = token
            }.apply(configure),
    )

    // Life

    /** Joins the room. No event comes before. Once. */
    public fun start(): Unit = core.handle.use { check(Native.start(it)) }

    /**
     * Another token for the library's own signaling connection, such as one that lasts longer: for the sessions to come, and at once
     * after [State.REFUSED]. Open peers are not touched.
     */
    public fun setToken(token: String) {
        val bytes = encode(token, "token")
        core.handle.use { check(Native.setToken(it, bytes)) }
    }

    /**
     * These STUN and TURN servers, and no others, from now on: for TURN credentials that are good for a time only, before it is over, or
     * when an [Event.Error] says `RTCSWARM_ERR_ICE_SERVER`. Links go on, and spare offers are made anew.
     */
    public fun setIceServers(servers: List<IceServer>): Unit =
        SwarmConfig.withIceServers(servers) { config -> core.handle.use { check(Native.setIceServers(it, config)) } }

    /** One message of the signaling server, where the caller carries them. False: not now, try again soon. */
    public fun tryDispatch(json: String): Boolean {
        val bytes = utf8(json, "json")
        return core.handle.use { unlessFull(Native.dispatch(it, bytes)) }
    }

    /** [tryDispatch] that waits until the swarm has dealt with the messages before. */
    public suspend fun dispatch(json: String) {
        while (!tryDispatch(json)) delay(DISPATCH_AGAIN)
    }

    /**
     * Leaves the room: tells the peers and the server, and sends what is queued. Returns at once; [Event.SwarmClosed] follows as the
     * last event. Idempotent, and nothing after [close].
     */
    public fun leave() {
        if (core.handle.released) return
        try {
            core.handle.use { check(Native.close(it)) }
        } catch (closed: ClosedException) {
            // Closed in this very moment.
            if (!core.handle.released) throw closed
        }
    }

    /**
     * Gives everything back, leaving first. Collectors of [events] come to their end, without further events. Returns when sockets and
     * memory are given back, which takes as long as the goodbyes need to leave: mostly milliseconds, and [Timeouts.close] and two
     * seconds at most. So not on a thread that must not wait. Idempotent.
     */
    override fun close() {
        watch.cancel()
        core.release()
    }

    override fun toString(): String = "Swarm($userId in $room)"

    // Events

    /**
     * Every event, from the next one to the last ([Event.SwarmClosed]), or until [close]. They are taken from the library as they are
     * collected: who is slow holds up the peers that send to it, and a `buffer()` behind it takes that away. For one collector at a time
     * ([BusyException]); the next one goes on where the one before has stopped, and none is lost between them. Share it by `shareIn` where
     * there are several.
     */
    public val events: Flow<Event> =
        // Not `flow { }`, which looks for a cancellation between the taking of an event and its collector.
        object : Flow<Event> {
            override suspend fun collect(collector: FlowCollector<Event>) =
                core.queue.exclusive {
                    while (true) collector.emit(next() ?: break)
                }
        }

    /** The next event. Throws [ClosedException] after the last one, and [BusyException] where somebody else takes them. */
    public suspend fun nextEvent(): Event =
        core.queue.exclusive { next() } ?: throw ClosedException("this swarm is closed, and its last event was taken")

    /** The next event; null if there was none in time. No event is lost by the timeout, as it may be by `withTimeout`. */
    public suspend fun nextEvent(timeout: Duration): Event? =
        core.queue.exclusive {
            takeTurn()
            core.queue.poll() ?: run {
                withTimeoutOrNull(timeout) { core.queue.await() }
                core.queue.poll()
            }
        }

    /** Null after the last one. No suspension between the taking of the event and the return, so that no event is lost. */
    private suspend fun next(): Event? {
        takeTurn()
        while (true) {
            val event =
                try {
                    core.queue.poll()
                } catch (_: ClosedException) {
                    return null
                }
            if (event != null) return event
            core.queue.await()
        }
    }

    private suspend fun takeTurn() {
        currentCoroutineContext().ensureActive()
        if (core.turns.incrementAndGet() % TURN == 0) yield()
    }

    // Data

    /**
     * One message, queued whole or not at all; false where the peer's send buffer is full ([Event.Writable] follows). Throws
     * [NoPeerException], [NoChannelException], [TooLargeException], [ReservedException], [ClosedException], [InvalidStateException].
     */
    public fun trySend(peer: PeerId, text: String, channel: ChannelId = ChannelId.FAST): Boolean =
        trySendBytes(peer, channel, true, utf8(text, "text"))

    public fun trySend(peer: PeerId, data: ByteArray, channel: ChannelId = ChannelId.FAST): Boolean =
        trySendBytes(peer, channel, false, data)

    /** What remains in [data], which is not changed. A direct buffer is read where it is, without a copy on the way. */
    public fun trySend(peer: PeerId, data: ByteBuffer, channel: ChannelId = ChannelId.FAST): Boolean =
        withBytes(data) { array, buffer, offset, length ->
            core.handle.use { unlessFull(Native.send(it, peer.value, channel.value, false, array, buffer, offset, length)) }
        }

    /**
     * [trySend] that waits while the send buffer is full: for what [Event.Writable] tells to whoever collects [events], and a little longer
     * where nobody does, such as inside of `collect`.
     */
    public suspend fun send(peer: PeerId, text: String, channel: ChannelId = ChannelId.FAST) {
        val bytes = utf8(text, "text")
        untilWritable { trySendBytes(peer, channel, true, bytes) }
    }

    public suspend fun send(peer: PeerId, data: ByteArray, channel: ChannelId = ChannelId.FAST): Unit =
        untilWritable { trySend(peer, data, channel) }

    /** What remains in [data], which is not changed, and must not be by others until this returns. */
    public suspend fun send(peer: PeerId, data: ByteBuffer, channel: ChannelId = ChannelId.FAST): Unit =
        untilWritable { trySend(peer, data, channel) }

    /** One message to every open peer. Those whose send buffers are full are skipped. */
    public fun broadcast(text: String): Broadcast = broadcastBytes(true, utf8(text, "text"))

    public fun broadcast(data: ByteArray): Broadcast = broadcastBytes(false, data)

    public fun broadcast(data: ByteBuffer): Broadcast =
        withBytes(data) { array, buffer, offset, length ->
            counted { swarm, counts -> Native.broadcast(swarm, false, array, buffer, offset, length, counts) }
        }

    /**
     * A further channel to a native peer, reliable unless [maxRetransmits] (0 to 65535) or [maxLifetime] (to 65535 ms, rounded up to whole
     * ones) is given. Gives its number; [Event.ChannelOpen] follows at both ends, and until then sends on it throw [NoChannelException]. [UnsupportedException]
     * where the peer is a browser, or has as many channels as it may.
     */
    public fun openChannel(
        peer: PeerId,
        label: String,
        protocol: String = "",
        ordered: Boolean = true,
        maxRetransmits: Int? = null,
        maxLifetime: Duration? = null,
    ): ChannelId {
        if (maxRetransmits != null && maxLifetime != null) {
            throw InvalidArgumentException("a channel has maxRetransmits or maxLifetime, not both")
        }
        if (maxLifetime != null && maxLifetime.isNegative()) throw InvalidArgumentException("maxLifetime is negative")
        val limit = maxRetransmits?.toLong() ?: maxLifetime?.let(::millisecondsRoundedUp) ?: 0
        if (limit !in 0..0xFFFF) throw InvalidArgumentException("a channel's limit is not between 0 and 65535")
        val reliability = if (maxRetransmits != null) 1 else if (maxLifetime != null) 2 else 0
        val labelBytes = encode(label, "label")
        val protocolBytes = encode(protocol, "protocol")
        val out = LongArray(1)
        core.handle.use {
            check(Native.channelOpen(it, peer.value, labelBytes, protocolBytes, ordered, reliability, limit.toInt(), out))
        }
        return ChannelId(out[0].toInt())
    }

    /** Closes a further channel; [Event.ChannelClosed] follows at both ends. What was sent on it before still arrives. */
    public fun closeChannel(peer: PeerId, channel: ChannelId): Unit =
        core.handle.use { check(Native.channelClose(it, peer.value, channel.value)) }

    /** Bytes accepted for a channel and not acknowledged yet. */
    public fun buffered(peer: PeerId, channel: ChannelId = ChannelId.FAST): Long {
        val out = LongArray(1)
        core.handle.use { check(Native.channelBuffered(it, peer.value, channel.value, out)) }
        return out[0]
    }

    // Peers

    /** Lets go of one peer; [Event.PeerClosed] follows. */
    public fun closePeer(peer: PeerId): Unit = core.handle.use { check(Native.peerClose(it, peer.value)) }

    /** The open peers: user id by peer id, in the order in which they opened. */
    public fun peers(): Map<PeerId, String> =
        core.handle.use { swarm ->
            var out = LongArray(17)
            check(Native.peers(swarm, out))
            while (out[0] >= out.size) {
                out = LongArray(out[0].toInt() + 9)
                check(Native.peers(swarm, out))
            }
            val found = LinkedHashMap<PeerId, String>()
            for (index in 1..out[0].toInt()) {
                // One that closed a moment ago is no open peer.
                Native.peerUserId(swarm, out[index])?.let { found[PeerId(out[index])] = it.decodeToString() }
            }
            found
        }

    public fun peerStats(peer: PeerId): PeerStats {
        val n = LongArray(9)
        val words = ByteArray(64 + 64 + 8 + 8)
        core.handle.use { check(Native.peerStats(it, peer.value, n, words)) }

        fun word(begin: Int, room: Int): String {
            var end = begin
            while (end < begin + room && words[end] != 0.toByte()) end++
            return words.decodeToString(begin, end)
        }
        return PeerStats(
            roundTrip = if (n[0] >= 0) n[0].microseconds else null,
            bytesSent = n[1],
            bytesReceived = n[2],
            messagesSent = n[3],
            messagesReceived = n[4],
            buffered = n[5],
            relayed = n[6] != 0L,
            native = n[7] != 0L,
            localAddress = word(0, 64),
            remoteAddress = word(64, 64),
            localCandidateType = word(128, 8),
            remoteCandidateType = word(136, 8),
            mediaDropped = n[8],
        )
    }

    public fun stats(): SwarmStats {
        val n = LongArray(8)
        core.handle.use { check(Native.stats(it, n)) }
        return SwarmStats(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7])
    }

    // Media

    /**
     * Gives named tracks to every peer there is and will be, before the start or after: all of them, or none.
     *
     * `addStream("cam", "audio" to Codec.OPUS, "video" to Codec.VP8)`. A track's name is its own over all streams; our track and a peer's of
     * one name belong together. Gives the tracks' ids by their names. A name that there is already keeps its id, becomes what is said now
     * and is muted no more, unless that is less than it is.
     */
    public fun addStream(stream: String, vararg tracks: Pair<String, Source>): Map<String, TrackId> = addStream(stream, tracks.toMap())

    public fun addStream(stream: String, tracks: Map<String, Source>): Map<String, TrackId> {
        val streamBytes = encode(stream, "stream")
        val names = tracks.keys.map { encode(it, "a track's name") }.toTypedArray()
        val media = IntArray(names.size)
        val codecs = IntArray(names.size)
        tracks.values.forEachIndexed { index, source ->
            when (source) {
                is Codec -> codecs[index] = known(source.number)
                is Kind -> media[index] = known(source.number)
                Expected -> Unit
            }
        }
        val ids = LongArray(names.size)
        core.handle.use { check(Native.addTracks(it, streamBytes, names, media, codecs, ids)) }
        return tracks.keys.zip(ids.map(::TrackId)).toMap()
    }

    /** Sends the track to nobody any more, or again. Wait for [Event.KeyFrameWanted] then: a peer takes it. */
    public fun mute(track: TrackId, muted: Boolean = true): Unit = core.handle.use { check(Native.mute(it, track.value, muted)) }

    /** The track is sent in this codec, of its kind, from now on: another one, or the first. Begin with a key frame. */
    public fun replaceTrack(track: TrackId, codec: Codec) {
        val number = known(codec.number)
        core.handle.use { check(Native.replaceTrack(it, track.value, number)) }
    }

    /**
     * One encoded frame of a track of ours to every peer that takes it. Never waits: what a path is too slow for is dropped. [rtpTime] is
     * when it is to be shown, in units of the codec's clock from anywhere on; it wraps around. [key] if the frame needs none before it.
     */
    public fun sendFrame(track: TrackId, data: ByteArray, rtpTime: UInt, key: Boolean = false): Broadcast =
        counted { swarm, counts -> Native.sendFrame(swarm, track.value, data, null, 0, data.size, rtpTime.toInt(), key, counts) }

    /** What remains in [data], which is not changed. A direct buffer is read where it is. */
    public fun sendFrame(track: TrackId, data: ByteBuffer, rtpTime: UInt, key: Boolean = false): Broadcast =
        withBytes(data) { array, buffer, offset, length ->
            counted { swarm, counts ->
                Native.sendFrame(swarm, track.value, array, buffer, offset, length, rtpTime.toInt(), key, counts)
            }
        }

    /** The same for one RTP packet: its timestamp, marker and payload are sent. */
    public fun sendRtp(track: TrackId, packet: ByteArray): Broadcast =
        counted { swarm, counts -> Native.sendRtp(swarm, track.value, packet, null, 0, packet.size, counts) }

    public fun sendRtp(track: TrackId, packet: ByteBuffer): Broadcast =
        withBytes(packet) { array, buffer, offset, length ->
            counted { swarm, counts -> Native.sendRtp(swarm, track.value, array, buffer, offset, length, counts) }
        }

    /** Asks a peer for a key frame of one of its tracks: for who decodes only now. After a loss the library does so by itself. */
    public fun requestKeyFrame(peer: PeerId, track: TrackId): Unit =
        core.handle.use { check(Native.requestKeyFrame(it, peer.value, track.value)) }

    /** Of a peer's track, or of one of ours on the way to that peer. */
    public fun trackStats(peer: PeerId, track: TrackId): TrackStats {
        val n = LongArray(11)
        core.handle.use { check(Native.trackStats(it, peer.value, track.value, n)) }
        return TrackStats(
            packets = n[0],
            bytes = n[1],
            frames = n[2],
            lost = n[3],
            useless = n[4],
            dropped = n[5],
            retransmissions = n[6],
            keyFrameRequests = n[7],
            jitter = n[8].microseconds,
            roundTrip = if (n[9] >= 0) n[9].microseconds else null,
            bitrate = n[10].takeIf { it >= 0 },
        )
    }

    // Inside

    private fun trySendBytes(peer: PeerId, channel: ChannelId, isText: Boolean, bytes: ByteArray): Boolean =
        core.handle.use { unlessFull(Native.send(it, peer.value, channel.value, isText, bytes, null, 0, bytes.size)) }

    private fun broadcastBytes(isText: Boolean, bytes: ByteArray): Broadcast =
        counted { swarm, counts -> Native.broadcast(swarm, isText, bytes, null, 0, bytes.size, counts) }

    private inline fun counted(call: (Long, LongArray) -> Int): Broadcast {
        val counts = LongArray(2)
        core.handle.use { check(call(it, counts)) }
        return Broadcast(counts[0].toInt(), counts[1].toInt())
    }

    /** Gives the array or the direct buffer that has the bytes, and where. */
    private inline fun <T> withBytes(data: ByteBuffer, call: (ByteArray?, ByteBuffer?, Int, Int) -> T): T {
        // Position and limit of its own, whatever others do.
        val view = data.duplicate()
        return when {
            view.isDirect -> call(null, view, view.position(), view.remaining())
            view.hasArray() -> call(view.array(), null, view.arrayOffset() + view.position(), view.remaining())
            else -> ByteArray(view.remaining()).let { copy ->
                view.get(copy)
                call(copy, null, 0, copy.size)
            }
        }
    }

    private suspend inline fun untilWritable(attempt: () -> Boolean) {
        while (true) {
            val seen = core.writable.value
            if (attempt()) return
            withTimeoutOrNull(SEND_AGAIN) { core.writable.first { it != seen } }
        }
    }

    private fun unlessFull(status: Int): Boolean {
        if (status == Native.WOULD_BLOCK) return false
        check(status)
        return true
    }

    private fun millisecondsRoundedUp(time: Duration): Long {
        val whole = time.inWholeMilliseconds
        return if (whole.milliseconds < time) whole + 1 else whole
    }

    private fun known(number: Int): Int {
        if (number == 0) throw InvalidArgumentException("UNKNOWN is only what the library did not know")
        return number
    }

    /** All that outlives the swarm that its user sees: it must not hold that one. */
    private class Core(val handle: Handle, threadName: String) {
        /** Changes whenever it may be worth while to send again. */
        val writable = MutableStateFlow(0L)
        val queue = EventQueue(handle, threadName, ::hear)
        val turns = AtomicInteger()

        private fun hear(event: Event) {
            // Where there is nothing to write to any more, the next attempt says so.
            when (event) {
                is Event.Writable, is Event.ChannelClosed, is Event.PeerClosed, is Event.SwarmClosed -> changed()
                else -> Unit
            }
        }

        private fun changed() {
            // One thread takes events at a time, but `release` may come between.
            while (true) {
                val seen = writable.value
                if (writable.compareAndSet(seen, seen + 1)) return
            }
        }

        fun release() {
            handle.release()
            queue.stop()
            changed()
        }
    }

    public companion object {
        /** The version of the native library that is loaded, such as "0.1.0". */
        public val libraryVersion: String
            get() = Native.version().let { "${it ushr 16}.${(it ushr 8) and 0xFF}.${it and 0xFF}" }

        /** Events in a row that a coroutine takes before others have their turn. */
        private const val TURN = 64
        private val DISPATCH_AGAIN = 5.milliseconds
        private val SEND_AGAIN = 10.milliseconds

        private fun watchOver(swarm: Swarm, core: Core) =
            Reaper.watch(swarm) {
                // It may wait for goodbyes, and the reaper has more to do.
                thread(name = "rtcswarm-closer", isDaemon = true) { core.release() }
            }
    }
}
