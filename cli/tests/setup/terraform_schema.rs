//! The module against the provider's own schema, in each major version that it allows: `terraform_schema.json` is an extract that
//! `dev/build/terraform_schema.py` takes from pinned packages.

use std::{collections::BTreeMap, sync::LazyLock};

use hcl::{Block, Body};
use regex_lite::Regex;
use serde_json::{Value, json};

use crate::terraform::{Module, attribute, module_text};

/// By version of the provider.
static SCHEMA: LazyLock<BTreeMap<String, Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("terraform_schema.json")).unwrap());

/// What Terraform itself takes in a resource ("Meta-arguments").
const META: [&str; 4] = ["count", "depends_on", "lifecycle", "provider"];

/// What the provider takes and calls deprecated, by type: its bindings do not say that.
const DEPRECATED: [(&str, &str); 1] = [("data aws_region", "name")];

/// Every way to switch between resources of the module.
const CHOICES: [(&str, &str); 4] = [
    ("billing_kind", "CostAndUsageReport"),
    ("billing_kind", "CostAndUsageReport2"),
    ("billing_kind", "Focus"),
    ("billing_format", "Csv"),
];

fn problems(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (variable, value) in CHOICES {
        let given = [("external_id", json!("x-1")), ("vendor_account_id", json!("999988887777")), (variable, json!(value))];
        let module = Module::read(text, &given);
        for (version, of_provider) in &*SCHEMA {
            let types = &of_provider["types"];
            for block in module.body.blocks().filter(|block| ["resource", "data"].contains(&block.identifier())) {
                let kind = format!("{} {}", block.identifier(), block.labels()[0].as_str());
                let path = format!("{version}: {kind}");
                match types.get(&kind) {
                    Some(known) => check(&module, block, &known["takes"], &path, &mut found),
                    None => found.push(format!("{path} is not in the schema: run dev/build/terraform_schema.py")),
                }
            }
            let reads = Regex::new(r"(data\.)?(aws_[a-z0-9_]+)\.[a-z_]+(?:\[[^\]]*\])?\.([a-z0-9_]+)").unwrap();
            for read in reads.captures_iter(text) {
                let kind = format!("{} {}", if read.get(1).is_some() { "data" } else { "resource" }, &read[2]);
                let gives = types[&kind]["gives"].as_array().is_some_and(|names| names.iter().any(|name| name == &read[3]));
                if !gives || DEPRECATED.contains(&(kind.as_str(), &read[3])) {
                    found.push(format!("{version}: {kind} gives no {}", &read[3]));
                }
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

fn check(module: &Module, block: &Block, takes: &Value, path: &str, found: &mut Vec<String>) {
    let body: &Body = block.body();
    // A resource that is not made has no values.
    let is_made = attribute(body, "count").is_none_or(|count| module.value(count) == 1);
    for one in body.attributes().filter(|one| !META.contains(&one.key())) {
        match takes.get(one.key()) {
            Some(known) if known["block"].is_object() => found.push(format!("{path}.{} is a block", one.key())),
            Some(known) if is_made && !is_of_type(&module.value_if_known(one.expr()), known["type"].as_str().unwrap()) => {
                found.push(format!("{path}.{} is no {}", one.key(), known["type"]));
            }
            Some(_) => {}
            None => found.push(format!("{path} has no {}", one.key())),
        }
    }
    for inner in body.blocks().filter(|one| !META.contains(&one.identifier())) {
        let path = format!("{path}.{}", inner.identifier());
        match takes.get(inner.identifier()).filter(|known| known["block"].is_object()) {
            Some(known) if is_made => check(module, inner, &known["block"], &path, found),
            Some(_) => {}
            None => found.push(format!("{path} is no block")),
        }
    }
    for (name, _) in takes.as_object().unwrap().iter().filter(|(_, known)| known["required"] == true) {
        if attribute(body, name).is_none() && !body.blocks().any(|block| block.identifier() == name) {
            found.push(format!("{path} wants {name}"));
        }
    }
}

fn is_of_type(value: &Option<Value>, kind: &str) -> bool {
    match (value, kind) {
        // What is known only afterwards, and what is left out.
        (None | Some(Value::Null), _) => true,
        (Some(value), "string") => value.is_string(),
        (Some(value), "number") => value.is_number(),
        (Some(value), "bool") => value.is_boolean(),
        (Some(value), "list") => value.is_array(),
        (Some(value), "map") => value.is_object(),
        (_, other) => panic!("{other}"),
    }
}

#[test]
fn the_provider_knows_what_the_module_uses() {
    let majors: Vec<&str> = SCHEMA.keys().map(|version| version.split('.').next().unwrap()).collect();
    assert_eq!(majors, ["5", "6"], "the module allows >= 5.43, < 7.0");
    assert_eq!(problems(&module_text(&BTreeMap::new())), Vec::<String>::new());
}

#[test]
fn what_the_provider_does_not_know_is_found() {
    let text = module_text(&BTreeMap::new());
    for (right, wrong, said) in [
        ("refresh_closed_reports ", "refresh_closed ", "6.25.0: resource aws_cur_report_definition has no refresh_closed"),
        (
            "block_public_acls       = true",
            "block_public_acls = [1]",
            "resource aws_s3_bucket_public_access_block.block_public_acls is no",
        ),
        ("aws_region.current.id", "aws_region.current.name", "6.25.0: data aws_region gives no name"),
        ("aws_region.current.id", "aws_region.current.region", "5.99.1: data aws_region gives no region"),
        ("aws_s3_bucket_policy\" \"", "aws_s3_bucket_polices\" \"", "resource aws_s3_bucket_polices is not in the schema"),
        ("    filter {\n", "    filters {\n", "resource aws_s3_bucket_lifecycle_configuration.rule.filters is no block"),
        ("    name = local.report_name\n", "", "resource aws_bcmdataexports_export.export wants name"),
        (
            "s3_region                  = local",
            "s3_regions                 = local",
            "resource aws_cur_report_definition wants s3_region",
        ),
    ] {
        assert!(text.contains(right), "{right}");
        let found = problems(&text.replace(right, wrong));
        assert!(found.iter().any(|problem| problem.contains(said)), "{wrong}: {found:?}");
    }
}
