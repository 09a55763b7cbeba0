package rtcswarm

import java.io.File
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

fun main() {
    println("version ${Swarm.libraryVersion}")
    Swarm("room", "ada").close()
    val mapped = File("/proc/self/maps").readLines().map { it.substringAfterLast(' ') }.filter { "librtcswarm" in it }
    println("mapped ${mapped.toSortedSet()}")
    println("temporary ${File(System.getProperty("java.io.tmpdir")).list()!!.filter { it.startsWith("rtcswarm") }}")
}

/** Where the native library is looked for. */
class NativeLibraryTest {
    private val natives = File("target/classes/native").listFiles()!!.single()

    private fun run(folder: File, vararg options: String): Pair<Int, List<String>> =
        jvm("rtcswarm.NativeLibraryTestKt", options = listOf("-Djava.io.tmpdir=$folder", *options)).use { it.exitCode() to it.heard }

    @Test
    fun `in the jar, and nothing stays in the folder for temporary files`(@TempDir folder: File) {
        val (status, lines) = run(folder)
        assertEquals(0, status, "$lines")
        assertEquals(listOf("version 0.1.0", "temporary []"), lines.filterNot { it.startsWith("mapped") })
    }

    @Test
    fun `where a property says`(@TempDir folder: File) {
        val copies = File(folder, "copies").apply { mkdir() }
        for (file in natives.listFiles()!!) file.copyTo(File(copies, file.name))
        val shim = File(copies, System.mapLibraryName("rtcswarm_jni"))
        for (option in listOf("-Drtcswarm.library=$copies", "-Drtcswarm.library=$shim", "-Djava.library.path=/nowhere:$copies")) {
            val (status, lines) = run(folder, option)
            assertEquals(0, status, "$lines")
            assertTrue("version 0.1.0" in lines, "$option: $lines")
            assertTrue("mapped [$copies/librtcswarm.so, $shim]" in lines, "$option: $lines")
        }
        val (status, lines) = run(folder, "-Drtcswarm.library=/nowhere")
        assertTrue(status != 0 && lines.any { "UnsatisfiedLinkError: rtcswarm.library: there is no /nowhere" in it }, "$lines")
    }
}
