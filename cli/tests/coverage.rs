//! `docs/coverage.md` says where Hawser has each thing that five public onboarding guides offer. It is written from
//! `tests/coverage.yaml`; what is claimed there is looked up in the template, the command line, the documents and the tests.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test stops when it cannot go on, and is told to bless by the environment"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::PathBuf,
    process::Command,
};

use hawser_cli::template::{Pack, Statement, Template};
use serde::Deserialize;
use serde_json::Value;

/// The guides, each by the kind of product that it is for, and how many features of it there are to find here. A row is never
/// dropped: what Hawser lacks is a row that says so.
const GUIDES: [(&str, usize); 5] =
    [("cost-insights", 27), ("autonomous-optimizer", 69), ("security-posture", 27), ("cloud-iam", 14), ("analytics-engine", 18)];

/// Longest quotation of a guide, in words. The guides are their authors'.
const QUOTE_WORDS_MAX: usize = 14;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Guide {
    guide: String,
    /// What kind of product it connects, and how, in a sentence.
    about: String,
    features: Vec<Feature>,
    #[serde(default)]
    policies: Vec<Policy>,
}

/// One thing that a guide offers, asks for or warns of.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Feature {
    /// In our words.
    offers: String,
    /// In the guide's.
    quote: String,
    #[serde(default)]
    status: Status,
    /// How Hawser does it, or why it does not.
    hawser: String,
    /// Pack to mode.
    #[serde(default)]
    packs: BTreeMap<String, String>,
    /// Commands (`hawser setup link`), sections (`connect.md#launch-link`) and parameters (`ConnectionName`).
    #[serde(default)]
    ways: Vec<String>,
    /// Test functions, by name.
    #[serde(default)]
    tests: Vec<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    #[default]
    Offered,
    /// Not the guide's way, on purpose.
    Otherwise,
    /// A matter of the vendor's product, or of another cloud.
    NotOurs,
    Missing,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Offered => "yes",
            Self::Otherwise => "yes, otherwise",
            Self::NotOurs => "not ours",
            Self::Missing => "**missing**",
        }
    }
}

/// A policy that a guide prints or links, action by action, wildcards written out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    name: String,
    quote: String,
    /// How many different actions it names.
    names: usize,
    granted: Vec<Granted>,
    #[serde(default)]
    left_out: Vec<LeftOut>,
    ways: Vec<String>,
    tests: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Granted {
    /// A pack, with its mode; a policy of AWS's own that goes with a pack; or another policy of the template by its resource.
    #[serde(default)]
    pack: Option<String>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    aws: Option<String>,
    #[serde(default)]
    resource: Option<String>,
    actions: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeftOut {
    why: String,
    actions: Vec<String>,
}

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

fn guides() -> Vec<Guide> {
    serde_saphyr::from_str(&read("cli/tests/coverage.yaml")).unwrap()
}

/// Whether an action of the template, perhaps with a wildcard, is this one or holds it.
fn holds(granted: &str, action: &str) -> bool {
    match granted.split_once('*') {
        Some((start, rest)) => action
            .strip_prefix(start)
            .is_some_and(|left| left.char_indices().map(|(at, _)| at).chain([left.len()]).any(|at| holds(rest, &left[at..]))),
        None => granted.eq_ignore_ascii_case(action),
    }
}

/// The statement of a pack in a mode that allows an action.
fn allowed(packs: &[Pack], pack: &str, mode: &str, action: &str) -> Option<String> {
    let pack = packs.iter().find(|known| known.name == pack)?;
    let mode = pack.modes.iter().find(|known| known.as_str() == mode)?;
    let grants = |statement: &&Statement| {
        statement.effect == "Allow" && statement.mode <= *mode && statement.actions.iter().any(|granted| holds(granted, action))
    };
    pack.statements.iter().find(grants).map(|statement| statement.sid.clone())
}

/// The statement of another policy that allows an action.
fn allowed_by_resource(template: &Template, resource: &str, action: &str) -> Option<String> {
    fn find(value: &Value, action: &str) -> Option<String> {
        let own = value["Effect"] == "Allow"
            && match &value["Action"] {
                Value::String(granted) => holds(granted, action),
                Value::Array(all) => all.iter().filter_map(Value::as_str).any(|granted| holds(granted, action)),
                _ => false,
            };
        if own {
            return value["Sid"].as_str().map(str::to_owned);
        }
        match value {
            Value::Array(items) => items.iter().find_map(|item| find(item, action)),
            Value::Object(pairs) => pairs.values().find_map(|item| find(item, action)),
            _ => None,
        }
    }
    find(&template.json()["Resources"][resource]["Properties"], action)
}

impl Granted {
    /// Where the template allows an action, for a reader.
    fn place(&self, template: &Template, packs: &[Pack], action: &str) -> Option<String> {
        match (&self.pack, &self.mode, &self.aws, &self.resource) {
            (Some(pack), Some(mode), None, None) => {
                allowed(packs, pack, mode, action).map(|sid| format!("[{pack}](permissions.md#{pack}) {mode}, {sid}"))
            }
            (Some(pack), None, Some(policy), None) => {
                let pack = packs.iter().find(|known| known.name == *pack)?;
                pack.managed_policies
                    .contains(policy)
                    .then(|| format!("[{0}](permissions.md#{0}), AWS's own `{policy}`", pack.name))
            }
            (None, None, None, Some(resource)) => allowed_by_resource(template, resource, action)
                .map(|sid| format!("[{resource}](permissions.md#{}), {sid}", resource.to_lowercase())),
            _ => None,
        }
    }
}

/// Headings of a document as GitHub makes anchors of them.
fn anchors(document: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut found = BTreeSet::new();
    for line in document.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if let Some(heading) = line.strip_prefix('#').filter(|_| !fenced) {
            let kept = |c: char| c.is_alphanumeric() || [' ', '-', '_'].contains(&c);
            let heading: String = heading.trim_start_matches('#').trim().chars().filter(|c| kept(*c)).collect();
            found.insert(heading.to_lowercase().replace(' ', "-"));
        }
    }
    found
}

/// The commands of `hawser`, from its own help.
fn commands() -> BTreeSet<String> {
    let help = Command::new(env!("CARGO_BIN_EXE_hawser")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    listed
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The names of all test functions, with the files that have them.
fn tests() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut left: Vec<PathBuf> =
        ["tests", "cli", "console", "dev", "src", "publish", "sim"].iter().map(|place| root().join(place)).collect();
    while let Some(path) = left.pop() {
        let shown = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
        if !["rs", "py"].contains(&kind) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let mut marked = false;
        for line in text.lines().map(str::trim) {
            marked |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            // The checks of dev/policies/ are functions that `make check` runs over every statement.
            let python = line.strip_prefix("def ").filter(|_| shown == "dev/policies/checks.py");
            let rust = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn ")).filter(|_| marked && kind == "rs");
            if let Some(name) = python.or(rust) {
                found.insert(name.split(['(', '<']).next().unwrap().to_owned(), shown.clone());
                marked = false;
            }
        }
    }
    found
}

/// What stands behind the names that rows use.
struct Known {
    template: Template,
    packs: Vec<Pack>,
    commands: BTreeSet<String>,
    parameters: BTreeSet<String>,
    tests: BTreeMap<String, String>,
}

impl Known {
    fn look() -> Self {
        let template = Template::ours();
        let parameters = template.for_organization().unwrap().parameters().into_iter().map(|parameter| parameter.name).collect();
        Self { packs: template.packs(), template, commands: commands(), parameters, tests: tests() }
    }

    /// A way as a link, or why it is none.
    fn way(&self, way: &str) -> Result<String, String> {
        if let Some(command) = way.strip_prefix("hawser ") {
            let known = self.commands.contains(command.split(' ').next().unwrap());
            return if known { Ok(format!("`{way}`")) } else { Err(format!("there is no command `{way}`")) };
        }
        if let Some((file, anchor)) = way.split_once('#') {
            let known = anchors(&read(&format!("docs/{file}"))).contains(anchor);
            let words = anchor.replace('-', " ");
            return if known { Ok(format!("[{words}]({way})")) } else { Err(format!("docs/{file} has no section `{anchor}`")) };
        }
        if self.parameters.contains(way) { Ok(format!("`{way}`")) } else { Err(format!("`{way}` is nothing that is known")) }
    }

    fn test(&self, name: &str) -> Result<String, String> {
        let file = self.tests.get(name).ok_or_else(|| format!("there is no test `{name}`"))?;
        Ok(format!("[`{name}`](../{file})"))
    }
}

fn each(known: impl Fn(&str) -> Result<String, String>, names: &[String]) -> Result<String, String> {
    Ok(names.iter().map(|name| known(name)).collect::<Result<Vec<String>, String>>()?.join("<br>"))
}

fn page(known: &Known, guides: &[Guide]) -> Result<String, String> {
    let features: Vec<&Feature> = guides.iter().flat_map(|guide| &guide.features).collect();
    let with = |status: Status| features.iter().filter(|feature| feature.status == status).count();
    let policies = || guides.iter().flat_map(|guide| &guide.policies);
    let granted: BTreeSet<&String> = policies().flat_map(|policy| &policy.granted).flat_map(|granted| &granted.actions).collect();
    let left_out: BTreeSet<&String> = policies().flat_map(|policy| &policy.left_out).flat_map(|left| &left.actions).collect();
    let mut page = format!(
        "# Coverage\n\nFive vendors tell their customers, on public pages, how to connect an AWS account to a product: for cost insights, \
         optimization, security posture, cloud IAM and an analytics engine. This table has each thing that these guides offer, ask for or \
         warn of, and each action that their policies name, and says where Hawser has it. {} features: {} as there, {} in another way, {} \
         a matter of the vendor's own product or of another cloud, {} missing. {} actions, of which {} are granted and {} are left out on \
         purpose in some policy.\n\n\
         This page is written from `tests/coverage.yaml` (`make bless`). A test looks each action up in `template.yaml`, each command in \
         `hawser --help`, each section in its document and each test in the code.\n",
        features.len(),
        with(Status::Offered),
        with(Status::Otherwise),
        with(Status::NotOurs),
        with(Status::Missing),
        granted.union(&left_out).count(),
        granted.len(),
        left_out.len(),
    );
    for guide in guides {
        let heading = guide.guide.replace('-', " ");
        write!(
            page,
            "\n## {heading}\n\n{}\n\n| what the guide has | in its words | here | how | pack | way | test |\n",
            guide.about.trim()
        )
        .unwrap();
        page.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
        for Feature { offers, quote, status, hawser, packs, ways, tests } in &guide.features {
            let packs: Vec<String> = packs.iter().map(|(pack, mode)| format!("[{pack}](permissions.md#{pack}) {mode}")).collect();
            let (ways, tests) = (each(|way| known.way(way), ways)?, each(|test| known.test(test), tests)?);
            let (packs, here) = (packs.join("<br>"), status.as_str());
            writeln!(page, "| {offers} | “{quote}” | {here} | {hawser} | {packs} | {ways} | {tests} |").unwrap();
        }
        for policy in &guide.policies {
            policy_table(&mut page, known, policy)?;
        }
    }
    Ok(page)
}

fn policy_table(page: &mut String, known: &Known, policy: &Policy) -> Result<(), String> {
    let (ways, tests) = (each(|way| known.way(way), &policy.ways)?, each(|test| known.test(test), &policy.tests)?);
    write!(
        page,
        "\n### {}\n\n“{}”, {} actions. Ways: {}. Tests: {}.\n\n| actions | here |\n| --- | --- |\n",
        policy.name,
        policy.quote,
        policy.names,
        ways.replace("<br>", ", "),
        tests.replace("<br>", ", "),
    )
    .unwrap();
    let code = |actions: &[String]| actions.iter().map(|action| format!("`{action}`")).collect::<Vec<_>>().join(" ");
    for granted in &policy.granted {
        let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for action in &granted.actions {
            let nowhere = || {
                format!(
                    "{}: {action} is not granted by {:?} {:?} {:?}",
                    policy.name, granted.pack, granted.mode, granted.resource
                )
            };
            places
                .entry(granted.place(&known.template, &known.packs, action).ok_or_else(nowhere)?)
                .or_default()
                .push(action.clone());
        }
        for (place, actions) in places {
            writeln!(page, "| {} | {place} |", code(&actions)).unwrap();
        }
    }
    for LeftOut { why, actions } in &policy.left_out {
        writeln!(page, "| {} | left out: {why} |", code(actions)).unwrap();
    }
    Ok(())
}

#[test]
fn what_is_claimed_is_so() {
    let path = root().join("docs/coverage.md");
    let page = page(&Known::look(), &guides()).unwrap();
    if std::env::var_os("HAWSER_BLESS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap_or_default() == page, "docs/coverage.md is out of date: run `make bless`");
}

#[test]
fn every_feature_has_a_method_and_a_test_or_says_why_not() {
    let template = Template::ours();
    let modes: BTreeSet<(String, String)> = template
        .packs()
        .iter()
        .flat_map(|pack| pack.modes.iter().map(|mode| (pack.name.clone(), mode.as_str().to_owned())))
        .collect();
    let guides = guides();
    assert_eq!(guides.iter().map(|guide| (guide.guide.as_str(), guide.features.len())).collect::<Vec<_>>(), GUIDES);
    let mut wrong = Vec::new();
    for guide in &guides {
        for feature in &guide.features {
            let at = format!("{}: {}", guide.guide, feature.offers);
            let proved = !feature.ways.is_empty() && !feature.tests.is_empty();
            if [Status::Offered, Status::Otherwise].contains(&feature.status) && !proved {
                wrong.push(format!("{at}: no way or no test"));
            }
            if !feature.packs.iter().all(|(pack, mode)| modes.contains(&(pack.clone(), mode.clone()))) {
                wrong.push(format!("{at}: {:?}", feature.packs));
            }
            if [&feature.offers, &feature.quote, &feature.hawser]
                .iter()
                .any(|text| text.contains(['|', '\n']) || text.trim().is_empty())
            {
                wrong.push(format!("{at}: no cell of a table"));
            }
            if feature.quote.split_whitespace().count() > QUOTE_WORDS_MAX {
                wrong.push(format!("{at}: quotes more than {QUOTE_WORDS_MAX} words"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_action_of_a_policy_is_granted_once_or_left_out_for_a_reason() {
    let template = Template::ours();
    let packs = template.packs();
    let mut wrong = Vec::new();
    for policy in guides().iter().flat_map(|guide| &guide.policies) {
        let granted = policy.granted.iter().flat_map(|granted| &granted.actions);
        let left_out = policy.left_out.iter().flat_map(|left| &left.actions);
        let named: Vec<&String> = granted.chain(left_out).collect();
        let distinct: BTreeSet<&&String> = named.iter().collect();
        if distinct.len() != named.len() || named.len() != policy.names {
            wrong.push(format!("{}: {} rows, {} actions, {} named", policy.name, named.len(), distinct.len(), policy.names));
        }
        // What is left out may not be granted by a pack and mode that this very policy is covered by.
        for (left, action) in policy.left_out.iter().flat_map(|left| left.actions.iter().map(move |action| (left, action))) {
            for granted in &policy.granted {
                if left.why.is_empty() || granted.place(&template, &packs, action).is_some_and(|_| granted.aws.is_none()) {
                    wrong.push(format!("{}: {action} is left out, and granted", policy.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn wildcards_and_anchors_are_read_as_iam_and_github_read_them() {
    assert!(holds("ec2:Describe*", "ec2:DescribeVolumes") && holds("s3:*", "s3:GetObject") && holds("a:*b*c", "a:xbyc"));
    assert!(!holds("ec2:Describe*", "ec2:RunInstances") && !holds("s3:GetObject", "s3:GetObjectAcl") && !holds("a:*b", "a:bc"));
    let found = anchors("# `hawser connect`\n## A user with an access key\n```\n# no heading\n```\n### What, and why?\n");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a-user-with-an-access-key", "hawser-connect", "what-and-why"]);
}
