package rtcswarm

import java.io.File

/**
 * Finds the native library and loads it, once. The first of these that has it:
 *
 * 1. the system property `rtcswarm.library`: a folder, or the path of the shim (`librtcswarm_jni.so`) itself;
 * 2. on Android, the app;
 * 3. the folders of `java.library.path`;
 * 4. the jar, for the systems whose libraries it has.
 *
 * The shim either has the whole library inside, or `librtcswarm.so` beside it.
 */
internal object NativeLibrary {
    private val os = System.getProperty("os.name").orEmpty().lowercase()
    private val shim = System.mapLibraryName("rtcswarm_jni")
    private val library = System.mapLibraryName("rtcswarm")

    private val platform: String
        get() {
            val system =
                when {
                    os.startsWith("mac") -> "macos"
                    os.startsWith("windows") -> "windows"
                    else -> "linux"
                }
            val machine =
                when (val name = System.getProperty("os.arch").orEmpty()) {
                    "amd64", "x86_64" -> "x86-64"
                    "arm64" -> "aarch64"
                    else -> name
                }
            return "$system-$machine"
        }

    fun load() {
        val named = System.getProperty("rtcswarm.library")
        when {
            named != null -> loadFrom(File(named))
            // The linker of Android looks into the app.
            System.getProperty("java.vm.name") == "Dalvik" -> System.loadLibrary("rtcswarm_jni")
            else -> loadFromPath() || loadFromJar() || throw UnsatisfiedLinkError(
                "rtcswarm: there is no $shim in java.library.path, and none for $platform in the jar; " +
                    "-Drtcswarm.library=FOLDER says where it is",
            )
        }
    }

    private fun loadFrom(place: File) {
        val file = if (place.isDirectory) File(place, shim) else place
        if (!file.exists()) throw UnsatisfiedLinkError("rtcswarm.library: there is no ${file.absolutePath}")
        val beside = File(file.absoluteFile.parentFile, library)
        // First, so that the system's linker finds it loaded when the shim asks for it.
        if (beside.exists()) System.load(beside.absolutePath)
        System.load(file.absolutePath)
    }

    private fun loadFromPath(): Boolean {
        val folders = System.getProperty("java.library.path").orEmpty().split(File.pathSeparatorChar)
        val file = folders.filter { it.isNotEmpty() }.map { File(it, shim) }.firstOrNull { it.exists() } ?: return false
        loadFrom(file)
        return true
    }

    private fun loadFromJar(): Boolean {
        val type = NativeLibrary::class.java
        if (type.getResource("/native/$platform/$shim") == null) return false
        val folder = File.createTempFile("rtcswarm", "")
        if (!folder.delete() || !folder.mkdir()) throw UnsatisfiedLinkError("there is no room for files in ${folder.parent}")
        val files = listOf(library, shim).map { File(folder, it) }
        try {
            for (file in files) {
                val content = type.getResourceAsStream("/native/$platform/${file.name}") ?: continue
                content.use { from -> file.outputStream().use { to -> from.copyTo(to) } }
            }
            loadFrom(folder)
        } finally {
            // What is loaded stays so without its name; but not on Windows.
            for (file in files + folder) {
                if (!file.delete()) file.deleteOnExit()
            }
        }
        return true
    }
}
