//! How the shared library is linked; there is nothing to generate.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let number = |name: &str| env::var(format!("CARGO_PKG_VERSION_{name}")).unwrap_or_default();
    let (major, minor) = (number("MAJOR"), number("MINOR"));
    // Before 1.0 each minor version is an interface of its own, afterwards each major one.
    let interface = if major == "0" { format!("0.{minor}") } else { major };
    match env::var("CARGO_CFG_TARGET_OS").unwrap_or_default().as_str() {
        "linux" | "freebsd" | "netbsd" | "openbsd" | "dragonfly" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,librtcswarm.so.{interface}");
            // Its threads and their thread-local destructors may outlive a dlclose.
            println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        }
        // Android packages only files that end in .so.
        "android" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,librtcswarm.so");
            println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        }
        "macos" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/librtcswarm.{interface}.dylib");
        }
        _ => {}
    }
}
