package rtcswarm

import java.io.File
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** The examples as programs: JVMs of their own, and Python beside them. */
class ExamplesTest {
    private fun options(room: String, user: String, expect: Int, vararg more: String) =
        arrayOf("--url", Server.url, "--token", Server.token(user), "--room", room, "--user", user, "--expect", "$expect", "--timeout", "60") +
            more

    private fun chat(room: String, user: String, expect: Int, vararg more: String) = jvm("ChatKt", *options(room, user, expect, *more))

    @Test
    fun `hello greets three in Python`() = test {
        val users = listOf("alice", "bob", "carol", "dave")
        val running =
            users.map { user ->
                val environment = mapOf("RTCSWARM_URL" to Server.url, "RTCSWARM_TOKEN" to Server.token(user), "RTCSWARM_USER" to user)
                val hello = File("$ROOT/examples/hello.py")
                if (user == "alice") jvm("HelloKt", environment = environment) else python(hello, environment = environment)
            }
        for ((child, user) in running.zip(users)) {
            child.use {
                assertEquals(0, child.exitCode(), "$user: ${child.heard}")
                assertEquals((users - user).map { "$it says hello" }, child.heard.sorted())
            }
        }
    }

    @Test
    fun `hello ends when it is refused`() = test {
        val environment = mapOf("RTCSWARM_URL" to Server.url, "RTCSWARM_TOKEN" to Server.token("bob"), "RTCSWARM_USER" to "alice")
        jvm("HelloKt", environment = environment).use {
            assertEquals(1, it.exitCode(), "${it.heard}")
            assertTrue(it.heard.single().isNotEmpty(), "${it.heard}")
        }
    }

    @Test
    fun `chat says what the one in Python says`() = test {
        val room = newRoom()
        chat(room, "eli", 2, "--tell-links").use { eli ->
            python(File("$ROOT/examples/chat.py"), *options(room, "dan", 2)).use { dan ->
                chat(room, "fay", 2).use { fay ->
                    val link = "rtt=\\d+\\.\\d\\dms direct sent=\\d+B received=\\d+B$"
                    for ((child, user) in listOf(eli to "eli", dan to "dan", fay to "fay")) {
                        child.expect("^$user: complete 2$")
                        val others = setOf("eli", "dan", "fay") - user
                        for (other in others) {
                            for (line in listOf("open $other$", "text from $other: hello from $other$", "binary from $other: 8 bytes$", "link $other $link")) {
                                assertTrue(child.heard.any { Regex("^$user: $line").containsMatchIn(it) }, "$user: $line in ${child.heard}")
                            }
                        }
                    }
                    dan.say("a word")
                    eli.expect("^eli: text from dan: a word$")
                    fay.say("another")
                    dan.expect("^dan: text from fay: another$")
                    fay.say("leave")
                    fay.expect("^fay: left$")
                    assertEquals(0, fay.exitCode())
                    eli.expect("^eli: closed fay \\(remote close\\)$")
                    dan.expect("^dan: closed fay \\(remote close\\)$")
                    eli.terminate()
                    eli.expect("^eli: left$")
                    assertEquals(0, eli.exitCode(), "on SIGTERM")
                    dan.expect("^dan: closed eli \\(remote close\\)$")
                    assertTrue((eli.heard + dan.heard + fay.heard).none { "links" in it })
                }
            }
        }
    }

    @Test
    fun `chat says what is wrong`() = test {
        val alone = async { chat(newRoom(), "ada", 1, "--timeout", "1").use { it.exitCode() to it.heard } }
        val refused =
            async {
                val arguments = options(newRoom(), "ada", 1)
                arguments[3] = Server.token("bo")
                jvm("ChatKt", *arguments).use { it.exitCode() to it.heard }
            }
        val usage = async { jvm("ChatKt", "--url").use { it.exitCode() to it.heard } }
        val (first, second, third) = awaitAll(alone, refused, usage)
        assertEquals(1 to listOf("ada: 1 peers expected, met nobody"), first)
        assertEquals(2, second.first)
        assertTrue(second.second.single().startsWith("ada: refused: "), "$second")
        assertEquals(64, third.first)
        assertTrue(third.second.first().startsWith("usage: chat --url URL"), "$third")
    }
}
