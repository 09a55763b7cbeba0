//! Links the shim to librtcswarm, unless it is bundled.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=RTCSWARM_TARGET");
    let os = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if os == "linux" || os == "android" {
        // The JVM never unloads it in fact, and the library inside has threads.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
    if env::var_os("CARGO_FEATURE_BUNDLED").is_some() {
        return;
    }
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");
    let folder = env::var("RTCSWARM_TARGET").unwrap_or_else(|_| format!("{root}/target/release"));
    println!("cargo:rustc-link-search=native={folder}");
    println!("cargo:rustc-link-lib=dylib=rtcswarm");
    // For who loads the shim alone: the library may lie beside it.
    match os.as_str() {
        "macos" => println!("cargo:rustc-cdylib-link-arg=-Wl,-rpath,@loader_path"),
        "windows" => {}
        _ => println!("cargo:rustc-cdylib-link-arg=-Wl,-rpath,$ORIGIN"),
    }
}
