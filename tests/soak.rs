//! A room of 12 processes and the real server, in which members come, leave and crash and the server is restarted: the mesh is full
//! again each time, no message is lost, and nothing grows. docs/soak.md has what it does and its figures.
//!
//! A test without the usual harness, because its program is the members' too. In `cargo test` it takes less than a minute;
//! `RTCSWARM_SOAK_MINUTES=30` makes it that long, and `RTCSWARM_SOAK_SEED` another one.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[path = "common/orders.rs"]
mod orders;

#[path = "server_support/keys.rs"]
#[allow(dead_code)]
mod keys;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[path = "network/messages.rs"]
mod messages;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[path = "soak/mod.rs"]
mod soak;

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn main() {
    println!("SKIPPED: the soak test reads /proc and asks glibc what is in use");
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn main() {
    if std::env::var_os(soak::MEMBER).is_some() {
        return soak::member::run();
    }
    let tests: [(&str, fn()); 2] = [("growth_is_seen", soak::growth::controls), ("soak", soak::room::soak)];
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    let names: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    for (name, test) in tests {
        let named = |wanted: &&&String| if has("--exact") { name == **wanted } else { name.contains(wanted.as_str()) };
        if has("--ignored") || !(names.is_empty() || names.iter().any(|wanted| named(&wanted))) {
            continue;
        }
        if has("--list") {
            println!("{name}: test");
            continue;
        }
        // A panic ends the program with a failure.
        test();
        println!("test {name} ... ok");
    }
}
