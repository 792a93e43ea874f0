//! A look before a launch, in memory: what is shown, what would fail, what cannot be known; and AWS's lists of permissions.

use std::collections::{BTreeMap, BTreeSet};

use hawser_account::{
    AccountFile,
    file::{OrganizationFile, ReportFile},
};
use hawser_cli::{
    connect::{
        Caller, ConnectRequest,
        iam::{Iam, Role, Verdict},
    },
    preflight::{
        BillSegment, Outcome, Report, check,
        needs::{ONLY_WITH, Phase, REGISTRY},
    },
    template::Template,
};
use hawser_sim::World;

use crate::{ACCOUNT, fake_iam::FakeIam, parameters};

struct Scene {
    world: World,
    iam: FakeIam,
    caller: Caller,
}

impl Scene {
    async fn new(account: AccountFile) -> Self {
        let iam = FakeIam::default();
        let quotas =
            [("Roles", 12), ("RolesQuota", 1000), ("Policies", 3), ("PoliciesQuota", 1500), ("AttachedPoliciesPerRoleQuota", 10)];
        iam.state().summary = quotas.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect();
        let admin = Role { name: "Admin".to_owned(), arn: format!("arn:aws:iam::{ACCOUNT}:role/sso/Admin"), ..Role::default() };
        iam.create_role(&admin).await.unwrap();
        iam.writes();
        let caller = Caller::read(&format!("arn:aws:sts::{ACCOUNT}:assumed-role/Admin/anna"), ACCOUNT).unwrap();
        Self { world: World::new(account), iam, caller }
    }

    fn inquiry(&self, changes: &[(&str, &str)]) -> ConnectRequest {
        ConnectRequest {
            template: Template::ours(),
            parameters: parameters(&[&[("PackSecurityAudit", "ReadOnly")], changes].concat()),
            caller: self.caller.clone(),
            region: "eu-west-1".parse().unwrap(),
            managed_policies_quota: None,
        }
    }

    async fn check(&self, changes: &[(&str, &str)]) -> Report {
        let before = self.world.account.state();
        let report = check(&self.inquiry(changes), "hawser", &self.world.ports(), &self.iam, &self.iam).await.unwrap();
        assert_eq!(self.iam.writes(), Vec::<&str>::new(), "it only reads");
        assert_eq!(self.world.account.state(), before, "it only reads");
        report
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_account_is_ready() {
    let scene = Scene::new(AccountFile::default()).await;
    let report = scene.check(&[]).await;
    assert_eq!(report.outcome, Outcome::Ready);
    insta::assert_snapshot!(report.to_string());
}

#[tokio::test(start_paused = true)]
async fn ten_reports_are_the_limit() {
    let reports = (0..10).map(|n| ReportFile { time_unit: "DAILY".to_owned(), ..ReportFile::hourly(&format!("r{n}"), "b") });
    let scene = Scene::new(AccountFile { reports: reports.collect(), ..AccountFile::default() }).await;
    let report = scene.check(&[]).await;
    assert_eq!(report.outcome, Outcome::WouldFail);
    assert!(report.failures[0].starts_with("BILLING_REPORT_LIMIT: "), "{:?}", report.failures);
    assert!(report.to_string().contains("  reports       10 of 10: `r0`, `r1`"), "{report}");
    assert_eq!(scene.check(&[("BillingKind", "None")]).await.outcome, Outcome::Ready);
}

/// F-5: a service control policy is named as one.
#[tokio::test(start_paused = true)]
async fn what_the_launcher_lacks_is_named_with_its_reason() {
    let scene = Scene::new(AccountFile::default()).await;
    scene.iam.state().missing_permissions = BTreeMap::from([
        ("iam:CreateRole".to_owned(), Verdict::DeniedByOrganization),
        ("iam:CreatePolicy".to_owned(), Verdict::OutsideOfBoundary),
        ("lambda:DeleteFunction".to_owned(), Verdict::NotAllowed),
        ("ec2:DescribeVpcs".to_owned(), Verdict::NotAllowed),
    ]);
    let report = scene.check(&[]).await;
    assert_eq!(report.outcome, Outcome::WouldFail);
    insta::assert_snapshot!(report.to_string());
    // What is lacking only for later is said, and fails nothing.
    scene.iam.state().missing_permissions =
        ["lambda:DeleteFunction", "lambda:UpdateFunctionCode"].map(|action| (action.to_owned(), Verdict::NotAllowed)).into();
    let report = scene.check(&[]).await;
    assert_eq!((report.outcome, report.lacks.len()), (Outcome::Ready, 2));
    assert!(
        report.to_string().contains("`lambda:UpdateFunctionCode` to change the stack: no policy of yours allows it"),
        "{report}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_denied_simulation_is_reported() {
    let mut scene = Scene::new(AccountFile::default()).await;
    scene.iam.deny("iam:SimulatePrincipalPolicy");
    scene.iam.deny("iam:GetAccountSummary");
    let report = scene.check(&[]).await;
    assert_eq!(report.outcome, Outcome::CouldNotLook, "nobody knows whether it would succeed");
    let unknown = report.unknown.join("\n");
    assert!(unknown.contains("which permissions you lack: `iam:SimulatePrincipalPolicy` was denied"), "{unknown}");
    assert!(unknown.contains("quotas of IAM: `iam:GetAccountSummary` was denied"), "{unknown}");
    scene.iam.deny("iam:GetRole");
    assert!(scene.check(&[]).await.unknown.join("\n").contains("your role's ARN could not be determined"));
    scene.iam.allow_all();
    scene.caller = Caller::read(&format!("arn:aws:iam::{ACCOUNT}:root"), ACCOUNT).unwrap();
    assert!(scene.check(&[]).await.unknown.join("\n").contains("the root user"));
    scene.caller = Caller::read(&format!("arn:aws:iam::{ACCOUNT}:user/anna"), ACCOUNT).unwrap();
    assert!(!scene.check(&[]).await.unknown.join("\n").contains("which permissions you lack"));
}

fn in_organization(management: &str) -> AccountFile {
    let organization = OrganizationFile::Member {
        id: "o-abcdefghij".to_owned(),
        management_account: Some(management.to_owned()),
        feature_set: "ALL".to_owned(),
    };
    AccountFile { organization, ..AccountFile::default() }
}

/// F-59: who may look at nothing is not told "ready".
#[tokio::test(start_paused = true)]
async fn what_decides_and_cannot_be_looked_at_is_a_verdict_of_its_own() {
    let mut scene = Scene::new(AccountFile::default()).await;
    for action in ["iam:SimulatePrincipalPolicy", "iam:GetRole", "cloudformation:DescribeStacks"] {
        scene.iam.deny(action);
        let report = scene.check(&[]).await;
        assert_eq!(report.outcome, Outcome::CouldNotLook, "{action}");
        assert!(report.to_string().ends_with("could not read what the result depends on, see \"not known\"\n"), "{report}");
        scene.iam.allow_all();
    }
    scene.iam.deny("iam:GetAccountSummary");
    assert_eq!(scene.check(&[]).await.outcome, Outcome::Ready, "quotas are seldom full");
    // Whether the role is there that ExistingRoleName names, a user's own is not.
    let sender =
        std::mem::replace(&mut scene.caller, Caller::read(&format!("arn:aws:iam::{ACCOUNT}:user/anna"), ACCOUNT).unwrap());
    scene.iam.deny("iam:GetRole");
    assert_eq!(scene.check(&[]).await.outcome, Outcome::Ready);
    assert_eq!(scene.check(&[("ExistingRoleName", "theirs")]).await.outcome, Outcome::CouldNotLook);
    scene.iam.allow_all();
    scene.caller = sender;
    let root = Caller::read(&format!("arn:aws:iam::{ACCOUNT}:root"), ACCOUNT).unwrap();
    scene.caller = root.clone();
    assert_eq!(scene.check(&[]).await.outcome, Outcome::Ready);
    let mut member = Scene::new(AccountFile { organization: OrganizationFile::Denied, ..AccountFile::default() }).await;
    member.caller = root;
    assert_eq!(member.check(&[]).await.outcome, Outcome::CouldNotLook, "an organization's policies bind its root too");
    // What would fail for certain goes before what is not known.
    member.iam.state().stacks.insert("hawser".to_owned(), "CREATE_COMPLETE".to_owned());
    assert_eq!(member.check(&[]).await.outcome, Outcome::WouldFail);
}

#[tokio::test(start_paused = true)]
async fn a_stack_of_the_name_would_fail_the_launch() {
    let scene = Scene::new(AccountFile::default()).await;
    for status in ["CREATE_COMPLETE", "ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"] {
        scene.iam.state().stacks.insert("hawser".to_owned(), status.to_owned());
        let report = scene.check(&[]).await;
        assert_eq!(report.outcome, Outcome::WouldFail);
        let said = format!("STACK_EXISTS: stack `hawser` exists in eu-west-1, with status {status}. ");
        assert!(report.failures[0].starts_with(&said), "{:?}", report.failures);
    }
    for name in ["bad name", "", "1st", "größe", &"a".repeat(129)] {
        let refused = check(&scene.inquiry(&[]), name, &scene.world.ports(), &scene.iam, &scene.iam).await.err().unwrap();
        assert_eq!(refused.code(), "STACK_NAME", "{name}");
    }
}

/// A roll-out is refused by CloudFormation only after minutes, and with it all that was made.
#[tokio::test(start_paused = true)]
async fn the_organization_of_a_roll_out_is_looked_at() {
    let unit = "ou-ab12-abcd1234";
    let parameters = [("OrganizationalUnitIds", unit), ("MemberTemplateUrl", "https://acme.s3.amazonaws.com/template.yaml")];
    let template = Template::ours().for_organization().unwrap();
    let look = async |scene: &Scene| {
        let inquiry = ConnectRequest { template: template.clone(), ..scene.inquiry(&parameters) };
        check(&inquiry, "hawser", &scene.world.ports(), &scene.iam, &scene.iam).await.unwrap()
    };
    let scene = Scene::new(in_organization(ACCOUNT)).await;
    let report = look(&scene).await;
    assert_eq!(report.failures.len(), 2, "{:?}", report.failures);
    assert!(report.failures[0].contains("ROLL_OUT_REFUSED: StackSets has no trusted access"), "{:?}", report.failures);
    assert!(report.failures[1].contains(&format!("no unit `{unit}`")), "{:?}", report.failures);
    scene.iam.state().stack_sets_trusted = true;
    scene.iam.state().units.push(unit.to_owned());
    let report = look(&scene).await;
    assert_eq!(report.outcome, Outcome::Ready, "{report}");
    assert!(report.to_string().contains("AWS::CloudFormation::StackSet: cloudformation:CreateStackInstances"), "{report}");
    scene.iam.deny("cloudformation:DescribeOrganizationsAccess");
    assert_eq!(look(&scene).await.outcome, Outcome::CouldNotLook);
    let report = look(&Scene::new(in_organization("999988887777")).await).await;
    assert!(report.failures[0].contains("launched in an organization's management account"), "{:?}", report.failures);
}

/// IAM's simulator counts the organization's policies with their conditions, or says nothing of them; either is told.
#[tokio::test(start_paused = true)]
async fn whether_the_organizations_policies_were_counted_is_reported() {
    let scene = Scene::new(in_organization("999988887777")).await;
    let not_counted = "IAM's simulator did not count them";
    assert!(scene.check(&[]).await.to_string().contains(not_counted));
    scene.iam.state().counts_organization = true;
    scene.iam.state().missing_context.push("aws:SourceVpc".to_owned());
    let said = scene.check(&[]).await.to_string();
    assert!(!said.contains(not_counted) && said.contains("its policies are counted in what you may do"), "{said}");
    assert!(said.contains("what policies decide by `aws:SourceVpc`"), "{said}");
}

/// The handler's role may what a person may not: a guess is no answer.
#[tokio::test(start_paused = true)]
async fn what_a_person_may_not_see_is_not_guessed() {
    let scene = Scene::new(AccountFile { organization: OrganizationFile::Denied, ..AccountFile::default() }).await;
    let report = scene.check(&[]).await;
    assert!(report.organization.starts_with("unknown: "), "{}", report.organization);
    assert!(report.unknown[0].contains("you may not call `organizations:DescribeOrganization`"), "{:?}", report.unknown);

    let scene = Scene::new(AccountFile { data_exports_denied: true, ..AccountFile::default() }).await;
    let report = scene.check(&[("BillingKind", "CostAndUsageReport2")]).await;
    assert_eq!(report.outcome, Outcome::CouldNotLook, "{report}");
    assert!(report.to_string().contains("not visible to you") && report.decision.is_none());
}

#[tokio::test(start_paused = true)]
async fn quotas_are_counted() {
    let scene = Scene::new(AccountFile::default()).await;
    scene.iam.state().summary.insert("Roles".to_owned(), 999);
    let report = scene.check(&[]).await;
    assert_eq!(report.outcome, Outcome::WouldFail);
    assert!(report.failures[0].contains("999 roles and 2 more exceed AWS's quota of 1000"), "{:?}", report.failures);
    scene.iam.state().summary.insert("Roles".to_owned(), 998);
    assert_eq!(scene.check(&[]).await.outcome, Outcome::Ready);
    let packs = ["Common", "Ebs", "Ec2", "Ecs", "Eks", "Lambda", "Rds", "S3"].map(|pack| (format!("Pack{pack}"), "ReadOnly"));
    let packs: Vec<(&str, &str)> = packs.iter().map(|(name, mode)| (name.as_str(), *mode)).collect();
    let report = scene.check(&packs).await;
    assert!(report.failures[0].contains("11 more exceed AWS's quota of 10"), "{:?}", report.failures);
    let more = ConnectRequest { managed_policies_quota: Some(20), ..scene.inquiry(&packs) };
    assert_eq!(check(&more, "hawser", &scene.world.ports(), &scene.iam, &scene.iam).await.unwrap().outcome, Outcome::Ready);
}

#[tokio::test(start_paused = true)]
async fn an_existing_role_must_exist() {
    let scene = Scene::new(AccountFile::default()).await;
    let report = scene.check(&[("ExistingRoleName", "theirs")]).await;
    assert!(report.failures[0].contains("no role `theirs`"), "{:?}", report.failures);
    assert_eq!(scene.check(&[("ExistingRoleName", "Admin")]).await.outcome, Outcome::Ready);
    let unknown = check(&scene.inquiry(&[("PackEc3", "ReadOnly")]), "hawser", &scene.world.ports(), &scene.iam, &scene.iam)
        .await
        .err()
        .unwrap();
    assert_eq!(unknown.code(), "PARAMETER_UNKNOWN");
}

#[tokio::test(start_paused = true)]
async fn only_what_the_parameters_call_for_is_needed() {
    let scene = Scene::new(AccountFile::default()).await;
    let launch = |report: &Report| -> BTreeSet<String> {
        report.needs.iter().filter_map(|need| need.actions.get(&Phase::Launch)).flatten().cloned().collect()
    };
    let plain = launch(&scene.check(&[]).await);
    for needed in
        ["cloudformation:CreateStack", "iam:PassRole", "lambda:InvokeFunction", "logs:PutRetentionPolicy", "events:PutRule"]
    {
        assert!(plain.contains(needed), "{needed}: {plain:?}");
    }
    for other in
        ["ec2:DescribeVpcs", "kms:Decrypt", "iam:CreateUser", "iam:AttachGroupPolicy", "iam:TagRole", "s3:REST.PUT.OBJECT"]
    {
        assert!(!plain.contains(other), "{other}: {plain:?}");
    }
    let keys = launch(&scene.check(&[("AccessMethod", "AccessKey")]).await);
    for needed in ["iam:CreateUser", "iam:CreateAccessKey", "secretsmanager:CreateSecret", "iam:AttachUserPolicy"] {
        assert!(keys.contains(needed), "{needed}: {keys:?}");
    }
    let none = launch(&scene.check(&[("BillingKind", "None")]).await);
    assert!(none.contains("events:PutRule"), "every stack says that it is there");

    // What a request is about, as policies that are narrow by name, path, boundary or service see it.
    let report = scene.check(&[("RolePath", "/team/"), ("PermissionsBoundaryArn", "arn:aws:iam::111122223333:policy/b")]).await;
    let find = |action: &str| {
        let has = |need: &&hawser_cli::preflight::needs::Need| need.actions.values().flatten().any(|known| known == action);
        report.needs.iter().find(has).unwrap()
    };
    assert_eq!(find("iam:CreateRole").on, "arn:aws:iam::111122223333:role/team/hawser-HandlerRole-ABCDEFGHIJKL");
    assert_eq!(find("iam:CreateRole").context["iam:PermissionsBoundary"], "arn:aws:iam::111122223333:policy/b");
    assert_eq!(find("iam:CreateRole").context["aws:RequestedRegion"], "us-east-1");
    assert_eq!(find("iam:PassRole").context["iam:PassedToService"], "lambda.amazonaws.com");
    assert_eq!(find("iam:PassRole").on, "arn:aws:iam::111122223333:role/team/hawser-HandlerRole-ABCDEFGHIJKL");
    assert_eq!(find("lambda:CreateFunction").on, "arn:aws:lambda:eu-west-1:111122223333:function:hawser-Handler-ABCDEFGHIJKL");
    assert_eq!(find("lambda:CreateFunction").context["aws:RequestedRegion"], "eu-west-1");
    assert!(find("iam:CreatePolicy").on.starts_with("arn:aws:iam::111122223333:policy/team/hawser-"));
}

/// The file is AWS's own lists for exactly the types that the template has; every rule about them is about one of them.
#[test]
fn the_registry_is_that_of_the_template() {
    let template = Template::ours();
    let resources = template.json()["Resources"].as_object().unwrap();
    let of_template: BTreeSet<&str> = resources
        .values()
        .filter_map(|resource| resource["Type"].as_str())
        .filter(|kind| !kind.starts_with("Custom::"))
        .collect();
    let known: BTreeSet<&str> = REGISTRY.types.keys().map(String::as_str).collect();
    assert_eq!(known, of_template, "run dev/build/launch_permissions.py");
    for (kind, rules) in &*ONLY_WITH {
        let handlers = &REGISTRY.types[kind];
        let all: BTreeSet<&String> = handlers.create.iter().chain(&handlers.update).chain(&handlers.delete).collect();
        for (property, action) in
            rules.iter().flat_map(|(property, actions)| actions.iter().map(move |action| (property, action)))
        {
            assert!(all.contains(action), "{kind} {property}: `{action}` is none of its actions");
        }
    }
    for (kind, handlers) in &REGISTRY.types {
        // A type without a list would look as if nothing were needed for it.
        assert!(!handlers.create.is_empty() || kind == "AWS::IAM::AccessKey", "{kind}");
        for action in handlers.create.iter().chain(&handlers.update).chain(&handlers.delete) {
            assert!(action.split_once(':').is_some(), "{kind}: {action}");
        }
    }
}

/// Whether costs are pro forma is shown where AWS says it, and fails nothing where it does not.
#[tokio::test(start_paused = true)]
async fn whose_prices_are_seen_is_shown() {
    let scene = Scene::new(AccountFile::default()).await;
    assert!(scene.check(&[]).await.bill.is_none());
    let billable = BillSegment { domain: "BILLABLE".to_owned(), ..BillSegment::default() };
    let group = BillSegment {
        domain: "PRO_FORMA".to_owned(),
        management_account: Some("999988887777".to_owned()),
        group_account: Some("444455556666".to_owned()),
        ..BillSegment::default()
    };
    for (segments, says) in [
        (vec![billable.clone()], "  costs         billable: what AWS charges\n"),
        (
            vec![group.clone(), group.clone()],
            "pro forma: prices of AWS Billing Conductor, and not what AWS charges, on the bill of account 999988887777, in the billing \
             group of account 444455556666\n",
        ),
        (vec![billable, group], "billable: what AWS charges; and this month also pro forma"),
        (vec![BillSegment { domain: "NEW".to_owned(), ..BillSegment::default() }], "does not know: NEW\n"),
    ] {
        scene.iam.state().bill = segments;
        let report = scene.check(&[]).await;
        assert!(report.to_string().contains(says), "{report}");
        assert_eq!(report.outcome, Outcome::Ready);
    }
    scene.iam.deny("billing:ListBillingViewSegments");
    let report = scene.check(&[]).await;
    assert_eq!((report.outcome, report.bill.clone()), (Outcome::Ready, None));
    assert!(report.unknown.join(" ").contains("whether the costs are pro forma: `billing:ListBillingViewSegments` was denied"));
}
