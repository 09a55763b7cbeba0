package rtcswarm

import kotlin.time.Duration

/**
 * What a track of ours is: encoded ([Codec]); only of a [Kind], negotiated before there is anything to send, which
 * [Swarm.replaceTrack] begins; or [Expected] from the other side.
 */
public sealed interface Source

/** Of the other side's track of the same name. */
public object Expected : Source {
    override fun toString(): String = "Expected"
}

/** What a track is. */
public enum class Kind(internal val number: Int) : Source {
    /** Of a newer library. */
    UNKNOWN(0),
    AUDIO(1),
    VIDEO(2),
    ;

    internal companion object {
        fun of(number: Int): Kind = entries.firstOrNull { it.number == number } ?: UNKNOWN
    }
}

/** What a track is encoded in, and so what a frame of it is. */
public enum class Codec(
    internal val number: Int,
    public val kind: Kind,
    /** Units of `rtpTime` in a second. */
    public val clockRate: Int,
) : Source {
    /** Of a newer library. */
    UNKNOWN(0, Kind.UNKNOWN, 90_000),

    /** A packet (RFC 6716). */
    OPUS(1, Kind.AUDIO, 48_000),

    /** A frame as the encoder gives it (RFC 6386). */
    VP8(2, Kind.VIDEO, 90_000),

    /** A frame, or a superframe, as the encoder gives it. Profile 0. */
    VP9(3, Kind.VIDEO, 90_000),

    /** An access unit with start codes (Annex B); that of a key frame has its parameter sets. Constrained baseline, level 3.1. */
    H264(4, Kind.VIDEO, 90_000),

    /** A temporal unit: OBUs that have their sizes; that of a key frame has a sequence header. */
    AV1(5, Kind.VIDEO, 90_000),
    ;

    internal companion object {
        fun of(number: Int): Codec = entries.firstOrNull { it.number == number } ?: UNKNOWN
    }
}

/** How many peers a message or a frame reached, and how many were skipped. */
public data class Broadcast(val reached: Int, val skipped: Int)

/** Figures of one peer's link. */
public data class PeerStats(
    /** Null where it is not measured yet. */
    val roundTrip: Duration?,
    /** Payload of messages in bytes, all channels. */
    val bytesSent: Long,
    val bytesReceived: Long,
    val messagesSent: Long,
    val messagesReceived: Long,
    /** Bytes accepted and not acknowledged yet, all channels. */
    val buffered: Long,
    /** Through a TURN server at either end. */
    val relayed: Boolean,
    /** The other end is a rtcswarm, and takes further channels. */
    val native: Boolean,
    /** "192.0.2.1:5000"; empty where it is not known. */
    val localAddress: String,
    val remoteAddress: String,
    /** "host", "srflx", "prflx" or "relay" (RFC 8445, 5.1.1); empty where it is not known. */
    val localCandidateType: String,
    val remoteCandidateType: String,
    /** Datagrams of media that were more than the way takes, and were not sent. */
    val mediaDropped: Long,
)

/** Figures of a swarm. */
public data class SwarmStats(
    /** Open peers. */
    val peers: Long,
    /** Links in any state, spares included. */
    val connections: Long,
    /** Events that wait to be taken. */
    val queuedEvents: Long,
    val datagramsSent: Long,
    val datagramsReceived: Long,
    /** Datagrams that belonged to no link. */
    val datagramsUnrouted: Long,
    /** What the kernel gave, in bytes; small ones cost throughput. */
    val socketReceiveBuffer: Long,
    val socketSendBuffer: Long,
)

/** Figures of a track at one peer. What makes no sense for its direction is 0 or null. */
public data class TrackStats(
    /** Sent or received, repeated ones among the received too. */
    val packets: Long,
    /** Of their payload. */
    val bytes: Long,
    val frames: Long,
    /** Packets that did not arrive: here, or as the other side last reported. */
    val lost: Long,
    /** Packets that came too late or twice. */
    val useless: Long,
    /** Received frames or packets that were not taken in time. */
    val dropped: Long,
    /** Packets that the other side asked for again. */
    val retransmissions: Long,
    /** How often the other side wanted a key frame. */
    val keyFrameRequests: Long,
    val jitter: Duration,
    /** By the other side's reports on what we send. */
    val roundTrip: Duration?,
    /** What the way to the other side is thought to take, in bits a second. */
    val bitrate: Long?,
)
