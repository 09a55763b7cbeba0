package rtcswarm

import java.nio.ByteBuffer
import java.nio.ReadOnlyBufferException
import java.util.concurrent.TimeUnit
import kotlin.random.Random
import kotlin.time.Duration.Companion.microseconds
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.nanoseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.async
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.withTimeout
import kotlinx.coroutines.withTimeoutOrNull
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class SwarmTest {
    @Test
    fun `text comes as it was sent`() = test {
        room("ada", "bo") { (ada, bo) ->
            val texts = listOf("hello", "", "grüße 🦀 \u0000 and a NUL", "x".repeat(262_144))
            for (text in texts) ada.swarm.send(ada.peer("bo"), text)
            for (text in texts) {
                val event = bo.wait<Event.Text> { it.text == text }
                assertEquals("ada", event.userId)
                assertEquals(bo.peer("ada"), event.peer)
                assertEquals(ChannelId.FAST, event.channel)
            }
            assertEquals(texts, bo.heard.value.filterIsInstance<Event.Text>().map { it.text })
        }
    }

    @Test
    fun `bytes come as they were sent, from every kind of buffer`() = test {
        room("ada", "bo") { (ada, bo) ->
            val peer = ada.peer("bo")
            var sent = 0
            for (size in listOf(0, 1, 8191, 8192, 262_144)) {
                val bytes = Random.nextBytes(size)
                val padded = ByteArray(3) + bytes + ByteArray(5)
                val direct = ByteBuffer.allocateDirect(size + 8).apply { put(padded) }.apply { position(3).limit(3 + size) }
                val buffers =
                    listOf(
                        ByteBuffer.wrap(bytes),
                        ByteBuffer.wrap(padded, 3, size),
                        ByteBuffer.wrap(padded, 3, size).slice(),
                        ByteBuffer.wrap(padded, 3, size).asReadOnlyBuffer(),
                        direct,
                        direct.slice(),
                        direct.asReadOnlyBuffer(),
                    )
                ada.swarm.send(peer, bytes)
                sent++
                for (buffer in buffers) {
                    val position = buffer.position()
                    ada.swarm.send(peer, buffer)
                    assertEquals(position to size, buffer.position() to buffer.remaining())
                    sent++
                }
                until("$sent messages") { bo.heard.value.count { it is Event.Binary } == sent }
                for (event in bo.heard.value.filterIsInstance<Event.Binary>().takeLast(buffers.size + 1)) {
                    assertArrayEquals(bytes, event.toByteArray())
                    assertEquals(size, event.size)
                    val view = event.data
                    assertEquals(ByteBuffer.wrap(bytes), view)
                    assertThrows(ReadOnlyBufferException::class.java) { view.put(0, 1) }
                    view.position(size)
                    assertEquals(size, event.data.remaining())
                }
            }
        }
    }

    @Test
    fun `a third member hears a broadcast too, and statistics tell of it`() = test {
        room("ada", "bo", "cleo") { members ->
            val (ada, bo, cleo) = members
            for (member in members) for (other in members - member) member.peer(other.swarm.userId)
            assertEquals(Broadcast(2, 0), ada.swarm.broadcast("to all"))
            assertEquals(Broadcast(2, 0), ada.swarm.broadcast(byteArrayOf(1, 2)))
            assertEquals(Broadcast(2, 0), ada.swarm.broadcast(ByteBuffer.allocateDirect(3)))
            for (member in listOf(bo, cleo)) {
                member.wait<Event.Text> { it.text == "to all" }
                member.wait<Event.Binary> { it.size == 2 }
                member.wait<Event.Binary> { it.size == 3 }
            }
            assertEquals(setOf("bo", "cleo"), ada.swarm.peers().values.toSet())
            val peer = ada.peer("bo")
            until("a measured round trip") { ada.swarm.peerStats(peer).roundTrip != null }
            val stats = ada.swarm.peerStats(peer)
            assertTrue(stats.roundTrip!! in 1.microseconds..10.seconds)
            assertEquals(3L to 11L, stats.messagesSent to stats.bytesSent)
            assertEquals(0L to 0L, stats.messagesReceived to stats.bytesReceived)
            assertTrue(stats.native && !stats.relayed)
            assertTrue(Regex("127\\.0\\.0\\.1:\\d+").matches(stats.localAddress), stats.localAddress)
            assertTrue(Regex("127\\.0\\.0\\.1:\\d+").matches(stats.remoteAddress), stats.remoteAddress)
            assertTrue(stats.localCandidateType in setOf("host", "prflx"), stats.localCandidateType)
            assertTrue(stats.remoteCandidateType in setOf("host", "prflx"), stats.remoteCandidateType)
            val all = ada.swarm.stats()
            assertEquals(2, all.peers)
            assertTrue(all.connections >= 2 && all.datagramsSent > 10 && all.datagramsReceived > 10, "$all")
            until("nothing buffered") { ada.swarm.buffered(peer) == 0L }

            ada.swarm.closePeer(peer)
            assertEquals(Reason.LOCAL_CLOSE, ada.wait<Event.PeerClosed> { it.peer == peer }.reason)
            val seen = bo.wait<Event.PeerClosed> { it.userId == "ada" }
            assertEquals(Reason.REMOTE_CLOSE to "remote close", seen.reason to seen.reason.toString())
            assertThrows(NoPeerException::class.java) { ada.swarm.trySend(peer, "gone") }
            assertThrows(NoPeerException::class.java) { ada.swarm.peerStats(peer) }
        }
    }

    @Test
    fun `more peers than one look has room for`() = test {
        val users = List(20) { "user $it" }
        room("ada", *users.toTypedArray()) { members ->
            val ada = members.first()
            for (user in users) ada.peer(user)
            assertEquals(users.toSet(), ada.swarm.peers().values.toSet())
        }
    }

    @Test
    fun `further channels`() = test {
        room("ada", "bo") { (ada, bo) ->
            val peer = ada.peer("bo")
            assertTrue(ada.wait<Event.PeerOpen>().native)
            val opened =
                listOf(
                    ada.swarm.openChannel(peer, "reliable", protocol = "p"),
                    ada.swarm.openChannel(peer, "lossy", ordered = false, maxRetransmits = 0),
                    ada.swarm.openChannel(peer, "timed", maxLifetime = 500.milliseconds),
                )
            assertEquals(3, opened.toSet().size)
            for ((label, channel) in listOf("reliable", "lossy", "timed").zip(opened)) {
                assertFalse(ada.wait<Event.ChannelOpen> { it.channel == channel }.remote)
                val theirs = bo.wait<Event.ChannelOpen> { it.label == label }
                assertTrue(theirs.remote)
                ada.swarm.send(peer, "on $label", channel)
                assertEquals(theirs.channel, bo.wait<Event.Text> { it.text == "on $label" }.channel)
                bo.swarm.send(theirs.peer, "back on $label".encodeToByteArray(), theirs.channel)
                ada.wait<Event.Binary> { it.channel == channel && it.size == "back on $label".length }
            }
            assertThrows(TooLargeException::class.java) { ada.swarm.trySend(peer, ByteArray(49_153), opened[1]) }
            ada.swarm.closeChannel(peer, opened[0])
            ada.wait<Event.ChannelClosed> { it.channel == opened[0] }
            bo.wait<Event.ChannelClosed>()
            assertThrows(NoChannelException::class.java) { ada.swarm.trySend(peer, "gone", opened[0]) }
            assertThrows(InvalidArgumentException::class.java) { ada.swarm.closeChannel(peer, ChannelId.FAST) }
            assertThrows(InvalidArgumentException::class.java) { ada.swarm.openChannel(peer, "x", maxRetransmits = 65_536) }
            assertThrows(InvalidArgumentException::class.java) {
                ada.swarm.openChannel(peer, "x", maxRetransmits = 1, maxLifetime = 1.seconds)
            }
            assertThrows(InvalidArgumentException::class.java) { ada.swarm.openChannel(peer, "x", maxLifetime = (-1).nanoseconds) }
            // Rounded up it is too long.
            assertThrows(InvalidArgumentException::class.java) {
                ada.swarm.openChannel(peer, "x", maxLifetime = 65_535.milliseconds + 1.nanoseconds)
            }
        }
    }

    @Test
    fun `who does not collect holds up the sender, who waits`() = test {
        val name = newRoom()
        val size = 64 * 1024
        newSwarm(name, "bo") { receiveQueue = 1 shl 20 }.use { bo ->
            bo.start()
            member(newSwarm(name, "ada") { sendBuffer = SendBuffer(1 shl 20, 1 shl 18) }) { ada ->
                bo.events.first { it is Event.PeerOpen }
                val peer = ada.peer("bo")
                var sent = 0
                // Now nobody collects at bo's. What the two queues have room for goes out, and then no more.
                var seen: Int
                until("a full send buffer that stays full") {
                    seen = sent
                    while (ada.swarm.trySend(peer, ByteArray(size) { sent.toByte() })) sent++
                    check(sent < 400) { "nothing holds up the sender" }
                    delay(200.milliseconds)
                    seen == sent && bo.stats().queuedEvents > 0
                }
                val waiting = scope.async { repeat(200) { number -> ada.swarm.send(peer, ByteArray(size) { (sent + number).toByte() }) } }
                assertNull(withTimeoutOrNull(300.milliseconds) { waiting.await() }, "it does not wait")
                val expected = sent + 200
                val got = bo.events.take(expected).toList()
                waiting.await()
                assertEquals(expected, got.count { it is Event.Binary && it.size == size })
                got.forEachIndexed { index, event -> assertEquals(index.toByte(), (event as Event.Binary).data.get(size - 1)) }
                ada.wait<Event.Writable> { it.peer == peer && it.channel == ChannelId.FAST }
            }
        }
    }

    @Test
    fun `send waits inside of collect too, where nobody can take Writable`() = test {
        val name = newRoom()
        val count = 100
        member(newSwarm(name, "bo")) { bo ->
            newSwarm(name, "ada") {
                maxMessageSize = 100_000
                sendBuffer = SendBuffer(200_000, 100_000)
            }.use { ada ->
                ada.start()
                ada.events.first { event ->
                    if (event is Event.PeerOpen) repeat(count) { ada.send(event.peer, ByteArray(100_000)) }
                    event is Event.PeerOpen
                }
                until("all of them") { bo.heard.value.count { it is Event.Binary } == count }
            }
        }
    }

    @Test
    fun `leaving ends with SwarmClosed`() = test {
        room("ada", "bo") { (ada, bo) ->
            ada.peer("bo")
            bo.peer("ada")
            ada.swarm.leave()
            ada.swarm.leave()
            ada.collecting.join()
            val last = ada.heard.value.last() as Event.SwarmClosed
            assertEquals(0 to "", last.status to last.message)
            bo.wait<Event.PeerClosed> { it.userId == "ada" }
            assertThrows(ClosedException::class.java) { ada.swarm.broadcast("too late") }
            assertEquals(emptyList<Event>(), ada.swarm.events.toList())
        }
    }

    @Test
    fun `a token that is refused, and one that is not`() = test {
        val name = newRoom()
        member(newSwarm(name, "bo")) { bo ->
            member(
                Swarm(name, "ada", Server.url, Server.token("somebody else")) { bindAddresses = listOf("127.0.0.1") },
            ) { ada ->
                val refused = ada.wait<Event.SignalingState> { it.state == State.REFUSED }
                assertTrue(refused.message.isNotEmpty())
                ada.swarm.setToken(Server.token("ada"))
                ada.wait<Event.SignalingState> { it.state == State.CONNECTED }
                bo.peer("ada")
            }
        }
    }

    @Test
    fun `signals by a transport of one's own`() = test {
        val name = newRoom()
        member(newSwarm(name, "bo")) { bo ->
            Swarm(name, "ada") { bindAddresses = listOf("127.0.0.1") }.use { ada ->
                val received = Channel<String>(Channel.UNLIMITED)
                val socket = connect(Server.token("ada")) { received.trySend(it) }
                val carrier = scope.launch { for (message in received) ada.dispatch(message) }
                ada.start()
                val heard = mutableListOf<Event>()
                withTimeout(PATIENCE) {
                    ada.events.first { event ->
                        heard += event
                        when (event) {
                            is Event.Signal -> socket.sendText(event.json, true).get(10, TimeUnit.SECONDS)
                            is Event.PeerOpen -> ada.send(event.peer, "by hand")
                            else -> {}
                        }
                        event is Event.PeerOpen
                    }
                }
                assertTrue((heard.first() as Event.Signal).json.contains("\"init\""))
                bo.wait<Event.Text> { it.text == "by hand" && it.userId == "ada" }
                val malformed = assertThrows(MalformedException::class.java) { ada.tryDispatch("{") }
                assertEquals(-17 to "RTCSWARM_ERR_MALFORMED", malformed.status to malformed.statusName)
                assertTrue(malformed.message!!.isNotEmpty())
                assertThrows(InvalidStateException::class.java) { ada.setToken("none") }
                assertThrows(InvalidStateException::class.java) { bo.swarm.tryDispatch("{}") }
                carrier.cancel()
                socket.abort()
            }
        }
    }

    @Test
    fun `what cannot be is refused with words`() = test {
        fun refused(words: String, configure: SwarmConfig.() -> Unit) {
            val error = assertThrows(InvalidArgumentException::class.java) { Swarm("room", "ada", configure = configure).close() }
            assertEquals(-10, error.status)
            assertTrue(words in error.message!!, error.message)
        }
        refused("room") { room = "" }
        refused("NUL") { userId = "a\u0000b" }
        refused("surrogate") { room = "\uD800" }
        refused("port") { port = 65_536 }
        refused("maxPeers is negative") { maxPeers = -1 }
        refused("peers") { maxPeers = 4097 }
        refused("peer_buffer") { peerBuffer = 65 }
        refused("stun: or turn:") { iceServers = listOf(IceServer("http://example")) }
        refused("TURN") { iceTransportPolicy = IceTransportPolicy.RELAY }
        refused("IP address") { bindAddresses = listOf("not an address") }
        refused("message") { maxMessageSize = 0 }
        refused("send_high_water") { sendBuffer = SendBuffer(1, 2) }
        refused("deadline") { timeouts.connect = 0.seconds }
        refused("wss") { signaling = "ftp://example" }
        refused("token is for the signaling server") { token = "token" }
        refused("caFile is for the signaling server") { caFile = "file.pem" }
        Swarm("room", "ada") {
            peerBuffer = 0
            maxPeers = 4096
            iceServers = listOf(IceServer("stun:192.0.2.1"), IceServer("turn:192.0.2.1:3478", "user", "secret"))
            iceTransportPolicy = IceTransportPolicy.RELAY
            bindAddresses = listOf("127.0.0.1")
            ipv6 = false
            loopback = true
            maxMessageSize = 1000
            receiveQueue = 1 shl 20
            mediaQueue = 1 shl 20
            with(timeouts) {
                answer = 1.seconds
                connect = 2.seconds
                close = 3.seconds
                iceKeepalive = 4.seconds
                iceDisconnected = 5.seconds
                iceFailed = 6.seconds
            }
        }.use { swarm ->
            assertThrows(InvalidStateException::class.java) { swarm.broadcast("before the start") }
            swarm.start()
            assertThrows(InvalidStateException::class.java) { swarm.start() }
            assertThrows(NoPeerException::class.java) { swarm.trySend(PeerId(12345), "nobody") }
            assertThrows(InvalidArgumentException::class.java) { swarm.broadcast("\uDC00") }
            assertEquals(emptyMap<PeerId, String>(), swarm.peers())
            assertEquals("0.1.0", Swarm.libraryVersion)
        }
        room("ada", "bo", configure = { maxMessageSize = 1000 }) { (ada, _) ->
            val peer = ada.peer("bo")
            assertThrows(TooLargeException::class.java) { ada.swarm.trySend(peer, ByteArray(1001)) }
            val reserved = assertThrows(ReservedException::class.java) { ada.swarm.trySend(peer, "@fast/{}") }
            assertTrue("@fast" in reserved.message!!, reserved.message)
        }
    }
}
