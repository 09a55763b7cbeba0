package rtcswarm

import java.nio.ByteBuffer
import kotlin.random.Random
import kotlin.system.exitProcess
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.flow.firstOrNull
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import kotlinx.coroutines.withTimeoutOrNull
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** Swarms made, used, closed, forgotten and collected in a small heap, in a JVM that checks each use of JNI. */
class StressTest {
    @Test
    fun `no warning of JNI, no crash, nothing left`() = test {
        val options = listOf("-Xcheck:jni", "-Xmx64m", "-XX:+UseSerialGC")
        jvm("rtcswarm.StressTestKt", "100", Server.url, Server.token("ada"), Server.token("bo"), options = options).use { child ->
            val status = child.exitCode()
            // Whatever it prints but for its own lines is a complaint, of the checks or of the JVM.
            val complaints = child.heard.filterNot { it.startsWith("stress: ") }
            assertEquals(emptyList<String>(), complaints)
            assertEquals(0, status, "${child.heard}")
            assertTrue(child.heard.last().startsWith("stress: done, "), "${child.heard}")
        }
    }
}

private class Rounds(private val url: String, private val ada: String, private val bo: String) {
    var messages = 0

    private fun swarm(room: String, user: String, token: String) =
        Swarm(room, user, url, token) { bindAddresses = listOf("127.0.0.1") }.apply { start() }

    /** Two members greet, send of every kind, and go: one closed, the other one now closed and now forgotten. */
    suspend fun round(number: Int) {
        val room = "stress $number"
        val first = swarm(room, "ada", ada)
        val second = swarm(room, "bo", bo)
        val track = first.addStream("cam", "video" to Codec.VP8, "audio" to Codec.OPUS, "warm" to Kind.VIDEO, "theirs" to Expected)
        var shown = false
        coroutineScope {
            val hearing = async { hear(second) }
            val direct = ByteBuffer.allocateDirect(100_000)
            first.events.collectUntil { event ->
                if (event is Event.PeerOpen) {
                    repeat(20) { first.send(event.peer, "text $it 🦀") }
                    repeat(20) { first.send(event.peer, Random.nextBytes(if (it % 2 == 0) 100 else 50_000)) }
                    repeat(10) { first.send(event.peer, direct) }
                    first.peerStats(event.peer)
                    first.peers()
                    first.openChannel(event.peer, "side")
                    runCatching { first.trySend(PeerId(-1), "x") }
                    runCatching { first.trackStats(event.peer, TrackId(-1)) }
                }
                if (event is Event.KeyFrameWanted && event.track == track["video"] && !shown) {
                    shown = true
                    first.sendFrame(track.getValue("video"), vp8(20_000, true), 1u, key = true)
                    first.sendFrame(track.getValue("video"), direct.duplicate().apply { put(0, 0x10) }, 2u, key = true)
                    first.mute(track.getValue("video"))
                    first.leave()
                }
                event is Event.SwarmClosed
            }
            first.close()
            if (number % 2 == 0) second.close()
            messages += hearing.await()
        }
    }

    private suspend fun hear(swarm: Swarm): Int {
        var count = 0
        swarm.events.collectUntil { event ->
            when (event) {
                is Event.Text -> count++
                is Event.Binary -> count++.also { check(event.data.remaining() == event.toByteArray().size) }
                else -> {}
            }
            event is Event.PeerClosed || event is Event.SwarmClosed
        }
        return count
    }

    private suspend fun Flow<Event>.collectUntil(last: suspend (Event) -> Boolean) {
        withTimeout(30.seconds) { firstOrNull(last) }
    }

    /** One that is closed while others call it, at any time. */
    suspend fun race(number: Int) {
        val swarm = swarm("race $number", "ada", ada)
        coroutineScope {
            launch { swarm.events.collect() }
            val calls =
                List(3) {
                    // They never suspend, and the others need threads too.
                    async(Dispatchers.IO) {
                        try {
                            while (true) {
                                swarm.broadcast("x")
                                swarm.stats()
                                runCatching { swarm.trySend(PeerId(1), byteArrayOf(1)) }
                            }
                        } catch (_: ClosedException) {
                            // As it should.
                        }
                    }
                }
            delay(Random.nextLong(5).milliseconds)
            swarm.close()
            calls.awaitAll()
        }
    }
}

private fun gone(): Boolean {
    System.gc()
    val threads = Thread.getAllStackTraces().keys.filter { it.name.startsWith("rtcswarm-") && it.name != "rtcswarm-reaper" }
    return Handle.live.get() == 0 && Payload.held.get() == 0L && threads.isEmpty()
}

fun main(arguments: Array<String>) {
    val (rounds, url, ada, bo) = arguments
    val running = Rounds(url, ada, bo)
    runBlocking(Dispatchers.Default) {
        repeat(rounds.toInt()) {
            running.round(it)
            running.race(it)
        }
        withTimeoutOrNull(30.seconds) { while (!gone()) delay(10.milliseconds) }
    }
    println("stress: ${Handle.live} swarms, ${Payload.held} bytes left")
    if (!gone()) exitProcess(1)
    println("stress: done, ${running.messages} messages")
}
