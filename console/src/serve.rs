//! A listener with bounds: TLS when there is a certificate, an end for every connection, and a quiet end of its own.
//!
//! Strangers reach one of the listeners (F-61). Each of their connections is for one request, and one before it that only opens it, and
//! has half a minute from its first byte to its last, the answer's included. Where all slots are taken, the network that waits in most of them loses its oldest: whoever
//! opens connections to say nothing takes them from themselves, and a stack, which sends its notice at once, is not waiting.

pub(crate) mod slots;

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension, Router,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, header};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
pub use slots::Slot;
use slots::Slots;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

/// For the TLS handshake, and again for the headers of a request.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A stranger's connection, from accepting it to the last byte of the answer: handshake, headers and body have ten seconds each at
/// most, and a notice is answered within ten.
const LIFETIME: Duration = Duration::from_secs(30);
/// How long a proxy or an operator's program may keep a connection without a request. Longer than proxies do (nginx: 60 seconds), so
/// that they close it and no request meets a closed one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// For the headers of a request, of which a notice has 400 bytes, and for each piece of its body.
const BUFFER_BYTES: usize = 16 * 1024;
/// For requests that run when the end is asked for: longer than one notice takes.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed accept, usually for want of file descriptors, and while every slot is at work: time for others to be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who connects to a listener.
#[derive(Debug, Clone)]
pub enum Clients {
    /// Anybody, and the proxies at these addresses, which may keep their connections and say whom they speak for.
    Strangers { proxies: Arc<[IpAddr]> },
    /// The vendor's own people and programs.
    Operators,
}

/// Whose request it is, as an extension of it.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Of the connection: a proxy's, where there is one.
    pub address: IpAddr,
    /// Whether it is a configured proxy, whose `x-forwarded-for` is believed.
    pub is_proxy: bool,
    /// None where connections are not counted.
    pub slot: Option<Arc<Slot>>,
    /// Whether the connection ends with its next response. A stranger's does, but for the one request that only opened it.
    pub ends: Option<Arc<AtomicBool>>,
}

/// Strangers keep no connection, or a few idle ones would be all there are (F-61). A stack may open its connection ahead of need by a
/// `HEAD /`, because a handshake far away takes as long as an answer: then one more request counts, within the same time.
pub async fn end_connection(peer: Option<Extension<Peer>>, request: Request, next: Next) -> Response {
    let opens = request.method() == Method::HEAD && request.uri().path() == "/";
    let ends = peer.and_then(|Extension(peer)| peer.ends);
    let ends = ends.is_some_and(|ends| ends.swap(true, Ordering::Relaxed) || !opens);
    let mut response = if opens { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    if ends {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

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
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    app: Router,
    clients: Clients,
    stop: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let slots = Slots::default();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let (stream, address): (_, SocketAddr) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "failed to accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let address = address.ip().to_canonical();
        let stranger = match &clients {
            Clients::Strangers { proxies } => !proxies.contains(&address),
            Clients::Operators => false,
        };
        let slot = loop {
            match stranger.then(|| slots.take(address)) {
                None => break None,
                Some(Some(slot)) => break Some(Arc::new(slot)),
                Some(None) => sleep(ACCEPT_PAUSE).await,
            }
        };
        let is_proxy = !stranger && matches!(clients, Clients::Strangers { .. });
        let peer = Peer { address, is_proxy, slot: slot.clone(), ends: stranger.then(Arc::default) };
        let (tls, app, watcher) = (tls.clone(), app.clone().layer(Extension(peer)), graceful.watcher());
        tokio::spawn(async move {
            let served = async {
                match tls {
                    None => watcher.watch(connection(stream, app, stranger)).await.map_err(io::Error::other),
                    Some(tls) => {
                        let stream = timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await??;
                        watcher.watch(connection(stream, app, stranger)).await.map_err(io::Error::other)
                    }
                }
            };
            let ended = match slot {
                None => served.await,
                Some(slot) => tokio::select! {
                    ended = timeout(LIFETIME, served) => ended.unwrap_or_else(|late| Err(late.into())),
                    () = slot.lost() => Err(io::Error::other("the slot was needed")),
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

fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, app: Router, stranger: bool) -> Served<S> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .max_buf_size(BUFFER_BYTES)
        .header_read_timeout(if stranger { HANDSHAKE_TIMEOUT } else { IDLE_TIMEOUT })
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
}
