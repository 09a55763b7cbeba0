package rtcswarm

import java.nio.ByteBuffer

/**
 * The native methods: bindings/kotlin/jni/src/lib.rs. Those that give an Int answer a status of the C API. Pointers are Long, and
 * go through [Handle] or [Payload], never around them.
 */
internal object Native {
    const val OK = 0
    const val WOULD_BLOCK = -1
    const val TIMEOUT = -2
    const val WOKEN = -3

    /** Which text of a config. */
    const val ROOM = 0
    const val USER_ID = 1
    const val SIGNALING = 2
    const val CA_FILE = 3
    const val ICE_SERVER = 4
    const val BIND_ADDRESS = 5
    const val INTERFACE = 6

    /** Which number of a config. */
    const val PEER_BUFFER = 0
    const val MAX_PEERS = 1
    const val ICE_TRANSPORT_POLICY = 2
    const val IP_FAMILIES = 3
    const val LOOPBACK = 4
    const val PORT = 5
    const val MAX_MESSAGE_SIZE = 6
    const val SEND_BUFFER = 7
    const val RECEIVE_QUEUE = 8
    const val MEDIA_QUEUE = 9
    const val RECEIVE_RTP = 10
    const val TIMEOUTS = 11

    /** Where [nextEvent] puts the numbers of an event. */
    const val POINTER = 0
    const val KIND = 1
    const val STATUS = 2
    const val PEER = 3
    const val TRACK = 4
    const val CHANNEL = 5
    const val FLAGS = 6
    const val REASON = 7
    const val STATE = 8
    const val TIME_US = 9
    const val MEDIA = 10
    const val CODEC = 11
    const val RTP_TIME = 12
    const val LENGTH = 13
    const val EVENT_NUMBERS = 14

    /** Which text of an event. */
    const val TEXT_USER_ID = 0
    const val TEXT_CONNECTION_ID = 1
    const val TEXT_NAME = 2
    const val TEXT_MESSAGE = 3

    /** The version whose C API this package speaks: major and minor. */
    private const val VERSION = 0x0001

    init {
        NativeLibrary.load()
        val loaded = version()
        if (loaded ushr 8 != VERSION) {
            val words = "${loaded ushr 16}.${(loaded ushr 8) and 0xFF}"
            throw UnsatisfiedLinkError("the library is rtcswarm $words, this package needs ${VERSION ushr 8}.${VERSION and 0xFF}")
        }
    }

    @JvmStatic external fun version(): Int

    @JvmStatic external fun statusName(status: Int): ByteArray

    @JvmStatic external fun lastErrorMessage(): ByteArray?

    @JvmStatic external fun configNew(): Long

    @JvmStatic external fun setIceServers(swarm: Long, config: Long): Int

    @JvmStatic external fun configFree(config: Long)

    @JvmStatic external fun configText(config: Long, field: Int, first: ByteArray?, second: ByteArray?, third: ByteArray?): Int

    @JvmStatic external fun configNumber(config: Long, field: Int, first: Long, second: Long): Int

    @JvmStatic external fun create(config: Long, out: LongArray): Int

    @JvmStatic external fun free(swarm: Long)

    @JvmStatic external fun start(swarm: Long): Int

    @JvmStatic external fun close(swarm: Long): Int

    @JvmStatic external fun wakeup(swarm: Long): Int

    @JvmStatic external fun setToken(swarm: Long, token: ByteArray): Int

    @JvmStatic external fun dispatch(swarm: Long, json: ByteArray): Int

    @JvmStatic external fun nextEvent(swarm: Long, timeoutMs: Int, out: LongArray): Int

    @JvmStatic external fun eventFree(event: Long)

    @JvmStatic external fun eventText(event: Long, which: Int): ByteArray?

    @JvmStatic external fun eventBytes(event: Long): ByteArray

    @JvmStatic external fun eventBuffer(event: Long): ByteBuffer

    @JvmStatic external fun eventTracks(event: Long): LongArray

    @JvmStatic external fun send(
        swarm: Long,
        peer: Long,
        channel: Int,
        isText: Boolean,
        array: ByteArray?,
        buffer: ByteBuffer?,
        offset: Int,
        length: Int,
    ): Int

    @JvmStatic external fun broadcast(
        swarm: Long,
        isText: Boolean,
        array: ByteArray?,
        buffer: ByteBuffer?,
        offset: Int,
        length: Int,
        counts: LongArray,
    ): Int

    @JvmStatic external fun channelOpen(
        swarm: Long,
        peer: Long,
        label: ByteArray,
        protocol: ByteArray,
        ordered: Boolean,
        reliability: Int,
        limit: Int,
        out: LongArray,
    ): Int

    @JvmStatic external fun channelClose(swarm: Long, peer: Long, channel: Int): Int

    @JvmStatic external fun channelBuffered(swarm: Long, peer: Long, channel: Int, out: LongArray): Int

    @JvmStatic external fun peerClose(swarm: Long, peer: Long): Int

    @JvmStatic external fun peers(swarm: Long, out: LongArray): Int

    @JvmStatic external fun peerUserId(swarm: Long, peer: Long): ByteArray?

    @JvmStatic external fun peerStats(swarm: Long, peer: Long, numbers: LongArray, words: ByteArray): Int

    @JvmStatic external fun stats(swarm: Long, numbers: LongArray): Int

    @JvmStatic external fun addTracks(
        swarm: Long,
        stream: ByteArray,
        names: Array<ByteArray>,
        media: IntArray,
        codecs: IntArray,
        ids: LongArray,
    ): Int

    @JvmStatic external fun mute(swarm: Long, track: Long, muted: Boolean): Int

    @JvmStatic external fun replaceTrack(swarm: Long, track: Long, codec: Int): Int

    @JvmStatic external fun sendFrame(
        swarm: Long,
        track: Long,
        array: ByteArray?,
        buffer: ByteBuffer?,
        offset: Int,
        length: Int,
        rtpTime: Int,
        key: Boolean,
        counts: LongArray,
    ): Int

    @JvmStatic external fun sendRtp(
        swarm: Long,
        track: Long,
        array: ByteArray?,
        buffer: ByteBuffer?,
        offset: Int,
        length: Int,
        counts: LongArray,
    ): Int

    @JvmStatic external fun requestKeyFrame(swarm: Long, peer: Long, track: Long): Int

    @JvmStatic external fun trackStats(swarm: Long, peer: Long, track: Long, numbers: LongArray): Int
}

/** Throws what an error status says. To be called on the thread of the call that failed, right after it. */
internal fun check(status: Int) {
    if (status != Native.OK) throw errorFor(status)
}

/** UTF-8 for a C string. */
internal fun encode(text: String, what: String): ByteArray {
    if ('\u0000' in text) throw InvalidArgumentException("$what must not contain a NUL character")
    return utf8(text, what)
}

internal fun utf8(text: String, what: String): ByteArray =
    try {
        text.encodeToByteArray(throwOnInvalidSequence = true)
    } catch (_: java.nio.charset.CharacterCodingException) {
        throw InvalidArgumentException("$what has half of a surrogate pair, which is no character")
    }
