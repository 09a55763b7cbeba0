package rtcswarm

import java.lang.ref.WeakReference
import java.nio.ByteBuffer
import java.util.Collections
import java.util.concurrent.CountDownLatch
import java.util.concurrent.atomic.AtomicInteger
import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.thread
import kotlin.random.Random
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.flow.filterIsInstance
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.withTimeoutOrNull
import kotlinx.coroutines.yield
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class LifecycleTest {
    /** Threads of swarms of this user. */
    private fun threads(user: String) = Thread.getAllStackTraces().keys.filter { it.name == "rtcswarm-$user" }

    /** For less than a millisecond, which is the least that `delay` knows. */
    private fun spin(microseconds: Long) {
        val end = System.nanoTime() + microseconds * 1000
        while (System.nanoTime() < end) Thread.onSpinWait()
    }

    @Test
    fun `collectors that are cancelled lose nothing and change no order`() = test {
        val name = newRoom()
        val count = 2000
        val received = AtomicInteger()
        member(newSwarm(name, "ada")) { ada ->
            newSwarm(name, "bo").use { bo ->
                bo.start()
                bo.events.first { it is Event.PeerOpen }
                val peer = ada.peer("bo")
                val sending = scope.launch {
                    repeat(count) {
                        // So that the one who takes them waits for each.
                        while (received.get() < it) yield()
                        spin(Random.nextLong(200))
                        ada.swarm.send(peer, "$it")
                    }
                }
                val got = mutableListOf<Int>()
                val take = { event: Event ->
                    if (event is Event.Text) {
                        got += event.text.toInt()
                        received.incrementAndGet()
                    }
                }
                var cancelled = 0
                while (got.size < count) {
                    val collecting = scope.launch { bo.events.collect { take(it) } }
                    spin(Random.nextLong(200))
                    collecting.cancelAndJoin()
                    cancelled++
                    if (cancelled % 10 == 0) bo.nextEvent(1.milliseconds)?.let(take)
                }
                assertEquals(List(count) { it }, got)
                assertTrue(cancelled > 50, "$cancelled")
                sending.join()
                assertEquals(1, threads("bo").size)
            }
            until("no thread") { threads("bo").isEmpty() }
        }
    }

    @Test
    fun `events are taken only as they are collected`() = test {
        room("ada", "bo") { (ada, _) ->
            val name = ada.swarm.room
            newSwarm(name, "slow").use { slow ->
                slow.start()
                val peer = async { ada.peer("slow") }
                slow.events.first { it is Event.PeerOpen && it.userId == "ada" }
                repeat(50) { ada.swarm.send(peer.await(), "$it") }
                until("all of them wait") { slow.stats().queuedEvents >= 50 }
                val got = slow.events.filterIsInstance<Event.Text>().take(3).toList()
                assertEquals(listOf("0", "1", "2"), got.map { it.text })
                delay(50.milliseconds)
                assertTrue(slow.stats().queuedEvents >= 47)
            }
        }
    }

    @Test
    fun `close ends a collector that waits, and one that works`() = test {
        for (round in 1..20) {
            val swarm = newSwarm(newRoom(), "closing")
            swarm.start()
            val connected = CompletableDeferred<Unit>()
            val collecting = launch { swarm.events.collect { if (it is Event.SignalingState) connected.complete(Unit) } }
            if (round % 2 == 0) connected.await()
            if (round % 4 == 0) delay(5.milliseconds)
            swarm.close()
            withTimeoutOrNull(PATIENCE) { collecting.join() } ?: error("it still collects")
        }
        until("no thread") { threads("closing").isEmpty() }
        val swarm = newSwarm(newRoom(), "ada")
        swarm.start()
        swarm.events.collect { swarm.close() }
        assertTrue(swarm.events.toList().isEmpty())
    }

    @Test
    fun `after close every call says so`() = test {
        val name = newRoom()
        val swarm = newSwarm(name, "late")
        swarm.start()
        assertTrue(swarm.nextEvent() is Event.SignalingState)
        assertNull(swarm.nextEvent(20.milliseconds))
        // The thread has taken an event for who has gone, and sleeps.
        member(newSwarm(name, "bo")) { bo ->
            bo.peer("late")
            until("it sleeps") { threads("late").single().state == Thread.State.WAITING }
        }
        swarm.close()
        swarm.close()
        swarm.leave()
        val peer = PeerId(1)
        val track = TrackId(1)
        val calls: List<suspend () -> Any?> =
            listOf(
                { swarm.start() },
                { swarm.setToken("x") },
                { swarm.tryDispatch("{}") },
                { swarm.dispatch("{}") },
                { swarm.nextEvent() },
                { swarm.nextEvent(1.seconds) },
                { swarm.trySend(peer, "x") },
                { swarm.trySend(peer, byteArrayOf(1)) },
                { swarm.trySend(peer, ByteBuffer.allocateDirect(1)) },
                { swarm.send(peer, "x") },
                { swarm.broadcast("x") },
                { swarm.broadcast(byteArrayOf(1)) },
                { swarm.openChannel(peer, "x") },
                { swarm.closeChannel(peer, ChannelId(1)) },
                { swarm.buffered(peer) },
                { swarm.closePeer(peer) },
                { swarm.peers() },
                { swarm.peerStats(peer) },
                { swarm.stats() },
                { swarm.addStream("cam", "video" to Codec.VP8) },
                { swarm.mute(track) },
                { swarm.replaceTrack(track, Codec.VP8) },
                { swarm.sendFrame(track, byteArrayOf(1), 0u) },
                { swarm.sendRtp(track, byteArrayOf(1)) },
                { swarm.requestKeyFrame(peer, track) },
                { swarm.trackStats(peer, track) },
            )
        for ((index, call) in calls.withIndex()) {
            val error = runCatching { call() }.exceptionOrNull()
            assertTrue(error is ClosedException && error.status == -12, "call $index: $error")
        }
        assertEquals("Swarm(late in ${swarm.room})", "$swarm")
    }

    /** A queue of a native swarm that is about to tell of its signaling. */
    private suspend fun queue(onEvent: (Event) -> Unit, start: (Thread) -> Unit, body: suspend (EventQueue) -> Unit) {
        val config = SwarmConfig(newRoom(), "ada")
        config.signaling = Server.url
        config.token = Server.token("ada")
        val handle = Handle(config.create())
        val queue = EventQueue(handle, "rtcswarm-queue", onEvent, start)
        try {
            body(queue)
            handle.use { check(Native.start(it)) }
            val event = withTimeoutOrNull(PATIENCE / 6) { queue.takeOne() }
            assertTrue(event is Event.SignalingState, "$event")
        } finally {
            handle.release()
            queue.stop()
        }
    }

    private suspend fun EventQueue.takeOne(): Event {
        while (true) {
            // First, so that it is the thread that takes it.
            await()
            poll()?.let { return it }
        }
    }

    @Test
    fun `a thread that cannot be started is started by the next one`() = test {
        val attempts = AtomicInteger()
        val start = { thread: Thread -> if (attempts.incrementAndGet() == 1) throw OutOfMemoryError("no thread") else thread.start() }
        queue({}, start) { queue ->
            val failure = runCatching { queue.await() }.exceptionOrNull()
            assertTrue(failure is OutOfMemoryError, "$failure")
        }
        assertEquals(2, attempts.get())
    }

    @Test
    fun `who hears of an event does not hold the lock`() = test {
        val lock = EventQueue::class.java.getDeclaredField("lock").apply { isAccessible = true }
        val threads = Collections.synchronizedList(mutableListOf<String>())
        lateinit var queue: EventQueue
        val hear = { _: Event ->
            val held = (lock.get(queue) as ReentrantLock).isHeldByCurrentThread
            threads += if (held) "with the lock" else Thread.currentThread().name.takeIf { it == "rtcswarm-queue" } ?: "caller"
        }
        // Heard of by the thread,
        queue(hear, Thread::start) { queue = it }
        until("heard of") { threads.isNotEmpty() }
        assertEquals(listOf("rtcswarm-queue"), threads)
        // and by who looks: there is an event, and no thread yet.
        newSwarm(newRoom(), "ada").use { swarm ->
            swarm.start()
            until("an event") { swarm.stats().queuedEvents > 0 }
            val core = Swarm::class.java.getDeclaredField("core").apply { isAccessible = true }.get(swarm)
            val handle = core.javaClass.getDeclaredField("handle").apply { isAccessible = true }.get(core) as Handle
            queue = EventQueue(handle, "rtcswarm-never", hear)
            assertNotNull(queue.poll())
        }
        assertEquals(listOf("rtcswarm-queue", "caller"), threads)
    }

    @Test
    fun `what fails does not keep the reaper from the rest`() = test {
        val done = AtomicInteger()
        Reaper.watch(Any()) {
            done.incrementAndGet()
            throw OutOfMemoryError("of a test")
        }
        untilCollected("the one that fails") { done.get() == 1 }
        Reaper.watch(Any()) { done.incrementAndGet() }
        untilCollected("the one after it") { done.get() == 2 }
    }

    @Test
    fun `on Android there are only copies`() = test {
        assertTrue(Payload.isAndroid("Dalvik", null))
        assertTrue(Payload.isAndroid("ART", "The Android Project"))
        assertFalse(Payload.isAndroid("OpenJDK 64-Bit Server VM", "Debian"))
        assertFalse(Payload.alwaysCopy)
        Payload.alwaysCopy = true
        try {
            val bytes = Random.nextBytes(100_000)
            room("ada", "bo") { (ada, bo) ->
                ada.swarm.send(ada.peer("bo"), bytes)
                val got = bo.wait<Event.Binary>()
                assertFalse(got.data.isDirect)
                assertEquals(ByteBuffer.wrap(bytes), got.data)
            }
        } finally {
            Payload.alwaysCopy = false
        }
    }

    @Test
    fun `one takes the events at a time`() = test {
        newSwarm(newRoom(), "ada").use { swarm ->
            swarm.start()
            val first = CompletableDeferred<Unit>()
            val collecting = launch { swarm.events.collect { first.complete(Unit) } }
            first.await()
            val busy = runCatching { swarm.nextEvent() }.exceptionOrNull()
            assertTrue(busy is BusyException && "shareIn" in busy.message!!, "$busy")
            assertTrue(runCatching { swarm.events.collect() }.exceptionOrNull() is BusyException)
            collecting.cancelAndJoin()
            assertNull(swarm.nextEvent(20.milliseconds))
        }
    }

    @Test
    fun `calls race with close, from many threads`() = test {
        repeat(20) {
            val swarm = newSwarm(newRoom(), "racing")
            val track = swarm.addStream("cam", "video" to Codec.VP8).values.single()
            swarm.start()
            val direct = ByteBuffer.allocateDirect(1000)
            val racing =
                List(4) { index ->
                    // They never suspend, and the others need threads too.
                    async(Dispatchers.IO) {
                        var calls = 0
                        try {
                            while (true) {
                                when ((calls + index) % 6) {
                                    0 -> swarm.broadcast(direct)
                                    1 -> swarm.stats()
                                    2 -> swarm.sendFrame(track, ByteArray(10), 0u, key = true)
                                    3 -> swarm.peers()
                                    4 -> runCatching { swarm.trySend(PeerId(1), "x") }
                                    5 -> runCatching { swarm.nextEvent(1.milliseconds) }
                                }
                                calls++
                            }
                        } catch (_: ClosedException) {
                            calls
                        }
                    }
                }
            delay(Random.nextLong(20).milliseconds)
            List(3) { launch { swarm.close() } }.forEach { it.join() }
            assertNotNull(withTimeoutOrNull(PATIENCE) { racing.awaitAll() })
        }
        until("no thread") { threads("racing").isEmpty() }
    }

    @Test
    fun `it is freed after the calls that run, and none begins later`() = test {
        val handle = Handle(SwarmConfig("room", "ada").create())
        val inside = CountDownLatch(1)
        val go = CountDownLatch(1)
        val caller =
            thread {
                handle.use {
                    inside.countDown()
                    go.await()
                }
            }
        inside.await()
        val closers = List(2) { thread { handle.release() } }
        until("released") { handle.released }
        assertThrows(ClosedException::class.java) { handle.use {} }
        for (closer in closers) {
            closer.join(50)
            assertTrue(closer.isAlive, "freed while a call runs")
        }
        go.countDown()
        caller.join()
        for (closer in closers) closer.join()
    }

    @Test
    fun `a swarm that is forgotten closes itself`() = test {
        val name = newRoom()
        member(newSwarm(name, "bo")) { bo ->
            val forgotten = forget(name)
            bo.peer("forgotten")
            untilCollected("the goodbye of who was forgotten") {
                bo.heard.value.any { it is Event.PeerClosed && it.userId == "forgotten" }
            }
            assertNull(forgotten.get())
            until("no thread") { threads("forgotten").isEmpty() }
        }
    }

    private suspend fun forget(name: String): WeakReference<Swarm> {
        val swarm = newSwarm(name, "forgotten")
        swarm.start()
        // With a thread that waits for an event in the library, for nobody any more.
        swarm.events.first { it is Event.PeerOpen }
        assertNull(swarm.nextEvent(50.milliseconds))
        return WeakReference(swarm)
    }

    @Test
    fun `who collects keeps the swarm`() = test {
        val name = newRoom()
        member(newSwarm(name, "bo")) { bo ->
            val collecting = scope.launch { newSwarm(name, "kept").apply { start() }.events.collect() }
            bo.peer("kept")
            repeat(20) {
                System.gc()
                delay(5.milliseconds)
            }
            assertFalse(bo.heard.value.any { it is Event.PeerClosed })
            collecting.cancelAndJoin()
            untilCollected("the goodbye") { bo.heard.value.any { it is Event.PeerClosed } }
        }
    }

    @Test
    fun `what an event carries lives as long as a buffer of it`() = test {
        untilCollected("nothing of other tests") { Payload.held.get() == 0L }
        val size = 100_000
        val bytes = Random.nextBytes(size)
        val kept = keep(bytes)
        repeat(20) {
            System.gc()
            delay(5.milliseconds)
        }
        assertEquals(size.toLong(), Payload.held.get(), "held while there is a slice of it")
        // What would be free is used by others.
        repeat(20) { keep(ByteArray(size)) }
        assertTrue(kept.isDirect)
        assertEquals(ByteBuffer.wrap(bytes, 500, 1000), kept)
    }

    /** A slice of a view of an event whose swarm is gone. */
    private suspend fun keep(bytes: ByteArray): ByteBuffer {
        var kept: ByteBuffer? = null
        room("ada", "bo") { (ada, bo) ->
            ada.swarm.send(ada.peer("bo"), bytes)
            val data = bo.wait<Event.Binary>().data
            data.position(500).limit(1500)
            kept = data.slice()
        }
        return kept!!
    }

    @Test
    fun `memory that the garbage collector does not see is bounded`() = test {
        untilCollected("nothing of other tests") { Payload.held.get() == 0L }
        val size = 256 * 1024
        room("ada", "bo") { (ada, bo) ->
            val peer = ada.peer("bo")
            val count = 80L * 1024 * 1024 / size
            repeat(count.toInt()) { ada.swarm.send(peer, ByteArray(size) { index -> index.toByte() }) }
            // The member keeps them all.
            until("all of them") { bo.heard.value.count { it is Event.Binary } == count.toInt() }
            val messages = bo.heard.value.filterIsInstance<Event.Binary>()
            assertEquals(64L * 1024 * 1024, Payload.held.get())
            assertEquals(count - 64L * 1024 * 1024 / size, messages.count { !it.data.isDirect }.toLong())
            assertTrue(messages.all { it.data.get(size - 1) == (size - 1).toByte() })
        }
        untilCollected("all of it given back") { Payload.held.get() == 0L }
    }
}
