package rtcswarm

import java.nio.ByteBuffer
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.SharedFlow
import kotlinx.coroutines.flow.SharingStarted
import kotlinx.coroutines.flow.shareIn
import kotlinx.coroutines.launch

/** What docs/kotlin.md shows, as it stands there; GuideTest runs it. */
class Guide(private val print: (String) -> Unit) {
    private fun println(line: String) = print(line)

    suspend fun tell(swarm: Swarm) {
        swarm.events.collect { event ->
            when (event) {
                is Event.PeerOpen -> println("${event.userId} is there")
                is Event.PeerClosed -> println("${event.userId} is gone: ${event.reason}")
                is Event.PeerFailed -> println("no way to ${event.userId}: ${event.message}")
                is Event.Text -> println("${event.userId} says ${event.text}")
                is Event.Binary -> println("${event.userId} sends ${event.data.remaining()} bytes")
                is Event.SignalingState -> println("signaling: ${event.state} ${event.message}")
                is Event.Error -> println("${event.statusName}: ${event.message}")
                else -> {} // Newer versions may have more to tell.
            }
        }
    }

    fun configured(url: String, token: String): Swarm {
        val swarm = Swarm("lobby", "alice", url, token) {
            iceServers = listOf(IceServer("stun:stun.example:3478"), IceServer("turn:turn.example", "user", "secret"))
            bindAddresses = listOf("127.0.0.1")
            timeouts.connect = 30.seconds
            receiveQueue = 1 shl 20
        }
        return swarm
    }

    suspend fun send(swarm: Swarm, peer: PeerId) {
        swarm.send(peer, "waits while the buffer is full")
        if (!swarm.trySend(peer, "does not wait")) println("not now")
        val (reached, skipped) = swarm.broadcast("to everybody")
        println("$reached reached, $skipped skipped")

        val buffer = ByteBuffer.allocateDirect(16_384) // is read where it is
        swarm.send(peer, buffer)
    }

    suspend fun channel(swarm: Swarm, peer: PeerId) {
        val positions = swarm.openChannel(peer, "positions", ordered = false, maxRetransmits = 0)
        swarm.events.collect { event ->
            if (event is Event.ChannelOpen && event.channel == positions) swarm.send(peer, "12 34", positions)
        }
    }

    suspend fun withDeadline(swarm: Swarm): Event? = swarm.nextEvent(10.seconds) // null: nothing happened

    fun shared(swarm: Swarm, scope: CoroutineScope) {
        val shared: SharedFlow<Event> = swarm.events.shareIn(scope, SharingStarted.Lazily)
        scope.launch { shared.collect { if (it is Event.Text) println("heard ${it.text}") } }
        scope.launch { shared.collect { if (it is Event.PeerOpen) println("met ${it.userId}") } }
    }

    suspend fun sendVideo(swarm: Swarm, encoder: Encoder, scope: CoroutineScope) {
        val tracks = swarm.addStream("cam", "audio" to Codec.OPUS, "video" to Codec.VP8)
        val video = tracks.getValue("video")
        scope.launch {
            while (true) {
                val frame = encoder.next()
                swarm.sendFrame(video, frame.data, frame.rtpTime, frame.key)
            }
        }
        swarm.events.collect { event ->
            if (event is Event.KeyFrameWanted && event.track == video) encoder.makeKeyFrame()
        }
    }

    suspend fun receiveVideo(swarm: Swarm, decoders: MutableMap<TrackId, Decode>) {
        swarm.events.collect { event ->
            when (event) {
                is Event.Track -> println("${event.userId} has ${event.name}, ${event.kind}")
                is Event.Stream -> println("${event.userId} gives ${event.name}, all ${event.tracks.size} tracks")
                is Event.Frame -> decoders[event.track]?.invoke(event.data, event.rtpTime, event.key)
                is Event.TrackEnded -> decoders.remove(event.track)
                else -> {}
            }
        }
    }

    fun failing(swarm: Swarm, peer: PeerId) {
        try {
            swarm.trySend(peer, "hello")
        } catch (error: NoPeerException) {
            println("it has left: ${error.message}")
        } catch (error: RtcSwarmException) {
            println("${error.statusName} (${error.status}): ${error.message}")
        }
    }

    suspend fun carry(swarm: Swarm, socket: Socket, scope: CoroutineScope) {
        scope.launch { for (message in socket.incoming) swarm.dispatch(message) }
        swarm.events.collect { event ->
            if (event is Event.Signal) socket.send(event.json)
        }
    }
}

typealias Decode = (ByteBuffer, UInt, Boolean) -> Unit

class Encoded(val data: ByteBuffer, val rtpTime: UInt, val key: Boolean)

/** Of frames that say nothing, 50 a second. */
class Encoder(private val pause: Duration = 20.milliseconds) {
    private var time = 0u

    @Volatile var key = true

    suspend fun next(): Encoded {
        delay(pause)
        time += 1800u
        return Encoded(ByteBuffer.wrap(vp8(100, key)), time, key).also { key = false }
    }

    fun makeKeyFrame() {
        key = true
    }
}

interface Socket {
    val incoming: kotlinx.coroutines.channels.ReceiveChannel<String>

    suspend fun send(message: String)
}
