import kotlin.system.exitProcess
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import rtcswarm.Event
import rtcswarm.NoPeerException
import rtcswarm.State
import rtcswarm.Swarm

fun main(): Unit = runBlocking {
    val (url, token, user) = listOf("URL", "TOKEN", "USER").map { System.getenv("RTCSWARM_$it") ?: error("RTCSWARM_$it is not set") }
    var greetings = 0
    Swarm("lobby", user, url, token).use { swarm ->
        swarm.start()
        swarm.events.first { event ->
            when (event) {
                is Event.PeerOpen ->
                    try {
                        swarm.send(event.peer, "hello")
                    } catch (_: NoPeerException) {
                        // It is gone again by now.
                    }
                is Event.Text -> println("${event.userId} says ${event.text}").also { greetings++ }
                is Event.SignalingState -> if (event.state != State.CONNECTED) System.err.println(event.message)
                else -> {}
            }
            greetings == 3 || event is Event.SignalingState && event.state == State.REFUSED
        }
    }
    if (greetings < 3) exitProcess(1)
}
