//! `template.yaml` with a publisher's values in it, its comments and its order kept.
//!
//! The text is changed line by line, and the outcome is read again and compared with the same changes made to the template as data:
//! a line that looks like another one cannot slip through.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use hawser_cli::template::Template;
use serde_json::{Value, json};

/// The code and the machine as the repository's template has them.
const LOCAL_CODE: &str = "      Code: target/lambda/hawser\n";
const LOCAL_ARCHITECTURE: &str = "      Architectures: [x86_64]\n";
const RULES: &str = "\nRules:\n";
const RULE: &str = "PublishedRegion";

/// What is put in.
pub(super) struct Values<'a> {
    pub(super) bucket_prefix: &'a str,
    pub(super) regions: Vec<&'a str>,
    pub(super) code_key: &'a str,
    pub(super) architecture: &'a str,
    pub(super) defaults: &'a BTreeMap<String, String>,
}

/// The template to be published.
pub(super) fn published(source: &str, values: &Values<'_>) -> anyhow::Result<String> {
    let before = template_of(source).context("the template cannot be read")?;
    before.check(values.defaults)?;
    let bucket = format!("{}-${{AWS::Region}}", values.bucket_prefix);
    let code = format!("      Code: {{ S3Bucket: !Sub \"{bucket}\", S3Key: {} }}\n", values.code_key);
    let mut text = once(source, LOCAL_CODE, &code)?;
    text = once(&text, LOCAL_ARCHITECTURE, &format!("      Architectures: [{}]\n", values.architecture))?;
    text = once(&text, RULES, &format!("{RULES}{}", rule(&values.regions)))?;
    for (name, value) in values.defaults {
        text = with_default(&text, name, value).with_context(|| format!("could not set the default of `{name}`"))?;
    }

    let mut expected = before.json().clone();
    let handler = &mut expected["Resources"]["Handler"]["Properties"];
    handler["Code"] = json!({"S3Bucket": {"Fn::Sub": bucket}, "S3Key": values.code_key});
    handler["Architectures"] = json!([values.architecture]);
    expected["Rules"][RULE] = rule_as_data(&values.regions);
    for (name, value) in values.defaults {
        expected["Parameters"][name]["Default"] = json!(value);
    }
    let after = template_of(&text).context("the published template cannot be read")?;
    ensure!(texts(after.json()) == texts(&expected), "the template's text has not the form that is expected here");
    Ok(text)
}

fn template_of(text: &str) -> anyhow::Result<Template> {
    Ok(Template::read(&hawser_stack::to_json(text)?)?)
}

/// Where there is no bucket of the publisher's, somebody else may have made one of that name. So the stack is refused before it
/// begins (F-40).
fn rule(regions: &[&str]) -> String {
    let list = regions.join(", ");
    format!(
        "  # The function's code is in one bucket per Region, and a bucket of another Region may be anybody's.\n  {RULE}:\n    \
         Assertions:\n      - Assert: {{ Fn::Contains: [[{list}], !Ref AWS::Region] }}\n        AssertDescription: {}\n",
        description(regions)
    )
}

fn rule_as_data(regions: &[&str]) -> Value {
    json!({"Assertions": [{
        "Assert": {"Fn::Contains": [regions, {"Ref": "AWS::Region"}]},
        "AssertDescription": description(regions),
    }]})
}

fn description(regions: &[&str]) -> String {
    format!("This template is published for {}, so create the stack there", regions.join(", "))
}

fn once(text: &str, from: &str, to: &str) -> anyhow::Result<String> {
    ensure!(text.matches(from).count() == 1, "the template does not hold `{}` once", from.trim());
    Ok(text.replace(from, to))
}

/// The text with another default of one parameter.
fn with_default(text: &str, name: &str, value: &str) -> anyhow::Result<String> {
    // A JSON text is a YAML text.
    let line = format!("    Default: {}", json!(value));
    let mut lines: Vec<&str> = text.lines().collect();
    let section = lines.iter().position(|line| *line == "Parameters:").context("no `Parameters`")?;
    let head = format!("  {name}:");
    let start = section + lines[section..].iter().position(|line| *line == head).context("no such parameter")?;
    let ends = |line: &&str| !line.is_empty() && !line.starts_with("   ");
    let length = lines[start + 1..].iter().position(ends).context("no end of the parameter")?;
    let own = start + 1..start + 1 + length;
    match own.clone().find(|at| lines[*at].starts_with("    Default:")) {
        Some(at) => lines[at] = &line,
        None => {
            let at = own.clone().find(|at| lines[*at].starts_with("    Type:")).context("no type")?;
            lines.insert(at + 1, &line);
        }
    }
    Ok(lines.join("\n") + "\n")
}

/// A template in which numbers are texts, as CloudFormation takes either.
fn texts(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.to_string()),
        Value::Array(items) => items.iter().map(texts).collect(),
        Value::Object(pairs) => pairs.iter().map(|(name, value)| (name.clone(), texts(value))).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::template;

    fn values(defaults: &BTreeMap<String, String>) -> Values<'_> {
        let regions = vec!["us-east-1", "eu-west-1"];
        Values { bucket_prefix: "acme", regions, code_key: "hawser/0.1.0/x.zip", architecture: "arm64", defaults }
    }

    fn defaults(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_what_is_asked_for_changes_and_comments_stay() {
        let source = template().unwrap();
        let text = published(&source, &values(&defaults(&[("VendorName", "Acme & Sons"), ("PackEc2", "ReadWrite")]))).unwrap();
        let (before, after): (Vec<&str>, Vec<&str>) = (source.lines().collect(), text.lines().collect());
        let added: Vec<&&str> = after.iter().filter(|line| !before.contains(line)).collect();
        let expected = [
            "    Default: \"Acme & Sons\"",
            "    Default: \"ReadWrite\"",
            "  # The function's code is in one bucket per Region, and a bucket of another Region may be anybody's.",
            "  PublishedRegion:",
            "      - Assert: { Fn::Contains: [[us-east-1, eu-west-1], !Ref AWS::Region] }",
            "        AssertDescription: This template is published for us-east-1, eu-west-1, so create the stack there",
            "      Code: { S3Bucket: !Sub \"acme-${AWS::Region}\", S3Key: hawser/0.1.0/x.zip }",
            "      Architectures: [arm64]",
        ];
        assert_eq!(added, expected.iter().collect::<Vec<_>>());
        let comments = |lines: &[&str]| lines.iter().filter(|line| line.trim_start().starts_with('#')).count();
        assert_eq!(comments(&after), comments(&before) + 1);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let source = template().unwrap();
        for (defaults, expected) in [
            (defaults(&[("VendorNam", "Acme")]), "VendorNam"),
            (defaults(&[("PackEc2", "Everything")]), "PackEc2"),
            (defaults(&[("VendorAccountId", "1")]), "VendorAccountId"),
        ] {
            let error = format!("{:#}", published(&source, &values(&defaults)).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
        let moved = source.replace(LOCAL_CODE, "      Code: elsewhere\n");
        assert!(published(&moved, &values(&defaults(&[]))).is_err());
        // A parameter's name as a line of its own elsewhere in the section is not taken for the parameter.
        let hidden = source.replace("  PackEc2:\n    Type: String\n", "  PackEc2: # as below\n    Type: String\n");
        assert_ne!(hidden, source);
        assert!(published(&hidden, &values(&defaults(&[("PackEc2", "ReadOnly")]))).is_err());
    }
}
