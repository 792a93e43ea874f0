//! Every step x every mishap x every life: no chance in it.

use std::time::Duration;

use hawser::billing::Format;

use crate::{
    account::Lags,
    coverage::Coverage,
    lambda::{Deliveries, Delivery},
    life::{Op, Scenario, ScenarioRun, StackScenario, run_isolated},
    model,
    random::{names, parameters},
    script::{InjectedFault, Label, Step},
    stack::{BILLING, CONNECTION, Cancellation, WITHOUT},
};
use hawser_account::{
    ACCOUNT, AccountFile,
    file::{BucketFile, CreationFile, ExportFile, OrganizationFile, ReportFile, SupportPlan, TagsAtCreation},
};

/// A mishap in one life.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Which life, by its place in [`scenarios`].
    pub scenario: usize,
    /// Which step, and how often it was taken before in that life. `usize::MAX` is every time.
    pub step: (Step, usize),
    pub injected: InjectedFault,
}

fn create(changes: &[(&'static str, &str)]) -> Op {
    Op::Create(parameters(changes), None)
}

fn update(changes: &[(&'static str, &str)]) -> Op {
    Op::Update(parameters(changes), None)
}

fn truncated(resource: &'static str, milliseconds: u64) -> Option<Cancellation> {
    Some(Cancellation { resource, after: Duration::from_millis(milliseconds) })
}

fn slow(mut scenario: Scenario) -> Scenario {
    scenario.lags = Lags { call: Duration::from_millis(20), ..Lags::default() };
    scenario
}

fn in_express_mode(mut scenario: Scenario) -> Scenario {
    for stack in &mut scenario.stacks {
        stack.express = true;
    }
    scenario
}

fn with_deliveries(mut scenario: Scenario, deliveries: Deliveries) -> Scenario {
    for stack in &mut scenario.stacks {
        stack.deliveries = deliveries.clone();
    }
    scenario
}

fn customers_report() -> AccountFile {
    let (report, bucket) = (ReportFile::hourly("finance", "finance-data"), BucketFile::customers("finance-data"));
    AccountFile { reports: vec![report], buckets: vec![bucket], ..AccountFile::default() }
}

const CUR2: (&str, &str) = ("Kind", "CostAndUsageReport2");
const FOCUS: (&str, &str) = ("Kind", "Focus");

fn supported(mut scenario: Scenario) -> Scenario {
    scenario.account.support.plan = SupportPlan::Paid;
    scenario
}

fn in_account(account: AccountFile, mut scenario: Scenario) -> Scenario {
    scenario.account = account;
    scenario
}

fn customers_exports() -> AccountFile {
    let focus = ExportFile { table: "FOCUS_1_2_AWS".to_owned(), ..ExportFile::hourly("focus-finance", "finance-data") };
    let bucket = BucketFile {
        kms_key: Some(format!("arn:aws:kms:us-east-1:{ACCOUNT}:key/finance")),
        ..BucketFile::customers("finance-data")
    };
    AccountFile {
        exports: vec![ExportFile::hourly("cur2-finance", "finance-data"), focus],
        buckets: vec![bucket],
        ..AccountFile::default()
    }
}

fn organization_of(payer: &str) -> OrganizationFile {
    OrganizationFile::Member {
        id: "o-example".to_owned(),
        management_account: Some(payer.to_owned()),
        feature_set: "ALL".to_owned(),
    }
}

/// Lives with Data Exports: what is different there from reports, and every call that reports do not need.
fn scenarios_with_exports() -> Vec<Scenario> {
    let member = AccountFile {
        organization: organization_of("999988887777"),
        delegated_services: Some(vec!["billing-cost-management.amazonaws.com".to_owned()]),
        ..AccountFile::default()
    };
    let payer = AccountFile { organization: organization_of(ACCOUNT), ..AccountFile::default() };
    let full = AccountFile {
        exports: (0..2)
            .map(|n| ExportFile {
                table: "FOCUS_1_2_AWS".to_owned(),
                reason: Some("INTERNAL_FAILURE".to_owned()),
                status: "UNHEALTHY".to_owned(),
                ..ExportFile::hourly(&format!("focus-{n}"), "finance-data")
            })
            .collect(),
        buckets: vec![BucketFile::customers("finance-data")],
        ..AccountFile::default()
    };
    let no_split = AccountFile { split_cost_allocation: false, ..AccountFile::default() };
    let mut idle = customers_exports();
    for export in &mut idle.exports {
        export.last_refreshed_at = Some(Some("2025-03-12T10:11:12Z".to_owned()));
    }
    let denied_lookup = [CUR2, ("RequestBackfill", "true")];
    // Lambda runs the Create again a minute later.
    let label = Label { resource: BILLING, request: "Create" };
    let mut grown_meanwhile = Scenario::of_one("an export's Create is killed, and its table grows", vec![create(&[CUR2])]);
    grown_meanwhile.always = Some(((label, "bcm-data-exports:CreateExport"), InjectedFault::KilledAfter));
    grown_meanwhile.stacks.push(StackScenario {
        name: "beta".to_owned(),
        ops: vec![create(&[("Kind", "None")]), Op::Wait(Duration::from_secs(30)), Op::Grow],
        ..grown_meanwhile.stacks[0].clone()
    });
    vec![
        Scenario::of_one(
            "each kind of export becomes the next",
            vec![create(&[CUR2]), update(&[FOCUS]), update(&[]), update(&[CUR2, ("Format", "Csv")]), update(&[("Kind", "None")])],
        ),
        Scenario::of_one(
            "an export's table grows, and the stack is updated",
            vec![create(&[CUR2]), Op::Deliver, Op::Grow, update(&[CUR2, ("Retention", "Delete")]), Op::Deliver],
        ),
        Scenario::of_one(
            "an export's format changes in place, and back",
            vec![create(&[CUR2]), Op::Deliver, update(&[CUR2, ("Format", "Csv")]), Op::Deliver, update(&[CUR2])],
        ),
        grown_meanwhile,
        supported(Scenario::of_one(
            "past months are asked for, once",
            vec![
                create(&denied_lookup),
                update(&[CUR2, ("RequestBackfill", "true"), ("Retention", "Delete")]),
                update(&[FOCUS, ("RequestBackfill", "true")]),
            ],
        )),
        Scenario::of_one(
            "past months are asked for without a plan",
            vec![create(&denied_lookup), update(&[("RequestBackfill", "true")])],
        ),
        in_account(
            customers_exports(),
            Scenario::of_one(
                "the customer's exports are reused, then one of our own is asked for, then one is named",
                vec![
                    create(&[CUR2]),
                    update(&[FOCUS]),
                    update(&[FOCUS, ("Reuse", "Never")]),
                    update(&[FOCUS, ("ExistingExport", "cur2-finance")]),
                    update(&[FOCUS, ("ExistingBucket", "finance-data"), ("ExistingPrefix", "billing")]),
                ],
            ),
        ),
        in_account(idle, Scenario::of_one("the customer's exports stopped delivering", vec![create(&[CUR2]), update(&[FOCUS])])),
        in_account(
            member,
            Scenario::of_one("a member asks for its own costs", vec![create(&[CUR2]), update(&[CUR2, ("Scope", "Account")])]),
        ),
        in_account(payer, Scenario::of_one("a payer asks for all costs", vec![create(&[CUR2]), update(&[FOCUS])])),
        in_account(
            full,
            Scenario::of_one(
                "there is no room for another export",
                vec![create(&[("Kind", "None")]), update(&[FOCUS]), update(&[])],
            ),
        ),
        in_account(
            no_split,
            Scenario::of_one("the account has no split cost allocation data", vec![create(&[CUR2]), update(&[])]),
        ),
        Scenario::of_one(
            "an Update to an export is refused and rolled back",
            vec![create(&[]), update(&[FOCUS, ("NoticeUrl", "http://vendor.example/")]), update(&[FOCUS])],
        ),
        slow(Scenario::of_one(
            "an export's Create is cancelled before it is made",
            vec![Op::Create(parameters(&[CUR2]), truncated(BILLING, 90))],
        )),
        slow(Scenario::of_one(
            "an Update is cancelled while an export is made",
            vec![create(&[CUR2]), Op::Update(parameters(&[FOCUS]), truncated(BILLING, 110))],
        )),
    ]
}

/// Lives in which AWS takes no tags at creation, so that they are put on afterwards (F-49), and one whose tags may not be read.
fn scenarios_without_tags() -> Vec<Scenario> {
    let refused = |tags| AccountFile { creation: CreationFile { tags, ..CreationFile::default() }, ..AccountFile::default() };
    let made = |name: &str, tags| {
        in_account(refused(tags), Scenario::of_one(name, vec![create(&[]), update(&[CUR2]), update(&[FOCUS, ("Format", "Csv")])]))
    };
    let label = Label { resource: BILLING, request: "Create" };
    let mut left = in_account(
        refused(TagsAtCreation::Denied),
        Scenario::of_one(
            "a run ends between an export and its tags, and the Create is cancelled",
            vec![Op::Create(parameters(&[CUR2]), truncated(BILLING, 15_000))],
        ),
    );
    left.always = Some(((label, "bcm-data-exports:TagResource"), InjectedFault::KilledBefore));
    vec![
        left,
        made("nothing allows tags at creation", TagsAtCreation::Denied),
        made("AWS knows no tags at creation", TagsAtCreation::Unsupported),
        in_account(
            AccountFile { stack_tags: None, ..refused(TagsAtCreation::Unexplained) },
            Scenario::of_one(
                "an export and its format, where tags are refused",
                vec![create(&[CUR2]), update(&[("Format", "Csv")])],
            ),
        ),
    ]
}

/// The lives that things go wrong in. Together they take every step there is.
pub fn scenarios() -> Vec<Scenario> {
    let again = |request, resource, seconds| {
        Deliveries::One(
            Label { resource, request },
            Delivery { again: Some(Duration::from_secs(seconds)), ..Delivery::default() },
        )
    };
    let late = |request, resource, seconds| {
        Deliveries::One(Label { resource, request }, Delivery { late: Duration::from_secs(seconds), ..Delivery::default() })
    };
    let lost = |request, resource| Deliveries::One(Label { resource, request }, Delivery { lost: true, ..Delivery::default() });
    let there_and_back = || vec![create(&[]), update(&[("Format", "Csv")]), update(&[]), Op::Rest];
    let mut reuse = Scenario::of_one(
        "the customer's report is reused, then one of our own is asked for",
        vec![create(&[]), update(&[("Reuse", "Never")]), update(&[])],
    );
    reuse.account = customers_report();
    let mut found = Scenario::of_one(
        "an export is asked for later, and the customer has one",
        vec![create(&[("Kind", "None")]), update(&[])],
    );
    found.account = customers_report();
    let mut full =
        Scenario::of_one("an export is asked for when there is no room", vec![create(&[("Kind", "None")]), update(&[])]);
    full.account = customers_report();
    full.account.report_limit = 1;
    full.account.reports[0].time_unit = "DAILY".to_owned();
    let mut slow_aws = Scenario::of_one("AWS shows late what was done", vec![create(&[]), update(&[("Format", "Csv")])]);
    slow_aws.lags = Lags {
        call: Duration::from_millis(20),
        role: Duration::from_secs(3),
        bucket: Duration::from_secs(3),
        policy: Duration::from_secs(4),
        ..Lags::default()
    };
    let mut unmarked = Scenario::of_one("somebody else has our names", vec![create(&[])]);
    if let Some((report, bucket)) = names("acme", Format::Parquet) {
        let mut file = customers_report();
        file.reports = vec![ReportFile::hourly(&report, "finance-data")];
        file.buckets.push(BucketFile { name: bucket, ..file.buckets[0].clone() });
        unmarked.account = file;
    }
    let second = StackScenario {
        name: "beta".to_owned(),
        ops: vec![create(&[("ConnectionName", "beta")]), update(&[("Format", "Csv")])],
        deliveries: Deliveries::Plain,
        express: false,
    };
    let mut two = Scenario::of_one("two stacks in one account", vec![create(&[]), update(&[("Kind", "None")])]);
    two.stacks.push(second);
    let mut scenarios = vec![
        Scenario::of_one(
            "a report is made, renamed for the vendor, replaced by another format",
            vec![create(&[]), update(&[("ConnectionName", "second")]), update(&[("Format", "Csv")])],
        ),
        reuse,
        Scenario::of_one(
            "data was delivered and is kept",
            vec![create(&[]), Op::Deliver, update(&[("Kind", "None")]), update(&[]), Op::Deliver],
        ),
        Scenario::of_one(
            "data was delivered and is deleted on request",
            vec![
                create(&[("Retention", "Delete")]),
                Op::Deliver,
                update(&[("Retention", "Delete"), ("Format", "Csv")]),
                Op::Deliver,
            ],
        ),
        Scenario::of_one(
            "an Update is refused and rolled back",
            vec![create(&[]), update(&[("Format", "Csv"), ("NoticeUrl", "http://vendor.example/")])],
        ),
        in_express_mode(Scenario::of_one(
            "a Create fails without rollback",
            vec![create(&[("NoticeUrl", "http://vendor.example/")])],
        )),
        in_express_mode(Scenario::of_one(
            "an Update fails without rollback",
            vec![create(&[]), update(&[("Format", "Csv"), ("NoticeUrl", "http://vendor.example/")])],
        )),
        in_express_mode(slow(Scenario::of_one(
            "a Create is cancelled without rollback",
            vec![Op::Create(parameters(&[]), truncated(BILLING, 50))],
        ))),
        Scenario::of_one(
            "the connection leaves the template and comes back",
            vec![create(&[]), update(&[(WITHOUT, CONNECTION)]), update(&[])],
        ),
        Scenario::of_one(
            "the export leaves the template and comes back",
            vec![create(&[]), update(&[(WITHOUT, BILLING)]), update(&[])],
        ),
        slow(Scenario::of_one(
            "the export's Create is cancelled at once",
            vec![Op::Create(parameters(&[]), truncated(BILLING, 0))],
        )),
        slow(Scenario::of_one(
            "the export's Create is cancelled when its bucket is made",
            vec![Op::Create(parameters(&[]), truncated(BILLING, 30))],
        )),
        slow(Scenario::of_one(
            "the export's Create is cancelled before its report is made",
            vec![Op::Create(parameters(&[("Retention", "Delete")]), truncated(BILLING, 50))],
        )),
        with_deliveries(
            slow(Scenario::of_one(
                "the export's Create is cancelled while its report is made, and its Delete comes late",
                vec![Op::Create(parameters(&[]), truncated(BILLING, 70))],
            )),
            late("Delete", BILLING, 5),
        ),
        slow(Scenario::of_one(
            "the connection's Create is cancelled at once",
            vec![Op::Create(parameters(&[]), truncated(CONNECTION, 0))],
        )),
        slow(Scenario::of_one(
            "an Update is cancelled while its export is made",
            vec![create(&[]), Op::Update(parameters(&[("Format", "Csv")]), truncated(BILLING, 70))],
        )),
        with_deliveries(Scenario::of_one("the export's Create is never answered", vec![create(&[])]), lost("Create", BILLING)),
        with_deliveries(
            Scenario::of_one("the connection's Create is never answered", vec![create(&[])]),
            lost("Create", CONNECTION),
        ),
        with_deliveries(
            Scenario::of_one("the Creates arrive when the stack has given up", vec![create(&[])]),
            late("Create", BILLING, 650),
        ),
        with_deliveries(
            Scenario::of_one("the connection's Create arrives when the stack has given up", vec![create(&[])]),
            late("Create", CONNECTION, 650),
        ),
        with_deliveries(
            Scenario::of_one(
                "the export's Update arrives when the stack is gone",
                vec![create(&[]), update(&[("Format", "Csv")])],
            ),
            late("Update", BILLING, 1300),
        ),
        with_deliveries(
            Scenario::of_one(
                "the connection's Update arrives when the stack is gone",
                vec![create(&[]), update(&[("ConnectionName", "second")])],
            ),
            late("Update", CONNECTION, 1300),
        ),
        with_deliveries(Scenario::of_one("the export's Create comes twice", there_and_back()), again("Create", BILLING, 5)),
        with_deliveries(
            Scenario::of_one("the export's Update comes again when there was another one", there_and_back()),
            again("Update", BILLING, 30),
        ),
        with_deliveries(
            Scenario::of_one(
                "the clean-up comes again when its export is back",
                vec![create(&[]), update(&[("Format", "Csv")]), update(&[]), Op::Wait(Duration::from_secs(60)), Op::Rest],
            ),
            again("Delete", BILLING, 40),
        ),
        found,
        full,
        slow_aws,
        unmarked,
        two,
    ];
    scenarios.extend(scenarios_with_exports());
    scenarios.extend(scenarios_without_tags());
    scenarios
}

/// The steps of a life in which nothing goes wrong, each with how often it is taken.
///
/// # Errors
/// If the life breaks a rule as it is.
pub fn run_without_faults(scenario: &Scenario) -> Result<ScenarioRun, String> {
    let scenario_run = run_isolated(scenario, |_| {}).map_err(|why| why.to_string())?;
    model::check(scenario, &scenario_run).map_err(|what| format!("life `{}`: {what}", scenario.name))?;
    Ok(scenario_run)
}

/// Every mishap of every step of a life, once at each time it is taken and once at all of them.
pub fn cases(number: usize, scenario_run: &ScenarioRun) -> Vec<Case> {
    let mut cases = Vec::new();
    for (step, times) in scenario_run.world.script.steps() {
        for injected in InjectedFault::ALL.into_iter().filter(|injected| injected.applies_to(step.1)) {
            cases.extend((0..times).chain([usize::MAX]).map(|nth| Case { scenario: number, step: (step, nth), injected }));
        }
    }
    cases
}

/// Lives one case and checks it.
///
/// # Errors
/// Which rule is broken, and how to see it again.
pub fn run(scenarios: &[Scenario], case: &Case, coverage: &mut Coverage) -> Result<(), String> {
    let scenario = scenarios.get(case.scenario).ok_or("there is no such life")?;
    let ((label, call), nth) = case.step;
    let scenario_run = run_isolated(scenario, |script| script.inject_at_step((label, call), nth, case.injected))
        .map_err(|why| why.to_string())?;
    coverage.add(&scenario_run.world.script);
    model::check(scenario, &scenario_run).map_err(|what| {
        let time = if nth == usize::MAX { "every time".to_owned() } else { format!("time {nth}") };
        format!("life {} `{}`, {:?} at {call} for {label}, {time}: {what}", case.scenario, scenario.name, case.injected)
    })
}
