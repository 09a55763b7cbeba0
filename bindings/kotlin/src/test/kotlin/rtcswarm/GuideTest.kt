package rtcswarm

import java.nio.ByteBuffer
import java.util.Collections
import java.util.concurrent.TimeUnit
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancel
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Test

/** What docs/kotlin.md shows does what it says. */
class GuideTest {
    private val lines: MutableList<String> = Collections.synchronizedList(mutableListOf())
    private val guide = Guide { lines += it }

    private suspend fun heard(line: String) = until("\"$line\" in $lines") { line in lines }

    @Test
    fun `data`() = test {
        val name = newRoom()
        member(newSwarm(name, "bob")) { bob ->
            newSwarm(name, "alice").use { alice ->
                alice.start()
                val peer = (alice.events.first { it is Event.PeerOpen } as Event.PeerOpen).peer
                val telling = launch { guide.tell(alice) }
                guide.send(alice, peer)
                heard("1 reached, 0 skipped")
                bob.wait<Event.Text> { it.text == "does not wait" }
                bob.wait<Event.Text> { it.text == "to everybody" }
                bob.wait<Event.Binary> { it.size == 16_384 }
                bob.swarm.broadcast("hi")
                bob.swarm.broadcast(byteArrayOf(1))
                heard("bob says hi")
                heard("bob sends 1 bytes")
                telling.cancelAndJoin()
                val channel = launch { guide.channel(alice, peer) }
                bob.wait<Event.Text> { it.text == "12 34" && it.channel != ChannelId.FAST }
                channel.cancelAndJoin()
                bob.swarm.broadcast("in time")
                assertNotNull(guide.withDeadline(alice))
                // One thread, so that what is launched begins in order: the empty one when both subscribers are there.
                val sharing = CoroutineScope(Dispatchers.Default.limitedParallelism(1))
                guide.shared(alice, sharing)
                sharing.launch {}.join()
                bob.swarm.broadcast("both")
                heard("heard both")
                member(newSwarm(name, "carol")) {
                    heard("met carol")
                }
                sharing.cancel()
                guide.failing(alice, PeerId(12345))
                until("$lines") { lines.any { it.startsWith("it has left: ") } }
                alice.close()
                guide.failing(alice, peer)
                heard("RTCSWARM_ERR_CLOSED (-12): this swarm is closed")
            }
        }
    }

    @Test
    fun `media`() = test {
        val name = newRoom()
        newSwarm(name, "alice").use { alice ->
            newSwarm(name, "bob").use { bob ->
                alice.start()
                bob.start()
                val decoded = Channel<Int>(Channel.CONFLATED)
                val decode: Decode = { data: ByteBuffer, _, _ -> decoded.trySend(data.remaining()) }
                val sending = launch { guide.sendVideo(alice, Encoder(), this) }
                val tracks =
                    object : HashMap<TrackId, Decode>() {
                        override fun get(key: TrackId) = decode
                    }
                val receiving = launch { guide.receiveVideo(bob, tracks) }
                heard("alice gives cam, all 2 tracks")
                heard("alice has video, VIDEO")
                assertEquals(100, decoded.receive())
                sending.cancelAndJoin()
                receiving.cancelAndJoin()
            }
        }
    }

    @Test
    fun `config, and signals of one's own`() = test {
        guide.configured(Server.url, Server.token("alice")).close()
        val name = newRoom()
        member(newSwarm(name, "bob")) { bob ->
            Swarm(name, "alice") { bindAddresses = listOf("127.0.0.1") }.use { alice ->
                val arriving = Channel<String>(Channel.UNLIMITED)
                val web = connect(Server.token("alice")) { arriving.trySend(it) }
                val socket =
                    object : Socket {
                        override val incoming = arriving

                        override suspend fun send(message: String) {
                            web.sendText(message, true).get(10, TimeUnit.SECONDS)
                        }
                    }
                alice.start()
                val carrying = launch { guide.carry(alice, socket, this) }
                bob.peer("alice")
                carrying.cancelAndJoin()
                web.abort()
            }
        }
    }
}
