//! What is passed by pointer: with no byte behind its end, so that a sanitizer sees who reads or writes too far.

use crate::fuzzing::input::Input;
use std::alloc::{alloc_zeroed, dealloc, Layout};
use std::ffi::{c_char, CString};
use std::ptr::null;

/// A string for C, or NULL.
pub(super) struct Text(Option<CString>);

impl Text {
    pub fn read(input: &mut Input) -> Self {
        let text = match input.byte() {
            0xff => return Self(None),
            0xfe => vec![b'x'; usize::from(input.short())],
            0..=7 => b"room".to_vec(),
            8..=15 => b"ada".to_vec(),
            16..=23 => b"cam".to_vec(),
            _ => input.piece().iter().copied().filter(|byte| *byte != 0).collect(),
        };
        Self(CString::new(text).ok())
    }

    pub fn pointer(&self) -> *const c_char {
        self.0.as_ref().map_or(null(), |text| text.as_ptr())
    }
}

/// Bytes with their length: their own, none with a pointer to nowhere, or a length without bytes.
pub(super) enum Bytes {
    There(Box<[u8]>),
    Nowhere,
    Missing(usize),
}

impl Bytes {
    pub fn read(input: &mut Input) -> Self {
        match input.byte() {
            0xff => Self::Nowhere,
            0xfe => Self::Missing(usize::from(input.short())),
            0xfd => Self::Missing(usize::MAX - usize::from(input.byte())),
            0xfc => Self::There(vec![input.byte(); usize::from(input.short()) * 8].into()),
            _ => Self::There(input.piece().into()),
        }
    }

    pub fn pointer(&self) -> *const u8 {
        match self {
            Self::There(bytes) => bytes.as_ptr(),
            Self::Nowhere => std::ptr::without_provenance(1),
            Self::Missing(_) => null(),
        }
    }

    pub fn length(&self) -> usize {
        match self {
            Self::There(bytes) => bytes.len(),
            Self::Nowhere => 0,
            Self::Missing(length) => *length,
        }
    }
}

/// A struct that begins with its size, of about the right size.
pub(super) struct Sized {
    block: *mut u8,
    layout: Layout,
}

impl Sized {
    pub fn read(input: &mut Input, right: usize) -> Self {
        let size = match input.byte() {
            0..=0x7f => right,
            0x80..=0x8f => usize::from(input.byte()),
            0x90..=0x9f => right + usize::from(input.byte()),
            _ => usize::from(input.short()),
        };
        // There is always a size to be read.
        let layout = Layout::from_size_align(size.max(8), 8).expect("a small layout");
        // SAFETY: it is not empty, and has room for its size.
        let block = unsafe {
            let block = alloc_zeroed(layout);
            block.cast::<usize>().write(size);
            block
        };
        Self { block, layout }
    }

    pub fn pointer<T>(&self) -> *mut T {
        self.block.cast()
    }
}

impl Drop for Sized {
    fn drop(&mut self) {
        // SAFETY: made in `read`.
        unsafe { dealloc(self.block, self.layout) };
    }
}
