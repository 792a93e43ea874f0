//! Which permissions a launch asks of whoever launches: CloudFormation makes every resource with the launcher's own. Pure.
//!
//! `registry.json` holds AWS's own lists, the `handlers` of CloudFormation's registry schemas, for the types of our template.
//! They name everything that a type can need; [`ONLY_WITH`] says which of it is needed only where a property is given.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use hawser::names::StackId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::template::{Resolved, references};

/// The lists by resource type.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Where they are from.
    pub source: String,
    /// By type.
    pub types: BTreeMap<String, Handlers>,
}

/// What CloudFormation calls for one type.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handlers {
    pub create: Vec<String>,
    pub update: Vec<String>,
    /// To remove it, also when a launch rolls back.
    pub delete: Vec<String>,
}

/// The lists of AWS.
pub static REGISTRY: LazyLock<Registry> = LazyLock::new(|| data(include_str!("registry.json")));

/// Actions that a type needs only where one of its properties is given, at whatever depth: by type and property. The code of a
/// function is in the vendor's bucket, whose name only the published template has: what is not known is said instead.
pub static ONLY_WITH: LazyLock<BTreeMap<String, BTreeMap<String, Vec<String>>>> =
    LazyLock::new(|| data(include_str!("only_with.json")));

fn data<T: DeserializeOwned>(text: &str) -> T {
    #[expect(clippy::expect_used, reason = "it is part of the program, and a test reads it")]
    serde_json::from_str(text).expect("the file is of this form")
}

/// The stack itself, as a type.
pub const STACK: &str = "AWS::CloudFormation::Stack";

/// What the registry does not say: of the stack, of a type without handlers there, and of custom resources, whose function
/// CloudFormation invokes with the launcher's permissions (CloudFormation User Guide, "Custom resources").
fn besides(kind: &str) -> Handlers {
    let list = |actions: &[&str]| actions.iter().map(|action| (*action).to_owned()).collect();
    match kind {
        STACK => Handlers {
            create: list(&["cloudformation:CreateStack"]),
            update: list(&["cloudformation:UpdateStack"]),
            delete: list(&["cloudformation:DeleteStack"]),
        },
        // Only in an organization's template, which the registry's extract does not cover.
        "AWS::CloudFormation::StackSet" => Handlers {
            create: list(&[
                "cloudformation:CreateStackSet",
                "cloudformation:CreateStackInstances",
                "cloudformation:DescribeStackSetOperation",
            ]),
            update: list(&["cloudformation:UpdateStackSet"]),
            delete: list(&["cloudformation:DeleteStackInstances", "cloudformation:DeleteStackSet"]),
        },
        "AWS::IAM::AccessKey" => Handlers {
            create: list(&["iam:CreateAccessKey"]),
            update: list(&["iam:CreateAccessKey", "iam:DeleteAccessKey"]),
            delete: list(&["iam:DeleteAccessKey"]),
        },
        custom if custom.starts_with("Custom::") => {
            let invoke = || list(&["lambda:InvokeFunction"]);
            Handlers { create: invoke(), update: invoke(), delete: invoke() }
        }
        _ => Handlers::default(),
    }
}

/// When a permission is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Launch,
    /// To change the stack later.
    Update,
    /// To delete it, and to roll a failed launch back.
    Delete,
}

/// Actions of one type that are asked for together: on one kind of thing, under the same circumstances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Need {
    pub resource_type: String,
    /// Its resources in the template.
    pub resources: Vec<String>,
    /// An ARN such as theirs will be.
    pub on: String,
    /// What requests for it say besides, by condition key.
    pub context: BTreeMap<String, String>,
    /// By phase.
    pub actions: BTreeMap<Phase, BTreeSet<String>>,
}

/// What the launcher needs for a template as it is resolved.
pub fn needs(resolved: &Resolved, stack: &StackId) -> Vec<Need> {
    let mut by_kind: BTreeMap<(&str, String, BTreeMap<String, String>), Need> = BTreeMap::new();
    let of_stack = [("", STACK, Value::Null)];
    let of_template = resolved.resources().iter().map(|(logical_id, resource)| {
        (logical_id.as_str(), resource["Type"].as_str().unwrap_or_default(), resource["Properties"].clone())
    });
    for (logical_id, kind, properties) in of_stack.into_iter().chain(of_template) {
        let registered = REGISTRY.types.get(kind).cloned().unwrap_or_default();
        let more = besides(kind);
        let phases = [
            (Phase::Launch, registered.create, more.create),
            (Phase::Update, registered.update, more.update),
            (Phase::Delete, registered.delete, more.delete),
        ];
        for (phase, registered, more) in phases {
            let needed = registered.into_iter().filter(|action| is_needed(kind, action, &properties)).chain(more);
            for action in needed {
                let (what, on, context) = target(kind, &action, logical_id, &properties, resolved, stack);
                let need = by_kind.entry((kind, what, context.clone())).or_insert_with(|| Need {
                    resource_type: kind.to_owned(),
                    resources: Vec::new(),
                    on,
                    context,
                    actions: BTreeMap::new(),
                });
                if !logical_id.is_empty() && !need.resources.iter().any(|known| known == logical_id) {
                    need.resources.push(logical_id.to_owned());
                }
                need.actions.entry(phase).or_default().insert(action);
            }
        }
    }
    by_kind.into_values().collect()
}

fn is_needed(kind: &str, action: &str, properties: &Value) -> bool {
    let rules = ONLY_WITH.get(kind).into_iter().flatten();
    let mut rules = rules.filter(|(_, actions)| actions.iter().any(|known| known == action)).peekable();
    rules.peek().is_none() || rules.any(|(property, _)| has(properties, property))
}

/// Whether a property is given, at whatever depth: some stand within another.
fn has(value: &Value, property: &str) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| has(item, property)),
        Value::Object(pairs) => pairs.iter().any(|(name, value)| name == property || has(value, property)),
        _ => false,
    }
}

/// On what an action is asked for: what kind of thing, an ARN as CloudFormation would make it, and what the request says.
fn target(
    kind: &str,
    action: &str,
    logical_id: &str,
    properties: &Value,
    resolved: &Resolved,
    stack: &StackId,
) -> (String, String, BTreeMap<String, String>) {
    let (partition, region, account) = (stack.partition, &stack.region, &stack.account);
    let path = |logical_id: &str| {
        let path = resolved.resources().get(logical_id).and_then(|resource| resource["Properties"]["Path"].as_str());
        path.unwrap_or("/").to_owned()
    };
    // CloudFormation ends names with letters of its own choice.
    let named = |logical_id: &str| format!("{}-{logical_id}-ABCDEFGHIJKL", stack.name());
    let of_iam = |what: &str, logical_id: &str| {
        (what.to_owned(), format!("arn:{partition}:iam::{account}:{what}{}{}", path(logical_id), named(logical_id)))
    };
    let regional = |service: &str, what: &str| (what.to_owned(), format!("arn:{partition}:{service}:{region}:{account}:{what}"));
    let mut context = BTreeMap::new();
    let (what, on) = match (kind, action) {
        (_, "iam:PassRole") => {
            context.insert("iam:PassedToService".to_owned(), "lambda.amazonaws.com".to_owned());
            let role = references(&properties["Role"]).into_iter().next().unwrap_or_default();
            let (_, arn) = of_iam("role", role.split('.').next().unwrap_or_default());
            ("passed role".to_owned(), arn)
        }
        ("AWS::IAM::ManagedPolicy", "iam:AttachRolePolicy" | "iam:DetachRolePolicy") | ("AWS::IAM::Policy", _) => {
            attached_role(properties, resolved, stack)
        }
        ("AWS::IAM::ManagedPolicy", "iam:AttachUserPolicy" | "iam:DetachUserPolicy") => of_iam("user", "VendorUser"),
        ("AWS::IAM::Role", _) => of_iam("role", logical_id),
        ("AWS::IAM::ManagedPolicy", _) => of_iam("policy", logical_id),
        ("AWS::IAM::User", _) => of_iam("user", logical_id),
        ("AWS::IAM::AccessKey", _) => of_iam("user", "VendorUser"),
        ("AWS::Events::Rule", _) => regional("events", &format!("rule/{}", named(logical_id))),
        ("AWS::Logs::LogGroup", _) => regional("logs", &format!("log-group:{}", named(logical_id))),
        ("AWS::SecretsManager::Secret", _) => regional("secretsmanager", &format!("secret:{}", named(logical_id))),
        ("AWS::CloudFormation::StackSet", _) => regional("cloudformation", &format!("stackset/{}-members:*", stack.name())),
        (STACK, _) => ("stack".to_owned(), stack.as_str().to_owned()),
        // The function, whatever belongs to it, and custom resources, which invoke it.
        _ => regional("lambda", &format!("function:{}", named("Handler"))),
    };
    if let Some(boundary) = properties["PermissionsBoundary"].as_str()
        && ["iam:CreateRole", "iam:CreateUser"].contains(&action)
    {
        context.insert("iam:PermissionsBoundary".to_owned(), boundary.to_owned());
    }
    let home = stack.partition.billing_region().unwrap_or_else(|| stack.partition.support_region());
    let asked_in = if action.starts_with("iam:") { home } else { region.clone() };
    context.insert("aws:RequestedRegion".to_owned(), asked_in.as_str().to_owned());
    // Things of one kind, whatever their names, are asked about once.
    let class = what.split(['/', ':']).next().unwrap_or_default().to_owned();
    (class, on, context)
}

/// The role that a policy is attached to: one of the template, or one that the customer has.
fn attached_role(properties: &Value, resolved: &Resolved, stack: &StackId) -> (String, String) {
    let role = &properties["Roles"][0];
    let arn = |path: &str, name: &str| format!("arn:{}:iam::{}:role{path}{name}", stack.partition, stack.account);
    let path = |logical_id: &str| {
        resolved.resources().get(logical_id).and_then(|role| role["Properties"]["Path"].as_str()).unwrap_or("/").to_owned()
    };
    match role.as_str() {
        // Its path is the stack's `RolePath`, as the policies beside it have it.
        Some(name) => {
            let mut paths = resolved.resources().values().filter_map(|resource| resource["Properties"]["Path"].as_str());
            ("role of yours".to_owned(), arn(paths.next().unwrap_or("/"), name))
        }
        None => {
            let logical_id = references(role).into_iter().next().unwrap_or_default();
            ("attached role".to_owned(), arn(&path(&logical_id), &format!("{}-{logical_id}-ABCDEFGHIJKL", stack.name())))
        }
    }
}
