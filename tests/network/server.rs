//! A signaling server in a namespace.

use super::namespace::Namespace;
use crate::keys::{token, SECRET};
use rtcswarm::server::{self, JwtAuthenticator, ServerConfig, ServerHandle};
use std::net::Ipv4Addr;
use std::sync::mpsc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

pub struct Server {
    port: u16,
    handle: ServerHandle,
    kill: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(namespace: &Namespace) -> Self {
        Self::start_at(namespace, 0)
    }

    /// As a process that dies: no goodbyes, its sockets are closed.
    pub fn kill(mut self) {
        drop(self.kill.take());
    }

    /// At the port of one that was there before, or at any (0).
    pub fn start_at(namespace: &Namespace, port: u16) -> Self {
        // A thread begins in the namespace of the one that starts it, and so do its runtime's sockets.
        namespace.run(move || {
            let (tell, bound) = mpsc::channel();
            let (kill, killed) = oneshot::channel::<()>();
            let serving = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let authenticator = JwtAuthenticator::new().with_secret(SECRET).unwrap();
                    let config = ServerConfig::new((Ipv4Addr::UNSPECIFIED, port).into(), authenticator);
                    let server = server::Server::bind(config).await.unwrap();
                    tell.send((server.local_addr().unwrap().port(), server.handle())).unwrap();
                    tokio::select! {
                        () = server.serve() => {}
                        _ = killed => {}
                    }
                });
            });
            let (port, handle) = bound.recv().unwrap();
            Self { port, handle, kill: Some(kill), serving: Some(serving) }
        })
    }

    pub fn port(&self) -> u16 {
        self.port
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
        if self.kill.is_some() {
            self.handle.stop();
        }
        let _ = self.serving.take().unwrap().join();
    }
}
