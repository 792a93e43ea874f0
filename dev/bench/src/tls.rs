//! One certificate authority for the run. The handlers trust it through `SSL_CERT_FILE` (`AWS_CA_BUNDLE` for boto3).

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Where Linux distributions keep the public roots. The first that exists is put beside the run's own authority, so that
/// every handler parses as many roots as it would on Lambda.
const PUBLIC_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// The authority and a server certificate for this machine's loopback address.
pub(crate) struct Authority {
    /// For the stub's listeners.
    pub(crate) server: Arc<ServerConfig>,
    /// What the handlers are to trust, PEM.
    bundle: String,
    /// How many public roots are in the bundle beside ours.
    pub(crate) public_roots: usize,
}

impl Authority {
    /// A fresh authority; nothing of it outlives the run.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let (certificate, chain_pem, key) = make().context("making certificates")?;
        let mut server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|it| it.with_no_client_auth().with_single_cert(vec![certificate], key))?;
        // AWS's endpoints for these services speak HTTP/1.1 only.
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        let public = PUBLIC_ROOTS.iter().find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        Ok(Self {
            server: Arc::new(server),
            public_roots: public.matches("-----BEGIN CERTIFICATE-----").count(),
            bundle: public + "\n" + &chain_pem,
        })
    }

    /// Writes the bundle to `path`.
    pub(crate) fn write_bundle(&self, path: &Path) -> anyhow::Result<()> {
        fs::write(path, &self.bundle).with_context(|| format!("writing `{}`", path.display()))
    }
}

type Certificates = (rustls::pki_types::CertificateDer<'static>, String, PrivateKeyDer<'static>);

fn make() -> Result<Certificates, rcgen::Error> {
    let mut root = CertificateParams::new(Vec::new())?;
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    root.distinguished_name.push(rcgen::DnType::CommonName, "hawser bench, one run");
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(vec![Ipv4Addr::LOCALHOST.to_string(), "localhost".to_owned()])?;
    leaf.use_authority_key_identifier_extension = true;
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    leaf.distinguished_name.push(rcgen::DnType::CommonName, "hawser bench stub");
    let leaf = leaf.signed_by(&key, &root)?;
    Ok((leaf.der().clone(), root.pem(), PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_bundle_holds_the_public_roots_and_ours() {
        let authority = Authority::new().unwrap();
        let certificates = authority.bundle.matches("-----BEGIN CERTIFICATE-----").count();
        assert_eq!(certificates, authority.public_roots + 1);
    }
}
