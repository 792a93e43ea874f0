//! `template.yaml` is what `stack/` and `packs/` say.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{collections::BTreeSet, fs, path::Path};

use hawser_stack::{Mode, packs, probes, read, template};
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

#[test]
fn the_committed_template_is_up_to_date() {
    let committed = fs::read_to_string(root().join("template.yaml")).unwrap();
    assert!(committed == template(root()).unwrap(), "template.yaml is out of date: run `make template`");
}

#[test]
fn every_statement_is_in_the_template_under_its_own_condition_and_no_other_is() {
    let template = read(&template(root()).unwrap()).unwrap().json;
    let packs = packs(&root().join("packs")).unwrap();
    for pack in &packs {
        let policy = &template["Resources"][&pack.policy];
        let expected: Vec<Value> = pack
            .statements
            .iter()
            .map(|statement| match &statement.condition {
                Some(condition) => json!({ "Fn::If": [condition, statement.json, { "Ref": "AWS::NoValue" }] }),
                None => statement.json.clone(),
            })
            .collect();
        assert_eq!(policy["Properties"]["PolicyDocument"]["Statement"], json!(expected), "{}", pack.name);
        assert_eq!(policy["Condition"], pack.parameter.as_str());
        for statement in &pack.statements {
            assert_eq!(policy["Metadata"]["Pack"]["Why"][&statement.sid], statement.why.as_str(), "{}", pack.name);
        }
    }
    let with_packs = |name: &&String| name.starts_with("Pack") && name.ends_with("Policy");
    let policies: BTreeSet<&String> = template["Resources"].as_object().unwrap().keys().filter(with_packs).collect();
    assert_eq!(policies, packs.iter().map(|pack| &pack.policy).collect());
}

/// A condition that a statement names with `when` must not hold while the pack is ReadOnly.
#[test]
fn a_statement_with_its_own_condition_still_needs_read_write() {
    let template = read(&template(root()).unwrap()).unwrap().json;
    for pack in packs(&root().join("packs")).unwrap() {
        for statement in &pack.statements {
            let writes = statement.mode == Mode::ReadWrite;
            // Under a condition of its own a denial takes less away, so that it needs no mode.
            let is_denial = statement.json["Effect"] == "Deny";
            assert!(statement.condition.is_some() == writes || (is_denial && !writes), "{}", statement.sid);
            let Some(condition) = statement.condition.as_ref().filter(|name| Some(*name) != pack.writes.as_ref()) else {
                continue;
            };
            let known = &template["Conditions"][condition];
            assert!(known.is_object(), "{}: {condition}", statement.sid);
            let all = known["Fn::And"].as_array();
            let needs_writes = all.is_some_and(|all| all.contains(&json!({ "Condition": pack.writes })));
            assert_eq!(needs_writes, writes, "{}: {condition}", statement.sid);
        }
    }
}

/// What the console contains. Whether AWS's models agree is for `python -m dev.policies` to say.
#[test]
fn every_statement_has_a_probe_or_says_why_not() {
    let probes: Value = serde_json::from_str(&probes(root()).unwrap()).unwrap();
    let expected: usize =
        packs(&root().join("packs")).unwrap().iter().map(|pack| pack.statements.len() + pack.managed_policies.len()).sum();
    let statements = probes["statements"].as_array().unwrap();
    assert_eq!(statements.len(), expected);
    for statement in statements {
        let reason = statement["how"]["noProbe"].as_str();
        assert!(statement["how"]["probe"].is_object() != reason.is_some_and(|reason| reason.ends_with('.')), "{statement}");
    }
    let called: BTreeSet<&str> = statements.iter().filter_map(|one| one["how"]["probe"]["service"].as_str()).collect();
    let known: BTreeSet<&str> = probes["services"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(called, known, "a service that no probe calls");
}
