//! The way out: names are resolved once, every address is checked, and the connection is made to one of exactly these addresses, so
//! that a name that changes its addresses between two questions (DNS rebinding) gains nothing.

use std::{error::Error as StdError, io, net::IpAddr, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{
    address::NotPublic,
    endpoint_url::{Reach, is_localhost},
};
use crate::secret::Secret;

/// More than a service behind many addresses has; an answer over TCP could have thousands.
const ADDRESSES_MAX: usize = 64;

/// How requests leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Egress {
    /// Straight, to public addresses.
    Direct {
        /// To this machine as well, and there without TLS: for tests.
        loopback: bool,
    },
    /// Through an HTTP proxy of the operator's, by its URL, which may hold a password. The proxy resolves the names, and decides.
    Proxy(Secret),
}

impl Egress {
    /// Where they may go.
    pub fn reach(&self) -> Reach {
        match self {
            Self::Direct { loopback: false } => Reach::Public,
            Self::Direct { loopback: true } => Reach::PublicAndLoopback,
            Self::Proxy(_) => Reach::Proxy,
        }
    }
}

/// The port: DNS.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// All addresses of a host.
    ///
    /// # Errors
    /// It has none, or nobody knows.
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// As the system does it.
#[derive(Debug, Clone, Copy)]
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|found| found.ip()).collect())
    }
}

/// The resolver of the HTTP client. Hosts that are addresses never come here: the client connects to them as they are.
pub struct Guard {
    lookup: Arc<dyn Lookup>,
    reach: Reach,
}

impl Guard {
    /// Lets only such addresses through.
    pub fn new(lookup: Arc<dyn Lookup>, reach: Reach) -> Self {
        Self { lookup, reach }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, reach) = (Arc::clone(&self.lookup), self.reach);
        Box::pin(async move {
            let addresses = lookup.addresses(name.as_str()).await?;
            judge(name.as_str(), &addresses, reach)?;
            Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

/// All of a host's addresses must be allowed: one that is not says that somebody tries, or that the endpoint is not what it seems.
fn judge(host: &str, addresses: &[IpAddr], reach: Reach) -> Result<(), Box<dyn StdError + Send + Sync>> {
    if addresses.is_empty() {
        return Err("the host has no address".into());
    }
    if addresses.len() > ADDRESSES_MAX {
        return Err("the host has too many addresses".into());
    }
    for address in addresses {
        reach.check(*address)?;
        // Only such a host is called without TLS.
        if is_localhost(host) && !address.is_loopback() {
            return Err("the host means this machine, and has an address elsewhere".into());
        }
    }
    Ok(())
}

/// Why an address was refused, if that is among the causes of an error.
pub fn refusal(error: &(dyn StdError + 'static)) -> Option<NotPublic> {
    causes(error).find_map(|cause| cause.downcast_ref::<NotPublic>().copied())
}

/// An error and all its causes.
pub fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error: &&'a (dyn StdError + 'static)| {
        // What an I/O error carries is not among its sources.
        let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        carried.map(|carried| carried as &(dyn StdError + 'static)).or_else(|| error.source())
    })
}
