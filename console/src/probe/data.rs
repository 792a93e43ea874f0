//! The probes of all packs and the services that they call, as `packs/` and `stack/services.yaml` have them.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;
use serde_json::Value;

/// What a pack lets the vendor do. Ordered: the later includes the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Mode {
    ReadOnly,
    ReadWrite,
}

/// A statement of a pack, or AWS's managed policy that goes with a pack, under the policy's name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Statement {
    /// The pack's name, as notices have it.
    pub pack: String,
    pub sid: String,
    /// The first mode that has it.
    pub mode: Mode,
    pub how: How,
}

/// How a statement is tried.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum How {
    Probe(Probe),
    /// It is not, and why.
    NoProbe(String),
}

/// One harmless call, which AWS denies where the permission is missing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Probe {
    /// The IAM action that it needs.
    pub action: String,
    /// The service's entry in `services.yaml`.
    pub service: String,
    /// The operation's name in the API.
    pub operation: String,
    pub parameters: BTreeMap<String, Value>,
    /// The error codes that only a permitted call gets.
    pub allowed: Vec<String>,
    /// Whether the pack is of no use without it.
    pub required: bool,
    /// What the vendor's product cannot show without it, as a sentence.
    pub lost: String,
}

/// How a service is called.
#[derive(Debug, Deserialize)]
pub(super) struct Service {
    pub(super) protocol: Protocol,
    pub(super) version: String,
    pub(super) target: String,
    pub(super) operations: BTreeMap<String, String>,
    pub(super) endpoint: String,
    pub(super) signing: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) endpoints: BTreeMap<String, Endpoint>,
}

/// AWS's protocols, by their names in the models of the SDKs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Protocol {
    #[serde(rename = "query")]
    Query,
    #[serde(rename = "ec2")]
    Ec2,
    #[serde(rename = "json-1.0")]
    Json10,
    #[serde(rename = "json-1.1")]
    Json11,
    #[serde(rename = "rest-json")]
    RestJson,
    #[serde(rename = "rest-xml")]
    RestXml,
}

/// Where a service is that has no endpoint in each Region.
#[derive(Debug, Deserialize)]
pub(super) struct Endpoint {
    pub(super) host: String,
    /// The Region of the signature.
    pub(super) region: String,
}

#[derive(Deserialize)]
struct Data {
    services: BTreeMap<String, Service>,
    statements: Vec<Statement>,
}

#[expect(clippy::expect_used, reason = "the file is part of the program, and tests read it")]
static DATA: LazyLock<Data> = LazyLock::new(|| {
    serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/probes.json"))).expect("probes.json has the form of `Data`")
});

/// Every statement of every pack, in the order of the template.
pub fn statements() -> &'static [Statement] {
    &DATA.statements
}

/// The statements of the packs that a connection was granted: `data.packs` of its notice. Packs and modes of a newer template, which
/// this console does not know, have none.
pub fn granted(packs: &BTreeMap<String, String>) -> impl Iterator<Item = &'static Statement> {
    statements().iter().filter(|statement| match packs.get(&statement.pack).map(String::as_str) {
        Some("ReadOnly") => statement.mode == Mode::ReadOnly,
        Some("ReadWrite") => true,
        _ => false,
    })
}

pub(super) fn service(name: &str) -> Option<&'static Service> {
    DATA.services.get(name)
}
