package rtcswarm

import java.util.concurrent.CountDownLatch
import java.util.concurrent.atomic.AtomicInteger
import java.util.concurrent.atomic.AtomicLong
import java.util.concurrent.locks.LockSupport

/**
 * A native swarm that any thread may use and any thread may free: counts the calls that run on the pointer, so that it is freed
 * after the last of them, and only once. A call that comes later does not get the pointer.
 */
internal class Handle(private val pointer: Long) {
    /** The number of calls that run, and [RELEASED] when none may begin any more. */
    private val calls = AtomicLong()
    private val freed = CountDownLatch(1)

    init {
        live.incrementAndGet()
    }

    val released: Boolean get() = calls.get() < 0

    inline fun <T> use(call: (Long) -> T): T {
        if (!enter()) throw ClosedException("this swarm is closed")
        try {
            return call(pointer)
        } finally {
            calls.decrementAndGet()
        }
    }

    fun enter(): Boolean {
        while (true) {
            val count = calls.get()
            if (count < 0) return false
            if (calls.compareAndSet(count, count + 1)) return true
        }
    }

    /** Frees it when the calls that run have returned; one that waits for an event is woken. Returns when it is freed. Idempotent. */
    fun release() {
        while (true) {
            val count = calls.get()
            if (count < 0) return awaitFreed()
            if (calls.compareAndSet(count, count or RELEASED)) break
        }
        while (calls.get() != RELEASED) {
            // Again and again: another call may have taken the wakeup.
            Native.wakeup(pointer)
            LockSupport.parkNanos(LOOK_AGAIN_NANOS)
        }
        Native.free(pointer)
        live.decrementAndGet()
        freed.countDown()
    }

    private fun awaitFreed() {
        var interrupted = false
        while (true) {
            try {
                freed.await()
                break
            } catch (_: InterruptedException) {
                interrupted = true
            }
        }
        if (interrupted) Thread.currentThread().interrupt()
    }

    companion object {
        private const val RELEASED = Long.MIN_VALUE
        private const val LOOK_AGAIN_NANOS = 200_000L

        /** Native swarms that are not freed. */
        val live = AtomicInteger()
    }
}
