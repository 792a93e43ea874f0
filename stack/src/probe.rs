//! `probe` and `noProbe` of a statement: what the vendor's console calls to see whether it works, or why nothing.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What a call may be named: it reads.
const READS: [&str; 3] = ["Describe", "Get", "List"];

/// How a statement is tried, or why it is not.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ProbeOrReason {
    Probe(Probe),
    NoProbe(String),
}

/// One harmless call, which AWS denies where the permission is missing.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// The IAM action that it needs, which the statement allows.
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
    /// What the vendor's product cannot show without it.
    pub lost: String,
}

/// The same as a pack has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    action: String,
    /// Where it is not the action's prefix.
    service: Option<String>,
    /// Where it is not the action's name.
    operation: Option<String>,
    #[serde(default)]
    parameters: BTreeMap<String, Value>,
    #[serde(default)]
    allowed: Vec<String>,
    required: bool,
    lost: String,
}

impl Entry {
    /// Fills in what follows from the action.
    pub(crate) fn probe(self) -> anyhow::Result<Probe> {
        let (prefix, name) = self.action.split_once(':').with_context(|| format!("not an action: `{}`", self.action))?;
        let (service, operation) = (self.service.unwrap_or(prefix.to_owned()), self.operation.unwrap_or(name.to_owned()));
        ensure!(READS.iter().any(|verb| operation.starts_with(verb)), "`{operation}` may change something");
        ensure!(self.lost.ends_with('.'), "`lost` is a sentence: `{}`", self.lost);
        for value in self.parameters.values() {
            ensure!(
                value.is_string() || value.is_u64() || value.is_boolean(),
                "a parameter is a text, a number or a truth value"
            );
        }
        let Self { action, parameters, allowed, required, lost, .. } = self;
        Ok(Probe { action, service, operation, parameters, allowed, required, lost })
    }
}

/// Reads both keys of a statement.
pub(crate) fn probe_or_reason(statement: &Value, probe: Option<Entry>, reason: Option<String>) -> anyhow::Result<ProbeOrReason> {
    match (probe, reason) {
        (Some(entry), None) => {
            let probe = entry.probe()?;
            let actions = &statement["Action"];
            let has = *actions == *probe.action || actions.as_array().is_some_and(|all| all.contains(&json!(probe.action)));
            ensure!(has && statement["Effect"] == "Allow", "{} does not allow `{}`", statement["Sid"], probe.action);
            Ok(ProbeOrReason::Probe(probe))
        }
        (None, Some(reason)) => Ok(ProbeOrReason::NoProbe(reason)),
        _ => bail!("{} has one of `probe` and `noProbe`", statement["Sid"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_reads_and_its_statement_allows_it() {
        let statement =
            json!({"Sid": "ReadUsers", "Effect": "Allow", "Action": ["iam:DeleteUser", "iam:ListUsers"], "Resource": "*"});
        let good = json!({"action": "iam:ListUsers", "required": true, "lost": "All users."});
        let with = |name: &str, value: Value| {
            let mut changed = good.clone();
            changed[name] = value;
            changed
        };
        let read = |statement: &Value, probe: Option<Value>, reason: Option<&str>| -> anyhow::Result<ProbeOrReason> {
            let probe = probe.map(serde_json::from_value).transpose()?;
            probe_or_reason(statement, probe, reason.map(str::to_owned))
        };
        let Ok(ProbeOrReason::Probe(probe)) = read(&statement, Some(good.clone()), None) else { panic!("{good}") };
        assert_eq!((probe.service.as_str(), probe.operation.as_str()), ("iam", "ListUsers"));
        assert!(read(&statement, None, Some("It only changes things.")).is_ok());
        let mut denial = statement.clone();
        denial["Effect"] = "Deny".into();
        for (statement, probe, reason) in [
            (&statement, None, None),
            (&statement, Some(good.clone()), Some("both")),
            (&denial, Some(good.clone()), None),
            (&statement, Some(with("action", json!("iam:DeleteUser"))), None),
            (&statement, Some(with("action", json!("iam:ListRoles"))), None),
            (&statement, Some(with("action", json!("ListUsers"))), None),
            (&statement, Some(with("operation", json!("DeleteUser"))), None),
            (&statement, Some(with("parameters", json!({"Filters": [{"Name": "x"}]}))), None),
            (&statement, Some(with("lost", json!("no sentence"))), None),
            (&statement, Some(with("unknown", json!(1))), None),
        ] {
            assert!(read(statement, probe.clone(), reason).is_err(), "{probe:?} {reason:?}");
        }
    }
}
