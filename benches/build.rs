//! Reads the library's own header, so that what is measured is what a C program gets: the header's types, and the
//! functions of the shared library that is loaded at run time.

use std::env;
use std::path::PathBuf;

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let header = here.join("../include/rtcswarm.h");
    println!("cargo:rerun-if-changed={}", header.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("rtcswarm.rs");
    bindgen::Builder::default()
        .header(header.display().to_string())
        .allowlist_item("(?i)rtcswarm.*")
        .default_macro_constant_type(bindgen::MacroTypeVariation::Signed)
        .dynamic_library_name("Library")
        .dynamic_link_require_all(true)
        .derive_default(true)
        .generate_comments(false)
        .layout_tests(false)
        .generate()
        .expect("include/rtcswarm.h cannot be read")
        .write_to_file(&out)
        .expect("OUT_DIR can be written");
}
