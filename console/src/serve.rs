//! A listener with bounds: TLS when there is a certificate, timeouts for clients that say nothing, and a quiet end.

use std::{future::Future, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

/// Connections at a time. Stacks connect once and go; more than this is not stacks.
const CONNECTIONS_MAX: usize = 256;
/// For the TLS handshake, and again for the headers of each request.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// For requests that run when the end is asked for: longer than one notice takes.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed accept, usually for want of file descriptors: time for others to be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a certificate and key cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file is not there or is not PEM.
    #[error("failed to read `{path}`")]
    Pem {
        path: String,
        /// What is wrong with it.
        source: rustls::pki_types::pem::Error,
    },
    /// They do not go together.
    #[error("failed to use the certificate with the key")]
    Pair(#[from] rustls::Error),
}

/// TLS with ring, from a certificate chain and a key in PEM files.
///
/// # Errors
/// The files cannot be read or do not go together.
pub fn tls(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let pem = |path: &Path| {
        let path = path.display().to_string();
        move |source| TlsError::Pem { path, source }
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate).map_err(pem(certificate))?.collect();
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain.map_err(pem(certificate))?, PrivateKeyDer::from_pem_file(key).map_err(pem(key))?)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves until `stop`, then lets running requests end.
pub async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, app: Router, stop: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    tokio::pin!(stop);
    loop {
        // The slot comes first: over the limit, new connections wait in the system's queue.
        let accepted = async { (Arc::clone(&slots).acquire_owned().await, listener.accept().await) };
        let (slot, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        let (stream, _peer): (TcpStream, SocketAddr) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "failed to accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, app, watcher) = (tls.clone(), app.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _slot = slot;
            let ended = match tls {
                None => watcher.watch(connection(stream, app)).await.map_err(io::Error::other),
                Some(tls) => match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                    Ok(Ok(stream)) => watcher.watch(connection(stream, app)).await.map_err(io::Error::other),
                    Ok(Err(error)) => Err(error),
                    Err(late) => Err(late.into()),
                },
            };
            if let Err(error) = ended {
                tracing::debug!(error = &error as &dyn std::error::Error, "connection ended early");
            }
        });
    }
    // The listener's queue is not answered any more.
    drop(listener);
    if timeout(SHUTDOWN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still running at the end");
    }
}

type Served<S> = http1::Connection<TokioIo<S>, TowerToHyperService<Router>>;

fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, app: Router) -> Served<S> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
}
