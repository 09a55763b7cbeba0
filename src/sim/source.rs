//! Randomness and time of one thread, from a seed: also what the engine takes behind our back.
//!
//! The engine draws most of what it draws from no provider that could be replaced: `rand::rng()` (ICE fragments and passwords, SCTP tags,
//! SSRCs, STUN transactions), ring's own source (DTLS key shares and signatures), the keys of `HashMap`s; and it asks for the time of day.
//! All of that ends at three functions of the C library. Where this test binary is linked for glibc it has its own: a thread that
//! plays a seed gets bytes and times that follow from the seed, every other thread what the system gives. A fresh thread for each
//! seed, because generators and keys of maps are kept by thread.

use std::time::Duration;

/// Whether a seed determines a run to the byte here.
#[cfg(all(target_os = "linux", target_env = "gnu", not(miri), any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) const SEEDED: bool = true;
#[cfg(not(all(
    target_os = "linux",
    target_env = "gnu",
    not(miri),
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
pub(super) const SEEDED: bool = false;

/// Plays on a thread of its own whose randomness is the seed's. Its panic is an error.
pub(super) fn with_seed<T: Send>(seed: u64, play: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            begin(seed);
            play()
        });
        thread.join().map_err(|panic| {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            format!("it panicked: {}", text.unwrap_or_default())
        })
    })
}

#[cfg(not(all(
    target_os = "linux",
    target_env = "gnu",
    not(miri),
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
mod system {
    use super::Duration;

    pub fn begin(_: u64) {}
    pub fn set_time(_: Duration) {}
}

#[cfg(all(target_os = "linux", target_env = "gnu", not(miri), any(target_arch = "x86_64", target_arch = "aarch64")))]
mod system {
    use super::Duration;
    use libc::{c_int, c_long, c_uint, c_void, clockid_t, size_t, ssize_t, timespec};
    use std::cell::Cell;
    use std::ffi::CStr;
    use std::mem::transmute;
    use std::sync::atomic::{AtomicPtr, Ordering};

    /// The time of day, and any other, when a story begins: 2025-01-01.
    const EPOCH: Duration = Duration::from_secs(1_735_689_600);

    // Without destructors: they may be asked at any time in the life of a thread.
    thread_local! {
        /// The state of the generator, in a thread that plays a seed.
        static STATE: Cell<Option<u64>> = const { Cell::new(None) };
        static TIME: Cell<Duration> = const { Cell::new(EPOCH) };
    }

    pub fn begin(seed: u64) {
        set_time(Duration::ZERO);
        STATE.set(Some(seed));
    }

    /// Of the story, from its beginning.
    pub fn set_time(time: Duration) {
        TIME.set(EPOCH + time);
    }

    /// SplitMix64: nothing secret depends on it.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Whether this thread plays a seed.
    ///
    /// # Safety
    /// As for `getrandom`.
    unsafe fn fill(buffer: *mut c_void, length: size_t) -> bool {
        let Some(mut state) = STATE.get() else { return false };
        for at in 0..length {
            // SAFETY: within the caller's buffer.
            unsafe { buffer.cast::<u8>().add(at).write(next(&mut state) as u8) };
        }
        STATE.set(Some(state));
        true
    }

    /// What this function was before: the C library's.
    fn real(cache: &AtomicPtr<c_void>, name: &CStr) -> *mut c_void {
        let mut found = cache.load(Ordering::Relaxed);
        if found.is_null() {
            // SAFETY: a name that ends with NUL.
            found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
            assert!(!found.is_null());
            cache.store(found, Ordering::Relaxed);
        }
        found
    }

    /// # Safety
    /// As for the C library's.
    #[no_mangle]
    unsafe extern "C" fn getrandom(buffer: *mut c_void, length: size_t, flags: c_uint) -> ssize_t {
        static REAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
        // SAFETY: the caller's buffer.
        if unsafe { fill(buffer, length) } {
            return length as ssize_t;
        }
        type Function = unsafe extern "C" fn(*mut c_void, size_t, c_uint) -> ssize_t;
        // SAFETY: it is that function.
        unsafe { transmute::<*mut c_void, Function>(real(&REAL, c"getrandom"))(buffer, length, flags) }
    }

    /// The crate `getrandom` 0.2, which ring uses, calls the kernel by its number.
    ///
    /// # Safety
    /// As for the C library's. It is variadic there; on these processors the arguments come in the same places, and those that are not
    /// given are passed on as whatever is there, as the C library's own does.
    #[no_mangle]
    unsafe extern "C" fn syscall(
        number: c_long,
        first: c_long,
        second: c_long,
        third: c_long,
        fourth: c_long,
        fifth: c_long,
        sixth: c_long,
    ) -> c_long {
        static REAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
        // SAFETY: the caller's buffer.
        if number == libc::SYS_getrandom && unsafe { fill(first as *mut c_void, second as size_t) } {
            return second;
        }
        type Function = unsafe extern "C" fn(c_long, c_long, c_long, c_long, c_long, c_long, c_long) -> c_long;
        let real = real(&REAL, c"syscall");
        // SAFETY: it is that function.
        unsafe { transmute::<*mut c_void, Function>(real)(number, first, second, third, fourth, fifth, sixth) }
    }

    /// # Safety
    /// As for the C library's.
    #[no_mangle]
    unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
        static REAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
        if STATE.get().is_some() {
            let now = TIME.get();
            let now = timespec { tv_sec: now.as_secs() as _, tv_nsec: now.subsec_nanos().into() };
            // SAFETY: the caller's.
            unsafe { time.write(now) };
            return 0;
        }
        type Function = unsafe extern "C" fn(clockid_t, *mut timespec) -> c_int;
        // SAFETY: it is that function.
        unsafe { transmute::<*mut c_void, Function>(real(&REAL, c"clock_gettime"))(clock, time) }
    }
}

use system::begin;
pub(super) use system::set_time;
