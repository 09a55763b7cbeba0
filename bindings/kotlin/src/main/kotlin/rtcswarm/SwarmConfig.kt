package rtcswarm

import kotlin.time.Duration

/** A STUN or TURN server, over UDP: `stun:host[:port]` or `turn:host[:port]`. User name and credential are for TURN. */
public class IceServer(
    public val url: String,
    public val username: String? = null,
    public val credential: String? = null,
)

/** Which candidates may be used. */
public enum class IceTransportPolicy {
    /** Those of every kind. */
    ALL,

    /** Only relayed ones: no address of this host is told to anyone. Needs a TURN server. */
    RELAY,
}

/** How much may wait in a channel's send buffer, in bytes: past [high] a send waits, until it has fallen to [low]. */
public class SendBuffer(public val high: Int, public val low: Int)

/** Deadlines, of 1 ms to a day; null for the default. */
public class Timeouts {
    /** From "your offer was taken" to its answer; default 15 s. */
    public var answer: Duration? = null

    /** From the answer to the open channel; default 20 s. */
    public var connect: Duration? = null

    /** For what is still queued when a peer or the swarm is closed; default 2 s. */
    public var close: Duration? = null

    /** Between checks of a quiet path; default 5 s. */
    public var iceKeepalive: Duration? = null

    /** Silence until a peer counts as disconnected; default 15 s. */
    public var iceDisconnected: Duration? = null

    /** Silence from then on until it is given up; default 15 s. */
    public var iceFailed: Duration? = null

    /** From the loss of a peer's link to its next one, after which the peer is closed; default 60 s. */
    public var reconnect: Duration? = null
}

/** What a swarm is told before it is made. Null is for the library's default. A swarm copies it: one serves for many. */
public class SwarmConfig(
    /** The room to meet in: 1 to 256 bytes of UTF-8. */
    public var room: String,
    /** The name of this member in the room: 1 to 256 bytes of UTF-8. The server checks it against the token. */
    public var userId: String,
) {
    /**
     * The signaling server (`ws://…` or `wss://…`) that the library keeps a WebSocket to. Without one the caller carries the
     * signals: [Event.Signal] out, [Swarm.dispatch] in.
     */
    public var signaling: String? = null

    /** What the signaling server asks for. Only with [signaling]. */
    public var token: String? = null

    /** A PEM file with further certificate authorities that may vouch for the signaling server. Only with [signaling]. */
    public var caFile: String? = null

    /** Spare offers kept on the server for who comes next: 0 to 64, default 1. */
    public var peerBuffer: Int? = null

    /** Peers at most: 1 to 4096, default 128. */
    public var maxPeers: Int? = null

    public var iceServers: List<IceServer> = emptyList()
    public var iceTransportPolicy: IceTransportPolicy = IceTransportPolicy.ALL

    /** Local addresses (IPv4 or IPv6) to use; empty for those of all suitable interfaces. */
    public var bindAddresses: List<String> = emptyList()

    /** Interfaces to use, by name; empty for all of them. */
    public var interfaces: List<String> = emptyList()

    public var ipv4: Boolean = true
    public var ipv6: Boolean = true

    /** Whether loopback addresses are offered too, so that peers on one machine meet without a network. */
    public var loopback: Boolean = true

    /** The local UDP port; 0 for any free one. */
    public var port: Int = 0

    /** The largest message in bytes, sent or taken: 1 to 262144, the default. */
    public var maxMessageSize: Int? = null

    /** Default 1048576 and 262144 bytes. */
    public var sendBuffer: SendBuffer? = null

    /** Bytes of received messages that may wait before the senders are held up; default 4194304. */
    public var receiveQueue: Int? = null

    /** Bytes of received media that may wait before the oldest is dropped; default 8388608. */
    public var mediaQueue: Int? = null

    /** Media comes as [Event.Rtp], packets as they come, and not as [Event.Frame]. */
    public var receiveRtp: Boolean = false

    public val timeouts: Timeouts = Timeouts()

    /** Makes the native swarm. */
    internal fun create(): Long {
        val config = Native.configNew()
        if (config == 0L) throw OutOfMemoryError("rtcswarm")
        try {
            fill(config)
            val out = LongArray(1)
            check(Native.create(config, out))
            return out[0]
        } finally {
            Native.configFree(config)
        }
    }

    private fun fill(config: Long) {
        text(config, Native.ROOM, encode(room, "room"))
        text(config, Native.USER_ID, encode(userId, "userId"))
        if (signaling == null) {
            if (token != null) throw InvalidArgumentException("token is for the signaling server, and signaling is not set")
            if (caFile != null) throw InvalidArgumentException("caFile is for the signaling server, and signaling is not set")
        }
        signaling?.let { url -> text(config, Native.SIGNALING, encode(url, "signaling"), token?.let { encode(it, "token") }) }
        caFile?.let { text(config, Native.CA_FILE, encode(it, "caFile")) }
        peerBuffer?.let { number(config, Native.PEER_BUFFER, it, "peerBuffer") }
        maxPeers?.let { number(config, Native.MAX_PEERS, it, "maxPeers") }
        addIceServers(config, iceServers)
        number(config, Native.ICE_TRANSPORT_POLICY, iceTransportPolicy.ordinal, "iceTransportPolicy")
        for (address in bindAddresses) text(config, Native.BIND_ADDRESS, encode(address, "bindAddresses"))
        for (name in interfaces) text(config, Native.INTERFACE, encode(name, "interfaces"))
        number(config, Native.IP_FAMILIES, if (ipv4) 1 else 0, "ipv4", if (ipv6) 1 else 0)
        number(config, Native.LOOPBACK, if (loopback) 1 else 0, "loopback")
        if (port !in 0..0xFFFF) throw InvalidArgumentException("port is not between 0 and 65535")
        number(config, Native.PORT, port, "port")
        maxMessageSize?.let { number(config, Native.MAX_MESSAGE_SIZE, it, "maxMessageSize") }
        sendBuffer?.let { number(config, Native.SEND_BUFFER, it.high, "sendBuffer", it.low) }
        receiveQueue?.let { number(config, Native.RECEIVE_QUEUE, it, "receiveQueue") }
        mediaQueue?.let { number(config, Native.MEDIA_QUEUE, it, "mediaQueue") }
        number(config, Native.RECEIVE_RTP, if (receiveRtp) 1 else 0, "receiveRtp")
        // In the order of the C API's numbers.
        val deadlines =
            with(timeouts) {
                listOf(
                    "answer" to answer,
                    "connect" to connect,
                    "close" to close,
                    "iceKeepalive" to iceKeepalive,
                    "iceDisconnected" to iceDisconnected,
                    "iceFailed" to iceFailed,
                    "reconnect" to reconnect,
                )
            }
        deadlines.forEachIndexed { which, (name, time) ->
            if (time != null) {
                val milliseconds = time.inWholeMilliseconds.coerceAtMost(Int.MAX_VALUE.toLong()).toInt()
                number(config, Native.TIMEOUTS, which, name, milliseconds)
            }
        }
    }

    internal companion object {
        /** A native config with these servers and nothing else, for as long as [use] takes. */
        fun withIceServers(servers: List<IceServer>, use: (Long) -> Unit) {
            val config = Native.configNew()
            if (config == 0L) throw OutOfMemoryError("rtcswarm")
            try {
                addIceServers(config, servers)
                use(config)
            } finally {
                Native.configFree(config)
            }
        }

        private fun addIceServers(config: Long, servers: List<IceServer>) {
            for (server in servers) {
                val username = server.username?.let { encode(it, "username") }
                val credential = server.credential?.let { encode(it, "credential") }
                check(Native.configText(config, Native.ICE_SERVER, encode(server.url, "url"), username, credential))
            }
        }
    }

    private fun text(config: Long, field: Int, first: ByteArray, second: ByteArray? = null, third: ByteArray? = null) {
        check(Native.configText(config, field, first, second, third))
    }

    private fun number(config: Long, field: Int, first: Int, what: String, second: Int = 0) {
        if (first < 0 || second < 0) throw InvalidArgumentException("$what is negative")
        check(Native.configNumber(config, field, first.toLong(), second.toLong()))
    }
}
