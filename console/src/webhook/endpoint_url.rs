//! The URL of an endpoint.

use std::fmt;

use url::{Host, Url};

use super::address::{self, NotPublic};

/// More than any receiver needs, less than a proxy refuses.
const URL_BYTES_MAX: usize = 2048;

/// Where requests may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// To public addresses.
    #[default]
    Public,
    /// To this machine as well, and there without TLS: for tests.
    PublicAndLoopback,
    /// To wherever the operator's egress proxy lets them: it alone sees the addresses.
    Proxy,
}

impl Reach {
    /// Whether one address may be reached.
    ///
    /// # Errors
    /// It is not public.
    pub fn check(self, address: std::net::IpAddr) -> Result<(), NotPublic> {
        match self {
            Self::Proxy => Ok(()),
            Self::PublicAndLoopback if address.is_loopback() => Ok(()),
            Self::Public | Self::PublicAndLoopback => address::check(address),
        }
    }

    /// Whether a host may be reached, as far as its text shows: what a name resolves to is checked when something is sent.
    ///
    /// # Errors
    /// It is an address that is not public, or the name of this machine.
    pub fn check_host(self, host: Host<&str>) -> Result<(), NotPublic> {
        match host {
            Host::Ipv4(address) => self.check(address.into()),
            Host::Ipv6(address) => self.check(address.into()),
            Host::Domain(name) if is_localhost(name) => self.check(std::net::Ipv4Addr::LOCALHOST.into()),
            Host::Domain(_) => Ok(()),
        }
    }
}

/// Names that mean this machine (RFC 6761, section 6.3).
pub(super) fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

/// Why a URL is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    #[error("it is not a URL")]
    NotUrl,
    #[error("it is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    #[error("its scheme must be https")]
    Scheme,
    #[error("it must hold no user name and no password")]
    UserInfo,
    #[error("it must hold no fragment")]
    Fragment,
    #[error("its host must be public: {0}")]
    NotPublic(#[from] NotPublic),
}

/// A URL that may be an endpoint's. It prints without path and query: those of many receivers hold a token.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl(Url);

impl EndpointUrl {
    /// Reads a URL. The parser knows every form of an address (`0x7f.1`, `2130706433`), so that what is checked here is what is called.
    ///
    /// # Errors
    /// See [`UrlRefused`].
    pub fn parse(text: &str, reach: Reach) -> Result<Self, UrlRefused> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlRefused::TooLong);
        }
        let url = Url::parse(text).map_err(|_| UrlRefused::NotUrl)?;
        let is_loopback = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => is_localhost(name),
            None => return Err(UrlRefused::NotUrl),
        };
        let plain = url.scheme() == "http" && is_loopback && reach == Reach::PublicAndLoopback;
        if url.scheme() != "https" && !plain {
            return Err(UrlRefused::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlRefused::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(UrlRefused::Fragment);
        }
        url.host().map_or(Ok(()), |host| reach.check_host(host))?;
        Ok(Self(url))
    }

    /// The whole of it, for storing it and for calling it.
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/[redacted]", self.0.origin().ascii_serialization())
    }
}
