package rtcswarm

import java.io.File
import kotlin.random.Random
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** A peer in Kotlin and one in Python, another process. */
class PythonPeerTest {
    @Test
    fun `data and media go there and back`() = test {
        val name = newRoom()
        python(File("src/test/python/peer.py"), Server.url, Server.token("py"), name, "py").use { py ->
            member(newSwarm(name, "ada")) { ada ->
                val peer = ada.peer("py")
                py.expect("^open ada native$")
                ada.swarm.send(peer, "grüße 🦀")
                ada.wait<Event.Text> { it.userId == "py" && it.text == "grüße 🦀" }
                for (size in listOf(1, 8192, 262_144)) {
                    val bytes = Random.nextBytes(size)
                    ada.swarm.send(peer, bytes)
                    ada.wait<Event.Binary> { it.toByteArray().contentEquals(bytes) }
                }
                val channel = ada.swarm.openChannel(peer, "side")
                py.expect("^channel side$")
                ada.wait<Event.ChannelOpen> { it.channel == channel }
                ada.swarm.send(peer, "aside", channel)
                ada.wait<Event.Text> { it.text == "aside" && it.channel == channel }

                val theirs = ada.streamOf("py", "echo").getValue("echo")
                val video = ada.swarm.addStream("cam", "video" to Codec.VP8).getValue("video")
                py.expect("^stream cam$")
                ada.wait<Event.KeyFrameWanted> { it.track == video }
                // Frames are of the moment: what comes before the echo is taken at this side is lost.
                until("a first echo") {
                    ada.swarm.sendFrame(video, vp8(10, true), 0u, key = true)
                    ada.heard.value.any { it is Event.Frame }
                }
                for ((size, key) in listOf(100 to true, 30_000 to false, 60_000 to true)) {
                    val frame = vp8(size, key)
                    assertEquals(Broadcast(1, 0), ada.swarm.sendFrame(video, frame, 3000u * size.toUInt(), key))
                    val got = ada.wait<Event.Frame> { it.toByteArray().contentEquals(frame) }
                    assertEquals(theirs, got.track)
                    assertEquals(3000u * size.toUInt() to key, got.rtpTime to got.key)
                }
                assertTrue(ada.swarm.trackStats(peer, theirs).frames >= 4)
                ada.swarm.leave()
                py.expect("^closed ada REMOTE_CLOSE$")
                assertEquals(0, py.exitCode())
            }
        }
    }
}
