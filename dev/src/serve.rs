//! A connection that is served by hyper until it is to end in a way that no HTTP library offers: reset, cut off half-way, with
//! an answer that never ends, or with its client killed.

use std::{future::Future, net::SocketAddr, path::Path, time::Duration};

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

/// What every handler here returns.
pub(crate) type Answer = Response<Full<Bytes>>;

/// Between two bytes of a dripping answer.
const SLOW_BODY_PAUSE: Duration = Duration::from_secs(1);

/// One write of an endless answer.
const ENDLESS_CHUNK: [u8; 4096] = [b' '; 4096];

/// How a connection ends when no whole answer is given.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the connection ends without an answer")]
pub(crate) enum Ending {
    Close,
    Reset,
    /// These bytes, then it is closed.
    Cut(Bytes),
    /// These bytes, one at a time.
    SlowBody(Bytes),
    /// These bytes, and then others for as long as anybody reads.
    Endless(Bytes),
}

impl Ending {
    /// The first half of an answer: of its body, or of its head when it has none.
    pub(crate) async fn cut(answer: Answer) -> Self {
        let (head, body) = written(answer).await;
        Self::Cut(match body.len() / 2 {
            0 => head.slice(..head.len() / 2),
            half => [&head[..], &body[..half]].concat().into(),
        })
    }

    /// An answer that comes in drops.
    pub(crate) async fn slow_body(answer: Answer) -> Self {
        let (head, body) = written(answer).await;
        Self::SlowBody([head, body].concat().into())
    }

    /// A head that promises more than anybody can send.
    pub(crate) fn endless() -> Self {
        Self::Endless(Bytes::from_static(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"))
    }
}

/// Head and body as bytes on the wire.
async fn written(answer: Answer) -> (Bytes, Bytes) {
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_or_else(|never| match never {}, |body| body.to_bytes());
    let mut head = format!("HTTP/1.1 {}\r\ncontent-length: {}\r\n", parts.status, body.len()).into_bytes();
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != http::header::CONTENT_LENGTH) {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    (head.into(), body)
}

/// A stream with a TCP connection below it.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Answers the requests of one connection until the client or an [`Ending`] ends it.
pub(crate) async fn serve<S, F, A>(stream: S, answer: F)
where
    S: Socket,
    F: Fn(Peer, http::Request<Incoming>) -> A + Send + Sync,
    A: Future<Output = Result<Answer, Ending>> + Send,
{
    let Some(peer) = Peer::of(stream.tcp()) else { return };
    let service = service_fn(|request| Box::pin(answer(peer, request)));
    let mut connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let ended = std::future::poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let ending = ended.err().and_then(|error| std::error::Error::source(&error)?.downcast_ref::<Ending>().cloned());
    let mut stream = connection.into_parts().io.into_inner();
    // An error below is a client that has had enough, which is what it should do.
    let _ = match ending {
        None => stream.shutdown().await,
        Some(Ending::Close) => Ok(()),
        Some(Ending::Reset) => stream.tcp().set_zero_linger(),
        Some(Ending::Cut(bytes)) => write(&mut stream, &bytes).await,
        Some(Ending::SlowBody(bytes)) => slow_body(&mut stream, &bytes).await,
        Some(Ending::Endless(bytes)) => pour(&mut stream, &bytes).await,
    };
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

async fn slow_body(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes {
        write(stream, &[*byte]).await?;
        tokio::time::sleep(SLOW_BODY_PAUSE).await;
    }
    Ok(())
}

async fn pour(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    write(stream, bytes).await?;
    loop {
        write(stream, &ENDLESS_CHUNK).await?;
    }
}

/// The process at the other end of a loopback connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    here: SocketAddr,
    there: SocketAddr,
}

impl Peer {
    fn of(stream: &TcpStream) -> Option<Self> {
        Some(Self { here: stream.local_addr().ok()?, there: stream.peer_addr().ok()? })
    }

    /// Kills the function that made this connection, as SIGKILL does it. Whoever is no function is spared: a test that calls
    /// the front itself, or the console. It waits for nothing: the end of the connection would end whoever waits.
    pub(crate) fn kill(self) {
        if let Some(pid) = self.process().filter(|pid| is_function(*pid)) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }

    /// The process that has the other end open: by its socket in `/proc/net/tcp`, and the descriptors of all processes.
    fn process(self) -> Option<rustix::process::Pid> {
        let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
        let socket = format!("socket:[{}]", inode(&table, self.there, self.here)?);
        let opens = |process: &Path| {
            let descriptors = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
            let mut targets = descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok());
            targets.any(|target| target.as_os_str() == socket.as_str())
        };
        std::fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path()).filter(|path| opens(path)).find_map(|path| {
            let pid = path.file_name()?.to_str()?.parse().ok()?;
            rustix::process::Pid::from_raw(pid)
        })
    }
}

/// Whether the process runs a function's `bootstrap`.
fn is_function(pid: rustix::process::Pid) -> bool {
    let program = std::fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero()));
    program.is_ok_and(|program| program.file_name().is_some_and(|name| name == "bootstrap"))
}

/// The inode of the socket from `local` to `remote` in the kernel's table of IPv4 connections.
fn inode(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<&str> {
    let (local, remote) = (kernels(local)?, kernels(remote)?);
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(1) == Some(&local.as_str()) && fields.get(2) == Some(&remote.as_str())).then(|| fields.get(9).copied())?
    })
}

/// An address as the kernel writes it: the bytes of the address in the machine's order.
fn kernels(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else { return None };
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn answer(body: &'static str) -> Answer {
        Response::builder().header("x-one", "1").body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap()
    }

    /// What a client reads that sends one request; the error, when the connection did not just close.
    async fn read(ending: Option<Ending>) -> Result<String, std::io::ErrorKind> {
        let listener = crate::strict_proxy::listen().await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(serve(stream, move |_, _| {
            let ending = ending.clone();
            async move { ending.map_or_else(|| Ok(answer("whole")), Err) }
        }));
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).await.map_err(|error| error.kind())?;
        Ok(text)
    }

    #[tokio::test]
    async fn connections_end_as_configured() {
        assert!(read(None).await.unwrap().ends_with("whole"));
        assert_eq!(read(Some(Ending::Close)).await, Ok(String::new()));
        assert_eq!(read(Some(Ending::Reset)).await, Err(std::io::ErrorKind::ConnectionReset));
        let half = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nx-one: 1\r\n\r\nhal";
        assert_eq!(read(Some(Ending::cut(answer("halves")).await)).await.as_deref(), Ok(half));
        let head = read(Some(Ending::cut(answer("")).await)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && !head.contains("\r\n\r\n"), "{head}");
    }

    #[tokio::test]
    async fn the_peer_is_found_and_not_killed_unless_it_is_a_function() {
        let listener = crate::strict_proxy::listen().await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let peer = Peer::of(&stream).unwrap();
        assert_eq!(peer.process(), Some(rustix::process::getpid()));
        peer.kill();
    }

    #[test]
    fn the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:1F90 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 0\n";
        let [a, b] = [8080, 80].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        assert_eq!(inode(table, a, b), Some("4711"));
        assert_eq!(inode(table, b, a), None);
    }
}
