//! Members over emulated networks, in Linux network namespaces: slow, lossy, reordering and narrow links, cuts, changed
//! addresses, NAT. docs/networks.md has the figures.
//!
//! A test without the usual harness, which runs as many at once as there are cores: these mostly wait. It takes
//! what the usual one takes: names (parts of), `--exact`, `--list`.

#[cfg(target_os = "linux")]
#[path = "common/coturn.rs"]
mod coturn;
#[cfg(target_os = "linux")]
#[path = "common/orders.rs"]
mod orders;

#[path = "server_support/keys.rs"]
#[allow(dead_code)]
mod keys;
#[cfg(target_os = "linux")]
#[path = "network/mod.rs"]
mod network;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("SKIPPED: tests over emulated networks need Linux");
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    if std::env::var_os(network::member::MEMBER).is_some() {
        network::process::run();
        return std::process::ExitCode::SUCCESS;
    }
    network::runner::main()
}
