//! Lives by seed: up to three stacks at once, up to twenty operations, in accounts with a past, while AWS is slow, others
//! act, events come late or twice, and calls go wrong. Equal seeds are equal lives.

use std::time::Duration;

use fastrand::Rng;
use hawser::{
    aws::BucketNamespace,
    billing::{Export, ExportId, Format, Kind, Retention, Reuse, Scope, Versioning},
    protocol::origin::{Origin, RequestType},
};

use crate::{
    account::Lags,
    actors::Actor,
    cloudformation::{Showing, ShownReplacement},
    lambda::Deliveries,
    life::{Op, Scenario, StackScenario},
    script::Script,
    stack::{BILLING, CONNECTION, Cancellation, Parameters, WITHOUT},
};
use hawser_account::{
    ACCOUNT, AccountFile, Freedoms,
    file::{
        BucketFile, CreationFile, ExportFile, OrganizationFile, ReportFile, SupportFile, SupportPlan, TagsAtCreation,
        TransferFile,
    },
};

/// Signs every notice of the simulation; a test searches all output for it.
pub const TOKEN: &str = "whsec_c2VjcmV0LXRoYXQtbXVzdC1uZXZlci1iZS1zZWVuLTEyMw==";

/// Operations of one life, at most.
const OPS_MAX: usize = 20;

/// The parameters of a first launch, with changes.
pub fn parameters(changes: &[(&'static str, &str)]) -> Parameters {
    let mut all = Parameters::from([
        ("Kind", "CostAndUsageReport".to_owned()),
        ("Format", "Parquet".to_owned()),
        ("Reuse", "WhenSuitable".to_owned()),
        ("Scope", "Payer".to_owned()),
        ("Retention", "Retain".to_owned()),
        ("Versioning", "OverwriteReport".to_owned()),
        ("IncludeIamPrincipalData", "false".to_owned()),
        ("BucketNamespace", "Global".to_owned()),
        ("RequestBackfill", "false".to_owned()),
        ("ExistingExport", String::new()),
        ("ExistingBucket", String::new()),
        ("ExistingPrefix", String::new()),
        ("NamePrefix", "acme".to_owned()),
        ("NoticeUrl", "https://vendor.example/notices".to_owned()),
        ("LaunchToken", TOKEN.to_owned()),
        ("ConnectionName", "first".to_owned()),
        ("PackBilling", "ReadOnly".to_owned()),
    ]);
    all.extend(changes.iter().map(|(name, value)| (*name, (*value).to_owned())));
    all
}

/// How often calls go wrong, in a thousand.
const FAULTS_PER_MILLE: [u32; 5] = [0, 3, 10, 30, 100];

/// How often others act, in a thousand calls.
const ACTS_PER_MILLE: [u32; 4] = [0, 0, 15, 60];

/// A life, and how often its calls go wrong.
pub fn scenario(seed: u64) -> (Scenario, u32) {
    let mut random = Rng::with_seed(seed);
    let count = *pick(&mut random, &[1, 1, 1, 2, 3]);
    let mut left = OPS_MAX;
    let stacks: Vec<StackScenario> = (0..count).map(|number| stack(&mut random, number, &mut left)).collect();
    let acts = *pick(&mut random, &ACTS_PER_MILLE);
    let mut scenario = Scenario {
        name: format!("seed {seed}"),
        account: account(&mut random, &stacks),
        lags: Lags::by_chance(&mut random),
        always: None,
        freedoms: Freedoms::by_seed(random.u64(..)),
        actor: (acts > 0).then(|| Actor::new(random.u64(..), acts)),
        showing: Showing::default(),
        stacks,
    };
    let faults = *pick(&mut random, &FAULTS_PER_MILLE);
    // Where only the id that goes is shown, nobody can tell a Delete of long ago that comes again from the one that is under way.
    let in_order = scenario.stacks.iter().all(|stack| matches!(stack.deliveries, Deliveries::Plain));
    let replacements = [ShownReplacement::New, ShownReplacement::Old, ShownReplacement::NewAsGoing];
    let replacement = *pick(&mut random, &replacements[..if in_order { 3 } else { 1 }]);
    scenario.showing = Showing { replacement, hides_removed: random.bool() };
    (scenario, faults)
}

/// Lets calls go wrong as the seed says.
pub fn inject(seed: u64, per_mille: u32, script: &Script) {
    if per_mille > 0 {
        script.inject_randomly(seed, per_mille);
    }
}

fn pick<'a, T>(random: &mut Rng, from: &'a [T]) -> &'a T {
    &from[random.usize(0..from.len())]
}

fn stack(random: &mut Rng, number: usize, left: &mut usize) -> StackScenario {
    let mut current = Vec::new();
    let mut ops = Vec::new();
    let updates = random.usize(0..8).min(*left / 2);
    *left -= updates;
    change(random, &mut current);
    ops.push(Op::Create(parameters(&current), truncated(random)));
    for _ in 0..updates {
        match random.u32(0..11) {
            0 => ops.push(Op::Deliver),
            10 => ops.push(Op::Grow),
            1 => ops.push(Op::Wait(Duration::from_secs(random.u64(1..900)))),
            2 => ops.push(Op::Rest),
            _ => {
                change(random, &mut current);
                ops.push(Op::Update(parameters(&current), truncated(random)));
            }
        }
    }
    if random.bool() {
        ops.push(Op::Rest);
    }
    let deliveries = if random.bool() { Deliveries::Plain } else { Deliveries::ByChance(random.fork()) };
    StackScenario { name: format!("stack{number}"), ops, deliveries, express: random.u32(0..8) == 0 }
}

/// Changes one or two parameters, now and then to what is refused.
fn change(random: &mut Rng, current: &mut Vec<(&'static str, &'static str)>) {
    let changes: &[(&'static str, &[&'static str])] = &[
        ("Kind", &["CostAndUsageReport", "CostAndUsageReport2", "CostAndUsageReport2", "Focus", "None"]),
        ("Format", &["Parquet", "Csv"]),
        ("Reuse", &["WhenSuitable", "Never"]),
        ("Scope", &["Payer", "Account"]),
        ("RequestBackfill", &["true", "false"]),
        ("ExistingExport", &["", "", "", "finance", "cur2-finance", "nobody-has-this"]),
        ("ExistingBucket", &["", "", "", "finance-data", "nobody-has-this"]),
        ("Retention", &["Retain", "Retain", "Delete"]),
        ("Versioning", &["OverwriteReport", "OverwriteReport", "CreateNewReport"]),
        ("BucketNamespace", &["Global", "Global", "AccountRegional"]),
        ("ConnectionName", &["first", "second", "with \"quotes\" and\nlines"]),
        ("PackBilling", &["ReadOnly", "None"]),
        (WITHOUT, &["", "", "", CONNECTION, BILLING]),
    ];
    for _ in 0..random.usize(1..3) {
        let (name, values) = pick(random, changes);
        let value = *pick(random, values);
        current.retain(|(known, _)| known != name);
        current.push((name, value));
    }
    // A slip, which the next change corrects.
    current.retain(|(_, value)| !SLIPS.iter().any(|(_, slip)| slip == value));
    if random.u32(0..12) == 0 {
        let (name, value) = *pick(random, &SLIPS);
        current.retain(|(known, _)| *known != name);
        current.push((name, value));
    }
}

/// Values that the handler refuses.
const SLIPS: [(&str, &str); 4] =
    [("Kind", "Everything"), ("Format", "Excel"), ("NoticeUrl", "http://vendor.example/notices"), ("NamePrefix", "another")];

fn truncated(random: &mut Rng) -> Option<Cancellation> {
    let after = *pick(random, &[0, 10, 50, 90, 130, 200, 1500, 30_000]);
    let resource = *pick(random, &[BILLING, CONNECTION]);
    (random.u32(0..6) == 0).then(|| Cancellation { resource, after: Duration::from_millis(after) })
}

fn account(random: &mut Rng, stacks: &[StackScenario]) -> AccountFile {
    let bucket = BucketFile::customers;
    let report = |name: &str, bucket: &str, time_unit: &str| ReportFile {
        time_unit: time_unit.to_owned(),
        ..ReportFile::hourly(name, bucket)
    };
    let mut file = AccountFile {
        organization: match random.u32(0..8) {
            0 => member_of("999988887777"),
            1 => member_of(ACCOUNT),
            2 => OrganizationFile::Denied,
            _ => OrganizationFile::None,
        },
        delegated_services: random.bool().then(|| vec!["billing-cost-management.amazonaws.com".to_owned()]),
        data_exports_denied: random.u32(0..16) == 0,
        export_names_unique: random.u32(0..4) == 0,
        split_cost_allocation: random.u32(0..4) != 0,
        support: SupportFile {
            plan: *pick(random, &[SupportPlan::None, SupportPlan::Paid, SupportPlan::Paid]),
            cases: Vec::new(),
        },
        stack_tags: (random.u32(0..8) != 0).then(|| [("CostCenter".to_owned(), "42".to_owned())].into()),
        creation: CreationFile {
            tags: if random.u32(0..3) == 0 { *pick(random, &TagsAtCreation::ALL) } else { TagsAtCreation::Accepted },
            ..CreationFile::default()
        },
        ..AccountFile::default()
    };
    match random.u32(0..8) {
        0 | 1 => file.reports = vec![report("finance", "finance-data", "HOURLY")],
        2 => file.reports = vec![report("finance", "finance-data", "DAILY")],
        3 => file.reports = (0..10).map(|n| report(&format!("daily-{n}"), "finance-data", "DAILY")).collect(),
        4 => file.reports = (0..9).map(|n| report(&format!("daily-{n}"), "finance-data", "DAILY")).collect(),
        5 => {
            let mut others = report("others", "finance-data", "HOURLY");
            others.tags = [(
                hawser::billing::TAG_STACK.to_owned(),
                "arn:aws:cloudformation:eu-west-1:111122223333:stack/other/1".to_owned(),
            )]
            .into();
            file.reports = vec![others];
        }
        _ => {}
    }
    match random.u32(0..10) {
        0 | 1 => file.exports = vec![ExportFile::hourly("cur2-finance", "finance-data")],
        2 => file.exports = vec![focus("focus-finance"), focus("focus-team")],
        3 => file.exports = (0..5).map(|n| unhealthy(&format!("cur2-{n}"))).collect(),
        4 => file.exports = vec![ExportFile { format: "TEXT_OR_CSV".to_owned(), compression: "GZIP".to_owned(), ..focus("f") }],
        _ => {}
    }
    if random.u32(0..8) == 0 {
        let transfer =
            TransferFile { status: "ACCEPTED".to_owned(), other: Some("777766665555".to_owned()), start: None, end: None };
        let way = if random.bool() { &mut file.transfers.outbound } else { &mut file.transfers.inbound };
        way.push(transfer);
    }
    if !file.reports.is_empty() || !file.exports.is_empty() {
        let key = (random.u32(0..4) == 0).then(|| format!("arn:aws:kms:us-east-1:{ACCOUNT}:key/finance"));
        file.buckets = vec![BucketFile { kms_key: key, ..bucket("finance-data") }];
    }
    // Somebody has what the first stack will want to make.
    if let (0, Some((own_report, own_bucket))) = (random.u32(0..12), stacks.first().and_then(names_of)) {
        match random.u32(0..3) {
            0 => file.buckets.push(BucketFile { owner: Some("555566667777".to_owned()), ..bucket(&own_bucket) }),
            1 => file.buckets.push(bucket(&own_bucket)),
            _ => file.reports.push(report(&own_report, "finance-data", "HOURLY")),
        }
        if file.buckets.iter().all(|bucket| bucket.name != "finance-data") {
            file.buckets.push(bucket("finance-data"));
        }
    }
    file
}

fn focus(name: &str) -> ExportFile {
    ExportFile { table: "FOCUS_1_2_AWS".to_owned(), ..ExportFile::hourly(name, "finance-data") }
}

fn unhealthy(name: &str) -> ExportFile {
    let reason = Some("INTERNAL_FAILURE".to_owned());
    ExportFile { status: "UNHEALTHY".to_owned(), reason, ..ExportFile::hourly(name, "finance-data") }
}

fn member_of(payer: &str) -> OrganizationFile {
    OrganizationFile::Member {
        id: "o-example".to_owned(),
        management_account: Some(payer.to_owned()),
        feature_set: "ALL".to_owned(),
    }
}

/// The names of the Parquet report and its bucket that a stack derives.
fn names_of(stack: &StackScenario) -> Option<(String, String)> {
    names(&stack.name, Format::Parquet)
}

/// The names of the report and the bucket that a simulated stack of this name derives.
pub fn names(stack: &str, format: Format) -> Option<(String, String)> {
    let origin = Origin {
        request_type: RequestType::Create,
        stack: super::stack::stack_id(stack).parse().ok()?,
        request_id: String::new(),
        logical_id: BILLING.to_owned(),
        physical_id: None,
    };
    let export = Export {
        kind: Kind::CostAndUsageReport,
        format,
        reuse: Reuse::Never,
        scope: Scope::Payer,
        existing: None,
        retention: Retention::Retain,
        namespace: BucketNamespace::Global,
        versioning: Versioning::OverwriteReport,
        iam_principals: false,
        prefix: "acme".parse().ok()?,
        backfill: false,
    };
    let id: ExportId = export.id(&origin);
    Some((id.report().as_str().to_owned(), id.bucket(&origin.stack.account).ok()?.as_str().to_owned()))
}
