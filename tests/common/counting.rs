//! An allocator that counts: of each thread alone, and of the process with its highest point.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};

pub struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    static MINE: Cell<isize> = const { Cell::new(0) };
}

fn note(bytes: isize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    if bytes > 0 {
        PEAK.fetch_max(live, Ordering::Relaxed);
    }
    // A thread that ends has none any more.
    let _ = MINE.try_with(|mine| mine.set(mine.get() + bytes));
}

// SAFETY: all is the system's; nothing here allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        System.alloc(layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        System.alloc_zeroed(layout)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-(layout.size() as isize));
        System.dealloc(pointer, layout);
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size as isize - layout.size() as isize);
        System.realloc(pointer, layout, size)
    }
}

/// Bytes that this thread has taken and not given back.
#[allow(dead_code)]
pub fn of_this_thread() -> isize {
    MINE.with(Cell::get)
}

/// Bytes of the whole process.
#[allow(dead_code)]
pub fn live() -> isize {
    LIVE.load(Ordering::Relaxed)
}

/// The most since the last call.
#[allow(dead_code)]
pub fn take_peak() -> isize {
    PEAK.swap(LIVE.load(Ordering::Relaxed), Ordering::Relaxed)
}
