//! What the tests of the server share.

// Each test takes what it needs.
#![allow(dead_code, unused_imports)]

pub mod client;
pub mod keys;
#[cfg(unix)]
pub mod process;

pub use client::{get, get_upgrade, soon, Client};
pub use keys::{token, Claims, KeyPair, SECRET};

use std::time::Duration;

/// Longer than anything here should take, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(20);

use rtcswarm::server::{JwtAuthenticator, Server, ServerConfig, ServerHandle};
use std::net::SocketAddr;
use tokio::task::JoinHandle;

/// A server in this process.
pub struct Served {
    pub address: SocketAddr,
    pub handle: ServerHandle,
    pub serving: JoinHandle<()>,
}

pub fn by_secret() -> JwtAuthenticator {
    JwtAuthenticator::new().with_secret(SECRET).unwrap()
}

/// With tokens signed by [`SECRET`].
pub async fn serve(change: impl FnOnce(&mut ServerConfig)) -> Served {
    serve_with(by_secret(), change).await
}

pub async fn serve_with(authenticator: JwtAuthenticator, change: impl FnOnce(&mut ServerConfig)) -> Served {
    let mut config = ServerConfig::new("127.0.0.1:0".parse().unwrap(), authenticator);
    change(&mut config);
    let server = Server::bind(config).await.unwrap();
    let (address, handle) = (server.local_addr().unwrap(), server.handle());
    Served { address, handle, serving: tokio::spawn(server.serve()) }
}

impl Served {
    /// Tells it to stop, and waits until it has.
    pub async fn stop(self) {
        self.handle.stop();
        soon("end of the server", self.serving).await.unwrap();
    }
}
