package rtcswarm

import java.io.File
import java.net.URI
import java.net.http.HttpClient
import java.net.http.WebSocket
import java.util.concurrent.CompletableFuture
import java.util.concurrent.CompletionStage
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import kotlin.concurrent.thread
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlin.time.TimeSource
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import kotlinx.coroutines.withTimeoutOrNull

/** Longer than anything here should take, on a busy machine too. */
val PATIENCE: Duration = 60.seconds

val ROOT: File = File("../..").canonicalFile
val TARGET: File = File(System.getenv("RTCSWARM_TARGET") ?: "$ROOT/target/release").canonicalFile
val PYTHON: String = System.getenv("PYTHON") ?: "python3"

fun test(body: suspend CoroutineScope.() -> Unit): Unit =
    runBlocking(Dispatchers.Default) { withTimeout(PATIENCE * 2) { coroutineScope(body) } }

/** Until something is so that has no event. */
suspend fun until(what: String, holds: suspend () -> Boolean) {
    val began = TimeSource.Monotonic.markNow()
    while (!holds()) {
        check(began.elapsedNow() < PATIENCE) { "not in time: $what" }
        delay(5.milliseconds)
    }
}

/** The same where it takes the garbage collector. */
suspend fun untilCollected(what: String, holds: () -> Boolean): Unit =
    until(what) {
        System.gc()
        holds()
    }

/** A process whose lines are collected as they come. */
class Child(private val name: String, command: List<String>, environment: Map<String, String> = emptyMap()) : AutoCloseable {
    private val process =
        ProcessBuilder(command).redirectErrorStream(true).apply { environment().putAll(environment) }.start()
    private val lines = LinkedBlockingQueue<String>()
    private val end = CompletableFuture<Unit>()
    val heard = mutableListOf<String>()

    init {
        thread(isDaemon = true) {
            process.inputStream.bufferedReader().forEachLine { lines.put(it) }
            end.complete(Unit)
        }
    }

    /** The first line that matches, of those that were not passed over yet. */
    fun expect(pattern: String): MatchResult {
        val deadline = System.nanoTime() + PATIENCE.inWholeNanoseconds
        while (true) {
            val line = lines.poll(50, TimeUnit.MILLISECONDS)
            if (line == null) {
                check(System.nanoTime() < deadline && !(end.isDone && lines.isEmpty())) {
                    "$name never said $pattern, but:\n${heard.joinToString("\n")}"
                }
                continue
            }
            heard += line
            Regex(pattern).find(line)?.let { return it }
        }
    }

    fun say(line: String) {
        process.outputStream.write("$line\n".encodeToByteArray())
        process.outputStream.flush()
    }

    /** By SIGTERM. Its output is still read. */
    fun terminate() {
        process.toHandle().destroy()
    }

    fun exitCode(): Int {
        check(process.waitFor(PATIENCE.inWholeSeconds, TimeUnit.SECONDS)) { "$name does not end:\n${heard.joinToString("\n")}" }
        end.get(PATIENCE.inWholeSeconds, TimeUnit.SECONDS)
        lines.drainTo(heard)
        return process.exitValue()
    }

    override fun close() {
        process.destroyForcibly()
    }
}

/** A JVM with the class path of this one. */
fun jvm(main: String, vararg arguments: String, options: List<String> = emptyList(), environment: Map<String, String> = emptyMap()): Child {
    val java = File(System.getProperty("java.home"), "bin/java").path
    val command = listOf(java, "-cp", System.getProperty("java.class.path"), "-XX:TieredStopAtLevel=1")
    return Child(main, command + options + main + arguments, environment)
}

fun python(script: File, vararg arguments: String, environment: Map<String, String> = emptyMap()): Child {
    val variables =
        mapOf(
            "RTCSWARM_LIBRARY" to "$TARGET/librtcswarm.so",
            "PYTHONPATH" to "$ROOT/bindings/python",
            "PYTHONDONTWRITEBYTECODE" to "1",
        )
    return Child(script.name, listOf(PYTHON, script.path) + arguments, variables + environment)
}

/** The signaling server of all tests, as a process. */
object Server {
    private val program = "$TARGET/rtcswarm-server"
    private val secret =
        File.createTempFile("rtcswarm", "secret").apply {
            deleteOnExit()
            writeText("a secret that is long enough for these tests")
        }
    private val child =
        Child("server", listOf(program, "--listen", "127.0.0.1:0", "--jwt-secret-file", secret.path, "--log", "warn")).also {
            Runtime.getRuntime().addShutdownHook(Thread { it.close() })
        }
    val url: String = child.expect("listening on (ws://\\S+)").groupValues[1]

    fun token(user: String, ttl: String = "1h"): String {
        val command = listOf(program, "token", "--secret-file", secret.path, "--user", user, "--room", "*", "--ttl", ttl)
        val token = Child("token", command)
        return token.expect("^[\\w-]+\\.[\\w-]+\\.[\\w-]+$").value
    }
}

/** Rooms that no other test is in. */
private var rooms = 0

fun newRoom(): String = "room ${++rooms}"

fun newSwarm(room: String, user: String, configure: SwarmConfig.() -> Unit = {}): Swarm =
    Swarm(room, user, Server.url, Server.token(user)) {
        bindAddresses = listOf("127.0.0.1")
        configure()
    }

/** A swarm whose events are collected. */
class Member(val swarm: Swarm, scope: CoroutineScope) {
    val heard = MutableStateFlow<List<Event>>(emptyList())
    val collecting = scope.launch { swarm.events.collect { event -> heard.update { it + event } } }

    suspend inline fun <reified T : Event> wait(crossinline matches: (T) -> Boolean = { true }): T =
        withTimeoutOrNull(PATIENCE) {
            heard.map { events -> events.firstOrNull { it is T && matches(it) } as T? }.first { it != null }
        } ?: error("${swarm.userId} heard no such ${T::class.simpleName} among ${heard.value}")

    suspend fun peer(user: String): PeerId = wait<Event.PeerOpen> { it.userId == user }.peer
}

/** Members of one room, which they leave at the end. */
suspend fun room(vararg users: String, configure: SwarmConfig.() -> Unit = {}, body: suspend (List<Member>) -> Unit) {
    coroutineScope {
        val name = newRoom()
        val members = users.map { Member(newSwarm(name, it, configure).apply { start() }, this) }
        try {
            body(members)
        } finally {
            members.forEach { it.swarm.close() }
        }
    }
}

/** One more member, who leaves at the end. */
suspend fun member(swarm: Swarm, body: suspend Scoped.(Member) -> Unit) {
    coroutineScope {
        swarm.start()
        val member = Member(swarm, this)
        try {
            Scoped(this).body(member)
        } finally {
            swarm.close()
        }
    }
}

class Scoped(val scope: CoroutineScope)

/** A WebSocket of the JDK's to the server, for who carries signals alone. */
fun connect(token: String, hear: (String) -> Unit): WebSocket {
    val listener =
        object : WebSocket.Listener {
            private val parts = StringBuilder()

            override fun onText(socket: WebSocket, data: CharSequence, last: Boolean): CompletionStage<*>? {
                parts.append(data)
                if (last) hear(parts.toString()).also { parts.clear() }
                socket.request(1)
                return null
            }
        }
    val builder = HttpClient.newHttpClient().newWebSocketBuilder().header("Authorization", "Bearer $token")
    return builder.buildAsync(URI(Server.url), listener).get(10, TimeUnit.SECONDS)
}
