package rtcswarm

import java.nio.ByteBuffer
import java.util.concurrent.atomic.AtomicLong

/**
 * The bytes of an event: a copy in the heap where they are few, else where the library has put them. The latter live as long as
 * any buffer over them: a view holds the buffer that it is a view of, and the [Reaper] frees the event behind that one. So there is
 * nothing that a reader could find freed.
 */
internal class Payload private constructor(private val root: ByteBuffer) {
    val size: Int get() = root.capacity()

    fun view(): ByteBuffer = root.asReadOnlyBuffer()

    fun copy(): ByteArray = ByteArray(size).also { view().get(it) }

    companion object {
        /** Below this size a copy is made, rather than a buffer that the garbage collector must see off. Estimated, not measured. */
        private const val LARGE = 8192

        /** The garbage collector does not see the library's memory: with more of it than this held, copies are made. */
        private const val MOST_HELD = 64L * 1024 * 1024

        /** Before API level 27 a view of a direct buffer does not keep that one alive on Android, which nothing here can mend. */
        @Volatile
        var alwaysCopy: Boolean = isAndroid(System.getProperty("java.vm.name"), System.getProperty("java.vendor"))

        fun isAndroid(virtualMachine: String?, vendor: String?): Boolean =
            virtualMachine == "Dalvik" || vendor.orEmpty().contains("Android")

        /** Bytes of the library's memory that buffers hold. */
        val held = AtomicLong()

        /** Takes over the event, whatever happens. */
        fun of(event: Long, size: Long): Payload {
            var owned = true
            try {
                if (alwaysCopy || size < LARGE || held.get() + size > MOST_HELD) return Payload(ByteBuffer.wrap(Native.eventBytes(event)))
                val buffer = Native.eventBuffer(event)
                held.addAndGet(size)
                Reaper.watch(buffer) {
                    Native.eventFree(event)
                    held.addAndGet(-size)
                }
                owned = false
                return Payload(buffer)
            } finally {
                if (owned) Native.eventFree(event)
            }
        }
    }
}
