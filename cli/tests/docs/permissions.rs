//! `docs/permissions.md` is written from `template.yaml`: each action that anybody is granted, with its reason (F-38).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
};

use hawser_cli::template::{Mode, Pack, Template};
use hawser_console::probe::{self, How};
use serde_json::Value;

use crate::support::{read, root, template_of};

/// The intrinsic functions of CloudFormation as a reader would write them: `${Name}`.
fn shown(value: &Value) -> String {
    if let Some(text) = value.as_str() {
        return text.to_owned();
    }
    let inner = |name: &str| value.get(name);
    if let Some(name) = inner("Ref").and_then(Value::as_str) {
        return format!("${{{name}}}");
    }
    if let Some(path) = inner("Fn::GetAtt").and_then(Value::as_array) {
        return format!("${{{}}}", path.iter().map(shown).collect::<Vec<_>>().join("."));
    }
    match inner("Fn::Sub") {
        Some(Value::String(text)) => return text.clone(),
        Some(Value::Array(parts)) => {
            let (mut text, names) = (shown(&parts[0]), parts[1].as_object().unwrap());
            for (name, value) in names {
                text = text.replace(&format!("${{{name}}}"), &shown(value));
            }
            return text;
        }
        _ => {}
    }
    if let Some(parts) = inner("Fn::If").and_then(Value::as_array) {
        let no_value = |value: &Value| value["Ref"] == "AWS::NoValue";
        return match (no_value(&parts[1]), no_value(&parts[2])) {
            (false, true) => format!("{} (if {})", shown(&parts[1]), shown(&parts[0])),
            (true, false) => format!("{} (unless {})", shown(&parts[2]), shown(&parts[0])),
            _ => format!("{} (if {}), else {}", shown(&parts[1]), shown(&parts[0]), shown(&parts[2])),
        };
    }
    // AWS::StackId is an ARN that ends in the stack's name and its own unique id.
    if let Some([_, split]) = inner("Fn::Select").and_then(Value::as_array).map(Vec::as_slice)
        && split["Fn::Split"][1]["Ref"] == "AWS::StackId"
    {
        return "the stack's own unique id".to_owned();
    }
    match value {
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A condition of the template in words, or its opposite: `EngineRoleArn is empty`.
fn words(template: &Template, condition: &Value, holds: bool) -> String {
    let all = |items: &Value, both: bool| {
        let items: Vec<String> = items.as_array().unwrap().iter().map(|item| words(template, item, holds)).collect();
        items.join(if both == holds { " and " } else { " or " })
    };
    if let Some(name) = condition.as_str().or_else(|| condition["Condition"].as_str()) {
        return words(template, &template.json()["Conditions"][name], holds);
    }
    if let Some([left, right]) = condition["Fn::Equals"].as_array().map(Vec::as_slice) {
        let name = shown(left);
        let name = name.trim_start_matches("${").trim_end_matches('}');
        return match (shown(right).as_str(), holds) {
            ("", true) => format!("{name} is empty"),
            ("", false) => format!("{name} is given"),
            (value, true) => format!("{name} is {value}"),
            (value, false) => format!("{name} is not {value}"),
        };
    }
    match condition.as_object().and_then(|one| one.iter().next()).map(|(name, items)| (name.as_str(), items)) {
        Some(("Fn::Not", items)) => words(template, &items[0], !holds),
        Some(("Fn::And", items)) => all(items, true),
        Some(("Fn::Or", items)) => all(items, false),
        other => panic!("a condition of a form that is not known: {other:?}"),
    }
}

/// A value of the template in which each condition is spelled out.
fn spelled(template: &Template, value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| spelled(template, item)).collect(),
        Value::Object(pairs) => {
            let pair = |(name, value): (&String, &Value)| {
                let mut value = spelled(template, value);
                if name == "Fn::If" {
                    value[0] = words(template, &value[0], true).into();
                }
                (name.clone(), value)
            };
            pairs.iter().map(pair).collect()
        }
        other => other.clone(),
    }
}

/// Every item as code, one below the other in a cell of a table.
fn cell(items: &[String]) -> String {
    let code = |item: &String| format!("`{}`", item.replace('|', "\\|"));
    items.iter().map(code).collect::<Vec<_>>().join("<br>")
}

fn each(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(shown).collect(),
        Value::Null => Vec::new(),
        other => vec![shown(other)],
    }
}

fn conditions(value: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for (operator, keys) in value.as_object().into_iter().flatten() {
        match keys.as_object() {
            Some(keys) if !keys.contains_key("Fn::If") => {
                all.extend(keys.iter().map(|(key, value)| format!("{operator}: {key} = {}", each(value).join(" or "))));
            }
            _ => all.push(format!("{operator}: {}", shown(keys))),
        }
    }
    all
}

/// The comment that stands above a statement of the template, or above the one before it: a comment may speak for two.
fn comment_above(text: &str, resource: &str, sid: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let Some(start) = lines.iter().position(|line| *line == format!("  {resource}:")) else { return String::new() };
    let Some(length) = lines[start..].iter().position(|line| line.trim() == format!("- Sid: {sid}")) else {
        return String::new();
    };
    let comment = |line: &&&str| line.trim_start().starts_with("# ");
    let above = lines[start..start + length].iter().rev().skip_while(|line| !comment(line));
    let mut words: Vec<&str> = above.take_while(comment).map(|line| line.trim_start().trim_start_matches("# ")).collect();
    words.reverse();
    words.join(" ")
}

fn statement_row(page: &mut String, head: &str, statement: &Value, why: &str) {
    let not = |name: &str| statement.get(name).map(each).unwrap_or_default();
    let (mut actions, mut resources) = (not("Action"), not("Resource"));
    actions.extend(not("NotAction").iter().map(|action| format!("all but {action}")));
    resources.extend(not("NotResource").iter().map(|resource| format!("all but {resource}")));
    let denied = if statement["Effect"] == "Deny" { "**never** " } else { "" };
    writeln!(
        page,
        "| {head} | {denied}{} | {why} | {} | {} |",
        cell(&actions),
        cell(&resources),
        cell(&conditions(&statement["Condition"])),
    )
    .unwrap();
}

fn pack_section(page: &mut String, template: &Template, pack: &Pack) {
    writeln!(page, "\n## {}\n\n{}: {}", pack.name, pack.title, pack.purpose).unwrap();
    for policy in &pack.managed_policies {
        writeln!(page, "\nWith it goes AWS's own policy `{policy}`, which AWS keeps up to date.").unwrap();
    }
    writeln!(page, "\n| mode | statement | actions | why | resources | conditions |\n| --- | --- | --- | --- | --- | --- |")
        .unwrap();
    for statement in &pack.statements {
        let only = |condition: &String| match condition.strip_prefix('!') {
            Some(condition) => format!(" if {}", words(template, &condition.into(), false)),
            None => format!(" if {}", words(template, &condition.as_str().into(), true)),
        };
        let when: String = statement.conditions.iter().filter(|name| **name != pack.parameter).map(only).collect();
        let head = format!("{}{when} | {}", statement.mode.as_str(), statement.sid);
        statement_row(page, &head, &spelled(template, &statement.json), &statement.why);
    }
    let called =
        probe::statements().iter().filter(|statement| statement.pack == pack.name).filter_map(|statement| match &statement.how {
            How::Probe(probe) if probe.parameters.contains_key("DryRun") => Some(format!("`{}` (a dry run)", probe.action)),
            How::Probe(probe) => Some(format!("`{}`", probe.action)),
            How::NoProbe(_) => None,
        });
    writeln!(page, "\nCalled to see whether it works: {}.", called.collect::<Vec<_>>().join(", ")).unwrap();
}

/// The statements of a policy document, those under a condition of the template with its name.
fn statements(value: &Value, when: &str) -> Vec<(String, Value)> {
    if let Some(items) = value.as_array() {
        return items.iter().flat_map(|item| statements(item, when)).collect();
    }
    if let Some(parts) = value.get("Fn::If").and_then(Value::as_array) {
        let condition = parts[0].as_str().unwrap();
        let mut all = statements(&parts[1], &format!("if {condition}"));
        all.extend(statements(&parts[2], &format!("unless {condition}")));
        return all;
    }
    if value.is_null() || value["Ref"] == "AWS::NoValue" { Vec::new() } else { vec![(when.to_owned(), value.clone())] }
}

/// Policies beside the packs: those within a role, and those that stand alone. Name, condition, document.
fn policies(resource: &Value) -> Vec<(String, Value)> {
    let properties = &resource["Properties"];
    let mut all: Vec<(String, Value)> = statements(&properties["Policies"], "")
        .into_iter()
        .map(|(when, policy)| (when, policy["PolicyDocument"].clone()))
        .collect();
    if properties["PolicyDocument"].is_object() {
        let when = resource["Condition"].as_str().map_or_else(String::new, |condition| format!("if {condition}"));
        all.push((when, properties["PolicyDocument"].clone()));
    }
    all
}

fn other_section(page: &mut String, text: &str, logical_id: &str, resource: &Value) {
    let policies = policies(resource);
    if policies.is_empty() {
        return;
    }
    let described = [&resource["Properties"]["Description"], &resource["Metadata"]["Purpose"]];
    let description = described.into_iter().find(|text| !text.is_null()).unwrap_or(&Value::Null);
    writeln!(page, "\n### {logical_id}\n\n{}.\n", shown(description).trim_end_matches('.')).unwrap();
    writeln!(page, "| when | statement | actions | why | resources | conditions |\n| --- | --- | --- | --- | --- | --- |")
        .unwrap();
    for (of_policy, document) in policies {
        for (when, statement) in statements(&document["Statement"], &of_policy) {
            let sid = shown(&statement["Sid"]);
            let why = comment_above(text, logical_id, &sid);
            let why =
                if why.is_empty() { resource["Metadata"]["Why"][&sid].as_str().unwrap_or_default().to_owned() } else { why };
            let why = if why.is_empty() { format!("{}.", shown(description).trim_end_matches('.')) } else { why };
            let when = if when.is_empty() { "always" } else { &when };
            statement_row(page, &format!("{when} | {sid}"), &statement, &why);
        }
    }
}

/// Everything that is said of who may do what is in here, and nothing else is.
fn page(template: &Template, text: &str) -> String {
    let packs = template.packs();
    let resources = &template.json()["Resources"];
    let mut page = String::from(
        "# Permissions\n\n\
         Every action that anybody is granted by the stack, with the reason, the resources and the conditions. For the security team of \
         whoever is asked to launch it; how to look at the same in your account is in [connect.md](connect.md#check-what-was-granted).\n\n\
         This page is written from `template.yaml` (`make bless`), and a test compares them. `${…}` is filled in by CloudFormation: a \
         parameter, or what the stack made. What `hawser setup policies` prints has it filled in. Below each pack is what the vendor's \
         `hawser-console` calls with its role to see whether the pack works: calls that read, cost nothing and ask for the least.\n\n\
         ## Who gets in\n\n",
    );
    let trust = spelled(template, &resources["VendorRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]);
    writeln!(
        page,
        "Only {}, and only with the external ID of this connection ({}). With `AccessMethod: AccessKey` the packs are a \
         user's, and this role can only read that user's key and look up the ids of this stack's resources. With `ExistingRoleName` the packs are attached to a role of \
         yours, whose trust policy you write.\n\n## Packs\n",
        cell(&each(&trust["Principal"]["AWS"])),
        cell(&conditions(&trust["Condition"])),
    )
    .unwrap();
    page.push_str("| pack | for | parameter | modes | default |\n| --- | --- | --- | --- | --- |\n");
    for pack in &packs {
        let modes: Vec<&str> = pack.modes.iter().map(|mode| mode.as_str()).collect();
        let default = pack.default.map_or("None", Mode::as_str);
        writeln!(
            page,
            "| [{}](#{}) | {} | `{}` | `None`, `{}` | `{default}` |",
            pack.name,
            pack.name,
            pack.title,
            pack.parameter,
            modes.join("`, `")
        )
        .unwrap();
    }
    page.push_str(
        "\n`None` grants nothing. `ReadWrite` grants all of `ReadOnly` as well. **never** is a denial: it holds whatever else is \
         granted.\n",
    );
    for pack in &packs {
        pack_section(&mut page, template, pack);
    }
    page.push_str(
        "\n## The stack's own\n\nWhat the vendor never has: the permissions of the stack's own function, which runs in your account \
         while the stack is created, updated and deleted, and every six hours; and the policies that belong to neither a pack nor it.\n",
    );
    let of_packs: BTreeSet<&str> = packs.iter().map(|pack| pack.logical_id.as_str()).collect();
    for logical_id in template.resource_names().iter().filter(|name| !of_packs.contains(name.as_str())) {
        let resource = &resources[logical_id];
        if resource["Type"].as_str().is_some_and(|kind| kind.starts_with("AWS::IAM::")) {
            let mut resource = spelled(template, resource);
            if let Some(condition) = resource["Condition"].as_str() {
                resource["Condition"] = words(template, &condition.into(), true).into();
            }
            other_section(&mut page, text, logical_id, &resource);
        }
    }
    page
}

#[test]
#[expect(clippy::disallowed_methods, reason = "`make bless` says so by a variable")]
fn the_page_says_what_the_template_grants() {
    let path = root().join("docs/permissions.md");
    let page = page(&Template::ours(), &read("template.yaml"));
    if std::env::var_os("HAWSER_BLESS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap_or_default() == page, "docs/permissions.md is out of date: run `make bless`");
}

/// Whatever form it is granted in: a statement that the page leaves out would be found here.
#[test]
fn the_page_has_every_action_of_the_template() {
    fn actions(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| actions(item, found)),
            Value::Object(pairs) => {
                for name in ["Action", "NotAction"] {
                    found.extend(pairs.get(name).map(each).into_iter().flatten());
                }
                pairs.values().for_each(|item| actions(item, found));
            }
            _ => {}
        }
    }
    let template = Template::ours();
    let mut all = BTreeSet::new();
    for (name, resource) in template.json()["Resources"].as_object().unwrap() {
        if resource["Type"].as_str().unwrap().starts_with("AWS::IAM::") {
            let mut found = BTreeSet::new();
            actions(&resource["Properties"], &mut found);
            all.extend(found.into_iter().map(|action| (name.clone(), action)));
        }
    }
    assert!(all.len() > 100, "actions went missing: {all:?}");
    let page = page(&template, &read("template.yaml"));
    let missing: Vec<_> =
        all.iter().filter(|(_, action)| action != "sts:AssumeRole" && !page.contains(&format!("{action}`"))).collect();
    assert!(missing.is_empty(), "docs/permissions.md leaves out {missing:?}");
}

/// HW-P1.
#[test]
fn every_statement_says_why() {
    let (template, text) = (Template::ours(), read("template.yaml"));
    let mut silent = BTreeMap::new();
    for pack in template.packs() {
        assert!(
            !pack.title.is_empty() && pack.purpose.ends_with('.'),
            "{}: a title, and a purpose that is a sentence",
            pack.name
        );
        for statement in &pack.statements {
            if !statement.why.ends_with('.') {
                silent.insert((pack.name.clone(), statement.sid.clone()), statement.why.clone());
            }
        }
        let sids: BTreeSet<&str> = pack.statements.iter().map(|statement| statement.sid.as_str()).collect();
        let reasons = template.json()["Resources"][&pack.logical_id]["Metadata"]["Pack"]["Why"].as_object().unwrap();
        for sid in reasons.keys() {
            assert!(sids.contains(sid.as_str()), "{}: `{sid}` has a reason and no statement", pack.name);
        }
    }
    for (of_policy, document) in policies(&template.json()["Resources"]["HandlerRole"]) {
        for (_, statement) in statements(&document["Statement"], &of_policy) {
            let sid = shown(&statement["Sid"]);
            if comment_above(&text, "HandlerRole", &sid).is_empty() {
                silent.insert(("HandlerRole".to_owned(), sid), String::new());
            }
        }
    }
    assert!(silent.is_empty(), "no reason, or none that ends as a sentence: {silent:?}");
}

#[test]
fn values_are_shown_as_a_reader_writes_them() {
    let template = template_of(
        "Resources:\n  A:\n    B: !Sub arn:${AWS::Partition}:s3:::x\n    C: !GetAtt R.Arn\n    D: !If [Some, !Ref X, !Ref AWS::NoValue]\n    \
         E: !If [Some, one, two]\n    F: !Sub ['${P}/*', {P: !Ref Q}]\n",
    );
    let shown_of = |name: &str| shown(&template.json()["Resources"]["A"][name]);
    assert_eq!(shown_of("B"), "arn:${AWS::Partition}:s3:::x");
    assert_eq!(shown_of("C"), "${R.Arn}");
    assert_eq!(shown_of("D"), "${X} (if Some)");
    assert_eq!(shown_of("E"), "one (if Some), else two");
    assert_eq!(shown_of("F"), "${Q}/*");
    let template = template_of(
        "Conditions:\n  Given: !Not [!Equals [!Ref X, '']]\n  One: !Equals [!Ref Y, a]\n  Both: !And [!Condition Given, !Or [!Condition One, \
         !Equals [!Ref Z, b]]]\nResources: {A: {}}\n",
    );
    assert_eq!(words(&template, &"Both".into(), true), "X is given and Y is a or Z is b");
    assert_eq!(words(&template, &"Given".into(), false), "X is empty");
    assert_eq!(words(&template, &"One".into(), false), "Y is not a");
    let condition = serde_json::json!({ "StringEquals": { "aws:ResourceTag/a": ["b", "c"] } });
    assert_eq!(conditions(&condition), ["StringEquals: aws:ResourceTag/a = b or c"]);
}
