//! `doctor`: looks at what the server needs, from outside. Whatever is not as it should be is a finding, with what to do.

use std::{error::Error as _, fmt, path::Path, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sts::error::{DisplayErrorContext, ProvideErrorMetadata as _};
use aws_smithy_http_client::tls;
use http::uri::Authority;
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::time::timeout;

use crate::{
    config::operate::DoctorArgs,
    seal::SealKeys,
    store::{Examined, Schema, examine},
};

/// For each question to somebody else.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Clocks may differ by so much: AWS refuses signatures after five minutes, and notices are refused as early.
const CLOCK_DIFFERENCE_MAX: time::Duration = time::Duration::seconds(60);
/// Where no Region is configured: AWS STS is there for all of them.
const REGION_DEFAULT: &str = "us-east-1";

/// One line: what was looked at, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub check: &'static str,
    pub ok: bool,
    pub found: String,
    /// What to do; empty where nothing is.
    pub next_step: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, ok, found, next_step } = self;
        if *ok { write!(f, "ok    {check}: {found}") } else { write!(f, "to do {check}: {found}. {next_step}") }
    }
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, ok: true, found: found.into(), next_step: String::new() }
    }

    fn bad(check: &'static str, found: impl Into<String>, next_step: &str) -> Self {
        Self { check, ok: false, found: found.into(), next_step: next_step.to_owned() }
    }
}

/// Looks at everything.
pub async fn findings(args: &DoctorArgs, now: impl Fn() -> OffsetDateTime) -> Vec<Finding> {
    let (keys, key_finding) = keys(&args.database.key_file);
    let mut findings: Vec<Finding> = key_finding.into_iter().collect();
    let examined = timeout(TIMEOUT, examine(args.database.database.expose(), keys.as_ref())).await;
    let examined = match examined {
        Ok(Ok(examined)) => Some(examined),
        Ok(Err(error)) => {
            let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            let next = "Check `--database`, that the file or server is there, and that this user may use it. `serve` makes an SQLite file.";
            findings.push(Finding::bad("database", format!("{error}{cause}"), next));
            None
        }
        Err(_) => {
            let next = "Check that the server runs and can be reached from here.";
            findings.push(Finding::bad("database", "it did not answer in time", next));
            None
        }
    };
    if let Some(examined) = &examined {
        findings.push(schema(examined));
        findings.extend(opens(examined, keys.is_some()));
    }
    // Without any certificate authority the SDK's client panics when it is made.
    let aws = tokio::spawn(sdk()).await.ok();
    findings.push(match &aws {
        Some(aws) => caller(aws).await,
        None => Finding::bad("aws", "no certificate authority is trusted here", "Name them with `SSL_CERT_FILE`."),
    });
    findings.push(clock(examined.and_then(|examined| examined.clock), aws.as_ref(), now).await);
    for authority in &args.authority {
        findings.push(reachable(authority).await);
    }
    findings
}

fn keys(path: &Path) -> (Option<SealKeys>, Option<Finding>) {
    const NEXT: &str = "Name the key file with `--key-file`; without it, the secrets in the database cannot be opened.";
    if !path.exists() {
        let found = format!("`{}` is not there", path.display());
        return (
            None,
            Some(Finding::bad("key", found, "Name the key file with `--key-file`. `serve` makes one for a new database.")),
        );
    }
    match SealKeys::open(path) {
        Ok(keys) => (Some(keys), None),
        Err(error) => (None, Some(Finding::bad("key", error.to_string(), NEXT))),
    }
}

fn schema(examined: &Examined) -> Finding {
    match examined.schema {
        Schema::Current => Finding::ok("database", "it answers, and its schema is up to date"),
        Schema::Older => Finding::ok("database", "it answers; the next start of `serve` brings its schema up to date"),
        Schema::Empty => Finding::ok("database", "it answers and is empty; the first start of `serve` makes its tables"),
        Schema::Newer => Finding::bad(
            "database",
            "a newer version of this program has used it",
            "Start that version, or restore a backup from before.",
        ),
    }
}

fn opens(examined: &Examined, has_keys: bool) -> Option<Finding> {
    match &examined.keys {
        Some(Ok(())) => Some(Finding::ok("key", "it opens the database's secrets")),
        Some(Err(error)) => {
            let next = "Find the key file that this database was made with: nothing else opens its secrets.";
            Some(Finding::bad("key", error.to_string(), next))
        }
        None => has_keys.then(|| Finding::ok("key", "the database has no secrets yet")),
    }
}

/// As AWS's own programs find it.
async fn sdk() -> SdkConfig {
    let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    let http = aws_smithy_http_client::Builder::new().tls_provider(tls).build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await
}

async fn caller(aws: &SdkConfig) -> Finding {
    const NEXT: &str =
        "Give `serve` credentials of the account that customers' roles trust (`AWS_PROFILE`, an instance's or container's role).";
    let region = aws.region().cloned().unwrap_or(Region::new(REGION_DEFAULT));
    let config = aws.to_builder().region(region).build();
    let answer = timeout(TIMEOUT, aws_sdk_sts::Client::new(&config).get_caller_identity().send()).await;
    match answer {
        Ok(Ok(identity)) => Finding::ok("aws", format!("the credentials are those of `{}`", identity.arn().unwrap_or_default())),
        Ok(Err(error)) => {
            tracing::debug!(error = %DisplayErrorContext(&error), "no caller identity");
            let found = match error.code() {
                Some(code) => format!("AWS STS refuses the credentials: `{code}`"),
                None => "there are no credentials, or AWS STS cannot be reached".to_owned(),
            };
            Finding::bad("aws", found, NEXT)
        }
        Err(_) => Finding::bad("aws", "AWS STS did not answer in time", "Check that AWS STS can be reached from here."),
    }
}

/// Against the database's server; for a file, against AWS.
async fn clock(of_database: Option<OffsetDateTime>, aws: Option<&SdkConfig>, now: impl Fn() -> OffsetDateTime) -> Finding {
    let (whose, theirs) = match of_database {
        Some(theirs) => ("the database's", Some(theirs)),
        None => ("AWS's", date_of_aws(aws).await),
    };
    let Some(theirs) = theirs else {
        return Finding::bad(
            "clock",
            "it could not be compared: AWS did not say the time",
            "Check that AWS STS can be reached from here.",
        );
    };
    let difference = (now() - theirs).abs();
    if difference <= CLOCK_DIFFERENCE_MAX {
        Finding::ok("clock", format!("it is within {} seconds of {whose}", CLOCK_DIFFERENCE_MAX.whole_seconds()))
    } else {
        let found = format!("it differs from {whose} by {} seconds", difference.whole_seconds());
        Finding::bad("clock", found, "Set it by NTP: notices and AWS's signatures are refused by their time.")
    }
}

/// What AWS STS says in `Date`, whatever else it answers.
async fn date_of_aws(aws: Option<&SdkConfig>) -> Option<OffsetDateTime> {
    let url = aws.and_then(SdkConfig::endpoint_url).unwrap_or("https://sts.amazonaws.com/");
    let answer = client()?.head(url).send().await.ok()?;
    let date = answer.headers().get(http::header::DATE)?.to_str().ok()?;
    OffsetDateTime::parse(&date.replace("GMT", "+0000"), &Rfc2822).ok()
}

async fn reachable(authority: &Authority) -> Finding {
    const NEXT: &str =
        "Check the name, the route to this machine, and that the certificate is this name's: stacks reach the console by it.";
    let url = format!("https://{authority}/healthz");
    let Some(client) = client() else {
        return Finding::bad("listener", "no certificate authority is trusted here", "Name them with `SSL_CERT_FILE`.");
    };
    match client.get(&url).send().await {
        Ok(answer) if answer.status().is_success() => Finding::ok("listener", format!("`{url}` answers")),
        Ok(answer) => Finding::bad("listener", format!("`{url}` answers {}", answer.status().as_u16()), NEXT),
        Err(error) => {
            let mut cause: &dyn std::error::Error = &error;
            while let Some(inner) = cause.source() {
                cause = inner;
            }
            Finding::bad("listener", format!("`{url}` cannot be reached: {cause}"), NEXT)
        }
    }
}

fn client() -> Option<reqwest::Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(TIMEOUT).build().ok()
}
