//! One MiniStack process with its front: an AWS of its own for each test and for the demo.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::account::Account;
use crate::certs::Certificates;
use crate::strict_proxy::scenario::Scenario;
use crate::strict_proxy::{Settings, StrictProxy, listen, listen_at};
use crate::venv;

/// The emulator is ready in under a second on an idle machine; this allows for a busy one.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Between two looks at its health.
const POLL: Duration = Duration::from_millis(50);

/// Another process may take the port between our look and the emulator's start.
const START_TRIES: usize = 3;

/// Keeps the folder of a run (logs, certificates) when set.
const KEEP_VARIABLE: &str = "HAWSER_KEEP";

/// The start script writes a line to it for each run of a custom resource's function.
const REQUEST_LOG: &str = "requests.jsonl";

/// One run of a custom resource's function, as Lambda's queue of events saw it.
#[derive(Clone, Debug, Deserialize)]
pub struct Run {
    /// The `RequestId`.
    pub request: String,
    /// `Create`, `Update` or `Delete`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The `StackId`.
    pub stack: String,
    /// The `LogicalResourceId`.
    pub resource: String,
    /// The `PhysicalResourceId` of the request, empty for a Create.
    pub id: String,
    /// 1 for the first delivery of the event.
    pub run: usize,
    /// Why it ended with an error, empty when it did not.
    pub error: String,
}

/// A running emulator. Dropping it ends the process, its functions and the front.
#[derive(Debug)]
pub struct Emulator {
    child: Child,
    url: String,
    issuers: String,
    front: StrictProxy,
    certificates: Certificates,
    folder: TempDir,
}

impl Emulator {
    /// Starts an emulator and a front in these circumstances, on loopback.
    pub async fn start(scenario: Scenario) -> anyhow::Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), scenario).await
    }

    /// The same with the front on another address of this machine, for a handler in a container.
    pub async fn start_at(host: IpAddr, scenario: Scenario) -> anyhow::Result<Self> {
        let python = venv::python()?;
        let mut folder = tempfile::Builder::new().prefix("hawser-run-").tempdir().context("could not make a folder")?;
        folder.disable_cleanup(std::env::var_os(KEEP_VARIABLE).is_some());
        let certificates = Certificates::make(folder.path(), host)?;
        for attempt in 1.. {
            let listener = listen_at(host).await?;
            let front_url = format!("http://{}", listener.local_addr()?);
            let [port, issuers] = [listen().await?.local_addr()?.port(), listen().await?.local_addr()?.port()];
            let url = format!("http://127.0.0.1:{port}");
            let response_key = hex::encode(std::process::id().to_be_bytes()) + &port.to_string();
            let front = StrictProxy::serve(
                listener,
                Settings {
                    emulator: url.clone(),
                    python: python.clone(),
                    botocore: venv::botocore()?,
                    response_key: response_key.clone(),
                    scenario: scenario.clone(),
                },
            )?;
            let mut child = spawn(&python, folder.path(), &certificates, [port, issuers], &front_url, &response_key)?;
            let issuers = format!("http://127.0.0.1:{issuers}");
            match ready(&mut child, port).await {
                Ok(()) => return Ok(Self { child, url, issuers, front, certificates, folder }),
                Err(_) if attempt < START_TRIES => {}
                Err(error) => {
                    let log = std::fs::read_to_string(folder.path().join("emulator.log")).unwrap_or_default();
                    return Err(error.context(format!("the emulator did not start; its log:\n{log}")));
                }
            }
        }
        bail!("the emulator did not start")
    }

    /// Where the emulator itself answers, past the front.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A proxy (`HTTPS_PROXY`) behind which are the accounts' issuers of tokens, under AWS's names.
    pub fn issuers(&self) -> &str {
        &self.issuers
    }

    /// The front before it.
    pub fn front(&self) -> &StrictProxy {
        &self.front
    }

    /// The run's authority and the vendor's certificate.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// A folder that goes with the run.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The root of an account, past the front, so that its calls are not in the log.
    pub fn root(&self, account: &str, region: &str) -> Account {
        Account::root(&self.url, account, region)
    }

    /// What the emulator printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("emulator.log")).unwrap_or_default()
    }

    /// The runs of custom resources' functions that have ended, in that order.
    pub fn runs(&self) -> Vec<Run> {
        let log = std::fs::read_to_string(self.folder.path().join(REQUEST_LOG)).unwrap_or_default();
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// What the handler printed so far: one JSON line for each invocation.
    pub fn handler_log(&self) -> String {
        std::fs::read_to_string(handler_log(self.folder.path())).unwrap_or_default()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // The functions are children of the emulator and in its process group; ending the group leaves none behind.
        if let Some(group) = self.child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

fn handler_log(folder: &Path) -> PathBuf {
    folder.join("handler.jsonl")
}

/// The environment is complete: nothing of the caller's reaches the emulator, and so nothing of it reaches the handler, which
/// inherits the emulator's.
fn spawn(
    python: &Path,
    folder: &Path,
    certificates: &Certificates,
    [port, issuers]: [u16; 2],
    front_url: &str,
    response_key: &str,
) -> anyhow::Result<Child> {
    let log = std::fs::File::create(folder.join("emulator.log")).context("could not make the emulator's log")?;
    Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/emulator/start.py"))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .env("AUTH", "true")
        .env("BIND_HOST", "127.0.0.1")
        .env("MINISTACK_HOST", "127.0.0.1")
        .env("GATEWAY_PORT", port.to_string())
        // A listener on a fixed port, which a second emulator could not have.
        .env("IOT_MTLS_ENABLED", "0")
        .env("AWS_ENDPOINT_URL", front_url)
        .env("SSL_CERT_FILE", &certificates.authority)
        .env("HAWSER_PROXY_URL", front_url)
        .env("HAWSER_ISSUERS_PORT", issuers.to_string())
        .env("HAWSER_ISSUERS_CERTIFICATE", &certificates.certificate)
        .env("HAWSER_ISSUERS_KEY", &certificates.key)
        .env("HAWSER_RESPONSE_KEY", response_key)
        .env("HAWSER_HANDLER_LOG", handler_log(folder))
        .env("HAWSER_REQUEST_LOG", folder.join(REQUEST_LOG))
        .current_dir(folder)
        // Never written to: its end tells the emulator that we are gone, however we went.
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("could not start `{}`", python.display()))
}

async fn ready(child: &mut Child, port: u16) -> anyhow::Result<()> {
    let health: http::Uri = format!("http://127.0.0.1:{port}/_localstack/health").parse()?;
    let client = crate::account::http_client();
    let started = Instant::now();
    while started.elapsed() < START_LIMIT {
        if let Some(status) = child.try_wait()? {
            bail!("it ended with {status}");
        }
        if client.get(health.clone()).await.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
    bail!("it was not ready within {} s", START_LIMIT.as_secs())
}
