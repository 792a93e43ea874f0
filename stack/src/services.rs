//! `stack/services.yaml`: how the services are called that the probes call.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    document,
    pack::{Mode, Pack, packs},
    probe::{Probe, ProbeOrReason},
};

/// How a service is called; `services.yaml` explains each field.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    protocol: Protocol,
    #[serde(default)]
    version: String,
    #[serde(default)]
    target: String,
    #[serde(default)]
    operations: BTreeMap<String, String>,
    #[serde(default)]
    endpoint: String,
    #[serde(default)]
    signing: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    endpoints: BTreeMap<String, Endpoint>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Protocol {
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

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Endpoint {
    host: String,
    region: String,
}

/// The probes of all packs and the services that they call, as JSON, which the console contains.
///
/// # Errors
/// When a file cannot be read or is wrong; the message names it.
pub fn probes(root: &Path) -> anyhow::Result<String> {
    let path = root.join("stack/services.yaml");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut services: BTreeMap<String, Service> =
        serde_json::from_value(document::value(&text)?).with_context(|| path.display().to_string())?;
    for (name, service) in &mut services {
        service.fill_in(name).with_context(|| format!("{}: {name}", path.display()))?;
    }
    let mut tried = Vec::new();
    for pack in packs(&root.join("packs"))? {
        for entry in entries(&pack) {
            if let ProbeOrReason::Probe(probe) = entry.2 {
                let service = services.get(&probe.service).with_context(|| format!("no service `{}`", probe.service))?;
                service.can_call(probe).with_context(|| probe.action.clone())?;
            }
            let (sid, mode, how) = entry;
            tried.push(json!({ "pack": pack.name, "sid": sid, "mode": mode, "how": how }));
        }
    }
    Ok(serde_json::to_string(&json!({ "services": services, "statements": tried }))?)
}

/// Each statement, and AWS's managed policy where the pack has one.
fn entries(pack: &Pack) -> impl Iterator<Item = (&str, Mode, &ProbeOrReason)> {
    let managed = pack.managed_policies.first().zip(pack.probe.as_ref());
    let managed = managed.map(|(policy, probe)| (policy.as_str(), Mode::ReadOnly, probe));
    managed.into_iter().chain(pack.statements.iter().map(|one| (one.sid.as_str(), one.mode, &one.probe)))
}

impl Service {
    /// Writes out what follows from the service's prefix, and refuses what its protocol does not have.
    fn fill_in(&mut self, name: &str) -> anyhow::Result<()> {
        if self.endpoint.is_empty() {
            name.clone_into(&mut self.endpoint);
        }
        if self.signing.is_empty() {
            self.endpoint.clone_into(&mut self.signing);
        }
        let (version, target, operations) = match self.protocol {
            Protocol::Query | Protocol::Ec2 => (true, false, false),
            Protocol::Json10 | Protocol::Json11 => (false, true, false),
            Protocol::RestJson | Protocol::RestXml => (false, false, true),
        };
        ensure!(version != self.version.is_empty(), "`version` is for query and ec2");
        ensure!(target != self.target.is_empty(), "`target` is for JSON");
        ensure!(operations != self.operations.is_empty(), "`operations` are for REST");
        Ok(())
    }

    /// A call by REST has its operation here, with a place for each of its parameters and for nothing else.
    fn can_call(&self, probe: &Probe) -> anyhow::Result<()> {
        if matches!(self.protocol, Protocol::RestJson | Protocol::RestXml) {
            let path = self.operations.get(&probe.operation).context("its service does not have the operation")?;
            let places = path.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
            let places: BTreeSet<&str> = places.collect();
            let same = places.iter().copied().eq(probe.parameters.keys());
            ensure!(path.starts_with("GET /") && same, "`{path}` has other parameters");
        }
        Ok(())
    }
}
