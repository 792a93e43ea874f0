//! The Terraform module, read by a parser and evaluated: what it would make is what the template and the handler make (HW-P4).

use std::collections::{BTreeMap, BTreeSet};

use hawser::{
    billing::{
        BillingRequest,
        observe::observe,
        plan::{self, Step},
        policy, query,
    },
    names::{Partition, digest_hex},
    request::Request,
};
use hawser_account::{AccountFile, tables::Dictionary};
use hawser_cli::{
    error::Exit,
    setup::{self, BillingLocation, SetupTarget, policies, terraform, trust},
    template::{Mode, Template},
};
use hawser_sim::World;
use hcl::{
    Block, Body, Expression,
    eval::{Context, Evaluate, FuncArgs, FuncDef, ParamType},
};
use serde_json::{Map, Value, json};

use crate::{ACCOUNT, VENDOR, parameters};

/// The time at which Terraform plans.
const NOW: &str = "2026-11-28T10:11:12Z";

/// The functions of Terraform that the module calls, as far as it needs them.
type Function = fn(FuncArgs) -> Result<hcl::Value, String>;
const FUNCTIONS: [(&str, usize, Function); 13] = [
    ("jsonencode", 1, |given| Ok(serde_json::to_string(&given[0]).unwrap().into())),
    ("contains", 2, |given| Ok(given[0].as_array().is_some_and(|items| items.contains(&given[1])).into())),
    // A pattern between slashes is a regular expression.
    ("replace", 3, |given| {
        let [text, what, with] = [&given[0], &given[1], &given[2]].map(|one| one.as_str().unwrap());
        Ok(match what.strip_prefix('/').and_then(|what| what.strip_suffix('/')).filter(|what| !what.is_empty()) {
            Some(pattern) => regex_lite::Regex::new(pattern).unwrap().replace_all(text, with).into_owned().into(),
            None => text.replace(what, with).into(),
        })
    }),
    // Terraform's fails without a match, which `can` catches.
    ("regex", 2, |given| {
        let found = regex_lite::Regex::new(given[0].as_str().unwrap()).unwrap().find(given[1].as_str().unwrap());
        Ok(found.map_or(hcl::Value::Null, |found| found.as_str().into()))
    }),
    ("can", 1, |given| Ok((!given[0].is_null()).into())),
    ("length", 1, |given| Ok(given[0].as_str().unwrap().chars().count().into())),
    ("lower", 1, |given| Ok(given[0].as_str().unwrap().to_lowercase().into())),
    ("substr", 3, |given| {
        let (from, count) = (given[1].as_u64().unwrap() as usize, given[2].as_u64().unwrap() as usize);
        Ok(given[0].as_str().unwrap().chars().skip(from).take(count).collect::<String>().into())
    }),
    // Any digest will do.
    ("sha256", 1, |given| Ok(digest_hex(&[given[0].as_str().unwrap()], 32).into())),
    ("tomap", 1, |given| Ok(given[0].clone())),
    ("merge", 2, |given| {
        let mut merged = given[0].as_object().unwrap().clone();
        merged.extend(given[1].as_object().unwrap().clone());
        Ok(merged.into())
    }),
    ("plantimestamp", 0, |_| Ok(NOW.into())),
    ("formatdate", 2, |given| {
        assert_eq!(given[0].as_str(), Some("YYYYMMDDhhmmss"));
        Ok(given[1].as_str().unwrap().chars().filter(char::is_ascii_digit).collect::<String>().into())
    }),
];

/// The module with variables filled in.
pub(crate) struct Module {
    pub(crate) body: Body,
    variables: Map<String, Value>,
    locals: Map<String, Value>,
}

impl Module {
    /// The files as one body; variables have their defaults, `given` goes before.
    fn of(parameters: &BTreeMap<String, String>, given: &[(&str, Value)]) -> Self {
        Self::read(&module_text(parameters), given)
    }

    pub(crate) fn read(text: &str, given: &[(&str, Value)]) -> Self {
        let body = hcl::parse(text).unwrap();
        let variables = body.blocks().filter(|block| block.identifier() == "variable");
        let mut variables: Map<String, Value> = variables
            .map(|block| {
                let default = attribute(block.body(), "default").map(|default| json(&default.evaluate(&Context::new()).unwrap()));
                (block.labels()[0].as_str().to_owned(), default.unwrap_or_default())
            })
            .collect();
        for (name, value) in given {
            assert!(variables.insert((*name).to_owned(), value.clone()).is_some(), "there is no variable `{name}`");
        }
        let mut module = Self { body, variables, locals: Map::new() };
        module.fill_locals();
        module
    }

    /// Locals refer to each other in any order.
    fn fill_locals(&mut self) {
        let blocks = self.body.blocks().filter(|block| block.identifier() == "locals");
        let declared: Vec<(String, Expression)> =
            blocks.flat_map(|block| block.body().attributes()).map(|one| (one.key().to_owned(), one.expr().clone())).collect();
        loop {
            let open: Vec<_> = declared.iter().filter(|(name, _)| !self.locals.contains_key(name)).collect();
            let found: Map<String, Value> = open
                .iter()
                .filter_map(|(name, expression)| Some((name.clone(), json(&expression.evaluate(&self.context()).ok()?))))
                .collect();
            if found.is_empty() {
                // What the role is called is known once there is one.
                let open: BTreeSet<&str> = open.iter().map(|(name, _)| name.as_str()).collect();
                assert!(open.is_subset(&["role_name", "role_arn"].into()), "{open:?}");
                return;
            }
            self.locals.extend(found);
        }
    }

    fn context(&self) -> Context<'static> {
        let mut context = Context::new();
        let hcl = |value: Value| hcl::to_value(value).unwrap();
        context.declare_var("var", hcl(Value::Object(self.variables.clone())));
        context.declare_var("local", hcl(Value::Object(self.locals.clone())));
        let data = json!({
            "aws_caller_identity": { "current": { "account_id": ACCOUNT } },
            "aws_partition": { "current": { "partition": "aws" } },
            // What may be read of it, by provider version, is for `terraform_schema` to say.
            "aws_region": {
                "current": { "id": "eu-west-1", "name": "eu-west-1", "region": "eu-west-1" },
                "billing": { "id": "us-east-1" },
            },
        });
        context.declare_var("data", hcl(data));
        let local = |name: &str| self.locals.get(name).cloned().unwrap_or_default();
        let buckets = json!([{ "id": local("new_bucket") }]);
        context.declare_var("aws_s3_bucket", hcl(json!({ "kept": buckets, "billing": buckets })));
        let place = json!({ "s3_prefix": local("new_prefix") });
        context.declare_var("aws_cur_report_definition", hcl(json!({ "billing": [place] })));
        let export = json!({ "destination_configurations": [{ "s3_destination": [place] }] });
        context.declare_var("aws_bcmdataexports_export", hcl(json!({ "billing": [{ "export": [export] }] })));
        for (name, arguments, function) in FUNCTIONS {
            let function_of = FuncDef::builder().params(vec![ParamType::Any; arguments]);
            context.declare_func(name, function_of.build(function));
        }
        context
    }

    pub(crate) fn value(&self, expression: &Expression) -> Value {
        json(&expression.evaluate(&self.context()).unwrap_or_else(|why| panic!("{expression:?}: {why}")))
    }

    /// The value, if it is known before anything is made.
    pub(crate) fn value_if_known(&self, expression: &Expression) -> Option<Value> {
        expression.evaluate(&self.context()).ok().map(|value| json(&value))
    }

    /// The resources of a type that would be made, by label.
    fn made(&self, kind: &str) -> BTreeMap<String, &Block> {
        let of_kind = |block: &&Block| block.identifier() == "resource" && block.labels()[0].as_str() == kind;
        let is_made = |block: &&Block| attribute(block.body(), "count").is_none_or(|count| self.value(count) == json!(1));
        let blocks = self.body.blocks().filter(of_kind).filter(is_made);
        blocks.map(|block| (block.labels()[1].as_str().to_owned(), block)).collect()
    }

    /// An attribute of a block, or of a block within it: `export.name`.
    fn at(&self, block: &Block, path: &str) -> Value {
        let (mut body, mut rest) = (block.body(), path);
        while let Some((inner, after)) = rest.split_once('.') {
            body = body.blocks().find(|block| block.identifier() == inner).unwrap().body();
            rest = after;
        }
        self.value(attribute(body, rest).unwrap_or_else(|| panic!("no {path}")))
    }

    fn document(&self, block: &Block, path: &str) -> Value {
        serde_json::from_str(self.at(block, path).as_str().unwrap()).unwrap()
    }
}

/// The files of the module itself, which are in its folder.
pub(crate) fn module_text(parameters: &BTreeMap<String, String>) -> String {
    let files = terraform::module(&Template::ours(), parameters).unwrap();
    files.iter().filter(|(name, _)| name.ends_with(".tf") && !name.contains('/')).map(|(_, text)| text.as_str()).collect()
}

pub(crate) fn attribute<'a>(body: &'a Body, name: &str) -> Option<&'a Expression> {
    body.attributes().find(|one| one.key() == name).map(hcl::Attribute::expr)
}

fn json(value: &hcl::Value) -> Value {
    serde_json::to_value(value).unwrap()
}

fn target() -> SetupTarget {
    SetupTarget::new(&ACCOUNT.parse().unwrap(), &"eu-west-1".parse().unwrap(), "hawser").unwrap()
}

/// A template parameter's value as the variable has it.
fn as_variables(given: &BTreeMap<String, String>) -> Vec<(String, Value)> {
    given.iter().map(|(name, value)| (snake(name), Value::from(value.as_str()))).collect()
}

fn snake(name: &str) -> String {
    let words = name.char_indices().map(|(at, c)| {
        let gap = if c.is_ascii_uppercase() && at > 0 { "_" } else { "" };
        format!("{gap}{}", c.to_ascii_lowercase())
    });
    words.collect()
}

/// Every policy that the module would make with these values is the one that the template makes.
fn assert_same_policies(given: &BTreeMap<String, String>) {
    let template = Template::ours();
    let grants =
        policies::grants(&template, given, &target(), Some(&BillingLocation::new("costs", "exports", None).unwrap())).unwrap();
    let mut variables = as_variables(given);
    let more = [("existing_bucket", "costs"), ("existing_prefix", "exports"), ("name", "hawser")];
    variables.extend(more.map(|(name, value)| (name.to_owned(), json!(value))));
    let variables: Vec<(&str, Value)> = variables.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let module = Module::of(&BTreeMap::new(), &variables);
    let mut made: BTreeMap<String, Value> = BTreeMap::new();
    for block in module.made("aws_iam_policy").values() {
        made.insert(module.at(block, "name").as_str().unwrap().to_owned(), module.document(block, "policy"));
    }
    let mut expected: BTreeMap<String, Value> =
        grants.packs.iter().map(|pack| (pack.name.clone(), pack.document.clone())).collect();
    expected.extend(grants.boundaries.iter().map(|policy| (policy.name.clone(), policy.document.clone())));
    assert_eq!(made.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, document) in &expected {
        assert_eq!(&made[name], document, "{name} with {given:?}");
    }
    // One attachment for each pack and each policy of AWS's own.
    let attached = module.made("aws_iam_role_policy_attachment").len();
    assert_eq!(attached, grants.packs.iter().map(|pack| 1 + pack.managed_policies.len()).sum::<usize>());
    let role = module.made("aws_iam_role");
    assert_eq!(role.len(), usize::from(!given.contains_key("ExistingRoleName")));
    if let Some(role) = role.get("vendor") {
        let trust = trust::trust_policy(&template, given, &target()).unwrap();
        assert_eq!(module.document(role, "assume_role_policy"), trust);
    }
}

#[test]
fn every_pack_is_the_templates_in_every_mode() {
    let template = Template::ours();
    let mut off = parameters(&VENDOR);
    off.extend(template.packs().into_iter().map(|pack| (pack.parameter, "None".to_owned())));
    for pack in template.packs() {
        for mode in &pack.modes {
            let mut given = off.clone();
            given.insert(pack.parameter.clone(), mode.as_str().to_owned());
            assert_same_policies(&given);
        }
    }
}

#[test]
fn all_packs_together_and_every_other_choice_are_the_templates() {
    let template = Template::ours();
    for mode in [Mode::ReadOnly, Mode::ReadWrite] {
        let mut given = parameters(&VENDOR);
        for pack in template.packs() {
            let mode = pack.modes.iter().copied().filter(|one| *one <= mode).max().unwrap();
            given.insert(pack.parameter, mode.as_str().to_owned());
        }
        assert_same_policies(&given);
        for (name, value) in [
            ("ExistingRoleName", "their-role"),
            ("RolePath", "/vendors/"),
            ("EngineRoleArn", "arn:aws:iam::111122223333:role/engine"),
            ("HostedZoneId", "Z0123456789"),
            ("ManagedUsersPath", "/people/"),
            ("ManagedUsersBoundaryArn", "arn:aws:iam::111122223333:policy/people"),
        ] {
            given.insert(name.to_owned(), value.to_owned());
            assert_same_policies(&given);
        }
    }
}

#[test]
fn variables_have_the_templates_defaults_and_limits() {
    let template = Template::ours();
    let given = parameters(&[("PackEc2", "ReadOnly"), ("VendorAccountId", "999988887777")]);
    let module = Module::of(&given, &[]);
    for parameter in template.parameters() {
        let Some(value) = module.variables.get(&snake(&parameter.name)) else { continue };
        let expected = given.get(&parameter.name).cloned().or(parameter.default.clone());
        match expected {
            // Nothing stands in for an empty one.
            Some(_) | None if parameter.name == "ExternalId" => assert_eq!(*value, Value::Null),
            Some(expected) => assert_eq!(*value, json!(expected), "{}", parameter.name),
            None => assert_eq!(*value, Value::Null, "{}", parameter.name),
        }
        let block = module
            .body
            .blocks()
            .find(|block| block.identifier() == "variable" && block.labels()[0].as_str() == snake(&parameter.name));
        let validations: String = block
            .unwrap()
            .body()
            .blocks()
            .filter_map(|block| attribute(block.body(), "condition"))
            .map(|c| format!("{c:?}"))
            .collect();
        for word in &parameter.allowed {
            assert!(validations.contains(word), "{}: {word}", parameter.name);
        }
        assert_eq!(parameter.pattern.is_some(), validations.contains("regex"), "{}", parameter.name);
        if let Some(max) = parameter.limits.max_length {
            assert!(validations.contains("length") && validations.contains(&max.to_string()), "{}", parameter.name);
        }
    }
    // RE2 repeats up to 1,000 times and not more: `{2,1224}` is an error, whatever the value is.
    let files = terraform::module(&template, &given).unwrap();
    let text = &files.iter().find(|(name, _)| name == "variables.tf").unwrap().1;
    for counts in text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(counts, _)| counts) {
        assert!(counts.split(',').filter_map(|count| count.parse::<u64>().ok()).all(|count| count <= 1_000), "{{{counts}}}");
    }
    assert!(!text.contains("stack's own unique id"), "without a stack there is none");
    assert!(text.contains("length(var.external_id) <= 1224"), "what the repetition said is said in another way");
    // All that a policy depends on is a variable.
    for pack in template.packs() {
        assert!(module.variables.contains_key(&snake(&pack.parameter)), "{}", pack.parameter);
    }
}

#[test]
fn what_a_module_cannot_keep_secret_or_find_out_is_refused() {
    let template = Template::ours();
    for (name, value, why) in [
        ("AccessMethod", "AccessKey", "keeps the secret part"),
        ("ExistingExport", "costs", "cannot look for the bucket"),
        ("BucketNamespace", "AccountRegional", "create the bucket in it"),
    ] {
        let error = terraform::module(&template, &parameters(&[(name, value)])).unwrap_err();
        assert_eq!(error.code(), "UNSUPPORTED_HERE");
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(error.exit(), Exit::Refused);
    }
    // Between such characters a text would be an expression.
    let error = terraform::module(&template, &parameters(&[("VendorName", "\u{e000}1+1\u{e001}")])).unwrap_err();
    assert_eq!(error.code(), "PARAMETER_INVALID");
}

/// What the handler would do with a new account.
async fn steps(kind: &str, format: &str) -> Vec<Step> {
    let event = json!({
        "RequestType": "Create", "RequestId": "7bfe2d54", "LogicalResourceId": "BillingExport",
        "StackId": "arn:aws:cloudformation:eu-west-1:111122223333:stack/acme/5e0c1b70-c7a1-11f1-8000-0a1b2c3d4e5f",
        "ResponseURL": "https://example.com/", "ResourceType": "Custom::BillingExport",
        "ResourceProperties": { "Kind": kind, "Format": format, "NamePrefix": "hawser" },
    });
    let account: AccountFile = serde_json::from_value(json!({})).unwrap();
    let world = World::new(account);
    let ports = world.ports();
    let request = Request::parse(&event).unwrap();
    let Request::Billing(origin, BillingRequest::Ensure { export, .. }) = &request else { panic!("a Create") };
    let facts = observe(origin, export, None, &ports).await.unwrap();
    plan::plan(origin, export, &facts).unwrap().rounds.into_iter().flatten().collect()
}

#[tokio::test]
async fn the_bucket_is_set_up_as_the_handler_sets_it_up() {
    let module = Module::of(&BTreeMap::new(), &[("external_id", json!("x-1"))]);
    let one = |kind: &str| *module.made(kind).get("billing").unwrap_or_else(|| panic!("no {kind}"));
    let mut seen = 0;
    for step in steps("CostAndUsageReport", "Parquet").await {
        seen += 1;
        match step {
            Step::EnsureBucket { .. } => {
                let rule = module.at(one("aws_s3_bucket_ownership_controls"), "rule.object_ownership");
                assert_eq!(rule, "BucketOwnerEnforced");
                assert!(module.made("aws_s3_bucket").keys().eq(["kept"]), "BillingRetention is Retain");
            }
            Step::EnsurePublicAccessBlocked(_) => {
                for switch in ["block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"] {
                    assert_eq!(module.at(one("aws_s3_bucket_public_access_block"), switch), true, "{switch}");
                }
            }
            Step::EnsureEncryption(_) => {
                let path = "rule.apply_server_side_encryption_by_default.sse_algorithm";
                assert_eq!(module.at(one("aws_s3_bucket_server_side_encryption_configuration"), path), "AES256");
            }
            Step::EnsureUploadsExpire(_) => {
                let path = "rule.abort_incomplete_multipart_upload.days_after_initiation";
                assert_eq!(module.at(one("aws_s3_bucket_lifecycle_configuration"), path), json!(plan::UPLOAD_DAYS_MAX));
            }
            Step::EnsureDeliveryAllowed { .. } => {
                let name = module.locals["new_bucket"].as_str().unwrap();
                assert!(name.starts_with("hawser-111122223333-"), "{name}");
                let (bucket, account) = (name.parse().unwrap(), ACCOUNT.parse().unwrap());
                let expected = policy::merge(None, &bucket, Partition::Aws, &account, &"us-east-1".parse().unwrap()).unwrap();
                let expected: Value = serde_json::from_str(&expected.unwrap()).unwrap();
                assert_eq!(module.document(one("aws_s3_bucket_policy"), "policy"), expected);
            }
            Step::EnsureReport { .. } => assert_eq!(module.made("aws_bcmdataexports_export").len(), 0),
            other => panic!("the module has nothing for {other:?}"),
        }
    }
    assert!(seen >= 6, "{seen}");
    // A bucket that is brought is not touched, and without billing data there is none.
    for given in [("existing_bucket", json!("costs")), ("billing_kind", json!("None"))] {
        let module = Module::of(&BTreeMap::new(), &[("external_id", json!("x-1")), given]);
        let kinds = module.body.blocks().filter(|block| block.identifier() == "resource").map(|block| block.labels()[0].as_str());
        for kind in kinds.filter(|kind| !kind.starts_with("aws_iam_")) {
            assert_eq!(module.made(kind).len(), 0, "{kind}");
        }
    }
}

#[tokio::test]
async fn the_report_is_the_one_that_the_handler_makes() {
    for format in ["Parquet", "Csv"] {
        let steps = steps("CostAndUsageReport", format).await;
        let report = steps.into_iter().find_map(|step| match step {
            Step::EnsureReport { report, .. } => Some(report),
            _ => None,
        });
        let report = report.unwrap();
        let module = Module::of(&BTreeMap::new(), &[("external_id", json!("x-1")), ("billing_format", json!(format))]);
        let made = module.made("aws_cur_report_definition")["billing"];
        for (name, expected) in [
            ("time_unit", json!(report.time_unit)),
            ("format", json!(report.format)),
            ("compression", json!(report.compression)),
            ("additional_schema_elements", json!(report.elements)),
            ("additional_artifacts", json!(report.artifacts)),
            ("report_versioning", json!(report.versioning)),
            ("refresh_closed_reports", json!(report.refresh_closed)),
            ("s3_region", json!("eu-west-1")),
        ] {
            assert_eq!(module.at(made, name), expected, "{format}: {name}");
        }
        assert_eq!(attribute(made.body(), "provider").map(ToString::to_string).as_deref(), Some("aws.billing"));
        // What the pack may read is where it is delivered.
        let (prefix, name) = (module.at(made, "s3_prefix"), module.at(made, "report_name"));
        let keys = format!("{}/{}/*", prefix.as_str().unwrap(), name.as_str().unwrap());
        assert_eq!(module.locals["readable_keys"], json!(keys));
        let bucket = module.locals["new_bucket"].as_str().unwrap();
        assert_eq!(module.locals["readable_objects_arn"], json!(format!("arn:aws:s3:::{bucket}/{keys}")));
    }
}

#[tokio::test]
async fn the_export_is_the_one_that_the_handler_makes_with_the_columns_to_rely_on() {
    for (kind, format) in [("CostAndUsageReport2", "Parquet"), ("Focus", "Csv")] {
        let steps = steps(kind, format).await;
        let export = steps.into_iter().find_map(|step| match step {
            Step::EnsureExport { export, .. } => Some(export),
            _ => None,
        });
        let export = export.unwrap();
        let given = [("external_id", json!("x-1")), ("billing_kind", json!(kind)), ("billing_format", json!(format))];
        let module = Module::of(&BTreeMap::new(), &given);
        assert_eq!(module.made("aws_cur_report_definition").len(), 0);
        let made = module.made("aws_bcmdataexports_export")["billing"];
        let output = "export.destination_configurations.s3_destination.s3_output_configurations";
        for (name, expected) in [
            ("overwrite", &export.overwrite),
            ("output_type", &export.output_type),
            ("format", &export.format),
            ("compression", &export.compression),
        ] {
            assert_eq!(module.at(made, &format!("{output}.{name}")), json!(expected), "{kind}: {name}");
        }
        let asked = query::read(module.at(made, "export.data_query.query_statement").as_str().unwrap()).unwrap();
        let all = query::read(&export.query).unwrap();
        assert_eq!(asked.table, all.table, "{kind}: the newest table");
        let columns: BTreeSet<String> = asked.columns.unwrap().into_iter().collect();
        let guaranteed = query::guaranteed_columns(query::kind_of(&asked.table).unwrap());
        assert_eq!(columns, guaranteed.iter().map(|column| (*column).to_owned()).collect());
        assert!(columns.is_subset(&all.columns.unwrap().into_iter().collect()), "{kind}");
        let configured = module.at(made, "export.data_query.table_configurations");
        // What AWS gives back: the provider fails where a property of it is not there (hashicorp/terraform-provider-aws#48807).
        let mut chosen = export.tables[&asked.table].clone();
        // Its columns are none that a vendor can rely on.
        chosen.remove("INCLUDE_CAPACITY_RESERVATION_DATA");
        let table = Dictionary::default().table(&asked.table).unwrap();
        assert_eq!(configured[&asked.table], json!(table.configured(ACCOUNT, &chosen).unwrap()), "{kind}");
    }
}

#[test]
fn outputs_say_where_the_data_is() {
    let module = Module::of(&BTreeMap::new(), &[("external_id", json!("x-1"))]);
    let output = |name: &str| {
        let block = module.body.blocks().find(|block| block.identifier() == "output" && block.labels()[0].as_str() == name);
        module.at(block.unwrap(), "value")
    };
    assert_eq!(output("bucket"), module.locals["bucket_name"]);
    assert_eq!(format!("{}/*", output("prefix").as_str().unwrap()), module.locals["readable_keys"].as_str().unwrap());
    assert_eq!(output("external_id"), "x-1");
    // With the name of a bucket, the pack names it as the other ways do.
    for prefix in ["a/b", "a/b/", "a/b///", "/a", "hourly*", "", "a*/"] {
        let location = BillingLocation::new("costs", prefix, None).unwrap();
        let context = setup::context(&Template::ours(), &BTreeMap::new(), &target(), Some(&location));
        let given = [("external_id", json!("x-1")), ("existing_bucket", json!("costs")), ("existing_prefix", json!(prefix))];
        let module = Module::of(&BTreeMap::new(), &given);
        for ((_, attribute), value) in context.attributes.iter().filter(|((resource, _), _)| resource == "BillingExport") {
            assert_eq!(module.locals[&snake(attribute)], json!(value), "{attribute} of `{prefix}`");
        }
        // What can be no prefix is none for Terraform either.
        for (prefix, is_valid) in [(prefix, true), ("s3://costs/a", false), ("arn:aws:s3:::costs/a", false), ("/", false)] {
            let given = [("external_id", json!("x-1")), ("existing_prefix", json!(prefix))];
            let module = Module::of(&BTreeMap::new(), &given);
            let of_prefix = |block: &&Block| block.identifier() == "variable" && block.labels()[0].as_str() == "existing_prefix";
            let variable = module.body.blocks().find(of_prefix).unwrap();
            let conditions = variable.body().blocks().map(|one| module.value(attribute(one.body(), "condition").unwrap()));
            assert_eq!(conditions.into_iter().all(|holds| holds == json!(true)), is_valid, "{prefix}");
        }
    }
}

/// A property that a table has not is refused by AWS.
#[test]
fn focus_1_0_has_no_time_granularity() {
    for (table, expected) in [("FOCUS_1_2_AWS", json!({ "TIME_GRANULARITY": "HOURLY" })), ("FOCUS_1_0_AWS", json!({}))] {
        let given = [("external_id", json!("x-1")), ("billing_kind", json!("Focus")), ("focus_table", json!(table))];
        assert_eq!(Module::of(&BTreeMap::new(), &given).locals["table_properties"], expected, "{table}");
    }
}

/// F-57: two connections of one account share no name, nor do two kinds, formats or attempts share a folder.
#[test]
fn names_carry_the_connection() {
    let names = |given: &[(&str, Value)]| {
        let given = [&[("external_id", json!("x-1")), ("vendor_account_id", json!("999988887777"))], given].concat();
        let module = Module::of(&BTreeMap::new(), &given);
        let mut names: Vec<String> = vec![module.at(module.made("aws_iam_role")["vendor"], "name").as_str().unwrap().to_owned()];
        names.extend(module.made("aws_iam_policy").values().map(|one| module.at(one, "name").as_str().unwrap().to_owned()));
        let mut place: Vec<String> =
            ["new_bucket", "report_name"].map(|name| module.locals[name].as_str().unwrap().to_owned()).into();
        assert!(place[0].len() <= 63 && !place[0].contains(|c: char| c.is_uppercase()), "{place:?}");
        assert_eq!(module.locals["report_prefix"], "hawser/20261128101112", "a report that is made again writes elsewhere");
        names.append(&mut place);
        names
    };
    let one = names(&[]);
    assert!(one.iter().any(|name| name == "hawser-999988887777"), "{one:?}");
    for other in [("vendor_account_id", json!("888877776666")), ("name", json!("Acme-for-the-second-time-in-this-account"))] {
        let other = names(&[other, ("name_prefix", json!("hawser"))]);
        let longest = names(&[("name_prefix", json!("a".repeat(30))), ("name", json!("acme"))]);
        for name in &one {
            assert!(!other.contains(name) && !longest.contains(name), "{name}: {other:?}");
        }
    }
    let reports: Vec<String> = [
        ("billing_kind", json!("CostAndUsageReport2")),
        ("billing_kind", json!("Focus")),
        ("billing_format", json!("Csv")),
        ("split_cost_allocation", json!(false)),
        ("name_prefix", json!("hawser")),
    ]
    .map(|given| names(&[given]).pop().unwrap())
    .into();
    assert_eq!(reports.iter().collect::<BTreeSet<_>>().len(), reports.len(), "{reports:?}");
    assert_eq!(reports.last(), one.last());
}

/// F-56: a plan that would remove a bucket with data is refused before its guards are gone; the way out keeps them.
#[test]
fn the_kept_bucket_keeps_its_guards() {
    let given = |retention: &str| [("external_id", json!("x-1")), ("billing_retention", json!(retention))];
    let kept = Module::of(&BTreeMap::new(), &given("Retain"));
    let bucket = kept.made("aws_s3_bucket");
    let lifecycle = bucket["kept"].body().blocks().find(|block| block.identifier() == "lifecycle").unwrap();
    assert_eq!(kept.at(lifecycle, "prevent_destroy"), true);
    assert!(attribute(bucket["kept"].body(), "force_destroy").is_none());
    let readme = &terraform::module(&Template::ours(), &BTreeMap::new()).unwrap()[5].1;
    let forgotten: BTreeSet<&str> = readme
        .split("terraform state rm")
        .nth(1)
        .and_then(|rest| rest.split("terraform destroy").next())
        .unwrap()
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("module.vendor."))
        .collect();
    let blocks = kept.body.blocks().filter(|block| block.identifier() == "resource");
    let all: BTreeSet<String> = blocks
        .map(|block| format!("{}.{}", block.labels()[0].as_str(), block.labels()[1].as_str()))
        .filter(|name| name.starts_with("aws_s3_") && name != "aws_s3_bucket.billing")
        .collect();
    assert_eq!(forgotten, all.iter().map(String::as_str).collect());

    let removed = Module::of(&BTreeMap::new(), &given("Delete"));
    let bucket = removed.made("aws_s3_bucket");
    assert!(bucket.keys().eq(["billing"]));
    assert_eq!(removed.at(bucket["billing"], "force_destroy"), true);
}

#[test]
fn the_example_is_a_root_module_that_asks_for_what_is_missing() {
    let example = |given: &[(&str, &str)]| {
        let files = terraform::module(&Template::ours(), &parameters(given)).unwrap();
        let (name, text) = files.last().unwrap().clone();
        assert_eq!(name, "example/main.tf");
        (hcl::parse(&text).unwrap(), Module::of(&parameters(given), &[]))
    };
    for given in [&[][..], &VENDOR, &[("VendorName", "Acme"), ("VendorAccountId", "999988887777")]] {
        let (body, module) = example(given);
        let block = |name: &'static str| body.blocks().filter(move |block| block.identifier() == name);
        let call = block("module").next().unwrap().body();
        assert_eq!(attribute(call, "source").unwrap().to_string(), "\"../\"");
        let aliases: Vec<String> =
            block("provider").filter_map(|one| attribute(one.body(), "alias")).map(ToString::to_string).collect();
        assert_eq!((block("provider").count(), aliases), (2, vec!["\"billing\"".to_owned()]));
        let open: BTreeSet<&str> =
            module.variables.iter().filter(|(_, value)| value.is_null()).map(|(name, _)| name.as_str()).collect();
        let asked: BTreeSet<&str> =
            block("variable").map(|one| one.labels()[0].as_str()).filter(|name| *name != "billing_region").collect();
        assert_eq!(asked, open);
        let passed: BTreeSet<&str> =
            call.attributes().map(|one| one.key()).filter(|name| !["source", "providers"].contains(name)).collect();
        assert_eq!(passed, open);
        let outputs: BTreeSet<&str> = block("output").map(|one| one.labels()[0].as_str()).collect();
        let of_module = module.body.blocks().filter(|one| one.identifier() == "output").map(|one| one.labels()[0].as_str());
        assert_eq!(outputs, of_module.collect());
    }
}
