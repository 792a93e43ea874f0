//! `template.yaml` and the code say the same, and the template keeps its promises.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hawser::{billing, connection, delivery, request::Request};
use hawser_sim::lambda::FUNCTION_TIMEOUT;
use serde_json::{Map, Value, json};

use crate::{
    actions::{ACTIONS, Scope},
    support::read,
};

/// CloudFormation reads this much from S3 (CloudFormation quotas).
const TEMPLATE_BYTES_MAX: usize = 1_000_000;
/// Characters of all inline policies of a role, without white space (IAM quotas).
const INLINE_POLICIES_CHARACTERS_MAX: usize = 10_240;
/// Managed policies attached to one role, and as many as AWS gives on request (IAM quotas).
const MANAGED_POLICIES: usize = 10;
const MANAGED_POLICIES_MAX: usize = 20;
/// The template with its short forms written out as CloudFormation's JSON has them: `!Ref X` as `{"Ref": "X"}`.
fn template() -> Value {
    hawser_stack::read(&read("template.yaml")).unwrap().json
}

fn resources(template: &Value) -> Vec<(String, Value)> {
    template["Resources"].as_object().unwrap().iter().map(|(name, resource)| (name.clone(), resource.clone())).collect()
}

fn of_type(template: &Value, kind: &str) -> Vec<(String, Value)> {
    resources(template).into_iter().filter(|(_, resource)| resource["Type"].as_str().unwrap().starts_with(kind)).collect()
}

/// Every value in a document, from the outside in.
fn walk<'a>(value: &'a Value, visit: &mut impl FnMut(&'a Value)) {
    visit(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        Value::Object(pairs) => pairs.values().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

/// A string or a list of strings, as IAM and CloudFormation allow.
fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn statements(policy: &Value) -> Vec<Value> {
    policy["Statement"].as_array().unwrap().clone()
}

/// A statement of a pack, and the conditions under which it is there.
struct Granted {
    conditions: Vec<String>,
    statement: Value,
}

impl Granted {
    fn sid(&self) -> &str {
        self.statement["Sid"].as_str().unwrap()
    }

    fn actions(&self) -> Vec<String> {
        strings(&self.statement["Action"])
    }
}

fn granted(value: &Value, conditions: &[String], found: &mut Vec<Granted>) {
    if let Some(items) = value.as_array() {
        return items.iter().for_each(|item| granted(item, conditions, found));
    }
    if let Some([condition, then, otherwise]) = value.get("Fn::If").and_then(Value::as_array).map(Vec::as_slice) {
        let under = |name: String| [conditions, &[name]].concat();
        let condition = condition.as_str().unwrap();
        granted(then, &under(condition.to_owned()), found);
        return granted(otherwise, &under(format!("not {condition}")), found);
    }
    if *value != json!({ "Ref": "AWS::NoValue" }) {
        found.push(Granted { conditions: conditions.to_vec(), statement: value.clone() });
    }
}

/// All statements of a pack, whatever its mode.
fn statements_of(pack: &Value) -> Vec<Granted> {
    let mut found = Vec::new();
    granted(&pack["Properties"]["PolicyDocument"]["Statement"], &[], &mut found);
    found
}

/// The inline policies of the handler's role that hold under a condition; those without one are under "".
fn handler_policies(template: &Value) -> Vec<(String, Vec<Value>)> {
    let policies = template["Resources"]["HandlerRole"]["Properties"]["Policies"].as_array().unwrap();
    let policy = |policy: &Value| match policy["Fn::If"].as_array() {
        None => (String::new(), statements(&policy["PolicyDocument"])),
        Some(branches) => {
            assert_eq!(branches[2], json!({ "Ref": "AWS::NoValue" }));
            (branches[0].as_str().unwrap().to_owned(), statements(&branches[1]["PolicyDocument"]))
        }
    };
    policies.iter().map(policy).collect()
}

fn scope(resource: &Value) -> Scope {
    let resource = match resource {
        Value::String(any) => any.clone(),
        other => other["Fn::Sub"].as_str().map_or_else(|| other.to_string(), str::to_owned),
    };
    match resource.as_str() {
        "*" => Scope::Any,
        "arn:${AWS::Partition}:cur:*:${AWS::AccountId}:definition/*" => Scope::AnyReport,
        "arn:${AWS::Partition}:cur:*:${AWS::AccountId}:definition/${NamePrefix}-*" => Scope::OwnReports,
        "arn:${AWS::Partition}:cur:*:${AWS::AccountId}:*" => Scope::ReportService,
        "arn:${AWS::Partition}:bcm-data-exports:*:${AWS::AccountId}:export/*" => Scope::AnyExport,
        "arn:${AWS::Partition}:bcm-data-exports:*:${AWS::AccountId}:export/${NamePrefix}-*" => Scope::OwnExports,
        "arn:${AWS::Partition}:bcm-data-exports:*:${AWS::AccountId}:export/${!*}" => Scope::UnnamedExport,
        "arn:${AWS::Partition}:billing::${AWS::AccountId}:billingview/primary" => Scope::BillingView,
        "arn:${AWS::Partition}:bcm-data-exports:*:${AWS::AccountId}:table/*" => Scope::Tables,
        "arn:${AWS::Partition}:s3:::*" => Scope::AnyBucket,
        "arn:${AWS::Partition}:s3:::${NamePrefix}-${AWS::AccountId}-*" => Scope::OwnBuckets,
        "arn:${AWS::Partition}:s3:::${NamePrefix}-${AWS::AccountId}-*/*" => Scope::OwnObjects,
        "arn:${AWS::Partition}:s3:::${ExistingBucket}" => Scope::ExistingBucket,
        "${BillingExport.ReadableObjectsArn}anifest.json" => Scope::WatchedManifests,
        other if other.contains("ReadableBucketArn") => Scope::WatchedBucket,
        other if other.contains("DecryptableKeyArn") => Scope::WatchedKey,
        other if other.contains("HandlerLogGroup") => Scope::OwnLogs,
        other if other.contains("AWS::StackId") => Scope::OwnStack,
        other => panic!("`{other}` is a scope that the code does not know"),
    }
}

#[test]
fn the_handlers_role_holds_exactly_what_the_code_needs_on_exactly_what_it_needs() {
    // HW-S1.
    let template = template();
    let granted = |statements: &[Value]| -> BTreeSet<(String, Scope)> {
        let of = |statement: &Value| -> Vec<(String, Scope)> {
            let scopes: BTreeSet<Scope> = match &statement["Resource"] {
                // In both namespaces, and never in one alone.
                Value::Array(both) => {
                    let regional = |arn: &Value| {
                        arn["Fn::Sub"].as_str().unwrap().replace("-*-${AWS::AccountId}-*-an", "-${AWS::AccountId}-*")
                    };
                    assert_eq!((both.len(), &both[0]["Fn::Sub"]), (2, &json!(regional(&both[1]))));
                    [scope(&both[0])].into()
                }
                one => [scope(one)].into(),
            };
            let actions = strings(&statement["Action"]).into_iter();
            actions.flat_map(|action| scopes.iter().map(move |scope| (action.clone(), *scope))).collect()
        };
        statements.iter().flat_map(of).collect()
    };
    let mut policies = handler_policies(&template);
    let watch = &template["Resources"]["DeliveryWatchAccess"];
    assert_eq!(watch["Properties"]["Roles"], json!([{ "Ref": "HandlerRole" }]));
    policies.push((watch["Condition"].as_str().unwrap().to_owned(), statements(&watch["Properties"]["PolicyDocument"])));
    assert_eq!(policies.len(), ACTIONS.len());
    for ((condition, statements), (expected, needed)) in policies.iter().zip(ACTIONS) {
        assert_eq!(condition, expected);
        let granted = granted(statements);
        let needed = needed.iter().flat_map(|(scope, actions)| actions.iter().map(|action| ((*action).to_owned(), *scope)));
        let needed: BTreeSet<(String, Scope)> = needed.collect();
        assert_eq!(granted, needed, "{condition}");
        assert!(granted.iter().all(|(action, _)| !action.contains('*')), "no wildcard among actions");
    }
}

#[test]
fn every_call_of_the_code_is_among_its_actions() {
    // The simulated account and the real one name the action of each call; both must be declared.
    let declared = ACTIONS.iter().flat_map(|(_, needed)| needed.iter().flat_map(|(_, actions)| actions.iter().copied()));
    let declared: BTreeSet<&str> = declared.collect();
    // F-32: no bucket's notifications are the handler's business.
    assert!(declared.iter().all(|action| !action.contains("Notification")));
    let services = ["s3:", "cur:", "bcm-data-exports:", "organizations:", "cloudformation:", "support:"];
    for files in [
        vec![
            "src/sdk/buckets.rs",
            "src/sdk/cost_reports.rs",
            "src/sdk/data_exports.rs",
            "src/sdk/organizations.rs",
            "src/sdk/stacks.rs",
            "src/sdk/support.rs",
        ],
        vec!["account/src/port.rs", "sim/src/account.rs"],
    ] {
        let code: String = files.iter().map(read).collect();
        let named = code.split('"').filter(|word| {
            let service = services.iter().find_map(|service| word.strip_prefix(service));
            service.is_some_and(|action| action.starts_with(char::is_uppercase) && action.chars().all(char::is_alphanumeric))
        });
        // What AWS's own services do in a bucket is no call of the handler's.
        let named: BTreeSet<&str> = named.filter(|action| *action != "s3:PutObject").collect();
        assert!(named.len() >= 30, "{files:?}: {named:?}");
        assert!(named.is_subset(&declared), "{files:?}: {:?}", named.difference(&declared));
    }
}

#[test]
fn the_template_is_flat_and_fits() {
    // HW-S2, F-10.
    let (text, template) = (read("template.yaml"), template());
    assert!(text.len() < TEMPLATE_BYTES_MAX, "{} bytes", text.len());
    assert!(template.get("Transform").is_none());
    walk(&template, &mut |value| assert!(value.get("Fn::Transform").is_none(), "{value}"));
    assert!(of_type(&template, "AWS::CloudFormation::Stack").is_empty());
}

#[test]
fn every_role_takes_a_boundary_and_a_path_and_nothing_has_a_fixed_name() {
    // HW-S3, F-36, F-37.
    let template = template();
    let roles = of_type(&template, "AWS::IAM::Role");
    assert_eq!(roles.len(), 2);
    for (name, role) in roles {
        let properties = &role["Properties"];
        assert_eq!(properties["PermissionsBoundary"]["Fn::If"][0], "HasBoundary", "{name}");
        assert_eq!(properties["Path"], json!({ "Ref": "RolePath" }), "{name}");
    }
    // The vendor's own user has one in any case, and no pack stops the function.
    let bounded = json!({ "Fn::If": ["HasBoundary", { "Ref": "PermissionsBoundaryArn" }, { "Ref": "VendorUserBoundary" }] });
    assert_eq!(template["Resources"]["VendorUser"]["Properties"]["PermissionsBoundary"], bounded);
    let protected = json!([{ "Key": "hawser:protected", "Value": "true" }]);
    assert_eq!(template["Resources"]["Handler"]["Properties"]["Tags"], protected);
    for (name, resource) in resources(&template) {
        for fixed in ["RoleName", "ManagedPolicyName", "FunctionName", "LogGroupName", "BucketName", "Name"] {
            let value = &resource["Properties"][fixed];
            assert!(!value.is_string(), "{name}.{fixed} is fixed to {value}");
        }
    }
}

#[test]
fn every_custom_resource_is_bounded_and_outlasts_the_function() {
    // HW-S3, F-3: three runs of the function and Lambda's pauses between them fit into the time CloudFormation waits.
    let template = template();
    let handler = &template["Resources"]["Handler"]["Properties"];
    let timeout = handler["Timeout"].as_u64().unwrap();
    assert_eq!(Duration::from_secs(timeout), FUNCTION_TIMEOUT, "the simulation runs with the deployed time-out");
    assert!(template["Resources"]["HandlerInvokeConfig"]["Properties"]["MaximumRetryAttempts"].as_u64() <= Some(2));
    let custom = of_type(&template, "Custom::");
    let types: BTreeSet<&str> = custom.iter().map(|(_, resource)| resource["Type"].as_str().unwrap()).collect();
    assert_eq!(types, [billing::RESOURCE_TYPE, connection::RESOURCE_TYPE].into());
    for (name, resource) in &custom {
        assert_eq!(resource["Properties"]["ServiceToken"], json!({ "Fn::GetAtt": ["Handler", "Arn"] }), "{name}");
        let sdk_retry_config = resource["Properties"]["ServiceTimeout"].as_u64().unwrap();
        assert!(sdk_retry_config >= 3 * timeout + 180 && sdk_retry_config <= 3600, "{name}: {sdk_retry_config} s");
    }
}

/// F-41: a binary and an operating system; no language runtime that comes to its end.
#[test]
fn the_function_needs_no_language_runtime() {
    let template = template();
    let functions = of_type(&template, "AWS::Lambda::Function");
    assert_eq!(functions.len(), 1);
    for (name, function) in functions {
        let properties = &function["Properties"];
        assert_eq!((&properties["Runtime"], &properties["Handler"]), (&json!("provided.al2023"), &json!("bootstrap")), "{name}");
        assert!(properties.get("Layers").is_none(), "{name}");
    }
}

/// F-13, F-26, F-32: only types that every Region and every partition has, so no report definition of CloudFormation's own, no
/// topic, and no bucket whose notifications could be replaced.
#[test]
fn every_type_is_there_in_every_region() {
    let template = template();
    let all = resources(&template);
    let types: BTreeSet<&str> = all.iter().map(|(_, resource)| resource["Type"].as_str().unwrap()).collect();
    let everywhere = [
        "AWS::Events::Rule",
        "AWS::IAM::AccessKey",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Policy",
        "AWS::IAM::Role",
        "AWS::IAM::User",
        "AWS::Lambda::EventInvokeConfig",
        "AWS::Lambda::Function",
        "AWS::Lambda::Permission",
        "AWS::Logs::LogGroup",
        "AWS::SecretsManager::Secret",
        billing::RESOURCE_TYPE,
        connection::RESOURCE_TYPE,
    ];
    assert_eq!(types, everywhere.into(), "look whether a new type is there in every Region before you add it here");
}

/// The resources that are packs, by the name that the vendor is told.
fn packs(template: &Value) -> BTreeMap<String, (String, Value)> {
    let all = of_type(template, "AWS::IAM::ManagedPolicy").into_iter();
    all.filter_map(|(id, policy)| Some((policy["Metadata"]["Pack"]["Name"].as_str()?.to_owned(), (id.clone(), policy.clone()))))
        .collect()
}

/// What the frame makes of a pack, in each of its places.
#[test]
fn every_pack_is_in_all_its_places() {
    // F-35: by the reference to the policy, CloudFormation makes it before the vendor is told, and removes it after.
    let template = template();
    let packs = packs(&template);
    let parameters: BTreeMap<String, Vec<String>> = template["Parameters"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| name.starts_with("Pack"))
        .map(|(name, parameter)| (name.clone(), strings(&parameter["AllowedValues"])))
        .collect();
    assert_eq!(packs.len(), parameters.len(), "{:?}", packs.keys());
    let interface = &template["Metadata"]["AWS::CloudFormation::Interface"];
    let mut reported = BTreeMap::new();
    for (name, (id, pack)) in &packs {
        let parameter = id.strip_suffix("Policy").unwrap();
        // A delivery check reads the mode from the parameter.
        let words: String = name.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
        assert_eq!(parameter, format!("Pack{words}"), "{name}");
        let modes: Vec<&str> = parameters[parameter].iter().map(String::as_str).collect();
        assert!(
            [["None", "ReadOnly"].as_slice(), &["None", "ReadOnly", "ReadWrite"]].contains(&modes.as_slice()),
            "{name}: {modes:?}"
        );
        assert_ne!(template["Parameters"][parameter]["Default"], "ReadWrite", "{name}");
        let conditions = &template["Conditions"];
        assert_eq!(pack["Condition"], parameter);
        assert_eq!(conditions[parameter], json!({ "Fn::Not": [{ "Fn::Equals": [{ "Ref": parameter }, "None"] }] }));
        let writes = conditions.get(format!("{parameter}Writes"));
        let expected = modes.contains(&"ReadWrite").then(|| json!({ "Fn::Equals": [{ "Ref": parameter }, "ReadWrite"] }));
        assert_eq!(writes, expected.as_ref(), "{name}");
        let labels = interface["ParameterGroups"].as_array().unwrap().iter().flat_map(|group| strings(&group["Parameters"]));
        assert_eq!(labels.filter(|label| label == parameter).count(), 1, "{name}");
        assert!(interface["ParameterLabels"][parameter]["default"].is_string(), "{name}");

        let properties = &pack["Properties"];
        let role = json!({ "Fn::If": ["MakesRole", { "Ref": "VendorRole" }, { "Ref": "ExistingRoleName" }] });
        let none = json!({ "Ref": "AWS::NoValue" });
        assert_eq!(properties["Roles"], json!({ "Fn::If": ["MakesUser", none, [role]] }), "{name}");
        assert_eq!(properties["Users"], json!({ "Fn::If": ["MakesUser", [{ "Ref": "VendorUser" }], none] }), "{name}");
        assert_eq!(properties["Path"], json!({ "Ref": "RolePath" }), "{name}");
        assert_eq!(properties["Description"], format!("Hawser pack {name}"));

        let mode = json!({ "Fn::Sub": format!("${{{parameter}}}|${{{id}}}") });
        let first = json!({ "Fn::Select": [0, { "Fn::Split": ["|", mode] }] });
        reported.insert(name.clone(), json!({ "Fn::If": [parameter, first, "None"] }));
    }
    let connection = &template["Resources"]["Connection"]["Properties"];
    assert_eq!(connection["Packs"], json!(reported));
    let role = json!({ "Fn::GetAtt": ["VendorRole", "Arn"] });
    assert_eq!(connection["RoleArn"]["Fn::If"][1], role, "F-35: the role is there before the vendor is told");
}

#[test]
fn the_handler_keeps_permissions_and_log_until_the_last_delete() {
    // HW-S4, F-42: policies live in the role, which the function needs; the log group is declared, and nothing re-creates it.
    let template = template();
    for (name, resource) in resources(&template) {
        let separate = ["AWS::IAM::Policy", "AWS::IAM::RolePolicy"].contains(&resource["Type"].as_str().unwrap());
        let separate = separate && resource["Properties"].to_string().contains("HandlerRole");
        assert!(!separate, "{name} would be gone before the handler's last Delete");
        // The watch's is the one that no Delete needs.
        if resource["Type"] == "AWS::IAM::ManagedPolicy" && name != "DeliveryWatchAccess" {
            assert!(!resource["Properties"]["Roles"].to_string().contains("HandlerRole"), "{name}");
        }
    }
    for (name, resource) in of_type(&template, "Custom::") {
        assert!(strings(&resource["DependsOn"]).contains(&"HandlerInvokeConfig".to_owned()), "{name}");
    }
    let handler = &template["Resources"]["Handler"]["Properties"];
    assert_eq!(handler["Role"], json!({ "Fn::GetAtt": ["HandlerRole", "Arn"] }));
    assert_eq!(handler["LoggingConfig"]["LogGroup"], json!({ "Ref": "HandlerLogGroup" }));
    assert!(template["Resources"]["HandlerLogGroup"]["Properties"]["RetentionInDays"].is_u64());
    assert!(!read("template.yaml").contains("logs:CreateLogGroup"));
}

#[test]
fn arns_name_their_partition() {
    // F-25.
    walk(&template(), &mut |value| {
        if let Some(arn) = value.as_str().filter(|text| text.starts_with("arn:")) {
            assert!(arn.starts_with("arn:${AWS::Partition}:"), "{arn}");
        }
    });
}

#[test]
fn attributes_that_are_read_are_attributes_that_are_answered() {
    // HW-A6, F-30.
    let template = template();
    let mut read = BTreeSet::new();
    walk(&template, &mut |value| {
        if let Some([resource, attribute]) = value.get("Fn::GetAtt").and_then(Value::as_array).map(Vec::as_slice) {
            read.insert((resource.as_str().unwrap(), attribute.as_str().unwrap()));
        }
    });
    let of = |name: &str| read.iter().filter(|(resource, _)| *resource == name).map(|(_, a)| *a).collect::<BTreeSet<_>>();
    assert!(of("BillingExport").is_subset(&billing::ATTRIBUTES.into()), "{:?}", of("BillingExport"));
    assert!(of("Connection").is_subset(&connection::ATTRIBUTES.into()), "{:?}", of("Connection"));
    assert!(of("BillingExport").len() >= 16 && of("Connection").contains("ConnectionId"));
    let outputs: BTreeSet<&str> = template["Outputs"].as_object().unwrap().keys().map(String::as_str).collect();
    for wanted in ["RoleArn", "ExternalId", "BucketName", "ReportName", "Decision", "AccountRole", "ConnectionId"] {
        assert!(outputs.contains(wanted), "output {wanted}");
    }
}

#[test]
fn properties_that_are_passed_are_properties_that_are_read() {
    // Every property of the template's own custom resources, with legal stand-ins, is accepted; PROPERTY_UNKNOWN would say so.
    let template = template();
    for (name, resource) in of_type(&template, "Custom::") {
        let mut properties: Map<String, Value> = resource["Properties"].as_object().unwrap().clone();
        for (property, value) in &mut properties {
            *value = match property.as_str() {
                "NoticeUrl" => "https://vendor.example/".into(),
                "LaunchToken" => "whsec_c2VjcmV0LXRoYXQtbXVzdC1uZXZlci1iZS1zZWVuLTEyMw==".into(),
                "NamePrefix" => template["Parameters"]["NamePrefix"]["Default"].clone(),
                "Packs" | "Organization" | "Billing" => json!({}),
                _ => match value.get("Ref").and_then(Value::as_str) {
                    Some(parameter) => template["Parameters"][parameter]["Default"].clone(),
                    None => "text".into(),
                },
            };
        }
        let event = json!({
            "RequestType": "Create", "RequestId": "r", "LogicalResourceId": name, "ResourceType": resource["Type"],
            "ResponseURL": "https://response.invalid/",
            "StackId": "arn:aws:cloudformation:eu-west-1:111122223333:stack/acme/5e0c1b70", "ResourceProperties": properties,
        });
        Request::parse(&event).unwrap_or_else(|failure| panic!("{name}: {failure}"));
    }
}

#[test]
fn words_that_a_parameter_allows_are_words_that_the_handler_takes() {
    let template = template();
    for (parameter, property) in [
        ("BillingKind", "Kind"),
        ("BillingFormat", "Format"),
        ("BillingReuse", "Reuse"),
        ("BillingScope", "Scope"),
        ("BillingRetention", "Retention"),
        ("BucketNamespace", "BucketNamespace"),
        ("RequestBackfill", "RequestBackfill"),
    ] {
        let words = strings(&template["Parameters"][parameter]["AllowedValues"]);
        assert!(words.len() >= 2, "{parameter}");
        for word in words {
            let mut properties = Map::from_iter([("NamePrefix".to_owned(), json!("acme"))]);
            properties.insert(property.to_owned(), json!(word));
            billing::Export::parse(Some(&properties)).unwrap_or_else(|failure| panic!("{parameter}={word}: {failure}"));
        }
    }
}

#[test]
fn the_vendor_is_let_in_by_account_and_external_id_only() {
    // F-39.
    let trust = template()["Resources"]["VendorRole"]["Properties"]["AssumeRolePolicyDocument"].clone();
    let [statement] = statements(&trust).try_into().unwrap();
    let account = json!({ "Fn::Sub": "arn:${AWS::Partition}:iam::${VendorAccountId}:root" });
    let principal = json!({ "Fn::If": ["HasVendorPrincipal", { "Ref": "VendorPrincipalArn" }, account] });
    assert_eq!(statement["Principal"], json!({ "AWS": principal }));
    // A role of another account than the vendor's lets nobody in.
    assert_eq!(statement["Condition"]["StringEquals"]["aws:PrincipalAccount"], json!({ "Ref": "VendorAccountId" }));
    assert_eq!(statement["Action"], "sts:AssumeRole");
    assert!(statement["Condition"]["StringEquals"].get("sts:ExternalId").is_some());
}

#[test]
fn every_statement_of_every_pack_says_why_and_fits() {
    // F-38.
    let template = template();
    let packs = packs(&template);
    let mut all = BTreeSet::new();
    for (name, (id, pack)) in &packs {
        let about = &pack["Metadata"]["Pack"];
        let statements = statements_of(pack);
        let reasons: BTreeSet<&str> = about["Why"].as_object().unwrap().keys().map(String::as_str).collect();
        let sids: BTreeSet<&str> = statements.iter().map(Granted::sid).collect();
        assert_eq!(reasons, sids, "{name}");
        for text in [&about["Title"], &about["Purpose"]].into_iter().chain(about["Why"].as_object().unwrap().values()) {
            assert!(text.as_str().is_some_and(|text| text.len() > 3), "{name}: {text}");
        }
        for statement in &statements {
            // Unique among all packs, so that they can be put together in one document (IAM: Sid).
            assert!(all.insert(statement.sid().to_owned()), "{name}: there is another `{}`", statement.sid());
            assert!(statement.sid().chars().all(char::is_alphanumeric), "{name}: {}", statement.sid());
            let mut sorted = statement.actions();
            sorted.sort();
            sorted.dedup();
            assert_eq!(statement.actions(), sorted, "{name}: {}", statement.sid());
        }
        let writes = template["Conditions"].get(format!("{}Writes", id.trim_end_matches("Policy"))).is_some();
        let written = |statement: &Granted| statement.statement["Effect"] == "Allow" && !statement.conditions.is_empty();
        assert_eq!(statements.iter().any(written), writes, "{name}: what ReadWrite writes");
    }
    let attached = |all: &mut dyn Iterator<Item = &(String, Value)>| -> usize {
        all.map(|(_, pack)| 1 + strings(&pack["Metadata"]["Pack"]["ManagedPolicies"]).len()).sum()
    };
    assert!(attached(&mut packs.values()) <= MANAGED_POLICIES_MAX);
    let by_default = |(id, _): &&(String, Value)| template["Parameters"][id.trim_end_matches("Policy")]["Default"] != "None";
    assert!(attached(&mut packs.values().filter(by_default)) <= MANAGED_POLICIES);
    let all = handler_policies(&template).into_iter().flat_map(|(_, statements)| statements);
    let inline: usize = all.map(|s| s.to_string().chars().filter(|c| !c.is_whitespace()).count()).sum();
    assert!(inline < INLINE_POLICIES_CHARACTERS_MAX, "{inline}");
}

#[test]
fn the_launch_token_is_not_hidden_where_hiding_would_drop_it() {
    // Quick-create links ignore NoEcho parameters silently.
    for (name, parameter) in template()["Parameters"].as_object().unwrap() {
        assert!(parameter.get("NoEcho").is_none(), "{name}");
    }
}

/// HW-D2: a delivery check reads what the vendor was told, as JSON whatever the values are.
#[test]
fn the_delivery_check_has_the_connections_properties() {
    let template = template();
    let output = &template["Outputs"][delivery::TERMS_OUTPUT]["Value"]["Fn::Sub"];
    let [input, variables] = output.as_array().unwrap().as_slice() else { panic!("text and variables") };
    let input: Value = serde_json::from_str(input.as_str().unwrap()).unwrap();
    let connection = &template["Resources"]["Connection"]["Properties"];
    // Every property of the connection, and each from the same place.
    fn leaves(value: &Value, path: &str, found: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(pairs) if !pairs.keys().any(|key| key.starts_with("Fn::") || key == "Ref") => {
                pairs.iter().for_each(|(key, value)| leaves(value, &format!("{path}/{key}"), found));
            }
            _ => drop(found.insert(path.to_owned(), value.clone())),
        }
    }
    let (mut sent, mut reported) = (BTreeMap::new(), BTreeMap::new());
    leaves(&input, "", &mut sent);
    leaves(connection, "", &mut reported);
    reported.retain(|path, _| !path.starts_with("/Service"));
    // What parameters and other outputs have is read there, with the token of now.
    for name in delivery::SAME_PARAMETERS {
        assert_eq!(reported.remove(&format!("/{name}")), Some(json!({ "Ref": name })));
    }
    for name in delivery::SAME_OUTPUTS {
        let (output, reported) = (&template["Outputs"][name], reported.remove(&format!("/{name}")).unwrap());
        let Some(condition) = output["Condition"].as_str() else {
            assert_eq!(output["Value"], reported, "{name}");
            continue;
        };
        // The same secret; the connection also waits until the role may read it.
        let waits = format!("${{{}}}|${{ReadAccessKey}}", output["Value"]["Ref"].as_str().unwrap());
        assert_eq!((&reported["Fn::If"][0], &reported["Fn::If"][2]), (&json!(condition), &json!("")), "{name}");
        assert!(reported["Fn::If"][1].to_string().contains(&waits), "{name}: {reported}");
    }
    reported.retain(|path, _| !path.starts_with("/Packs/"));
    assert_eq!(sent.keys().collect::<Vec<_>>(), reported.keys().collect::<Vec<_>>());
    for (path, sent) in &sent {
        let text = sent.as_str().unwrap();
        let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
            assert_eq!(sent, &reported[path], "{path}");
            continue;
        };
        let reported = match variables.get(name) {
            Some(variable) => {
                assert_eq!(variable, &reported[path], "{path}");
                continue;
            }
            None => &reported[path],
        };
        let expected = match name.split_once('.') {
            Some((resource, attribute)) => json!({ "Fn::GetAtt": [resource, attribute] }),
            None => json!({ "Ref": name }),
        };
        assert_eq!(reported, &expected, "{path}");
    }
}

/// HW-D5, HW-I1: what may read rules and their targets reads no secret, and each stack says when it is alive.
#[test]
fn the_schedule_holds_no_value_of_the_stack() {
    let template = template();
    let rule = &template["Resources"]["DeliveryWatch"];
    assert!(rule.get("Condition").is_none(), "every stack has it");
    assert_eq!(rule["Properties"]["ScheduleExpression"], json!({ "Fn::GetAtt": ["BillingExport", "Schedule"] }));
    let [target] = rule["Properties"]["Targets"].as_array().unwrap().as_slice() else { panic!("one target") };
    let event: Value = serde_json::from_str(target["Input"]["Fn::Sub"].as_str().unwrap()).unwrap();
    assert!(delivery::is_delivery_check(&event));
    assert_eq!(event["detail"], json!({ "StackId": "${AWS::StackId}" }));
    let environment = &template["Resources"]["Handler"]["Properties"]["Environment"]["Variables"];
    assert_eq!(*environment, json!({ "HAWSER_STACK_ID": { "Ref": "AWS::StackId" } }));
}
