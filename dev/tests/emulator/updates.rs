//! Permissions change by an update of the stack. Customers see what it comes to in a change set before it is made.

use std::collections::BTreeMap;

use hawser_dev::stack::{Change, Stack};
use serde_json::{Value, json};

use crate::{
    calls::{Vendor, checks_of},
    profiles::{as_pairs, packs_of, parameters_of, reported, vendor_of},
    world::Testbed,
};

/// A stack whose parameters change by change sets, and the vendor who is in the role all the while.
struct StackUnderTest<'world> {
    world: &'world Testbed,
    stack: Stack,
    vendor: Vendor<'world>,
    parameters: BTreeMap<String, String>,
    number: usize,
}

impl<'world> StackUnderTest<'world> {
    async fn begin(world: &'world Testbed, profile: &str, more: &[(&str, &str)]) -> Self {
        let parameters = parameters_of(profile, more);
        let stack = world.created(&as_pairs(&parameters)).await;
        let vendor = vendor_of(world, &stack).await;
        let stack_under_test = Self { world, stack, vendor, parameters, number: 0 };
        stack_under_test.assert_the_packs_are_as_reported().await;
        stack_under_test
    }

    /// Makes the change set, which must show `expected`, and executes it; the vendor is told, and its session has other permissions
    /// from then on.
    async fn change(&mut self, changes: &[(&str, &str)], expected: &[&str]) {
        self.number += 1;
        let name = format!("change-{}", self.number);
        let notices = self.world.vendor.notices().len();
        let shown: Vec<String> = self.stack.change_set(&name, changes).await.unwrap().iter().map(line).collect();
        assert_eq!(shown, expected);
        // To look at it changes nothing.
        self.assert_the_packs_are_as_reported().await;
        assert_eq!(self.world.vendor.notices().len(), notices);
        let outcome = self.stack.execute(&name, &mut |_| {}).await.unwrap();
        self.world.expect_status(&outcome, "UPDATE_COMPLETE");
        let new = changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.parameters.extend(new);
        let reported: Vec<Value> =
            self.world.vendor.notices().split_off(notices).into_iter().map(|notice| notice.event).collect();
        assert_eq!(reported.len(), 1, "{reported:#?}");
        assert_eq!(reported[0]["type"], "hawser.connection.updated");
        self.assert_the_packs_are_as_reported().await;
    }

    async fn assert_the_packs_are_as_reported(&self) {
        let packs = packs_of(&self.parameters);
        assert_eq!(reported(self.world)["packs"], json!(packs));
        let wrong = self.vendor.wrong(&checks_of(&packs)).await;
        assert!(wrong.is_empty(), "{packs:?}\n{}", wrong.join("\n"));
    }
}

/// `Modify Connection (Packs)`, with what is replaced.
fn line(change: &Change) -> String {
    let properties: Vec<&str> = change.properties.iter().map(String::as_str).collect();
    let replaced = if change.replacement == "True" { ", replaced" } else { "" };
    match change.action.as_str() {
        "Modify" => format!("Modify {} ({}{replaced})", change.logical_id, properties.join(", ")),
        action => format!("{action} {}", change.logical_id),
    }
}

/// HW-P1: a pack from reading to writing and back. Its policy and the notice change, and nothing is replaced; beside it the audit shows
/// launch templates only while ec2 writes, so that its policy changes as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_pack_is_switched_to_writing_and_back() {
    let world = Testbed::new("standalone").await;
    let mut stack_under_test = StackUnderTest::begin(&world, "security-posture", &[("PackEc2", "ReadOnly")]).await;
    let before = stack_under_test.stack.resources().await.unwrap();
    let shown =
        ["Modify Connection (Packs)", "Modify PackEc2Policy (PolicyDocument)", "Modify PackSecurityAuditPolicy (PolicyDocument)"];
    stack_under_test.change(&[("PackEc2", "ReadWrite")], &shown).await;
    stack_under_test.change(&[("PackEc2", "ReadOnly")], &shown).await;
    assert_eq!(stack_under_test.stack.resources().await.unwrap(), before);
    let nothing = stack_under_test.stack.change_set("nothing", &[("PackEc2", "ReadOnly")]).await.unwrap_err().to_string();
    assert!(nothing.contains("didn't contain changes"), "{nothing}");
    world.deleted(&mut stack_under_test.stack).await;
    world.assert_notices_fit_the_schema(&["established", "updated", "removed"]);
    world.assert_no_leaks();
}

/// A product more: its packs are added. What refers to a resource that changes is shown as well, because CloudFormation does not know
/// beforehand that the ARN stays the same. A product less: they are removed, after the vendor was told.
#[tokio::test(flavor = "multi_thread")]
async fn packs_of_another_product_are_added_and_removed() {
    let world = Testbed::new("standalone").await;
    let mut stack_under_test = StackUnderTest::begin(&world, "cost-insights", &[("BillingRetention", "Delete")]).await;
    stack_under_test
        .change(
            &[("PackSecurityAudit", "ReadOnly"), ("PackCloudIam", "ReadOnly")],
            &[
                "Modify Connection (Packs, RoleArn)",
                "Add PackCloudIamPolicy",
                "Add PackSecurityAuditPolicy",
                "Modify VendorRole (ManagedPolicyArns)",
            ],
        )
        .await;
    stack_under_test
        .change(
            &[("PackSecurityAudit", "None"), ("PackCloudIam", "None")],
            &[
                "Modify Connection (Packs, RoleArn)",
                "Remove PackCloudIamPolicy",
                "Remove PackSecurityAuditPolicy",
                "Modify VendorRole (ManagedPolicyArns)",
            ],
        )
        .await;
    world.deleted(&mut stack_under_test.stack).await;
    world.assert_no_leaks();
}
