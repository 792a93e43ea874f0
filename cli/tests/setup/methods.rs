//! Every way to connect grants what the template grants, within AWS's limits, or says why not (HW-P4).

use std::collections::BTreeMap;

use hawser::names::Region;
use hawser_cli::{
    error::{CommandError, Exit},
    profile::Profile,
    setup::{
        self, BillingLocation, SetupTarget, json, link,
        policies::{self, MANAGED_POLICIES_MAX, MANAGED_POLICY_CHARACTERS_MAX, ROLE_INLINE_CHARACTERS_MAX},
        script, trust,
    },
    template::{INLINE_BYTES_MAX, Mode, Parameter, Resolved, Template},
};
use serde_json::{Value, json};

use crate::{VENDOR, parameters, support::template_of};

fn target(region: &str) -> SetupTarget {
    SetupTarget::new(&"111122223333".parse().unwrap(), &region.parse().unwrap(), "hawser").unwrap()
}

/// Every pack that there is in the highest mode.
fn everything(template: &Template) -> BTreeMap<String, String> {
    let mut all = parameters(&VENDOR);
    for pack in template.packs() {
        all.insert(pack.parameter, pack.modes.iter().max().unwrap().as_str().to_owned());
    }
    all
}

fn link_of(url: &str, region: &str, given: &BTreeMap<String, String>) -> Result<link::Link, CommandError> {
    link::link(&Template::ours(), url, &region.parse::<Region>().unwrap(), "hawser", given)
}

const PUBLISHED: &str = "https://acme-eu-west-1.s3.eu-west-1.amazonaws.com/v1/template.yaml";

#[test]
fn a_launch_link_carries_every_character() {
    let template = Template::ours();
    let odd = "https://vendor.example/notice?a=b&c=d%20e+f";
    let token = "whsec_c2VjcmV0LXRoYXQtbXVzdC1uZXZlci1iZS1zZWVuLTEyMw==";
    let given = parameters(&[
        ("NoticeUrl", odd),
        ("LaunchToken", token),
        ("VendorName", "A & B, Inc."),
        ("Regions", "eu-west-1,us-east-1"),
    ]);
    let link = link_of(PUBLISHED, "eu-west-1", &given).unwrap();
    let (before, fragment) = link.url.split_once('#').unwrap();
    assert_eq!(before, "https://eu-west-1.console.aws.amazon.com/cloudformation/home?region=eu-west-1");
    let query = fragment.strip_prefix("/stacks/create/review?").unwrap();
    let pairs: BTreeMap<String, String> =
        url::form_urlencoded::parse(query.replace('+', "%2B").as_bytes()).into_owned().collect();
    assert!(!query.contains('+'), "a plus would be read as a space by some and as itself by others");
    assert_eq!(pairs["templateURL"], PUBLISHED);
    assert_eq!(pairs["stackName"], "hawser");
    for (name, value) in &given {
        assert_eq!(&pairs[&format!("param_{name}")], value);
    }
    assert_eq!(pairs.len(), given.len() + 2);
    let needed = |parameter: &Parameter| parameter.default.is_none() || parameter.name == "ExternalId";
    let without_default = template.parameters().into_iter().filter(needed);
    let open: Vec<String> = without_default.map(|parameter| parameter.name).filter(|name| !given.contains_key(name)).collect();
    assert_eq!(link.to_fill_in, open);
}

#[test]
fn a_launch_link_leads_to_the_console_of_its_partition() {
    for (region, suffix, host) in [
        ("us-east-1", "amazonaws.com", "console.aws.amazon.com"),
        ("cn-north-1", "amazonaws.com.cn", "console.amazonaws.cn"),
        ("us-gov-west-1", "amazonaws.com", "console.amazonaws-us-gov.com"),
        ("eusc-de-east-1", "amazonaws.eu", "console.amazonaws-eusc.eu"),
    ] {
        let template = format!("https://acme.s3.{region}.{suffix}/template.yaml");
        let link = link_of(&template, region, &BTreeMap::new()).unwrap();
        assert!(link.url.starts_with(&format!("https://{region}.{host}/cloudformation/home?region={region}#")), "{}", link.url);
    }
}

#[test]
fn a_launch_link_that_would_not_work_is_refused() {
    let none = BTreeMap::new();
    for url in [
        "template.yaml",
        "http://acme.s3.amazonaws.com/t",
        "https://vendor.example/template.yaml",
        "https://acme.s3-website-eu-west-1.amazonaws.com/t",
        "https://s3.amazonaws.com.evil.example/t",
        "https://u:p@acme.s3.amazonaws.com/t",
        "https://acme.s3.amazonaws.com/",
        "https://acme.s3.cn-north-1.amazonaws.com.cn/t",
    ] {
        assert_eq!(link_of(url, "eu-west-1", &none).unwrap_err().code(), "LINK_TEMPLATE_URL", "{url}");
    }
    for url in ["https://s3.amazonaws.com/acme/t", "https://s3-eu-west-1.amazonaws.com/acme/t", "https://acme.s3.amazonaws.com/t"]
    {
        link_of(url, "eu-west-1", &none).unwrap();
    }
    let region: Region = "eu-west-1".parse().unwrap();
    for name in ["", "1st", "a_b", &"a".repeat(129)] {
        let error = link::link(&Template::ours(), PUBLISHED, &region, name, &none).unwrap_err();
        assert_eq!(error.code(), "LINK_STACK_NAME", "{name}");
    }
    assert_eq!(link_of(PUBLISHED, "eu-west-1", &parameters(&[("Pack", "x")])).unwrap_err().code(), "PARAMETER_UNKNOWN");
    // Each allowed by the template, all of them more than a link takes.
    let long = format!("https://vendor.example/{}", "%20".repeat(330));
    let long = parameters(&[("NoticeUrl", &long), ("ExternalId", &"/".repeat(1_224))]);
    assert_eq!(link_of(PUBLISHED, "eu-west-1", &long).unwrap_err().code(), "LINK_TOO_LONG");
    let hidden = template_of("Parameters: { Token: { Type: String, NoEcho: true } }\nResources: { R: { Type: T } }");
    let error = link::link(&hidden, PUBLISHED, &region, "hawser", &parameters(&[("Token", "s3cret")])).unwrap_err();
    assert_eq!(error.code(), "LINK_PARAMETER_HIDDEN");
    assert!(!error.to_string().contains("s3cret"));
    link::link(&hidden, PUBLISHED, &region, "hawser", &none).unwrap();
}

#[test]
fn trust_is_the_vendors_account_with_the_external_id() {
    // F-39.
    let template = Template::ours();
    let policy = trust::trust_policy(&template, &parameters(&VENDOR), &target("cn-north-1")).unwrap();
    let statement = &policy["Statement"][0];
    assert_eq!(policy["Statement"].as_array().unwrap().len(), 1);
    assert_eq!(statement["Principal"], json!({ "AWS": "arn:aws-cn:iam::999988887777:root" }));
    let expected = json!({ "aws:PrincipalAccount": "999988887777", "sts:ExternalId": "customer-4711" });
    assert_eq!(statement["Condition"], json!({ "StringEquals": expected }));
    let one = parameters(&[VENDOR[0], VENDOR[1], ("VendorPrincipalArn", "arn:aws:iam::999988887777:role/collector")]);
    let policy = trust::trust_policy(&template, &one, &target("us-east-1")).unwrap();
    assert_eq!(policy["Statement"][0]["Principal"], json!({ "AWS": "arn:aws:iam::999988887777:role/collector" }));
    for empty in [parameters(&VENDOR[..1]), parameters(&[VENDOR[0], ("ExternalId", "")])] {
        let error = trust::trust_policy(&template, &empty, &target("us-east-1")).unwrap_err();
        assert_eq!(error.code(), "EXTERNAL_ID_EMPTY");
        assert_eq!(error.exit(), Exit::Refused);
    }
    let error = trust::trust_policy(&template, &parameters(&VENDOR[1..]), &target("us-east-1")).unwrap_err();
    assert_eq!(error.code(), "PARAMETER_MISSING");
}

#[test]
fn without_a_bucket_the_billing_pack_names_one_that_nobody_has_and_with_it_no_other() {
    let template = Template::ours();
    let only = parameters(&[("PackBilling", "ReadOnly"), ("PackSecurityAudit", "None")]);
    let resources = |billing: Option<&BillingLocation>| {
        let grants = policies::grants(&template, &only, &target("eu-west-1"), billing).unwrap();
        json::compact(&grants.packs[0].document)
    };
    let none = resources(None);
    assert!(none.contains("arn:aws:s3:::hawser-111122223333-none/hawser/*") && none.contains(":key/none"), "{none}");
    let key = "arn:aws:kms:eu-west-1:111122223333:key/1";
    let with = resources(Some(&BillingLocation::new("costs", "exports/hourly*//", Some(key)).unwrap()));
    assert!(with.contains("arn:aws:s3:::costs/exports/hourly${*}/*") && with.contains(key) && !with.contains("none"), "{with}");
    // Keys may begin with a slash: those of a report without a prefix do.
    let with = resources(Some(&BillingLocation::new("costs", "/exports", None).unwrap()));
    assert!(with.contains("arn:aws:s3:::costs//exports/*"), "{with}");
    for (bucket, prefix, key) in [
        ("costs", "/", None),
        ("a", "", None),
        ("a\"b", "", None),
        ("costs", "a\"", None),
        ("costs", "${x}", None),
        ("costs", "", Some("alias/x")),
    ] {
        assert_eq!(BillingLocation::new(bucket, prefix, key).unwrap_err().code(), "BUCKET_INVALID", "{bucket} {prefix}");
    }
}

#[test]
fn packs_combine_into_few_documents_and_nothing_is_lost() {
    let template = Template::ours();
    let grants = policies::grants(&template, &everything(&template), &target("eu-west-1"), None).unwrap();
    let statements = |document: &Value| document["Statement"].as_array().unwrap().clone();
    let without_sid = |mut statement: Value| {
        statement.as_object_mut().unwrap().remove("Sid");
        statement.to_string()
    };
    let mut apart: Vec<String> = grants.packs.iter().flat_map(|pack| statements(&pack.document)).map(without_sid).collect();
    apart.sort();
    for max in [MANAGED_POLICY_CHARACTERS_MAX, ROLE_INLINE_CHARACTERS_MAX] {
        let documents = policies::combine(&grants.packs, max).unwrap();
        let mut sids = Vec::new();
        let mut together = Vec::new();
        for document in &documents {
            assert!(policies::characters(document) <= max);
            sids.extend(statements(document).iter().map(|statement| statement["Sid"].as_str().unwrap().to_owned()));
            together.extend(statements(document).into_iter().map(without_sid));
        }
        together.sort();
        assert_eq!(together, apart, "{max}");
        let count = sids.len();
        sids.sort();
        sids.dedup();
        assert_eq!(sids.len(), count, "ids are unique");
        let all: usize = documents.iter().map(policies::characters).sum();
        assert!(documents.len() <= all.div_ceil(max) + 1, "{} documents for {all} characters", documents.len());
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let template = Template::ours();
    let grants = policies::grants(&template, &everything(&template), &target("eu-west-1"), None).unwrap();
    assert_eq!(policies::inline(&grants.packs).unwrap_err().code(), "POLICY_TOO_LARGE");
    let statement = grants.packs[0].document["Statement"][0].clone();
    let least = policies::characters(&json!({ "Version": "2012-10-17", "Statement": [statement] }));
    assert_eq!(policies::combine(&grants.packs, least / 4).unwrap_err().code(), "POLICY_TOO_LARGE");
    let error = policies::check_count(&grants.packs, MANAGED_POLICIES_MAX).unwrap_err();
    assert_eq!(error.code(), "MANAGED_POLICIES_LIMIT");
    assert!(error.to_string().contains("--managed-policies-quota"), "{error}");
    // AWS's own policy counts.
    assert_eq!(policies::check_count(&grants.packs, 20).unwrap(), grants.packs.len() + 1);
    let nothing = parameters(&[("PackBilling", "None"), ("PackSecurityAudit", "None")]);
    assert_eq!(policies::grants(&template, &nothing, &target("eu-west-1"), None).unwrap_err().code(), "NO_PACKS");
    for name in ["", "1a", "a b", &"a".repeat(41)] {
        let error = SetupTarget::new(&"111122223333".parse().unwrap(), &"eu-west-1".parse().unwrap(), name).unwrap_err();
        assert_eq!(error.code(), "NAME_INVALID", "{name}");
    }
    let big = format!(
        "Parameters: {{ PackX: {{ Type: String, Default: ReadOnly, AllowedValues: [None, ReadOnly] }} }}\n\
         Conditions: {{ PackX: !Not [!Equals [!Ref PackX, None]] }}\n\
         Resources: {{ PackXPolicy: {{ Type: 'AWS::IAM::ManagedPolicy', Condition: PackX, Metadata: {{ Pack: {{ Name: x }} }}, \
         Properties: {{ PolicyDocument: {{ Statement: [{{ Sid: S, Action: '{}' }}] }} }} }} }}",
        "x".repeat(MANAGED_POLICY_CHARACTERS_MAX)
    );
    let error = policies::grants(&template_of(&big), &BTreeMap::new(), &target("eu-west-1"), None).unwrap_err();
    assert_eq!(error.code(), "POLICY_TOO_LARGE");
}

/// The documents that the script holds, by the name of the policy.
fn documents_of(script: &str) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for part in script.split("\n  policy '").skip(1) {
        let name = part.split('\'').next().unwrap().to_owned();
        let (_, rest) = part.split_once("<<'JSON'\n").unwrap();
        let (document, _) = rest.split_once("\nJSON").unwrap();
        found.insert(name, serde_json::from_str(document).unwrap());
    }
    found
}

#[test]
fn the_script_makes_the_policies_of_the_template() {
    let template = Template::ours();
    for (with, method) in [("", "role"), ("ExistingRoleName", "existing role"), ("AccessMethod", "user")] {
        let mut given = everything(&template);
        match with {
            "ExistingRoleName" => drop(given.insert(with.to_owned(), "their-role".to_owned())),
            "AccessMethod" => drop(given.insert(with.to_owned(), "AccessKey".to_owned())),
            _ => {}
        }
        let grants = policies::grants(&template, &given, &target("eu-west-1"), None).unwrap();
        let script = script::script(&template, &given, &target("eu-west-1"), None, 20).unwrap();
        let mut documents = documents_of(&script);
        for pack in &grants.packs {
            assert_eq!(documents.remove(&pack.name).unwrap(), pack.document, "{method}: {}", pack.name);
        }
        for policy in grants.boundaries.iter().chain(&grants.read_access_key) {
            assert_eq!(documents.remove(&policy.name).unwrap(), policy.document, "{method}: {}", policy.name);
        }
        assert!(documents.is_empty(), "{method}: {documents:?}");
        assert_eq!(grants.read_access_key.is_some(), method == "user");
        assert_eq!(
            script::script(&template, &given, &target("eu-west-1"), None, 10).unwrap_err().code(),
            "MANAGED_POLICIES_LIMIT"
        );
    }
    // Whatever a value holds, it is one word of the shell.
    let odd = parameters(&[VENDOR[0], ("ExternalId", "customer/4711@a:b"), ("VendorName", "Acme, Inc. & Sons")]);
    let script = script::script(&template, &odd, &target("eu-west-1"), None, 10).unwrap();
    assert!(script.contains("\nEXTERNAL_ID='customer/4711@a:b'\n"));
    let error = script::script(&template, &parameters(&VENDOR[..1]), &target("eu-west-1"), None, 10).unwrap_err();
    assert_eq!(error.code(), "EXTERNAL_ID_EMPTY");
}

/// HW-S2, F-10: what is sent in a request is the stack that the whole template would make.
/// An empty external id would make the vendor's role one that any customer of the vendor can have used, so a stack is made with it only
/// where the customer says so.
#[test]
fn the_external_id_is_the_vendors_unless_the_customer_chooses_the_stacks() {
    let template = Template::ours();
    let guid = "5e0c1b70-2f6a-11f0-8a5b-0e8f8f1f8f1f";
    let external_id = |external_id: Option<&str>, source: Option<&str>| {
        let mut given = parameters(&[
            ("VendorName", "Acme"),
            ("VendorAccountId", "999988887777"),
            ("NoticeUrl", "https://vendor.example/notices"),
            ("LaunchToken", "whsec_c2VjcmV0LXRoYXQtbXVzdC1uZXZlci1iZS1zZWVuLTEyMw=="),
        ]);
        given.extend(external_id.map(|value| ("ExternalId".to_owned(), value.to_owned())));
        given.extend(source.map(|value| ("ExternalIdSource".to_owned(), value.to_owned())));
        // A link is made of what is known: the customer's own may come later.
        let link = link_of(PUBLISHED, "eu-west-1", &given).map(|link| link.to_fill_in).map_err(|error| error.code());
        let stack = format!("arn:aws:cloudformation:eu-west-1:111122223333:stack/hawser/{guid}");
        let mut context = setup::context(&template, &given, &target("eu-west-1"), None);
        (context.partial, context.stack_id) = (false, stack);
        let resolved = template.resolve(&context).map_err(|error| error.code());
        let condition = |resolved: Resolved| {
            let trust = &resolved.resources()["VendorRole"]["Properties"]["AssumeRolePolicyDocument"];
            let demanded = trust["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"].clone();
            assert_eq!(resolved.resources()["Connection"]["Properties"]["ExternalId"], demanded);
            assert_eq!(resolved.outputs()["ExternalId"]["Value"], demanded);
            demanded
        };
        (link, resolved.map(condition))
    };
    let (none, to_fill_in) = (Ok(vec![]), Ok(vec!["ExternalId".to_owned()]));
    for (given, source, link, role) in [
        (None, None, &to_fill_in, Err("RULE_FAILED")),
        (None, Some("Vendor"), &to_fill_in, Err("RULE_FAILED")),
        (Some(""), None, &to_fill_in, Err("RULE_FAILED")),
        (Some("ext-1"), None, &none, Ok(json!("ext-1"))),
        (Some("ext-1"), Some("Vendor"), &none, Ok(json!("ext-1"))),
        (None, Some("Stack"), &none, Ok(json!(guid))),
        (Some(""), Some("Stack"), &none, Ok(json!(guid))),
        (Some("ext-1"), Some("Stack"), &Err("RULE_FAILED"), Err("RULE_FAILED")),
    ] {
        assert_eq!(external_id(given, source), (link.clone(), role), "{given:?} {source:?}");
    }
}

/// A vendor whose product assumes the role publishes nothing that could make a user or a key (AWS Foundational Technical Review, CAA-003).
#[test]
fn a_template_without_access_key_makes_the_same_stack_and_can_make_no_user() {
    let template = Template::ours();
    let without = template.without_access_key();
    let text = without.for_organization().unwrap().json().to_string();
    for name in
        ["AWS::IAM::User", "AWS::IAM::AccessKey", "AWS::SecretsManager::Secret", "VendorUser", "AccessMethod", "AccessKeySerial"]
    {
        assert!(!text.contains(&format!("\"{name}\"")), "{name} is left");
    }
    let given = parameters(&VENDOR);
    let with_key = parameters(&[VENDOR[0], VENDOR[1], ("AccessMethod", "AccessKey")]);
    let code = |template: &Template, given| template.check(given).map_err(|error| error.code());
    assert_eq!((code(&without, &given), code(&without, &with_key)), (Ok(()), Err("PARAMETER_UNKNOWN")));
    let context = setup::context(&template, &given, &target("eu-west-1"), None);
    let (whole, narrow) = (template.resolve(&context).unwrap(), without.resolve(&context).unwrap());
    assert_eq!((whole.resources(), whole.outputs()), (narrow.resources(), narrow.outputs()));
}

#[test]
fn the_inline_template_of_every_profile_fits_and_makes_the_same_stack() {
    let template = Template::ours();
    let profiles = Profile::all().into_iter().map(|profile| (profile.name, profile.parameters));
    for (name, parameters) in profiles.chain([("none".to_owned(), BTreeMap::new())]) {
        let small = template.without_disabled_packs(&parameters);
        let inline = small.inline();
        assert!(inline.len() < INLINE_BYTES_MAX, "{name}: {} bytes", inline.len());
        assert!(!inline.contains("\"Why\"") && !inline.contains(":null"), "{name}");
        let small = template_of(&inline);
        let kept = small.parameters();
        assert!(kept.iter().all(|parameter| parameter.name != "HostedZoneId"), "{name} has a parameter of a pack that is off");
        // Whatever else is chosen: nothing, keys, a role of the customer's, and the packs that are left in each mode.
        for more in
            [None, Some(("AccessMethod", "AccessKey")), Some(("ExistingRoleName", "theirs")), Some(("BillingKind", "Focus"))]
        {
            for mode in [Mode::ReadOnly, Mode::ReadWrite] {
                let mut given = parameters.clone();
                given.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
                if given.get("AccessMethod").is_some_and(|method| method == "AccessKey") {
                    given.remove("ExistingRoleName");
                }
                for pack in template.packs() {
                    if kept.iter().any(|parameter| parameter.name == pack.parameter) && pack.modes.contains(&mode) {
                        given.insert(pack.parameter, mode.as_str().to_owned());
                    }
                }
                let context = setup::context(&template, &given, &target("eu-west-1"), None);
                let whole = template.resolve(&context).unwrap();
                let mut narrow = context.clone();
                narrow.parameters.retain(|name, _| kept.iter().any(|parameter| parameter.name == *name));
                let narrow = small.resolve(&narrow).unwrap();
                let bare = |resources: &serde_json::Map<String, Value>| {
                    let mut resources = resources.clone();
                    for resource in resources.values_mut() {
                        resource.as_object_mut().unwrap().remove("Metadata");
                    }
                    resources
                };
                assert_eq!(bare(whole.resources()), bare(narrow.resources()), "{name} {more:?} {mode:?}");
                assert_eq!(whole.outputs(), narrow.outputs(), "{name} {more:?} {mode:?}");
            }
        }
    }
}
