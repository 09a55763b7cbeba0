/*
 * A member of a room that greets everyone it meets. See `make demo`.
 *
 *     chat-kotlin --url ws://127.0.0.1:8080/ --token TOKEN --room demo --user eli --expect 3
 *
 * When the room is complete it tells of each link, and stays until it reads `leave` (or the end of its input); other lines it says
 * to everybody.
 */

import java.util.Locale
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import kotlin.concurrent.thread
import kotlin.system.exitProcess
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlin.time.DurationUnit
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.async
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.selects.select
import kotlinx.coroutines.withTimeoutOrNull
import rtcswarm.Event
import rtcswarm.NoPeerException
import rtcswarm.PeerId
import rtcswarm.PeerStats
import rtcswarm.RtcSwarmException
import rtcswarm.State
import rtcswarm.Swarm

/** The signaling server will not have us. */
private class Refused(message: String) : Exception(message)

private class Chat(val swarm: Swarm, val expect: Int) {
    val peers = LinkedHashMap<PeerId, String>()
    val complete = CompletableDeferred<Unit>()
    private val greetings = HashMap<PeerId, MutableSet<String>>()

    fun say(line: String) {
        println("${swarm.userId}: $line")
        System.out.flush()
    }

    suspend fun listen() {
        swarm.events.collect { event ->
            hear(event)
            if (peers.keys.count { greetings[it]?.size == 2 } >= expect) complete.complete(Unit)
        }
    }

    private suspend fun hear(event: Event) {
        when (event) {
            is Event.PeerOpen -> {
                say("open ${event.userId}")
                peers[event.peer] = event.userId
                greetings[event.peer] = mutableSetOf()
                try {
                    swarm.send(event.peer, "hello from ${swarm.userId}")
                    swarm.send(event.peer, "rtcswarm".encodeToByteArray())
                } catch (_: RtcSwarmException) {
                    // Who is gone again by now has its PeerClosed behind this event, and a swarm that broke its SwarmClosed.
                }
            }
            is Event.Text ->
                // Those lines are not for us: see tellLinks.
                if (!event.text.startsWith("links\t")) {
                    say("text from ${event.userId}: ${event.text}")
                    greetings[event.peer]?.add("text")
                }
            is Event.Binary -> {
                say("binary from ${event.userId}: ${event.size} bytes")
                greetings[event.peer]?.add("binary")
            }
            is Event.PeerClosed -> {
                say("closed ${event.userId} (${event.reason})")
                peers.remove(event.peer)
            }
            is Event.PeerFailed -> say("failed ${event.userId}: ${event.message}")
            is Event.SignalingState -> if (event.state == State.REFUSED) throw Refused(event.message)
            else -> {}
        }
    }

    suspend fun report() {
        for ((peer, userId) in peers.toMap()) {
            val stats =
                try {
                    measured(peer)
                } catch (_: NoPeerException) {
                    continue // It left meanwhile.
                }
            val roundTrip = stats.roundTrip?.toDouble(DurationUnit.MILLISECONDS)
            val words = if (roundTrip == null) "?" else "%.2fms".format(Locale.ROOT, roundTrip)
            say("link $userId rtt=$words ${way(stats)} sent=${stats.bytesSent}B received=${stats.bytesReceived}B")
        }
        say("complete $expect")
    }

    private suspend fun measured(peer: PeerId): PeerStats {
        repeat(30) {
            val stats = swarm.peerStats(peer)
            if (stats.roundTrip != null) return stats
            delay(100.milliseconds)
        }
        return swarm.peerStats(peer)
    }

    /** For the page: a line with "links" and what we are; then one each link, round trip in us and bytes too. */
    suspend fun tellLinks() {
        while (true) {
            val lines = mutableListOf("links\tKotlin")
            for ((peer, userId) in peers) {
                try {
                    val stats = swarm.peerStats(peer)
                    val roundTrip = stats.roundTrip?.inWholeMicroseconds ?: -1
                    lines += "$userId\t$roundTrip\t${way(stats)}\t${stats.bytesSent}\t${stats.bytesReceived}"
                } catch (_: NoPeerException) {
                    // It has left, and its PeerClosed is not taken yet.
                }
            }
            swarm.broadcast(lines.joinToString("\n"))
            delay(1.seconds)
        }
    }

    private fun way(stats: PeerStats) = if (stats.relayed) "relayed" else "direct"
}

private class Options(arguments: Array<String>) {
    var url: String? = null
    var token: String? = null
    var room: String? = null
    var user: String? = null
    var expect = 1
    var timeout: Duration = 10.seconds
    var tellLinks = false
    var stay = false

    init {
        val words = arguments.iterator()
        try {
            while (words.hasNext()) {
                when (words.next()) {
                    "--url" -> url = words.next()
                    "--token" -> token = words.next()
                    "--room" -> room = words.next()
                    "--user" -> user = words.next()
                    "--expect" -> expect = words.next().toInt()
                    "--timeout" -> timeout = words.next().toDouble().seconds
                    "--tell-links" -> tellLinks = true
                    "--stay" -> stay = true
                    else -> usage()
                }
            }
        } catch (_: NoSuchElementException) {
            usage()
        } catch (_: NumberFormatException) {
            usage()
        }
    }

    fun needed(option: String?): String = option ?: usage()
}

private fun usage(): Nothing {
    System.err.println(
        """
        usage: chat --url URL --token TOKEN --room ROOM --user NAME
                    [--expect N]         wait for N peers and their greetings, then print the links to them; default 1
                    [--timeout SECONDS]  for that; default 10
                    [--tell-links]       every second, tell the others of the links, for the page of `make demo HOLD=1`
                    [--stay]             run until interrupted; else a line "leave" or the end of stdin ends it
        """.trimIndent(),
    )
    // Not exitProcess: there is nobody yet to say goodbye to.
    Runtime.getRuntime().halt(64)
    throw IllegalStateException()
}

/** Lines of the input until it ends or says `leave`, each to everybody. */
private fun read(swarm: Swarm, asked: CompletableDeferred<Unit>) {
    generateSequence(::readlnOrNull).map(String::trimEnd).takeWhile { it != "leave" }.filter(String::isNotEmpty).forEach { line ->
        try {
            swarm.broadcast(line)
        } catch (error: RtcSwarmException) {
            System.err.println("${swarm.userId}: ${error.message}")
        }
    }
    asked.complete(Unit)
}

/** Until the room is complete and then until [asked] to leave. */
private suspend fun chat(options: Options, swarm: Swarm, asked: CompletableDeferred<Unit>): Int =
    coroutineScope {
        val chat = Chat(swarm, options.expect)
        swarm.start()
        val listening = async { chat.listen() }
        val complete =
            withTimeoutOrNull(options.timeout) {
                select {
                    chat.complete.onAwait { true }
                    listening.onAwait { false }
                    asked.onAwait { true }
                }
            }
        if (complete != true) {
            val met = chat.peers.values.joinToString().ifEmpty { "nobody" }
            System.err.println("${swarm.userId}: ${options.expect} peers expected, met $met")
            listening.cancel()
            return@coroutineScope 1
        }
        if (!asked.isCompleted) chat.report()
        if (!options.stay) thread(isDaemon = true) { read(swarm, asked) }
        val telling = launch { if (options.tellLinks) chat.tellLinks() }
        select {
            listening.onAwait {}
            asked.onAwait {}
        }
        telling.cancel()
        swarm.leave()
        listening.await()
        chat.say("left")
        0
    }

fun main(arguments: Array<String>) {
    val options = Options(arguments)
    val (room, user) = listOf(options.room, options.user).map(options::needed)
    val (url, token) = listOf(options.url, options.token).map(options::needed)
    val asked = CompletableDeferred<Unit>()
    val done = CountDownLatch(1)
    var status = 1
    // SIGINT and SIGTERM: the JVM ends when this thread has, so it waits until we have left.
    val hook =
        thread(start = false) {
            asked.complete(Unit)
            if (done.await(10, TimeUnit.SECONDS)) Runtime.getRuntime().halt(status)
        }
    Runtime.getRuntime().addShutdownHook(hook)
    status =
        try {
            Swarm(room, user, url, token).use { swarm -> runBlocking { chat(options, swarm, asked) } }
        } catch (refusal: Refused) {
            System.err.println("$user: refused: ${refusal.message}")
            2
        } catch (error: RtcSwarmException) {
            System.err.println("$user: ${error.message}")
            1
        }
    done.countDown()
    exitProcess(status)
}
