//! The shared library exports the functions of its header, no more and no less.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

/// The cdylib that was built with this test, beside it.
fn library() -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    test.with_file_name("librtcswarm.so")
}

fn run(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command)
        .args(arguments)
        .arg(library())
        .output()
        .unwrap_or_else(|error| panic!("{command} (package binutils) is needed: {error}"));
    assert!(output.status.success(), "{command} failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("names are UTF-8")
}

fn exported() -> BTreeSet<String> {
    // "0000000000001234 T name"
    let symbols = run("nm", &["--dynamic", "--defined-only"]);
    symbols.lines().filter_map(|line| line.split_whitespace().nth(2)).map(str::to_owned).collect()
}

/// A function of the header is `rtcswarm_…(` outside of comments and typedefs.
fn declared() -> BTreeSet<String> {
    let header = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/include/rtcswarm.h"))
        .expect("the header can be read");
    let mut code = String::new();
    let mut rest = header.as_str();
    while let Some((before, comment)) = rest.split_once("/*") {
        code.push_str(before);
        rest = comment.split_once("*/").expect("a comment that ends").1;
    }
    code.push_str(rest);
    let mut names = BTreeSet::new();
    for statement in code.split(';').filter(|statement| !statement.contains("typedef")) {
        let Some((head, _)) = statement.split_once('(') else { continue };
        let name = head.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        if name.starts_with("rtcswarm_") {
            names.insert(name.to_owned());
        }
    }
    names
}

#[test]
fn exports_and_header_agree() {
    let (exported, declared) = (exported(), declared());
    assert!(declared.len() > 50, "the header was not understood: {declared:?}");
    let missing: Vec<_> = declared.difference(&exported).collect();
    let surplus: Vec<_> = exported.difference(&declared).collect();
    assert!(missing.is_empty(), "in the header and not in the library: {missing:?}");
    assert!(surplus.is_empty(), "in the library and not in the header: {surplus:?}");
}

#[test]
fn the_library_has_its_name_and_stays_loaded() {
    let dynamic = run("readelf", &["--dynamic", "--wide"]);
    let version = env!("CARGO_PKG_VERSION");
    let (major, rest) = version.split_once('.').expect("a version has dots");
    let minor = rest.split('.').next().unwrap_or_default();
    let interface = if major == "0" { format!("0.{minor}") } else { major.to_owned() };
    assert!(dynamic.contains(&format!("[librtcswarm.so.{interface}]")), "no soname in\n{dynamic}");
    assert!(dynamic.contains("NODELETE"), "not linked with -z nodelete:\n{dynamic}");
}
