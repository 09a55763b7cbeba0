//! Accepting connections: TLS, deadlines, the limit on their number, and the end.

use super::{Shared, TlsFiles};
use axum::extract::ConnectInfo;
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The headers of a request with its token. hyper's default would let a stranger have 400 KiB kept.
const MAX_REQUEST_HEAD: usize = 32 * 1024;

/// Connections that wait to be accepted, if the system allows as many. The standard library's 128 are soon there when a server is back, or
/// attacked, and whoever is one too many asks again after a second, then three.
const BACKLOG: u32 = 4096;

pub(super) fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    // Elsewhere it lets others take the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[derive(Clone)]
pub(super) struct Tls(TlsAcceptor);

impl Tls {
    pub fn load(files: &TlsFiles) -> Result<Self, String> {
        let certificates = CertificateDer::pem_file_iter(&files.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|e| format!("{}: {e}", files.certificate.display()))?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| format!("{}: {e}", files.key.display()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(|e| format!("certificate and key: {e}"))?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}

/// Counts a connection for as long as it lives.
struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::AcqRel);
        self.0.ended.notify_one();
    }
}

/// Until the server is stopped.
pub(super) async fn accept_all(shared: &Arc<Shared>, listener: TcpListener, tls: Option<Tls>, router: Router) {
    let mut stopped = shared.stop.subscribe();
    loop {
        let (stream, remote) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: some will come back.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            // Its guard must not live on in the future of `serve`, which callers spawn.
            () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => return,
        };
        let before = shared.connections.fetch_add(1, Ordering::AcqRel);
        let counted = Counted(shared.clone());
        if before >= shared.config.max_connections {
            tokio::spawn(turn_away(stream, counted));
            continue;
        }
        tokio::spawn(serve(shared.clone(), counted, stream, remote, tls.clone(), router.clone()));
    }
}

/// Says why, without TLS: whoever speaks it learns as much from the end.
async fn turn_away(mut stream: TcpStream, _counted: Counted) {
    const ANSWER: &[u8] =
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\n\
        content-length: 76\r\n\r\n{\"error\":\"too-many-connections\",\"message\":\"the server has no room for more\"}";
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(ANSWER)).await;
}

async fn serve(
    shared: Arc<Shared>,
    counted: Counted,
    stream: TcpStream,
    remote: SocketAddr,
    tls: Option<Tls>,
    router: Router,
) {
    // Signals are small and urgent.
    let _ = stream.set_nodelay(true);
    let Some(Tls(acceptor)) = tls else {
        return serve_http(shared, counted, stream, remote, router).await;
    };
    let mut stopped = shared.stop.subscribe();
    let handshake = tokio::select! {
        handshake = tokio::time::timeout(shared.config.handshake_timeout, acceptor.accept(stream)) => handshake,
        () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => return,
    };
    match handshake {
        Ok(Ok(stream)) => serve_http(shared, counted, stream, remote, router).await,
        Ok(Err(error)) => tracing::debug!(%remote, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(%remote, "no TLS handshake in time"),
    }
}

async fn serve_http<S>(shared: Arc<Shared>, counted: Counted, stream: S, remote: SocketAddr, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // An upgraded connection lives on in its session, and is counted as long.
    let counted = Arc::new(counted);
    let router =
        router.layer(axum::Extension(ConnectInfo(remote))).layer(axum::Extension(KeepCounted(counted.clone())));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.config.handshake_timeout)
        .max_buf_size(MAX_REQUEST_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    tokio::pin!(connection);
    let mut stopped = shared.stop.subscribe();
    let served = tokio::select! {
        // It is served when it is upgraded: sessions are under no deadline.
        result = connection.as_mut() => Some(result),
        () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => None,
        // hyper's own deadline is for reading only: who takes no answer would hold its place for ever.
        () = tokio::time::sleep(shared.config.request_timeout) => None,
    };
    let result = match served {
        Some(result) => Ok(result),
        None => {
            // Idle ones end at once; a request that is under way gets its answer.
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(shared.config.handshake_timeout, connection).await
        }
    };
    match result {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%remote, %error, "a connection ended early"),
        Err(_) => tracing::debug!(%remote, "a connection took too long"),
    }
}

/// As if it had been accepted.
#[cfg(any(test, fuzzing))]
pub(super) async fn serve_stream<S>(shared: &Arc<Shared>, stream: S, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    shared.connections.fetch_add(1, Ordering::AcqRel);
    serve_http(shared.clone(), Counted(shared.clone()), stream, SocketAddr::from(([192, 0, 2, 1], 1)), router).await;
}

/// Goes with a request into the session that may come of it.
#[derive(Clone)]
pub(super) struct KeepCounted(#[allow(dead_code)] Arc<Counted>);

/// Waits for the sessions to end, for a while.
pub(super) async fn drain(shared: &Arc<Shared>) {
    let ended = async {
        while shared.connections.load(Ordering::Acquire) > 0 {
            shared.ended.notified().await;
        }
    };
    // The rest is cut off when the process or the runtime ends.
    let _ = tokio::time::timeout(shared.config.stop_timeout, ended).await;
}
