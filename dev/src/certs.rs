//! A certificate authority made for the run, and the certificate of its servers: the vendor and the issuers of tokens.
//!
//! The handler is the published binary: it trusts the system's roots, or those in `SSL_CERT_FILE`. So the emulator's environment
//! names a file with this authority, and nothing in the handler knows of it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The names of AWS's token issuers, which the run has behind a proxy.
const ISSUERS: &str = "*.tokens.sts.global.api.aws";

/// PEM files of one run.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority: what `SSL_CERT_FILE` names.
    pub authority: PathBuf,
    /// The certificate of the run's servers.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The address that servers of the run listen on; the certificate is good for it and for `localhost`.
    pub host: IpAddr,
}

impl Certificates {
    /// Makes an authority and a server certificate, and writes them to `folder`.
    pub fn make(folder: &Path, host: IpAddr) -> anyhow::Result<Self> {
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::new(Vec::<String>::new())?;
        authority.distinguished_name = named("Hawser demo authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_certificate = authority.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority, authority_key);

        let key = KeyPair::generate()?;
        let mut server = CertificateParams::new(["localhost".to_owned(), host.to_string(), ISSUERS.to_owned()])?;
        server.distinguished_name = named("The vendor of the demo");
        let certificate = server.signed_by(&key, &issuer)?;

        let made = Self {
            authority: folder.join("authority.pem"),
            certificate: folder.join("vendor.pem"),
            key: folder.join("vendor-key.pem"),
            host,
        };
        std::fs::write(&made.authority, authority_certificate.pem())?;
        std::fs::write(&made.certificate, certificate.pem())?;
        std::fs::write(&made.key, key.serialize_pem())?;
        Ok(made)
    }

    /// How a server of this run speaks TLS.
    pub fn server(&self) -> anyhow::Result<ServerConfig> {
        let chain = CertificateDer::pem_file_iter(&self.certificate)?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&self.key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(config)
    }

    /// How a client that trusts this run's authority, and no other, speaks TLS.
    pub fn client(&self) -> anyhow::Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&self.authority).context("no authority")? {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth())
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}
