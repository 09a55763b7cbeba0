//! What a process of a test's own begins with.

use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader};
use std::sync::mpsc;

/// Who this process is to be, the first line of its standard input, and what it is to do, the lines after it: JSON. It ends with the
/// test that has started it. RUST_LOG shows on standard error what it does.
pub fn orders<Setup: DeserializeOwned, Order: DeserializeOwned + Send + 'static>() -> (Setup, mpsc::Receiver<Order>) {
    if std::env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    }
    let mut lines = BufReader::new(std::io::stdin()).lines();
    let setup = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let (tell, orders) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            tell.send(serde_json::from_str(&line).unwrap()).unwrap();
        }
        // The test has gone, maybe by a crash: nobody else would end this process.
        std::process::exit(1);
    });
    (setup, orders)
}
