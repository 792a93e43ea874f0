//! The command line; every flag can come from the environment. [`operate`] has what an operator does by hand.

pub mod database;
pub mod operate;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
pub use database::Database;
use http::uri::Authority;
use operate::{BackupArgs, ConnectionArgs, DoctorArgs, ListArgs, RestoreArgs, TokenArgs};
use url::Url;

use crate::{
    launch::{Audience, EXPIRES_IN_HOURS_DEFAULT, Organization, Terms},
    names::{AccountId, CustomerId, OrganizationId},
    proof::Trust,
    secret::Secret,
    speaker::Way,
    webhook::egress::Egress,
};

/// The vendor's side of Hawser: receives notices, verifies them, stores connections.
#[derive(Debug, Parser)]
#[command(name = "hawser-console", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Receive notices until SIGTERM or ctrl-c.
    Serve(Serve),
    /// Make one launch and print its token and external ID as JSON. The server may be running.
    Launch(LaunchArgs),
    /// End a launch at once: notices of its stacks are refused, but for removals. The server may be running.
    Revoke(RevokeArgs),
    /// End one connection, whose stack cannot: whatever the stack sends is refused. The server may be running.
    Disconnect(ConnectionArgs),
    /// Seal every secret with the first key of the key file, so that the others can be taken out of it. The server may be running.
    Reseal(Database),
    /// List connections: JSON lines for programs, a table on a terminal. The server may be running.
    List(ListArgs),
    /// Show one connection as JSON, with the external ID. The server may be running.
    Show(ConnectionArgs),
    /// Test a connection's role now, and not only within a day. The running server does it.
    Verify(ConnectionArgs),
    /// Make, list and revoke tokens of the API. The server may be running.
    Token(TokenArgs),
    /// Check what the server needs, line by line: ok, or what to do. Exits with 1 if something is to be done. The server may be running.
    Doctor(DoctorArgs),
    /// Copy an SQLite database into a new file. The server may be running. PostgreSQL has `pg_dump`.
    Backup(BackupArgs),
    /// Make an SQLite database of a backup. There must be none at `--database` yet.
    Restore(RestoreArgs),
}

/// `serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// Where stacks reach it; port 0 takes a free one.
    #[arg(long, env = "HAWSER_CONSOLE_LISTEN", default_value = "127.0.0.1:8443")]
    pub listen: SocketAddr,
    /// Where the operator reaches it: a loopback address; port 0 takes a free one.
    #[arg(long, env = "HAWSER_CONSOLE_ADMIN_LISTEN", default_value = "127.0.0.1:8444", value_parser = loopback)]
    pub admin_listen: SocketAddr,
    /// `host` or `host:port` of the notice URL, which proofs must name; port 0 is the one that `--listen` got. Several, separated by
    /// commas: the first is the one of now, stacks that were made under another are heard too.
    #[arg(long, env = "HAWSER_CONSOLE_AUTHORITY", value_parser = authority, value_delimiter = ',', required = true)]
    pub authority: Vec<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would replace the command's own help")]
    pub database: Database,
    /// The certificate chain, PEM. Without it: plain HTTP, for use behind a proxy that terminates TLS.
    #[arg(long, env = "HAWSER_CONSOLE_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key, PEM.
    #[arg(long, env = "HAWSER_CONSOLE_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Addresses of proxies in front of it, separated by commas: only they may keep connections open, and the last address in their
    /// `x-forwarded-for` counts as the sender's.
    #[arg(long, env = "HAWSER_CONSOLE_PROXIES", value_delimiter = ',')]
    pub proxies: Vec<IpAddr>,
    /// The only STS endpoint that is trusted, in place of AWS's own: for emulators.
    #[arg(long, env = "HAWSER_CONSOLE_STS_ENDPOINT", value_parser = sts_endpoint)]
    pub sts_endpoint: Option<Url>,
    /// Take no notice without a token of AWS STS that could be checked: only accounts with outbound identity federation can connect.
    #[arg(long, env = "HAWSER_CONSOLE_REQUIRE_TOKEN")]
    pub require_token: bool,
    /// Answer the operator's requests only with a token of the API (`token create`). A token that is sent is checked in any case.
    #[arg(long, env = "HAWSER_CONSOLE_REQUIRE_API_TOKEN")]
    pub require_api_token: bool,
    /// Post events through this HTTP proxy, which then decides where they may go; without it they go to public addresses only.
    #[arg(long, env = "HAWSER_CONSOLE_EGRESS_PROXY", value_parser = egress_proxy, hide_env_values = true)]
    pub egress_proxy: Option<EgressProxy>,
    /// Post events to endpoints on this machine as well, and there without TLS: for tests.
    #[arg(long, env = "HAWSER_CONSOLE_LOOPBACK_ENDPOINTS", conflicts_with = "egress_proxy")]
    pub loopback_endpoints: bool,
    /// How much to log.
    #[arg(long, env = "HAWSER_CONSOLE_LOG", default_value = "info")]
    pub log: LogLevel,
}

impl Serve {
    /// Which STS endpoints are believed.
    pub fn trust(&self) -> Trust {
        self.sts_endpoint.clone().map_or(Trust::Aws, Trust::Only)
    }

    /// How events leave.
    pub fn egress(&self) -> Egress {
        match &self.egress_proxy {
            Some(proxy) => Egress::Proxy(proxy.0.clone()),
            None => Egress::Direct { loopback: self.loopback_endpoints },
        }
    }

    /// The authorities when the listener has its port.
    pub fn authorities(&self, listening: SocketAddr) -> Vec<String> {
        let with_port = |authority: &String| match authority.strip_suffix(":0") {
            Some(host) => format!("{host}:{}", listening.port()),
            None => authority.clone(),
        };
        self.authority.iter().map(with_port).collect()
    }
}

/// How much to log of this program's own; other crates' lines only from `warn` on, since those may speak of requests and headers.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[expect(missing_docs, reason = "the names of log levels say it")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

impl LogLevel {
    /// The filter for `tracing_subscriber`.
    pub fn filter(self) -> String {
        let own = format!("{self:?}").to_lowercase();
        format!("warn,hawser_console={own}")
    }
}

/// `launch`
#[derive(Debug, Args)]
pub struct LaunchArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would replace the command's own help")]
    pub database: Database,
    /// The vendor's own id of the customer that it is for. Names, takeovers and lists are within one customer.
    #[arg(long, value_name = "ID")]
    pub customer_id: CustomerId,
    /// The only account that may use it; any when left out.
    #[arg(long)]
    pub account_id: Option<AccountId>,
    /// For the accounts of this organization (`o-…`), one stack in each.
    #[arg(long, value_name = "ID", conflicts_with = "account_id", requires = "management_account_id")]
    pub organization_id: Option<OrganizationId>,
    /// The account that pays for the organization.
    #[arg(long, value_name = "ID", requires = "organization_id")]
    pub management_account_id: Option<AccountId>,
    /// How it may be used: `stack`, or `direct`, which is `hawser connect`.
    #[arg(long = "way", value_parser = way, value_delimiter = ',', default_value = "stack")]
    pub ways: Vec<Way>,
    /// A name that the handler's role may have beside the one that CloudFormation makes.
    #[arg(long, value_name = "NAME", value_parser = role_name)]
    pub handler_role_name: Option<String>,
    /// How long it connects new stacks: at most a week, for an organization a year.
    #[arg(long, default_value_t = EXPIRES_IN_HOURS_DEFAULT, value_parser = clap::value_parser!(u32).range(1..))]
    pub expires_in_hours: u32,
}

impl LaunchArgs {
    /// The launch's terms, and for how many hours.
    ///
    /// # Errors
    /// Too many hours.
    pub fn order(&self) -> Result<(Terms, u32), String> {
        let audience = match (&self.organization_id, &self.management_account_id) {
            (Some(id), Some(management_account)) => {
                let (id, management_account_id) = (id.clone(), management_account.clone());
                Audience::Organization(Organization { id, management_account_id })
            }
            _ => Audience::Stack(self.account_id.clone()),
        };
        let max = audience.expires_in_hours_max();
        if self.expires_in_hours > max {
            return Err(format!("`--expires-in-hours` must be at most {max}"));
        }
        let terms = Terms {
            customer_id: self.customer_id.clone(),
            audience,
            ways: self.ways.iter().copied().collect(),
            handler_role_name: self.handler_role_name.clone(),
        };
        Ok((terms, self.expires_in_hours))
    }
}

/// `revoke`
#[derive(Debug, Args)]
pub struct RevokeArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would replace the command's own help")]
    pub database: Database,
    /// Which launch: the `launchId` that it was made with.
    #[arg(long, value_name = "ID")]
    pub launch_id: String,
}

fn way(text: &str) -> Result<Way, String> {
    Way::ALL.into_iter().find(|way| way.as_str() == text).ok_or_else(|| "neither `stack` nor `direct`".to_owned())
}

/// The name of a role, as IAM takes it.
///
/// # Errors
/// It is none.
pub fn role_name(text: &str) -> Result<String, String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
    let is_name = (1..=64).contains(&text.len()) && text.bytes().all(legal);
    if is_name { Ok(text.to_owned()) } else { Err("not the name of a role".to_owned()) }
}

/// The URL of an egress proxy, which may hold a password.
#[derive(Clone)]
pub struct EgressProxy(Secret);

impl fmt::Debug for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

fn egress_proxy(text: &str) -> Result<EgressProxy, String> {
    let url: Url = text.parse().map_err(|_| "not a URL".to_owned())?;
    let is_proxy = matches!(url.scheme(), "http" | "https") && url.host().is_some();
    if is_proxy { Ok(EgressProxy(Secret::new(text))) } else { Err("not the URL of an HTTP proxy".to_owned()) }
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "not an address with a port".to_owned())?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("the operator's routes are not encrypted: a loopback address only".to_owned())
    }
}

fn authority(text: &str) -> Result<String, String> {
    let parsed: Authority = text.parse().map_err(|_| "not `host` or `host:port`".to_owned())?;
    if parsed.as_str().contains('@') {
        return Err("no user name in it".to_owned());
    }
    match parsed.port_u16() {
        // The URL a stack has leaves out the default port, so its audience does too.
        Some(443) => Err("without `:443`, which URLs leave out".to_owned()),
        _ if text != text.to_lowercase() => Err("in lower case, as URLs write it".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

fn sts_endpoint(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|_| "not a URL".to_owned())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if matches!(url.scheme(), "http" | "https") && url.host().is_some() && url.path() == "/" && plain {
        Ok(url)
    } else {
        Err("only scheme, host and port, such as `http://127.0.0.1:4566`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]
    use super::*;

    #[test]
    fn command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn the_operators_listener_is_loopback() {
        assert!(loopback("127.0.0.1:0").is_ok());
        assert!(loopback("[::1]:0").is_ok());
        assert!(loopback("0.0.0.0:8444").is_err());
        assert!(loopback("192.0.2.1:8444").is_err());
    }

    #[test]
    fn launches_are_for_a_stack_or_an_organization() {
        let order = |args: &[&str]| {
            let all = ["hawser-console", "launch", "--customer-id", "acme"];
            let cli = Cli::try_parse_from(all.iter().chain(args)).map_err(|error| error.to_string())?;
            let Command::Launch(launch) = cli.command else { return Err("not a launch".to_owned()) };
            launch.order()
        };
        let of = |args: &[&str]| order(args).map(|(terms, hours)| (terms.audience, hours)).unwrap();
        assert_eq!(of(&[]), (Audience::Stack(None), 24));
        let organization = ["--organization-id", "o-exampleorgid", "--management-account-id", "111122223333"];
        let expected =
            Organization { id: "o-exampleorgid".parse().unwrap(), management_account_id: "111122223333".parse().unwrap() };
        assert_eq!(of(&organization).0, Audience::Organization(expected));
        assert_eq!(of(&[&organization[..], &["--expires-in-hours", "8784"]].concat()).1, 8784);
        assert_eq!(order(&[]).unwrap().0.ways, [Way::Stack].into());
        assert_eq!(order(&["--way", "direct,stack"]).unwrap().0.ways, Way::ALL.into());
        for bad in [
            &["--expires-in-hours", "169"][..],
            &["--expires-in-hours", "0"],
            &[&organization[..], &["--expires-in-hours", "8785"]].concat(),
            &[&organization[..], &["--account-id", "111122223333"]].concat(),
            &organization[..2],
            &organization[2..],
            &["--organization-id", "r-root", "--management-account-id", "111122223333"],
            &["--way", "pipeline"],
            &["--handler-role-name", "a/b"],
        ] {
            assert!(order(bad).is_err(), "{bad:?}");
        }
        assert!(Cli::try_parse_from(["hawser-console", "launch"]).is_err(), "a launch belongs to a customer");
    }

    #[test]
    fn authorities_are_written_as_urls_write_them() {
        for good in ["hawser.example.com", "localhost:0", "127.0.0.1:8443", "[::1]:8443"] {
            assert_eq!(authority(good).unwrap(), good);
        }
        for bad in
            ["", "https://hawser.example.com", "hawser.example.com:443", "me@hawser.example.com", "Hawser.example.com", "a/b"]
        {
            assert!(authority(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sts_endpoints_are_plain() {
        assert_eq!(sts_endpoint("http://127.0.0.1:4566").unwrap().as_str(), "http://127.0.0.1:4566/");
        for bad in ["127.0.0.1:4566", "ftp://127.0.0.1", "http://a@b/", "http://b/path", "http://b/?q", "http://b/#f"] {
            assert!(sts_endpoint(bad).is_err(), "{bad}");
        }
    }
}
