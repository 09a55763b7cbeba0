//! Which library this is.

use std::ffi::{c_char, CStr};

/// The version of this header: its first number.
pub const RTCSWARM_VERSION_MAJOR: u32 = 0;
/// The second number of this header's version.
pub const RTCSWARM_VERSION_MINOR: u32 = 1;
/// The third number of this header's version.
pub const RTCSWARM_VERSION_PATCH: u32 = 0;

const STRING: &CStr = c"0.1.0";

/// The version of the library that is loaded: major * 65536 + minor * 256 + patch. Any thread.
#[no_mangle]
pub extern "C" fn rtcswarm_version() -> u32 {
    (RTCSWARM_VERSION_MAJOR << 16) | (RTCSWARM_VERSION_MINOR << 8) | RTCSWARM_VERSION_PATCH
}

/// The same as text, "0.1.0". Static. Any thread.
#[no_mangle]
pub extern "C" fn rtcswarm_version_string() -> *const c_char {
    STRING.as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_agree_with_the_package() {
        let numbers = format!("{RTCSWARM_VERSION_MAJOR}.{RTCSWARM_VERSION_MINOR}.{RTCSWARM_VERSION_PATCH}");
        assert_eq!(numbers, env!("CARGO_PKG_VERSION"));
        assert_eq!(STRING.to_str(), Ok(env!("CARGO_PKG_VERSION")));
    }
}
