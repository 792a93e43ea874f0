//! A system of the vendor's that receives what the console posts: it checks each signature, and keeps the events.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::bail;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::net::TcpListener;

/// Longer than the console takes for what is posted at once.
const WAIT_LIMIT: Duration = Duration::from_secs(30);

/// See the file.
#[derive(Clone, Debug)]
pub struct Receiver {
    url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    secret: String,
    events: Vec<Value>,
}

impl Receiver {
    /// Listens on a port of its own, on this machine.
    ///
    /// # Errors
    /// There is no port.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let receiver = Self { url: format!("http://{}/hooks", listener.local_addr()?), state: Arc::default() };
        let served = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let receiver = served.clone();
                let service = service_fn(move |request| receive(receiver.clone(), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(receiver)
    }

    /// Where events are to be posted to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What signs them.
    pub fn expect(&self, secret: &str) {
        secret.clone_into(&mut self.lock().secret);
    }

    /// The events that came, in this order.
    pub fn events(&self) -> Vec<Value> {
        self.lock().events.clone()
    }

    /// Waits for an event of this type among those that come after the first `mark`.
    ///
    /// # Errors
    /// There is none in time.
    pub async fn wait_for(&self, event_type: &str, mark: usize) -> anyhow::Result<Value> {
        let started = Instant::now();
        loop {
            let found = self.events().into_iter().skip(mark).find(|event| event["type"] == event_type);
            if let Some(event) = found {
                return Ok(event);
            }
            if started.elapsed() > WAIT_LIMIT {
                bail!("no `{event_type}` was posted: {:?}", self.events());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

async fn receive(receiver: Receiver, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let mut state = receiver.lock();
    let is_genuine = Webhook::new(&state.secret).is_ok_and(|webhook| webhook.verify(&body, &parts.headers).is_ok());
    let event = serde_json::from_slice(&body).ok().filter(|_| is_genuine);
    let mut answer = Response::new(Full::default());
    match event {
        Some(event) => state.events.push(event),
        None => *answer.status_mut() = StatusCode::UNAUTHORIZED,
    }
    Ok(answer)
}
