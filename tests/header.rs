//! `include/rtcswarm.h` is what cbindgen makes of `src/ffi`. After a change there:
//! `RTCSWARM_BLESS=1 cargo test --test header`.

use std::path::Path;

#[test]
fn the_header_is_the_source_s() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    let bindings = cbindgen::Builder::new()
        .with_crate(root)
        .with_config(config)
        .generate()
        .expect("src/ffi can be read by cbindgen");
    let mut generated = Vec::new();
    bindings.write(&mut generated);
    let generated = String::from_utf8(generated).expect("a header is UTF-8");

    let path = root.join("include/rtcswarm.h");
    if std::env::var_os("RTCSWARM_BLESS").is_some() {
        std::fs::write(&path, &generated).expect("the header can be written");
    }
    let committed = std::fs::read_to_string(&path).expect("the header can be read");
    if let Some((number, (old, new))) =
        committed.lines().zip(generated.lines()).enumerate().find(|(_, (old, new))| old != new)
    {
        panic!("line {} of include/rtcswarm.h is\n{old}\nand should be\n{new}", number + 1);
    }
    for line in committed.lines().filter(|line| line.starts_with("#define")) {
        assert!(line.starts_with("#define RTCSWARM_"), "not ours to define in others' programs: {line}");
    }
    assert!(committed == generated, "include/rtcswarm.h ends too early or too late");
}
