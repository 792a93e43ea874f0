//! An organization: the management account, and by a service-managed StackSet its members (F-10, F-11). The StackSet is of
//! `dev/emulator/patches/cloudformation_stacksets.py`; what it deploys is deployed by CloudFormation's emulator in the members' own accounts.

use std::{collections::BTreeMap, time::Duration};

use hawser_dev::{
    account::Account,
    constants::{CUSTOMER, STACK_REGION, STRANGER, VENDOR, may_assume},
    stack::Parameters,
    strict_proxy::scenario::{Organization, Scenario, organization_id},
    vendor::{Console, Script},
};
use hawser_publish::{bucket, package::ORGANIZATION};
use serde_json::{Value, json};

use crate::{
    publish::{dist, launch, make_bucket, settled, upload},
    world::Testbed,
};

/// Longer than a stack takes.
const STACK_TIMEOUT: Duration = Duration::from_secs(60);

/// The organization, by its own API.
pub(crate) struct Directory {
    pub(crate) root: Account,
}

impl Directory {
    async fn call(&self, operation: &str, input: Value) -> Value {
        let target = format!("AWSOrganizationsV20161128.{operation}");
        let (status, answer) = self.root.json("organizations", &target, &input).await.unwrap();
        assert_eq!(status, 200, "{operation}: {answer}");
        answer
    }

    pub(crate) async fn top(&self) -> String {
        text(&self.call("ListRoots", json!({})).await["Roots"][0]["Id"])
    }

    pub(crate) async fn unit(&self, name: &str) -> String {
        let unit = self.call("CreateOrganizationalUnit", json!({"ParentId": self.top().await, "Name": name})).await;
        text(&unit["OrganizationalUnit"]["Id"])
    }

    pub(crate) async fn account(&self, name: &str) -> String {
        let asked = json!({"AccountName": name, "Email": format!("{name}@example.com")});
        text(&self.call("CreateAccount", asked).await["CreateAccountStatus"]["AccountId"])
    }

    pub(crate) async fn move_account(&self, account: &str, from: &str, to: &str) {
        let asked = json!({"AccountId": account, "SourceParentId": from, "DestinationParentId": to});
        self.call("MoveAccount", asked).await;
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The state of each account's newest connection.
async fn states(console: &Console) -> BTreeMap<String, String> {
    let connections = console.connections().await.unwrap();
    connections.iter().map(|one| (text(&one["data"]["accountId"]), text(&one["state"]))).collect()
}

pub(crate) async fn until(console: &Console, account: &str, state: &str) {
    let waited = tokio::time::timeout(STACK_TIMEOUT, async {
        while states(console).await.get(account).map(String::as_str) != Some(state) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let connections = console.connections().await.unwrap();
    let problems: Vec<_> = connections.iter().map(|one| one["problems"].to_string()).collect();
    assert!(waited.await.is_ok(), "{account} is not {state}: {:?} {problems:?}\n{}", states(console).await, console.log());
}

/// HW-S2, F-9, F-11: management account and members are connected by one stack, with one launch; members have no billing data of their
/// own; who joins later is connected, who leaves is not, and the end of the stack is the end of all.
#[tokio::test(flavor = "multi_thread")]
async fn an_organization_is_connected_as_a_whole() {
    let world = Testbed::new("management").await;
    let console = Console::start(&world.emulator, &world.vendor.authority()).await.unwrap();
    world.vendor.set_script(Script::Relay(console.listening().to_owned()));
    let directory = Directory { root: world.customer() };
    let (top, unit) = (directory.top().await, directory.unit("workloads").await);
    let mut accounts = Vec::new();
    let mut scenario = Scenario::named("management").unwrap();
    for name in ["shop", "data", "late", "apart"] {
        let account = directory.account(name).await;
        let place = json!({"mode": "member", "management_account_id": CUSTOMER});
        scenario.organizations.insert(account.clone(), serde_json::from_value::<Organization>(place).unwrap());
        if name != "late" {
            directory.move_account(&account, &top, &unit).await;
        }
        accounts.push(account);
    }
    world.emulator.front().set_scenario(scenario);
    let [shop, data, late, apart] = <[String; 4]>::try_from(accounts).unwrap();

    let folder = world.emulator.folder().join("dist");
    let notice_url = world.vendor.notice_url();
    let vendor = [("VendorName", "Acme"), ("VendorAccountId", VENDOR), ("NoticeUrl", notice_url.as_str())];
    let manifest = dist(&folder, &[STACK_REGION], &vendor);
    make_bucket(&world.emulator, VENDOR, STACK_REGION, &bucket(&manifest.bucket_prefix, STACK_REGION)).await;
    upload(&world.emulator, &folder).await.unwrap();

    let launched = console.launch_for_organization(&organization_id(CUSTOMER), CUSTOMER).await.unwrap();
    let url = manifest.url(manifest.file(ORGANIZATION).unwrap(), STACK_REGION);
    let parameters: Parameters = [
        ("LaunchToken", launched.token.as_str()),
        ("ExternalId", &launched.external_id),
        ("OrganizationalUnitIds", &unit),
        ("AccountFilterType", "DIFFERENCE"),
        ("AccountIds", &apart),
        ("PackEc2", "ReadOnly"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let customer = world.customer();
    let stack = launch(&customer, &url, &parameters).await.unwrap_or_else(|error| panic!("{error}\n{}", world.emulator.log()));

    for account in [CUSTOMER, &shop, &data] {
        until(&console, account, "verified").await;
    }
    assert_eq!(states(&console).await.len(), 3);
    for connection in console.connections().await.unwrap() {
        let (reported, account) = (&connection["data"], text(&connection["data"]["accountId"]));
        let (role, kind) = match account == CUSTOMER {
            true => ("management", "CostAndUsageReport"),
            false => ("member", "None"),
        };
        assert_eq!(
            (&reported["organization"]["accountRole"], &reported["billingExport"]["kind"]),
            (&json!(role), &json!(kind)),
            "{account}"
        );
        assert_eq!(reported["organization"]["managementAccountId"], CUSTOMER, "{account}");
        assert_eq!(reported["packs"]["ec2"], "ReadOnly", "{account}");
        let (arn, id) = (text(&reported["roleArn"]), Some(launched.external_id.as_str()));
        assert!(may_assume(&world.emulator, VENDOR, &arn, id).await.unwrap(), "{account}");
        assert!(!may_assume(&world.emulator, VENDOR, &arn, None).await.unwrap(), "{account}");
        assert!(!may_assume(&world.emulator, STRANGER, &arn, id).await.unwrap(), "{account}");
    }

    directory.move_account(&late, &top, &unit).await;
    until(&console, &late, "verified").await;
    directory.move_account(&shop, &unit, &top).await;
    until(&console, &shop, "removed").await;
    // And comes back, with another stack of the same launch.
    directory.move_account(&shop, &top, &unit).await;
    until(&console, &shop, "verified").await;
    assert!(!states(&console).await.contains_key(&apart));

    customer.cloudformation().delete_stack().stack_name(&stack).send().await.unwrap();
    assert_eq!(settled(&customer, &stack).await, "DELETE_COMPLETE", "{}", world.emulator.log());
    for (account, state) in states(&console).await {
        assert_eq!(state, "removed", "{account}");
    }
    for account in [&shop, &data, &late] {
        let stacks = world.emulator.root(account, STACK_REGION).cloudformation().describe_stacks().send().await.unwrap();
        assert_eq!(stacks.stacks().len(), 0, "{account}");
    }
}

/// Without organizational units it is the stack of one account.
#[tokio::test(flavor = "multi_thread")]
async fn without_units_the_management_account_is_connected_alone() {
    let world = Testbed::new("management").await;
    let folder = world.emulator.folder().join("dist");
    let manifest = dist(&folder, &[STACK_REGION], &[]);
    make_bucket(&world.emulator, VENDOR, STACK_REGION, &bucket(&manifest.bucket_prefix, STACK_REGION)).await;
    upload(&world.emulator, &folder).await.unwrap();
    let url = manifest.url(manifest.file(ORGANIZATION).unwrap(), STACK_REGION);
    let stack = launch(&world.customer(), &url, &world.parameters).await.unwrap();
    let resources = world.customer().cloudformation().describe_stack_resources().stack_name(stack).send().await.unwrap();
    let names: Vec<&str> = resources.stack_resources().iter().filter_map(|one| one.logical_resource_id()).collect();
    assert!(names.contains(&"Connection") && !names.contains(&"MemberAccounts"), "{names:?}");
}
