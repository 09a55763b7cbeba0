package rtcswarm

import java.nio.ByteBuffer
import kotlin.time.Duration

/** Why a peer is no more, or never was. */
public enum class Reason {
    /** Of a newer library. */
    UNKNOWN,

    /** This side closed the swarm or the peer. */
    LOCAL_CLOSE,

    /** The other side closed the connection in good order. */
    REMOTE_CLOSE,

    /** The server said that it left, and its link is gone. */
    LEFT,

    /** The path to it is lost. */
    CONNECTION_LOST,

    /** It took our offer and never answered. */
    ANSWER_TIMEOUT,

    /** No path to it was found in time. */
    CONNECT_TIMEOUT,

    /** This side has as many peers as it may. */
    TOO_MANY_PEERS,

    /** What it sent could not be used. */
    PROTOCOL,

    /** It went over a limit that no honest peer reaches, and was cut off. It is not let in again for five minutes. */
    LIMIT,
    ;

    /** "remote close" */
    override fun toString(): String = name.lowercase().replace('_', ' ')

    internal companion object {
        fun of(number: Int): Reason = entries.getOrElse(number) { UNKNOWN }
    }
}

/** Of the path to a peer, or of signaling. */
public enum class State {
    /** Of a newer library. */
    UNKNOWN,
    CONNECTED,

    /** No answer for a while; it may come back. */
    DISCONNECTED,
    RECONNECTING,

    /** The server will not have this member, or its token is over; no further attempt is made until [Swarm.setToken]. */
    REFUSED,

    /** Another path is looked for, for the same link. */
    CHECKING,
    ;

    internal companion object {
        fun of(number: Int): State = entries.getOrElse(number) { UNKNOWN }
    }
}

/** An event that is one peer's. */
public sealed interface PeerEvent : Event {
    public val peer: PeerId
    public val userId: String
}

/**
 * What a swarm tells. The first event of a peer is [PeerOpen] and its last [PeerClosed]; one that never opened has a single
 * [PeerFailed]. Nothing is ever dropped, but for frames of media that are not taken in time. Newer versions may have further
 * kinds: let `when` have an `else`.
 */
public sealed interface Event {
    /** Since the swarm was made. */
    public val time: Duration

    /** The peer can be sent to. */
    public data class PeerOpen(
        override val time: Duration,
        override val peer: PeerId,
        override val userId: String,
        /** As the signaling messages name it. */
        val connectionId: String,
        /** It is a rtcswarm, and takes further channels. */
        val native: Boolean,
    ) : PeerEvent

    /** The peer was open and is no more. */
    public data class PeerClosed(
        override val time: Duration,
        override val peer: PeerId,
        override val userId: String,
        val reason: Reason,
        val message: String,
    ) : PeerEvent

    /** The peer never opened. */
    public data class PeerFailed(
        override val time: Duration,
        override val peer: PeerId,
        override val userId: String,
        val reason: Reason,
        val message: String,
    ) : PeerEvent

    /**
     * The path to an open peer changed: [State.CONNECTED], [State.DISCONNECTED], [State.CHECKING], or [State.RECONNECTING]: its link
     * is lost, another one is made for the same peer, and what was sent and is not acknowledged may be lost.
     */
    public data class PeerState(
        override val time: Duration,
        override val peer: PeerId,
        override val userId: String,
        val state: State,
        /** With [State.RECONNECTING]: bytes that were sent to it and not acknowledged. */
        val unacknowledged: Long,
    ) : PeerEvent

    /** A text message. */
    public class Text internal constructor(
        override val time: Duration,
        override val peer: PeerId,
        override val userId: String,
        public val channel: ChannelId,
        public val text: String,
    ) : PeerEvent {
        override fun toString(): String = "Text(peer=$peer, userId=$userId, channel=$channel, length=${text.length})"
    }

    /** A binary message. */
    public class Binary internal constructor(
        override val time: Duration,
        override val peer: PeerId,
        override val userId: String,
        public val channel: ChannelId,
        private val payload: Payload,
    ) : PeerEvent {
        /** In bytes. */
        public val size: Int get() = payload.size

        /** The message, without a copy where it is large; see [Frame.data]. */
        public val data: ByteBuffer get() = payload.view()

        /** A copy of the message. */
        public fun toByteArray(): ByteArray = payload.copy()

        override fun toString(): String = "Binary(peer=$peer, userId=$userId, channel=$channel, size=$size)"
    }

    /** A further channel is open. */
    public data class ChannelOpen(
        override val time: Duration,
        override val peer: PeerId,
        override val userId: String,
        val channel: ChannelId,
        val label: String,
        /** The other side asked for it. */
        val remote: Boolean,
    ) : PeerEvent

    /** A further channel is closed. */
    public data class ChannelClosed(
        override val time: Duration,
        override val peer: PeerId,
        override val userId: String,
        val channel: ChannelId,
    ) : PeerEvent

    /** After [Swarm.trySend] gave false: it may be tried again. */
    public data class Writable(
        override val time: Duration,
        override val peer: PeerId,
        override val userId: String,
        val channel: ChannelId,
    ) : PeerEvent

    /** A peer's track is there. */
    public data class Track(
        override val time: Duration,
        override val peer: PeerId,
        override val userId: String,
        val track: TrackId,
        val name: String,
        val kind: Kind,
    ) : PeerEvent

    /** A peer sends a track no more, or again. */
    public data class TrackMuted(
        override val time: Duration,
        override val peer: PeerId,
        override val userId: String,
        val track: TrackId,
        val muted: Boolean,
    ) : PeerEvent

    /** A peer's track is gone, while the peer stays: its tracks follow with new ids. */
    public data class TrackEnded(
        override val time: Duration,
        override val peer: PeerId,
        override val userId: String,
        val track: TrackId,
    ) : PeerEvent

    /** Every track that the peer has announced for this stream is there. */
    public data class Stream(
        override val time: Duration,
        override val peer: PeerId,
        override val userId: String,
        val name: String,
        val tracks: List<TrackId>,
    ) : PeerEvent

    /** One encoded frame of a peer's track, in order. */
    public class Frame internal constructor(
        override val time: Duration,
        override val peer: PeerId,
        override val userId: String,
        public val track: TrackId,
        public val codec: Codec,
        private val payload: Payload,
        /** When it is to be shown, in units of the codec's clock; it wraps around. */
        public val rtpTime: UInt,
        /** It needs none before it. */
        public val key: Boolean,
        /** Something before it is missing. */
        public val gap: Boolean,
    ) : PeerEvent {
        /** In bytes. */
        public val size: Int get() = payload.size

        /**
         * The frame, without a copy where it is large: a read-only buffer, a new one with its own position each time, which
         * may be kept as long as you like. The memory is the library's, and goes back when the garbage collector has found
         * the event and all buffers of it to be garbage. On Android it is always a copy.
         */
        public val data: ByteBuffer get() = payload.view()

        /** A copy of the frame. */
        public fun toByteArray(): ByteArray = payload.copy()

        override fun toString(): String =
            "Frame(peer=$peer, userId=$userId, track=$track, codec=$codec, size=$size, rtpTime=$rtpTime, key=$key, gap=$gap)"
    }

    /** One RTP packet of a peer's track, as it came (only with [SwarmConfig.receiveRtp]). */
    public class Rtp internal constructor(
        override val time: Duration,
        override val peer: PeerId,
        override val userId: String,
        public val track: TrackId,
        public val codec: Codec,
        private val payload: Payload,
    ) : PeerEvent {
        /** In bytes. */
        public val size: Int get() = payload.size

        /** The packet; see [Frame.data]. */
        public val data: ByteBuffer get() = payload.view()

        /** A copy of the packet. */
        public fun toByteArray(): ByteArray = payload.copy()

        override fun toString(): String = "Rtp(peer=$peer, userId=$userId, track=$track, codec=$codec, size=$size)"
    }

    /** The peer cannot begin, or go on with, a track of ours without a key frame. */
    public data class KeyFrameWanted(
        override val time: Duration,
        override val peer: PeerId,
        override val userId: String,
        val track: TrackId,
    ) : PeerEvent

    /** Carry this to the signaling server (only where the caller carries the signals). */
    public data class Signal(
        override val time: Duration,
        val json: String,
    ) : Event

    /** The library's own signaling connection changed. Open peers are not touched. */
    public data class SignalingState(
        override val time: Duration,
        val state: State,
        val message: String,
    ) : Event

    /** Something went wrong that ended nothing. */
    public data class Error(
        override val time: Duration,
        val status: Int,
        val message: String,
    ) : Event {
        /** Such as `RTCSWARM_ERR_REFUSED`. */
        val statusName: String get() = statusName(status)
    }

    /** The last event. [message] is not empty if the swarm broke. */
    public data class SwarmClosed(
        override val time: Duration,
        val status: Int,
        val message: String,
    ) : Event
}
