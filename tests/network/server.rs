//! A signaling server in a namespace.

use super::namespace::Namespace;
use crate::keys::{token, SECRET};
use rtcswarm::server::{self, JwtAuthenticator, ServerConfig, ServerHandle};
use std::sync::mpsc;
use std::thread::JoinHandle;

pub struct Server {
    port: u16,
    handle: ServerHandle,
    serving: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(namespace: &Namespace) -> Self {
        // A thread begins in the namespace of the one that starts it, and so do its runtime's sockets.
        namespace.run(|| {
            let (tell, bound) = mpsc::channel();
            let serving = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let authenticator = JwtAuthenticator::new().with_secret(SECRET).unwrap();
                    let config = ServerConfig::new("0.0.0.0:0".parse().unwrap(), authenticator);
                    let server = server::Server::bind(config).await.unwrap();
                    tell.send((server.local_addr().unwrap().port(), server.handle())).unwrap();
                    server.serve().await;
                });
            });
            let (port, handle) = bound.recv().unwrap();
            Self { port, handle, serving: Some(serving) }
        })
    }

    pub fn url(&self, host: &str) -> String {
        format!("ws://{host}:{}/", self.port)
    }

    pub fn token(&self, user: &str) -> String {
        token(user, "room")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.stop();
        let _ = self.serving.take().unwrap().join();
    }
}
