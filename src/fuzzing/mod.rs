//! What a stranger may send, and what a caller may call, as functions of bytes: the bodies of the targets in fuzz/.
//!
//! Each takes any bytes and panics if something is wrong. `cargo fuzz` looks for such bytes; those that are kept, in fuzz/seeds, are
//! played here on every test run. See docs/fuzzing.md.

mod calls;
mod candidates;
mod control;
mod datagrams;
mod dispatch;
mod hub;
mod input;
mod media;
mod peer;
mod sctp;
mod sdp;
mod swarm;
#[cfg(feature = "server")]
mod websocket;

/// A target: what it does with an input.
pub type Body = fn(&[u8]);

/// Every target, by the name of its program in fuzz/ and of its folder in fuzz/seeds.
pub const TARGETS: &[(&str, Body)] = &[
    ("calls", calls::play),
    ("candidates", candidates::play),
    ("control", control::play),
    ("datagrams", datagrams::play),
    ("dispatch", dispatch::play),
    ("hub", hub::play),
    ("media", media::play),
    ("peer", peer::play),
    ("sctp", sctp::play),
    ("sdp", sdp::play),
    ("swarm", swarm::play),
    #[cfg(feature = "server")]
    ("websocket", websocket::play),
];

/// Plays one input of a target.
pub fn play(target: &str, input: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    let (_, body) = found.unwrap_or_else(|| panic!("there is no target {target}"));
    body(input);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::any::Any;
    use std::collections::BTreeSet;
    use std::fs;
    use std::panic::catch_unwind;
    use std::path::{Path, PathBuf};

    fn fuzz() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
    }

    fn names(folder: &Path, suffix: &str) -> BTreeSet<String> {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter_map(|name| name.strip_suffix(suffix).map(str::to_owned)).collect()
    }

    #[test]
    fn every_target_has_a_program_and_inputs() {
        let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names(&fuzz().join("fuzz_targets"), ".rs"), targets);
        assert_eq!(names(&fuzz().join("seeds"), ""), targets);
        let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
        for target in &targets {
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target} is no program");
            let program = fs::read_to_string(fuzz().join(format!("fuzz_targets/{target}.rs"))).unwrap();
            assert!(program.contains(&format!("play(\"{target}\", ")), "{target} plays another target");
        }
    }

    fn words(panic: &(dyn Any + Send)) -> &str {
        let text = panic.downcast_ref::<&str>().copied();
        text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without words")
    }

    fn play_kept(target: &str, body: Body) {
        let folder = fuzz().join("seeds").join(target);
        let mut failed = Vec::new();
        let kept = names(&folder, "");
        assert!(!kept.is_empty(), "nothing is kept of {target}");
        for name in kept {
            let input = fs::read(folder.join(&name)).unwrap();
            if let Err(panic) = catch_unwind(|| body(&input)) {
                failed.push(format!("{target}/{name}: {}", words(&*panic)));
            }
        }
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    }

    macro_rules! kept_inputs {
        ($($(#[$when:meta])* $target:ident),*) => {
            $(
                $(#[$when])*
                #[test]
                fn $target() {
                    play_kept(stringify!($target), super::$target::play);
                }
            )*

            #[test]
            fn the_kept_inputs_of_every_target_are_played() {
                let played = [$($(#[$when])* stringify!($target)),*];
                assert_eq!(played[..], TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>()[..]);
            }
        };
    }

    kept_inputs!(
        calls,
        candidates,
        control,
        datagrams,
        dispatch,
        hub,
        media,
        peer,
        sctp,
        sdp,
        swarm,
        #[cfg(feature = "server")]
        websocket
    );
}
