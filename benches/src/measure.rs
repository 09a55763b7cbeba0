//! What the operating system and the allocator say of this process (Linux with glibc), and percentiles.

use std::time::Duration;

/// Processor time of this process so far, all threads, user and system.
pub fn cpu() -> Duration {
    // SAFETY: rusage is plain numbers, and the pointer is valid for the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let part = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    part(usage.ru_utime) + part(usage.ru_stime)
}

/// Resident memory, descriptors, threads and heap of this process at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Footprint {
    pub rss_kib: f64,
    /// What was allocated and not given back yet, in all arenas. Sharper than the resident size for finding a leak.
    pub heap_kib: f64,
    pub descriptors: f64,
    pub threads: f64,
}

impl Footprint {
    pub fn now() -> Self {
        // SAFETY: takes nothing, gives plain numbers.
        let heap = unsafe { libc::mallinfo2() };
        // The listing itself holds one descriptor.
        let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1));
        Self {
            rss_kib: status("VmRSS:"),
            heap_kib: (heap.uordblks + heap.hblkhd) as f64 / 1024.0,
            descriptors: descriptors as f64,
            threads: status("Threads:"),
        }
    }

    pub fn named(&self) -> [(&'static str, f64); 4] {
        [
            ("RSS KiB", self.rss_kib),
            ("heap KiB", self.heap_kib),
            ("descriptors", self.descriptors),
            ("threads", self.threads),
        ]
    }

    /// The same after the allocator gave back to the system what it keeps for later.
    pub fn trimmed() -> Self {
        // SAFETY: may be called at any time.
        unsafe { libc::malloc_trim(0) };
        Self::now()
    }
}

/// For looking for growth: the arenas that glibc makes for threads keep a few MiB each when the threads are gone, and
/// which thread gets which is luck.
pub fn use_one_arena() {
    // SAFETY: may be called at any time; concerns what is allocated from here on.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

fn status(key: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(f64::NAN)
}

/// A mesh needs more descriptors than the usual soft limit where each connection has a socket of its own.
pub fn raise_descriptor_limit() {
    // SAFETY: rlimit is plain numbers, and the pointers are valid for the calls.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// The nearest-rank percentile; `share` from 0 to 1.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count => sorted[((count as f64 * share).ceil() as usize).clamp(1, count) - 1],
    }
}

/// With an even number of values, the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_values() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 0.5), 50.0);
        assert_eq!(percentile(&values, 0.95), 95.0);
        assert_eq!(percentile(&values, 0.0), 1.0);
        assert_eq!(percentile(&values, 1.0), 100.0);
        assert!(percentile(&[], 0.5).is_nan());
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn memory_and_descriptors_are_seen() {
        let before = Footprint::now();
        let held = (vec![1_u8; 8 << 20], std::fs::File::open("/dev/null"));
        let after = Footprint::now();
        assert!(after.heap_kib - before.heap_kib > 8000.0, "{before:?} {after:?}");
        assert!(after.rss_kib - before.rss_kib > 8000.0, "{before:?} {after:?}");
        assert!(after.threads >= 1.0);
        drop(held);
    }
}
