//! Every step x every mishap x every life: no chance in it.

use std::time::Duration;

use hawser::billing::Format;

use crate::{
    account::{AccountFile, BucketFile, ExportFile, Lags, OrganizationFile, ReportFile},
    account_file::SupportPlan,
    coverage::Coverage,
    lambda::{Deliveries, Delivery},
    life::{Life, Lived, Op, StackLife, live_alone},
    model,
    random::{names, parameters},
    script::{Label, Mishap, Step},
    stack::{ACCOUNT, BILLING, CONNECTION, Cut, WITHOUT},
};

/// A mishap in one life.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Which life, by its place in [`lives`].
    pub life: usize,
    /// Which step, and how often it was taken before in that life. `usize::MAX` is every time.
    pub step: (Step, usize),
    /// What happens.
    pub mishap: Mishap,
}

fn create(changes: &[(&'static str, &str)]) -> Op {
    Op::Create(parameters(changes), None)
}

fn update(changes: &[(&'static str, &str)]) -> Op {
    Op::Update(parameters(changes), None)
}

fn cut(resource: &'static str, milliseconds: u64) -> Option<Cut> {
    Some(Cut { resource, after: Duration::from_millis(milliseconds) })
}

fn slow(mut life: Life) -> Life {
    life.lags = Lags { call: Duration::from_millis(20), ..Lags::default() };
    life
}

fn with_deliveries(mut life: Life, deliveries: Deliveries) -> Life {
    for stack in &mut life.stacks {
        stack.deliveries = deliveries.clone();
    }
    life
}

fn customers_report() -> AccountFile {
    let (report, bucket) = (ReportFile::hourly("finance", "finance-data"), BucketFile::customers("finance-data"));
    AccountFile { reports: vec![report], buckets: vec![bucket], ..AccountFile::default() }
}

const CUR2: (&str, &str) = ("Kind", "CostAndUsageReport2");
const FOCUS: (&str, &str) = ("Kind", "Focus");

fn supported(mut life: Life) -> Life {
    life.account.support.plan = SupportPlan::Paid;
    life
}

fn in_account(account: AccountFile, mut life: Life) -> Life {
    life.account = account;
    life
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
fn lives_with_exports() -> Vec<Life> {
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
    let asking = [CUR2, ("RequestBackfill", "true")];
    let grown_meanwhile = with_deliveries(
        Life::of_one(
            "a table grows, then the export's Create comes again",
            vec![create(&[CUR2]), Op::Grow, Op::Wait(Duration::from_secs(60)), Op::Rest],
        ),
        Deliveries::One(
            Label { resource: BILLING, request: "Create" },
            Delivery { again: Some(Duration::from_secs(30)), ..Delivery::default() },
        ),
    );
    vec![
        Life::of_one(
            "each kind of export becomes the next",
            vec![create(&[CUR2]), update(&[FOCUS]), update(&[]), update(&[CUR2, ("Format", "Csv")]), update(&[("Kind", "None")])],
        ),
        Life::of_one(
            "an export's table grows, and the stack is updated",
            vec![create(&[CUR2]), Op::Deliver, Op::Grow, update(&[CUR2, ("Retention", "Delete")]), Op::Deliver],
        ),
        Life::of_one(
            "an export's format changes in place, and back",
            vec![create(&[CUR2]), Op::Deliver, update(&[CUR2, ("Format", "Csv")]), Op::Deliver, update(&[CUR2])],
        ),
        grown_meanwhile,
        supported(Life::of_one(
            "past months are asked for, once",
            vec![
                create(&asking),
                update(&[CUR2, ("RequestBackfill", "true"), ("Retention", "Delete")]),
                update(&[FOCUS, ("RequestBackfill", "true")]),
            ],
        )),
        Life::of_one("past months are asked for without a plan", vec![create(&asking), update(&[("RequestBackfill", "true")])]),
        in_account(
            customers_exports(),
            Life::of_one(
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
        in_account(
            member,
            Life::of_one("a member asks for its own costs", vec![create(&[CUR2]), update(&[CUR2, ("Scope", "Account")])]),
        ),
        in_account(payer, Life::of_one("a payer asks for all costs", vec![create(&[CUR2]), update(&[FOCUS])])),
        in_account(
            full,
            Life::of_one("there is no room for another export", vec![create(&[("Kind", "None")]), update(&[FOCUS]), update(&[])]),
        ),
        in_account(no_split, Life::of_one("the account has no split cost allocation data", vec![create(&[CUR2]), update(&[])])),
        Life::of_one(
            "an Update to an export is refused and rolled back",
            vec![create(&[]), update(&[FOCUS, ("NoticeUrl", "http://vendor.example/")]), update(&[FOCUS])],
        ),
        slow(Life::of_one(
            "an export's Create is cancelled before it is made",
            vec![Op::Create(parameters(&[CUR2]), cut(BILLING, 90))],
        )),
        slow(Life::of_one(
            "an Update is cancelled while an export is made",
            vec![create(&[CUR2]), Op::Update(parameters(&[FOCUS]), cut(BILLING, 110))],
        )),
    ]
}

/// The lives that things go wrong in. Together they take every step there is.
pub fn lives() -> Vec<Life> {
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
    let mut reuse = Life::of_one(
        "the customer's report is reused, then one of our own is asked for",
        vec![create(&[]), update(&[("Reuse", "Never")]), update(&[])],
    );
    reuse.account = customers_report();
    let mut found =
        Life::of_one("an export is asked for later, and the customer has one", vec![create(&[("Kind", "None")]), update(&[])]);
    found.account = customers_report();
    let mut full = Life::of_one("an export is asked for when there is no room", vec![create(&[("Kind", "None")]), update(&[])]);
    full.account = customers_report();
    full.account.report_limit = 1;
    full.account.reports[0].time_unit = "DAILY".to_owned();
    let mut slow_aws = Life::of_one("AWS shows late what was done", vec![create(&[]), update(&[("Format", "Csv")])]);
    slow_aws.lags = Lags {
        call: Duration::from_millis(20),
        role: Duration::from_secs(3),
        bucket: Duration::from_secs(3),
        policy: Duration::from_secs(4),
    };
    let mut unmarked = Life::of_one("somebody else has our names", vec![create(&[])]);
    if let Some((report, bucket)) = names("acme", Format::Parquet) {
        let mut file = customers_report();
        file.reports = vec![ReportFile::hourly(&report, "finance-data")];
        file.buckets.push(BucketFile { name: bucket, ..file.buckets[0].clone() });
        unmarked.account = file;
    }
    let second = StackLife {
        name: "beta".to_owned(),
        ops: vec![create(&[("ConnectionName", "beta")]), update(&[("Format", "Csv")])],
        deliveries: Deliveries::Plain,
    };
    let mut two = Life::of_one("two stacks in one account", vec![create(&[]), update(&[("Kind", "None")])]);
    two.stacks.push(second);
    let mut lives = vec![
        Life::of_one(
            "a report is made, renamed for the vendor, replaced by another format",
            vec![create(&[]), update(&[("ConnectionName", "second")]), update(&[("Format", "Csv")])],
        ),
        reuse,
        Life::of_one(
            "data was delivered and is kept",
            vec![create(&[]), Op::Deliver, update(&[("Kind", "None")]), update(&[]), Op::Deliver],
        ),
        Life::of_one(
            "data was delivered and is deleted on request",
            vec![
                create(&[("Retention", "Delete")]),
                Op::Deliver,
                update(&[("Retention", "Delete"), ("Format", "Csv")]),
                Op::Deliver,
            ],
        ),
        Life::of_one(
            "an Update is refused and rolled back",
            vec![create(&[]), update(&[("Format", "Csv"), ("NoticeUrl", "http://vendor.example/")])],
        ),
        Life::of_one(
            "the connection leaves the template and comes back",
            vec![create(&[]), update(&[(WITHOUT, CONNECTION)]), update(&[])],
        ),
        Life::of_one(
            "the export leaves the template and comes back",
            vec![create(&[]), update(&[(WITHOUT, BILLING)]), update(&[])],
        ),
        slow(Life::of_one("the export's Create is cancelled at once", vec![Op::Create(parameters(&[]), cut(BILLING, 0))])),
        slow(Life::of_one(
            "the export's Create is cancelled when its bucket is made",
            vec![Op::Create(parameters(&[]), cut(BILLING, 50))],
        )),
        slow(Life::of_one(
            "the export's Create is cancelled before its report is made",
            vec![Op::Create(parameters(&[("Retention", "Delete")]), cut(BILLING, 70))],
        )),
        slow(Life::of_one("the connection's Create is cancelled at once", vec![Op::Create(parameters(&[]), cut(CONNECTION, 0))])),
        slow(Life::of_one(
            "an Update is cancelled while its export is made",
            vec![create(&[]), Op::Update(parameters(&[("Format", "Csv")]), cut(BILLING, 70))],
        )),
        with_deliveries(Life::of_one("the export's Create is never answered", vec![create(&[])]), lost("Create", BILLING)),
        with_deliveries(Life::of_one("the connection's Create is never answered", vec![create(&[])]), lost("Create", CONNECTION)),
        with_deliveries(
            Life::of_one("the Creates arrive when the stack has given up", vec![create(&[])]),
            late("Create", BILLING, 650),
        ),
        with_deliveries(
            Life::of_one("the connection's Create arrives when the stack has given up", vec![create(&[])]),
            late("Create", CONNECTION, 650),
        ),
        with_deliveries(
            Life::of_one("the export's Update arrives when the stack is gone", vec![create(&[]), update(&[("Format", "Csv")])]),
            late("Update", BILLING, 1300),
        ),
        with_deliveries(
            Life::of_one(
                "the connection's Update arrives when the stack is gone",
                vec![create(&[]), update(&[("ConnectionName", "second")])],
            ),
            late("Update", CONNECTION, 1300),
        ),
        with_deliveries(Life::of_one("the export's Create comes twice", there_and_back()), again("Create", BILLING, 5)),
        with_deliveries(
            Life::of_one("the export's Update comes again when there was another one", there_and_back()),
            again("Update", BILLING, 30),
        ),
        with_deliveries(
            Life::of_one(
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
    lives.extend(lives_with_exports());
    lives
}

/// The steps of a life in which nothing goes wrong, each with how often it is taken.
///
/// # Errors
/// If the life breaks a rule as it is.
pub fn plainly(life: &Life) -> Result<Lived, String> {
    let lived = live_alone(life, |_| {}).map_err(|why| why.to_string())?;
    model::check(life, &lived).map_err(|what| format!("life `{}`: {what}", life.name))?;
    Ok(lived)
}

/// Every mishap of every step of a life, once at each time it is taken and once at all of them.
pub fn cases(number: usize, lived: &Lived) -> Vec<Case> {
    let mut cases = Vec::new();
    for (step, times) in lived.world.script.steps() {
        for mishap in Mishap::ALL.into_iter().filter(|mishap| mishap.can_meet(step.1)) {
            cases.extend((0..times).chain([usize::MAX]).map(|nth| Case { life: number, step: (step, nth), mishap }));
        }
    }
    cases
}

/// Lives one case and checks it.
///
/// # Errors
/// Which rule is broken, and how to see it again.
pub fn run(lives: &[Life], case: &Case, coverage: &mut Coverage) -> Result<(), String> {
    let life = lives.get(case.life).ok_or("there is no such life")?;
    let ((label, call), nth) = case.step;
    let lived = live_alone(life, |script| script.spoil_step((label, call), nth, case.mishap)).map_err(|why| why.to_string())?;
    coverage.add(&lived.world.script);
    model::check(life, &lived).map_err(|what| {
        let time = if nth == usize::MAX { "every time".to_owned() } else { format!("time {nth}") };
        format!("life {} `{}`, {:?} at {call} for {label}, {time}: {what}", case.life, life.name, case.mishap)
    })
}
