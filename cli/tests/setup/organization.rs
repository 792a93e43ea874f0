//! The template of an organization: what it holds that template.yaml does not, and that nothing gets lost.

use std::collections::{BTreeMap, BTreeSet};

use hawser_cli::template::{MEMBER_REGION, MEMBER_TEMPLATE_URL, MEMBERS, ResolveContext, Template};
use serde_json::{Value, json};

use crate::{TOKEN, support::template_of};

const URL: &str = "https://acme-hawser-eu-west-1.s3.eu-west-1.amazonaws.com/hawser/template.yaml";

fn context(changes: &[(&str, &str)]) -> ResolveContext {
    let given = [
        ("VendorName", "Acme"),
        ("VendorAccountId", "999988887777"),
        ("NoticeUrl", "https://acme.example/notices"),
        ("LaunchToken", TOKEN),
        ("ExternalId", "one-for-the-organization"),
        ("Regions", "eu-west-1,us-east-1"),
        ("PackEc2", "ReadWrite"),
        (MEMBER_TEMPLATE_URL, URL),
        ("OrganizationalUnitIds", "ou-abcd-11111111,ou-abcd-22222222"),
    ];
    crate::context(&[&given, changes].concat())
}

/// The properties of the StackSet that CloudFormation would make; nothing when there is none.
fn members(changes: &[(&str, &str)]) -> Option<Value> {
    let resolved = Template::ours().for_organization().unwrap().resolve(&context(changes)).unwrap();
    resolved.resources().get(MEMBERS).map(|resource| resource["Properties"].clone())
}

fn passed_on(properties: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = properties["Parameters"].as_array().unwrap();
    let by_name: BTreeMap<_, _> = all.iter().map(|one| (text(&one["ParameterKey"]), text(&one["ParameterValue"]))).collect();
    assert_eq!(by_name.len(), all.len(), "a parameter is passed on twice");
    by_name
}

/// HW-S2, F-10, F-11: the management account's own stack is wholly in it, beside the members' StackSet, and flat.
#[test]
fn the_management_account_has_its_own_stack() {
    let (ours, whole) = (Template::ours(), Template::ours().for_organization().unwrap());
    for section in ["Parameters", "Rules", "Conditions", "Resources", "Outputs"] {
        for (name, value) in ours.json()[section].as_object().unwrap() {
            assert_eq!(&whole.json()[section][name], value, "{section}.{name}");
        }
    }
    assert_eq!(whole.json()["Transform"], Value::Null);
    let added: Vec<&String> = whole.resource_names().iter().filter(|name| !ours.resource_names().contains(name)).collect();
    assert_eq!(added, [MEMBERS]);
    // What the console shows: every parameter once, each with a label.
    let parameters = whole.parameters();
    assert_eq!(parameters.len(), whole.json()["Parameters"].as_object().unwrap().len());
    for parameter in parameters {
        assert!(!parameter.label.is_empty() && !parameter.group.is_empty(), "{}", parameter.name);
    }
}

/// F-9: one Region, and one set of parameters for all.
#[test]
fn members_get_the_same_without_billing_data() {
    let properties = members(&[("BillingKind", "Focus"), ("RequestBackfill", "true"), ("ExistingExport", "mine")]).unwrap();
    assert_eq!(properties["PermissionModel"], "SERVICE_MANAGED");
    assert_eq!(properties["TemplateURL"], URL);
    assert_eq!(properties["StackSetName"], "acme-members");
    let groups = properties["StackInstancesGroup"].as_array().unwrap();
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0]["Regions"], json!(["eu-west-1"]));

    let parameters = passed_on(&properties);
    let names: BTreeSet<&str> = parameters.keys().map(String::as_str).collect();
    let ours = Template::ours();
    assert_eq!(names, ours.parameters().iter().map(|parameter| parameter.name.as_str()).collect());
    // CloudFormation takes them as they are.
    ours.resolve(&ResolveContext { parameters: parameters.clone(), ..context(&[]) }).unwrap();
    let expected = [
        ("BillingKind", "None"),
        ("RequestBackfill", "false"),
        ("ExistingExport", ""),
        ("PackEc2", "ReadWrite"),
        ("PackBilling", "ReadOnly"),
        ("ExternalId", "one-for-the-organization"),
        ("Regions", "eu-west-1,us-east-1"),
        ("AccessKeySerial", "1"),
    ];
    for (name, value) in expected {
        assert_eq!(parameters[name], value, "{name}");
    }
}

/// What the management account's own stack may be given breaks no rule of a member's.
#[test]
fn no_parameter_of_the_organization_keeps_a_member_from_its_stack() {
    let ours = Template::ours();
    for given in [
        &[("HostedZoneId", "Z0123456789ABC"), ("RecordName", "engine.example.com"), ("PackLoadBalancing", "ReadWrite")][..],
        &[("ExistingBucket", "theirs"), ("ExistingPrefix", "exports/costs")],
        &[("ExistingExport", "theirs")],
        &[("BillingKind", "CostAndUsageReport2"), ("IncludeIamPrincipalData", "true")],
        &[("AccessMethod", "AccessKey")],
        &[("ExternalId", ""), ("ExternalIdSource", "Stack")],
        &[("EngineRoleArn", "arn:aws:iam::111122223333:role/engine"), ("PackAnalyticsEngine", "ReadWrite")],
    ] {
        let parameters = passed_on(&members(given).unwrap());
        ours.resolve(&ResolveContext { parameters, ..context(&[]) }).unwrap_or_else(|error| panic!("{given:?}: {error}"));
    }
}

#[test]
fn which_accounts_is_said_as_stacksets_want_it() {
    let targets = |changes: &[(&str, &str)]| members(changes).unwrap()["StackInstancesGroup"][0]["DeploymentTargets"].clone();
    let units = json!(["ou-abcd-11111111", "ou-abcd-22222222"]);
    assert_eq!(targets(&[]), json!({"OrganizationalUnitIds": units}));
    for filter in ["DIFFERENCE", "INTERSECTION"] {
        let given = targets(&[("AccountFilterType", filter), ("AccountIds", "444455556666,777788889999")]);
        let accounts = json!(["444455556666", "777788889999"]);
        assert_eq!(given, json!({"OrganizationalUnitIds": units, "AccountFilterType": filter, "Accounts": accounts}));
    }
    assert_eq!(members(&[("OrganizationalUnitIds", "")]), None);
    assert_eq!(members(&[(MEMBER_REGION, "us-west-2")]).unwrap()["StackInstancesGroup"][0]["Regions"], json!(["us-west-2"]));
    // RetainStacksOnAccountRemoval may be given only with automatic deployment.
    assert_eq!(members(&[("AutoDeployment", "false")]).unwrap()["AutoDeployment"], json!({"Enabled": "false"}));
}

#[test]
fn what_does_not_go_together_is_refused() {
    let template = Template::ours().for_organization().unwrap();
    let refused = |changes: &[(&str, &str)]| template.resolve(&context(changes)).unwrap_err().to_string();
    for (changes, expected) in [
        (&[("AccountFilterType", "DIFFERENCE")][..], "FilterNeedsAccounts"),
        (&[("AccountIds", "444455556666")], "AccountsNeedFilter"),
        (
            &[("AccountFilterType", "DIFFERENCE"), ("AccountIds", "444455556666"), ("OrganizationalUnitIds", "")],
            "AccountsNeedFilter",
        ),
        (&[("AccountFilterType", "UNION")], "AccountFilterType"),
        (&[("OrganizationalUnitIds", "ou-abcd-11111111, r-abcd")], "OrganizationalUnitIds"),
        (&[("OrganizationalUnitIds", "111122223333")], "OrganizationalUnitIds"),
        (&[(MEMBER_REGION, "eu-west-1,us-east-1")], MEMBER_REGION),
        (&[(MEMBER_TEMPLATE_URL, "http://acme.s3.amazonaws.com/t")], MEMBER_TEMPLATE_URL),
    ] {
        assert!(refused(changes).contains(expected), "{changes:?}: {}", refused(changes));
    }
    for units in ["r-abcd", "ou-abcd-11111111,r-abcd"] {
        template.resolve(&context(&[("OrganizationalUnitIds", units)])).unwrap();
    }
}

#[test]
fn a_name_in_both_is_an_error() {
    let twice = "Resources: { MemberAccounts: { Type: AWS::S3::Bucket } }";
    let error = template_of(twice).for_organization().unwrap_err().to_string();
    assert!(error.contains("`MemberAccounts`"), "{error}");
}
