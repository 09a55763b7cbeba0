//! What callers give by pointer, read safely as far as that can be.

use super::status::Failure;
use std::ffi::{c_char, CStr};

/// # Safety
/// `data` is valid for `length` bytes, or `length` is 0.
pub(super) unsafe fn bytes<'a>(data: *const u8, length: usize) -> Result<&'a [u8], Failure> {
    if length == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(Failure::invalid("the data is NULL and its length is not 0"));
    }
    if length > isize::MAX as usize {
        return Err(Failure::invalid("the length is impossible"));
    }
    Ok(std::slice::from_raw_parts(data, length))
}

/// # Safety
/// As for [`bytes`].
pub(super) unsafe fn text<'a>(data: *const c_char, length: usize, what: &str) -> Result<&'a str, Failure> {
    std::str::from_utf8(bytes(data.cast(), length)?).map_err(|_| Failure::invalid(format!("{what} is not UTF-8")))
}

/// # Safety
/// `text` is NULL or a NUL-terminated string.
pub(super) unsafe fn c_text<'a>(text: *const c_char, what: &str) -> Result<&'a str, Failure> {
    match c_text_or_null(text, what)? {
        Some(text) => Ok(text),
        None => Err(Failure::invalid(format!("{what} is NULL"))),
    }
}

/// # Safety
/// As for [`c_text`].
pub(super) unsafe fn c_text_or_null<'a>(text: *const c_char, what: &str) -> Result<Option<&'a str>, Failure> {
    if text.is_null() {
        return Ok(None);
    }
    let text = CStr::from_ptr(text).to_str().map_err(|_| Failure::invalid(format!("{what} is not UTF-8")))?;
    Ok(Some(text))
}

/// Writes a result where the caller wants it.
///
/// # Safety
/// `out` is NULL or valid for one `T`.
pub(super) unsafe fn give<T>(out: *mut T, value: T) -> Result<(), Failure> {
    if out.is_null() {
        return Err(Failure::invalid("there is no place for the result (NULL)"));
    }
    out.write(value);
    Ok(())
}

/// Refuses early, before anything was done whose result could not be given.
pub(super) fn check_out<T>(out: *mut T) -> Result<(), Failure> {
    if out.is_null() {
        return Err(Failure::invalid("there is no place for the result (NULL)"));
    }
    Ok(())
}

/// Copies as much of a growing struct as the caller has room for; its first field is its size.
///
/// # Safety
/// `out` is NULL, or points to a `size_t` that says how many bytes from there on may be written.
pub(super) unsafe fn give_sized<T: Copy>(
    out: *mut T,
    mut value: T,
    set_size: fn(&mut T, usize),
) -> Result<(), Failure> {
    check_out(out)?;
    let room = out.cast::<usize>().read();
    if room < std::mem::size_of::<usize>() || room > 4096 {
        return Err(Failure::invalid("struct_size is not set to the size of the struct"));
    }
    let length = room.min(std::mem::size_of::<T>());
    set_size(&mut value, length);
    std::ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), out.cast::<u8>(), length);
    Ok(())
}
