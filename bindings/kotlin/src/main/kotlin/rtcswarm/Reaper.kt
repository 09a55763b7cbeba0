package rtcswarm

import java.lang.ref.PhantomReference
import java.lang.ref.ReferenceQueue
import java.util.Collections
import java.util.concurrent.ConcurrentHashMap

/**
 * Runs something when an object is garbage, on a thread of its own. `java.lang.ref.Cleaner` does the same, but is not in Android
 * before API level 33.
 */
internal object Reaper {
    private val garbage = ReferenceQueue<Any>()

    /** A reference that is garbage itself tells nobody of anything. */
    private val watched: MutableSet<Watch> = Collections.newSetFromMap(ConcurrentHashMap())

    init {
        val thread = Thread({ run() }, "rtcswarm-reaper")
        thread.isDaemon = true
        thread.start()
    }

    /** [action] must not hold [owner], and must not wait. */
    fun watch(owner: Any, action: () -> Unit): Watch {
        val watch = Watch(owner, action)
        watched.add(watch)
        return watch
    }

    class Watch(owner: Any, val action: () -> Unit) : PhantomReference<Any>(owner, garbage) {
        fun cancel() {
            watched.remove(this)
        }
    }

    private fun run() {
        while (true) {
            val watch = garbage.remove() as Watch
            if (!watched.remove(watch)) continue
            try {
                watch.action()
            } catch (_: Throwable) {
                // Such as no memory for a thread. What else there is to give back must not stay for it.
            }
        }
    }
}
