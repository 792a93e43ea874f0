//! `make critical-path`: what of `template.yaml` waits for what, and for how long.
//!
//! CloudFormation creates a resource once all that it refers to or depends on is there, and deletes in the reverse order. So
//! the slowest chain is the time of a stack, and a resource off the chain costs nothing. Parameters are given as `NAME=VALUE`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use hawser_cli::template::{ResolveContext, Resolved, Template, references};
use serde_json::{Map, Value};

/// Typical seconds for one resource of each type: to create until others may refer to it, to create, to delete. As public logs
/// of stacks show them; those of `Custom::` are this handler's. CloudFormation waits until what IAM and EventBridge made is seen
/// everywhere ("Understand CloudFormation stack creation events", CONFIGURATION_COMPLETE).
const SECONDS: [(&str, u32, u32, u32); 12] = [
    ("AWS::Events::Rule", 51, 61, 32),
    ("AWS::IAM::AccessKey", 2, 2, 2),
    ("AWS::IAM::ManagedPolicy", 17, 17, 2),
    ("AWS::IAM::Policy", 16, 16, 2),
    ("AWS::IAM::Role", 17, 17, 12),
    ("AWS::IAM::User", 36, 36, 2),
    ("AWS::Lambda::EventInvokeConfig", 2, 2, 2),
    ("AWS::Lambda::Function", 3, 8, 6),
    ("AWS::Lambda::Permission", 2, 2, 2),
    ("AWS::Logs::LogGroup", 2, 3, 2),
    ("AWS::SecretsManager::Secret", 2, 2, 2),
    ("Custom::", 4, 4, 4),
];

/// Seconds per character of a bar.
const SCALE: u32 = 3;

/// What each resource waits for.
type Graph<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

#[expect(clippy::print_stdout, reason = "the result of a command")]
fn main() -> anyhow::Result<()> {
    let mut parameters = BTreeMap::new();
    for argument in std::env::args().skip(1) {
        let (name, value) = argument.split_once('=').context("parameters are given as NAME=VALUE")?;
        parameters.insert(name.to_owned(), value.to_owned());
    }
    print!("{}", drawing(&parameters)?);
    Ok(())
}

/// The resources of a stack with these parameters.
fn resolved(parameters: &BTreeMap<String, String>) -> anyhow::Result<Resolved> {
    let context = ResolveContext {
        parameters: parameters.clone(),
        partial: true,
        account_id: "111122223333".into(),
        partition: "aws".into(),
        region: "us-east-1".into(),
        stack_name: "hawser".into(),
        ..ResolveContext::default()
    };
    Ok(Template::ours().resolve(&context)?)
}

/// Both directions of a stack with these parameters, drawn.
fn drawing(parameters: &BTreeMap<String, String>) -> anyhow::Result<String> {
    let resolved = resolved(parameters)?;
    let create = dependencies(resolved.resources());
    let mut delete: Graph<'_> = create.keys().map(|name| (*name, BTreeSet::new())).collect();
    for (name, needed) in &create {
        for one in needed {
            delete.entry(one).or_default().insert(name);
        }
    }
    let mut seconds = BTreeMap::new();
    for name in create.keys() {
        let kind = resolved.resources()[*name]["Type"].as_str().unwrap_or_default();
        let (_, usable, made, removed) = SECONDS.iter().find(|(prefix, ..)| kind.starts_with(prefix)).context(kind.to_owned())?;
        seconds.insert(*name, ((*usable, *made), (*removed, *removed)));
    }
    let made = draw("Create", &create, |name| seconds[name].0);
    let removed = draw("Delete", &delete, |name| seconds[name].1);
    Ok(format!("{made}\n{removed}"))
}

/// What each resource refers to or depends on, among those that the stack has.
fn dependencies(resources: &Map<String, Value>) -> Graph<'_> {
    let needed = |resource: &Value| {
        let mut names = references(&resource["Properties"]);
        match &resource["DependsOn"] {
            Value::String(name) => drop(names.insert(name.clone())),
            list => names.extend(list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned)),
        }
        let names = names.iter().filter_map(|name| resources.get_key_value(name.split('.').next()?));
        names.map(|(name, _)| name.as_str()).collect()
    };
    resources.iter().map(|(name, resource)| (name.as_str(), needed(resource))).collect()
}

/// One bar for each resource, in the order in which they begin; `seconds` says until others may begin, and until it is done. Those
/// of the slowest chain are marked.
fn draw(title: &str, graph: &Graph<'_>, seconds: impl Fn(&str) -> (u32, u32)) -> String {
    let mut begins = BTreeMap::new();
    for name in graph.keys() {
        begin(name, graph, &seconds, &mut begins);
    }
    let end = |name: &str| begins[name] + seconds(name).1;
    let mut next = graph.keys().copied().max_by_key(|name| end(name));
    let took = next.map_or(0, end);
    let mut chain = BTreeSet::new();
    while let Some(name) = next {
        chain.insert(name);
        next = graph[name].iter().copied().max_by_key(|needed| begins[needed] + seconds(needed).0);
    }
    let mut bars: Vec<(u32, u32, &str)> = begins.iter().map(|(name, begin)| (*begin, end(name), *name)).collect();
    bars.sort_unstable();
    let mut text = format!("{title}: {took} s\n");
    for (begin, end, name) in bars {
        let mark = if chain.contains(name) { '*' } else { ' ' };
        let (before, bar) = (begin / SCALE, end.div_ceil(SCALE) - begin / SCALE);
        let (before, bar) = (" ".repeat(before as usize), "#".repeat(bar as usize));
        text.push_str(&format!("{mark} {name:<26} {begin:>4} {end:>4}  {before}{bar}\n"));
    }
    text
}

/// When CloudFormation begins with a resource: once all that it waits for may be referred to.
fn begin<'a>(
    name: &'a str,
    graph: &Graph<'a>,
    seconds: &impl Fn(&str) -> (u32, u32),
    begins: &mut BTreeMap<&'a str, u32>,
) -> u32 {
    if let Some(known) = begins.get(name) {
        return *known;
    }
    let ready = graph[name].iter().map(|needed| begin(needed, graph, seconds, begins) + seconds(needed).0);
    let first = ready.max().unwrap_or(0);
    begins.insert(name, first);
    first
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// The vendor and the schedule wait for each other neither way: a rule takes a minute.
    #[test]
    fn the_connection_and_the_schedule_do_not_wait_for_each_other() {
        for parameters in [&[][..], &[("AccessMethod", "AccessKey")], &[("BillingKind", "None")]] {
            let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let resolved = resolved(&parameters).unwrap();
            let graph = dependencies(resolved.resources());
            let waits = |name: &'static str| {
                let mut found = BTreeSet::from([name]);
                while let Some(more) = found.iter().flat_map(|one| &graph[one]).find(|one| !found.contains(**one)) {
                    found.insert(more);
                }
                found
            };
            assert!(!waits("Connection").contains("DeliveryWatch") && !waits("DeliveryWatch").contains("Connection"));
            assert!(!waits("DeliveryWatch").contains("DeliveryWatchAccess"));
        }
    }

    #[test]
    fn the_slowest_chain_is_marked() {
        let graph = Graph::from([("a", [].into()), ("b", ["a"].into()), ("c", ["a"].into()), ("d", ["b", "c"].into())]);
        let seconds = |name: &str| if name == "c" { (6, 8) } else { (2, 4) };
        let expected = "\
Create: 12 s
* a                             0    4  ##
  b                             2    6  ##
* c                             2   10  ####
* d                             8   12    ##
";
        assert_eq!(draw("Create", &graph, seconds), expected);
    }
}
