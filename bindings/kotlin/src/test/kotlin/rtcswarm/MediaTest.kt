package rtcswarm

import java.nio.ByteBuffer
import kotlin.random.Random
import kotlin.time.Duration
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** All that the library looks at in a frame of VP8 is its first byte. */
fun vp8(size: Int, key: Boolean): ByteArray = byteArrayOf(if (key) 0x10 else 0x11) + Random.nextBytes(size - 1)

/** The tracks of a peer's stream by their names, once all of them are there. */
suspend fun Member.streamOf(user: String, name: String = "cam"): Map<String, TrackId> {
    val stream = wait<Event.Stream> { it.userId == user && it.name == name }
    return stream.tracks.associateBy { track -> wait<Event.Track> { it.track == track }.name }
}

class MediaTest {
    private val cam = mapOf("audio" to Codec.OPUS, "video" to Codec.VP8)

    @Test
    fun `streams come with their tracks, and frames go both ways`() = test {
        room("ada", "bo") { members ->
            val ours = members.map { it.swarm.addStream("cam", cam) }
            val theirs = listOf(members[0].streamOf("bo"), members[1].streamOf("ada"))
            for ((index, member) in members.withIndex()) {
                assertEquals(setOf("audio", "video"), theirs[index].keys)
                assertEquals(Kind.AUDIO, member.wait<Event.Track> { it.name == "audio" }.kind)
                assertEquals(Kind.VIDEO, member.wait<Event.Track> { it.name == "video" }.kind)
                member.wait<Event.KeyFrameWanted> { it.track == ours[index]["video"] }
            }
            for ((size, key) in listOf(10 to true, 1 to false, 1120 to false, 40_000 to true)) {
                val data = vp8(size, key)
                val time = UInt.MAX_VALUE - 99u + size.toUInt()
                for ((giver, taker) in listOf(0 to 1, 1 to 0)) {
                    val sent = members[giver].swarm.sendFrame(ours[giver].getValue("video"), data, time, key)
                    assertEquals(Broadcast(1, 0), sent)
                    val got = members[taker].wait<Event.Frame> { it.toByteArray().contentEquals(data) }
                    assertEquals(theirs[taker]["video"], got.track)
                    assertEquals(Codec.VP8 to time, got.codec to got.rtpTime)
                    assertEquals(key, got.key)
                    assertFalse(got.gap)
                    assertEquals(size >= 8192, got.data.isDirect)
                }
            }
            val (ada, bo) = members
            val sound = "\u00f8sound".toByteArray(Charsets.ISO_8859_1)
            val direct = ByteBuffer.allocateDirect(20).apply { position(7) }.put(sound).apply { flip().position(7) }
            for (buffer in listOf(ByteBuffer.wrap(sound), direct)) {
                assertEquals(Broadcast(1, 0), ada.swarm.sendFrame(ours[0].getValue("audio"), buffer, 960u))
            }
            until("both sounds") { bo.heard.value.count { it is Event.Frame && it.codec == Codec.OPUS } == 2 }
            assertTrue(bo.heard.value.filterIsInstance<Event.Frame>().takeLast(2).all { it.toByteArray().contentEquals(sound) })

            val received = bo.swarm.trackStats(bo.peer("ada"), theirs[1].getValue("video"))
            assertEquals(4L to 0L, received.frames to received.lost)
            assertTrue(received.packets >= 40 && received.bytes >= 41_131, "$received")
            assertNull(received.bitrate)
            val sent = ada.swarm.trackStats(ada.peer("bo"), ours[0].getValue("video"))
            assertEquals(4L to received.packets, sent.frames to sent.packets)
            assertEquals(Duration.ZERO, sent.jitter)
            assertTrue(sent.keyFrameRequests >= 1, "$sent")
            assertEquals(0, ada.swarm.peerStats(ada.peer("bo")).mediaDropped)
        }
    }

    @Test
    fun `muting, and what comes after`() = test {
        room("ada", "bo") { (ada, bo) ->
            val video = ada.swarm.addStream("cam", cam).getValue("video")
            val theirs = bo.streamOf("ada").getValue("video")
            ada.wait<Event.KeyFrameWanted> { it.track == video }
            ada.swarm.mute(video)
            assertEquals(theirs, bo.wait<Event.TrackMuted> { it.muted }.track)
            assertEquals(Broadcast(0, 1), ada.swarm.sendFrame(video, vp8(10, true), 0u, key = true))
            ada.swarm.mute(video, false)
            assertEquals(theirs, bo.wait<Event.TrackMuted> { !it.muted }.track)
            val before = ada.heard.value.count { it is Event.KeyFrameWanted }
            val peer = bo.peer("ada")
            bo.swarm.requestKeyFrame(peer, theirs)
            until("one more wish") { ada.heard.value.count { it is Event.KeyFrameWanted } > before }
            assertThrows(NoTrackException::class.java) { ada.swarm.mute(theirs) }
            assertThrows(NoTrackException::class.java) { bo.swarm.requestKeyFrame(peer, video) }
            assertThrows(NoPeerException::class.java) { bo.swarm.trackStats(PeerId(12345), theirs) }
        }
    }

    @Test
    fun `a warm track becomes a real one and changes its codec`() = test {
        room("ada", "bo") { (ada, bo) ->
            bo.peer("ada")
            val video = ada.swarm.addStream("cam", "video" to Kind.VIDEO, "theirs" to Expected).getValue("video")
            assertThrows(InvalidStateException::class.java) { ada.swarm.sendFrame(video, vp8(10, true), 0u, key = true) }
            assertThrows(InvalidArgumentException::class.java) { ada.swarm.addStream("cam", "video" to Codec.OPUS) }
            assertThrows(InvalidArgumentException::class.java) { ada.swarm.addStream("cam", "x" to Codec.UNKNOWN) }
            assertEquals(mapOf("video" to video), ada.swarm.addStream("cam", "video" to Codec.VP8))
            val theirs = bo.wait<Event.Track>().track
            for (codec in listOf(Codec.VP8, Codec.VP9)) {
                ada.swarm.replaceTrack(video, codec)
                until("a frame in $codec") {
                    ada.swarm.sendFrame(video, vp8(500, true), 3000u, key = true).reached == 1 &&
                        bo.heard.value.any { it is Event.Frame && it.codec == codec && it.track == theirs }
                }
            }
            assertThrows(InvalidArgumentException::class.java) { ada.swarm.replaceTrack(video, Codec.OPUS) }
        }
    }

    @Test
    fun `packets in place of frames`() = test {
        room("ada", "bo", configure = { receiveRtp = true }) { (ada, bo) ->
            val video = ada.swarm.addStream("cam", cam).getValue("video")
            val theirs = bo.streamOf("ada").getValue("video")
            ada.wait<Event.KeyFrameWanted> { it.track == video }
            val packet = byteArrayOf(0x80.toByte(), 0x80.toByte(), 0, 1, 0, 1, 2, 3, 4, 5, 6, 7) + "payload".encodeToByteArray()
            assertEquals(Broadcast(1, 0), ada.swarm.sendRtp(video, packet))
            assertEquals(Broadcast(1, 0), ada.swarm.sendRtp(video, ByteBuffer.allocateDirect(packet.size).put(packet).apply { flip() }))
            until("both packets") { bo.heard.value.count { it is Event.Rtp } == 2 }
            for (got in bo.heard.value.filterIsInstance<Event.Rtp>()) {
                assertEquals(theirs to Codec.VP8, got.track to got.codec)
                assertEquals("payload", got.toByteArray().decodeToString(got.size - 7))
                assertEquals(listOf<Byte>(0, 1, 2, 3), got.toByteArray().slice(4..7))
            }
            assertThrows(InvalidArgumentException::class.java) { ada.swarm.sendRtp(video, packet.copyOf(11)) }
            assertThrows(TooLargeException::class.java) { ada.swarm.sendRtp(video, packet + ByteArray(1120)) }
        }
    }
}
