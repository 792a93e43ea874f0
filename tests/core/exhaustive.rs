//! Every combination of request, organization, reports and buckets through `plan`, checked by an audit that was
//! written from `docs/requirements.md` and knows nothing of how plans are made.
#![expect(clippy::print_stdout, reason = "a test says how much it did")]

use std::collections::{BTreeMap, BTreeSet};

use hawser::{
    aws::{BucketNamespace, DataExport, ExportStatus, Fault, FaultKind, Organization, Report, Tags},
    billing::{
        ATTRIBUTES, Existing, Export, Format, Kind, Retention, Reuse, Scope, Versioning,
        account_role::BillingPosition,
        facts::{BucketCheck, Facts, Leftover, OwnBucket, OwnExport, OwnedResources},
        mark,
        plan::{Plan, PolicyBefore, Resource, Step, plan, plan_removal, plan_without},
        query::{ConfiguredTable, FOCUS_COLUMNS, TableSource},
    },
    error::{Code, Failure},
    protocol::origin::{Origin, RequestType},
};
use hawser_account::{ACCOUNT, EPOCH};

fn origin(request_type: RequestType, physical_id: Option<String>) -> Origin {
    Origin {
        request_type,
        stack: format!("arn:aws:cloudformation:eu-west-1:{ACCOUNT}:stack/acme/5e0c1b70").parse().unwrap(),
        request_id: "request".to_owned(),
        logical_id: "BillingExport".to_owned(),
        physical_id,
    }
}

fn report(name: &str, time_unit: &str) -> Report {
    Report {
        name: name.to_owned(),
        time_unit: time_unit.to_owned(),
        format: "Parquet".to_owned(),
        compression: "Parquet".to_owned(),
        elements: vec!["RESOURCES".to_owned()],
        bucket: "theirs".to_owned(),
        prefix: "p".to_owned(),
        region: "us-east-1".to_owned(),
        artifacts: Vec::new(),
        versioning: "OVERWRITE_REPORT".to_owned(),
        refresh_closed: true,
        billing_view: None,
        last_status: None,
        last_delivery: Some("20261122T060000Z".to_owned()),
    }
}

fn data_export(kind: Kind, name: &str, time_unit: &str, format: Format) -> DataExport {
    let (format, compression) = match format {
        Format::Parquet => ("PARQUET", "PARQUET"),
        Format::Csv => ("TEXT_OR_CSV", "GZIP"),
    };
    let properties = [("TIME_GRANULARITY", time_unit), ("INCLUDE_RESOURCES", "TRUE")];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
    DataExport {
        arn: export_arn(name),
        name: name.to_owned(),
        query: format!("SELECT * FROM {}", table(kind)),
        tables: [(table(kind).to_owned(), properties.into())].into(),
        bucket: "theirs".to_owned(),
        prefix: "p".to_owned(),
        region: "us-east-1".to_owned(),
        output_type: "CUSTOM".to_owned(),
        format: format.to_owned(),
        compression: compression.to_owned(),
        overwrite: "OVERWRITE_REPORT".to_owned(),
        status: ExportStatus {
            code: "HEALTHY".to_owned(),
            last_refreshed_at: Some("2026-11-22T06:00:00Z".to_owned()),
            ..ExportStatus::default()
        },
        ..DataExport::default()
    }
}

fn table(kind: Kind) -> &'static str {
    if kind == Kind::Focus { "FOCUS_1_2_AWS" } else { "COST_AND_USAGE_REPORT" }
}

fn export_arn(name: &str) -> String {
    format!("arn:aws:bcm-data-exports:us-east-1:{ACCOUNT}:export/{name}-5e0c1b70")
}

fn denied() -> Fault {
    Fault {
        action: "cur:DescribeReportDefinitions",
        kind: FaultKind::Denied,
        code: "AccessDenied".to_owned(),
        message: String::new(),
        request_id: None,
        bucket_region: None,
    }
}

/// What the customer has besides.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Theirs {
    Nothing,
    Suitable,
    /// It stopped delivering long ago.
    Idle,
    Daily,
    BucketGone,
    OtherStacks,
    TenDaily,
    Unseen,
}

/// What stands under our name.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Named {
    Nothing,
    Tagged,
    /// Left by a run that ended before it was tagged (F-49).
    Remnant,
    Untagged,
}

impl Named {
    fn is_ours(self) -> bool {
        matches!(self, Self::Tagged | Self::Remnant)
    }
}

/// The tags of what this stack made.
fn our_tags() -> Tags {
    mark(&origin(RequestType::Create, None))
}

/// What the stack's own tags are said to be (F-51); a key of ours and one of AWS's are among them.
fn stack_tags(theirs: Theirs) -> Result<Tags, Fault> {
    let tags = [("CostCenter", "42"), ("hawser:stack-id", "another"), ("aws:servicecatalog:product", "p")];
    match theirs {
        Theirs::Daily => Err(denied()),
        Theirs::Suitable => Ok(Tags::new()),
        _ => Ok(tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
    }
}

fn roles() -> Vec<BillingPosition> {
    let organization = |payer: &str| Organization {
        id: "o-example".to_owned(),
        management_account: Some(payer.parse().unwrap()),
        feature_set: "ALL".to_owned(),
    };
    vec![
        BillingPosition::Standalone,
        BillingPosition::Management(organization(ACCOUNT)),
        BillingPosition::Member(organization("999988887777")),
        BillingPosition::Unknown("denied".to_owned()),
    ]
}

fn buckets() -> Vec<OwnBucket> {
    let ours = r#"{"Version":"2012-10-17","Statement":[{"Sid":"HawserBillingWrite"},{"Sid":"Mine"}]}"#;
    vec![
        OwnBucket::Absent,
        OwnBucket::Tagged { policy: None, in_use: false, tags: our_tags() },
        OwnBucket::Tagged { policy: Some(ours.to_owned()), in_use: false, tags: our_tags() },
        OwnBucket::Tagged { policy: Some(ours.to_owned()), in_use: true, tags: our_tags() },
        OwnBucket::Tagged { policy: Some("not a policy".to_owned()), in_use: true, tags: our_tags() },
        OwnBucket::Remnant { policy: None },
        OwnBucket::Remnant { policy: Some(ours.to_owned()) },
        OwnBucket::Untagged,
        OwnBucket::Unreadable(denied()),
    ]
}

fn exports() -> Vec<Export> {
    let mut all = Vec::new();
    for kind in Kind::ALL {
        for format in Format::ALL {
            for reuse in [Reuse::WhenSuitable, Reuse::Never] {
                for retention in [Retention::Retain, Retention::Delete] {
                    for scope in [Scope::Payer, Scope::Account] {
                        let prefix = "acme".parse().unwrap();
                        // Past months are asked for in every second combination.
                        let backfill = scope == Scope::Account;
                        let namespace = if backfill { BucketNamespace::AccountRegional } else { BucketNamespace::Global };
                        // Where nothing is reused, nothing of the customer's has to match these.
                        let all_versions = reuse == Reuse::Never && retention == Retention::Delete;
                        let versioning = if all_versions { Versioning::CreateNewReport } else { Versioning::OverwriteReport };
                        let iam_principals = reuse == Reuse::Never && kind == Kind::CostAndUsageReport2;
                        all.push(Export {
                            kind,
                            format,
                            versioning,
                            iam_principals,
                            reuse,
                            scope,
                            existing: None,
                            retention,
                            namespace,
                            prefix,
                            backfill,
                        });
                    }
                }
            }
        }
    }
    all
}

fn facts(
    origin: &Origin,
    export: &Export,
    billing_position: &BillingPosition,
    bucket: &OwnBucket,
    theirs: Theirs,
    named: Named,
    at_home: bool,
) -> Facts {
    let id = export.id(origin);
    let mut all: Vec<(String, &str)> = match theirs {
        Theirs::Nothing | Theirs::Unseen => Vec::new(),
        Theirs::Suitable | Theirs::Idle | Theirs::BucketGone | Theirs::OtherStacks => vec![("theirs".to_owned(), "HOURLY")],
        Theirs::Daily => vec![("theirs".to_owned(), "DAILY")],
        Theirs::TenDaily => (0..10).map(|n| (format!("theirs-{n}"), "DAILY")).collect(),
    };
    if named != Named::Nothing {
        all.push((id.report().as_str().to_owned(), "HOURLY"));
    }
    let data = export.kind.is_data_export();
    let (mut reports, mut exports) = (Vec::new(), Vec::new());
    for (name, time_unit) in all {
        if data {
            let mut export = data_export(export.kind, &name, time_unit, export.format);
            if theirs == Theirs::Idle {
                export.status.last_refreshed_at = Some("2025-03-12T10:11:12Z".to_owned());
            }
            exports.push(export);
            continue;
        }
        let mut report = report(&name, time_unit);
        if export.format == Format::Csv {
            (report.format, report.compression) = ("textORcsv".to_owned(), "GZIP".to_owned());
        }
        if theirs == Theirs::Idle {
            report.last_delivery = Some("20250312T101112Z".to_owned());
        }
        reports.push(report);
    }
    // The other service has something that must only be named.
    if data {
        reports.push(report("other-service", "HOURLY"));
    } else {
        exports.push(data_export(Kind::Focus, "other-service", "HOURLY", export.format));
    }
    let ours_arn = if data { export_arn(id.report().as_str()) } else { String::new() };
    let others = if data { export_arn("theirs") } else { "theirs".to_owned() };
    let configured =
        ConfiguredTable { table: table(export.kind).to_owned(), properties: BTreeMap::new(), defaults: BTreeMap::new() };
    let columns = FOCUS_COLUMNS.map(str::to_owned).to_vec();
    let seen = if theirs == Theirs::BucketGone { BucketCheck::Absent } else { BucketCheck::Usable };
    Facts {
        region: at_home.then(|| "us-east-1".parse().unwrap()),
        billing_position: billing_position.clone(),
        account: ACCOUNT.parse().unwrap(),
        now: EPOCH,
        settled: false,
        bill_recipient: None,
        bill_senders: Vec::new(),
        transfers_unreadable: None,
        delegated_services: Vec::new(),
        reports: if theirs == Theirs::Unseen && !data { Err(denied()) } else { Ok(reports) },
        exports: if theirs == Theirs::Unseen && data { Err(denied()) } else { Ok(exports) },
        source: data.then_some(Ok(TableSource { configured, columns })),
        stack_tags: stack_tags(theirs),
        ours: (named.is_ours() && theirs != Theirs::Unseen).then(|| {
            let mut tags = if named == Named::Tagged { our_tags() } else { Tags::new() };
            if named == Named::Tagged {
                tags.insert("hawser:created-at".to_owned(), "2026-11-01T00:00:00Z".to_owned());
            }
            OwnExport { arn: ours_arn, tags, duplicates: Vec::new() }
        }),
        bucket: bucket.clone(),
        candidate_buckets: BTreeMap::from([("theirs".to_owned(), seen)]),
        bucket_regions: BTreeMap::new(),
        bucket_keys: BTreeMap::new(),
        unreadable_keys: BTreeMap::new(),
        other_stacks: if theirs == Theirs::OtherStacks { BTreeSet::from([others]) } else { BTreeSet::new() },
        leftover: None,
        id,
    }
}

/// HW-B2, HW-B8, F-22, F-23, F-24.
fn made_where_it_may_be(export: &Export, facts: &Facts) -> Result<(), String> {
    let payer = matches!(facts.billing_position, BillingPosition::Standalone | BillingPosition::Management(_))
        && facts.bill_recipient.is_none();
    if facts.region.is_none() || !(payer || export.scope == Scope::Account) {
        return Err("an export is made on a guess".to_owned());
    }
    Ok(())
}

fn created_or_ours(named: Named, round: &[Step], rounds: &[Vec<Step>]) -> bool {
    let before = rounds.iter().take_while(|other| other.as_slice() != round).flatten();
    named.is_ours() || before.into_iter().any(|step| matches!(step, Step::EnsureReport { .. } | Step::EnsureExport { .. }))
}

/// HW-O1, F-51: the mark as it has to be, every tag of the stack's that may be given, and none of AWS's.
fn tagged_as_required(origin: &Origin, facts: &Facts, tags: &Tags) -> Result<(), String> {
    if tags.get("hawser:stack-id").map(String::as_str) != Some(origin.stack.as_str()) {
        return Err("something is made without its mark".to_owned());
    }
    let expected = facts.stack_tags.as_ref().ok().and_then(|tags| tags.get("CostCenter"));
    if tags.get("CostCenter") != expected || tags.keys().any(|key| key.starts_with("aws:")) {
        return Err(format!("the stack's tags are not on what is made: {tags:?}"));
    }
    Ok(())
}

/// HW-O2, F-49, F-51: tags go to what is ours, and change no mark.
fn tags_only_ours(origin: &Origin, facts: &Facts, named: Named, resource: &Resource, tags: &Tags) -> Result<(), String> {
    let present = match (resource, &facts.bucket) {
        (Resource::Bucket(bucket), OwnBucket::Tagged { tags, .. })
            if *bucket == facts.id.bucket(&origin.stack.account).unwrap() =>
        {
            tags.clone()
        }
        (Resource::Bucket(bucket), OwnBucket::Remnant { .. }) if *bucket == facts.id.bucket(&origin.stack.account).unwrap() => {
            Tags::new()
        }
        (Resource::Report(name), _) if named.is_ours() && *name == facts.id.report() => facts.ours.clone().unwrap().tags,
        (Resource::Export(arn), _) if facts.ours.as_ref().is_some_and(|ours| ours.arn == *arn) => {
            facts.ours.clone().unwrap().tags
        }
        _ => return Err(format!("{resource} is tagged, which is not ours")),
    };
    if tags.is_empty() || tags.iter().any(|(key, value)| present.get(key) == Some(value)) {
        return Err(format!("{resource} is given tags that it has: {tags:?}"));
    }
    let after: Tags = present.into_iter().chain(tags.clone()).collect();
    tagged_as_required(origin, facts, &after)
}

/// The requirements on a plan for Create and Update (HW-B3, HW-B5: a reused report has no step; HW-B6; HW-O1; HW-O3).
fn audit(origin: &Origin, export: &Export, facts: &Facts, theirs: Theirs, named: Named, plan: &Plan) -> Result<(), String> {
    let leftover = facts.leftover.as_ref();
    let may_touch_reports: Vec<String> = std::iter::once(facts.id.report().as_str().to_owned())
        .chain(leftover.filter(|l| l.remains.report).map(|l| l.id.report().as_str().to_owned()))
        .collect();
    let own_bucket = facts.id.bucket(&origin.stack.account).unwrap();
    let left_bucket = leftover.filter(|l| l.remains.bucket).map(|l| l.id.bucket(&origin.stack.account).unwrap());
    let steps: Vec<&Step> = plan.rounds.iter().flatten().collect();
    let mut created = false;
    let mut allowed_by_now = false;
    // Nothing else is done to what has no mark yet.
    let mut unmarked = matches!(facts.bucket, OwnBucket::Remnant { .. });
    for round in &plan.rounds {
        if round.is_empty() {
            return Err("an empty round".to_owned());
        }
        let mut allowed_here = false;
        for step in round {
            match step {
                // HW-O2, F-1: nothing without the mark is modified.
                Step::EnsureTags { resource, tags } => {
                    tags_only_ours(origin, facts, named, resource, tags)?;
                    unmarked &= !matches!(resource, Resource::Bucket(_));
                }
                Step::EnsureBucket { bucket, tags, namespace } => {
                    if *namespace != export.namespace {
                        return Err("a bucket of another namespace".to_owned());
                    }
                    if *bucket != own_bucket || facts.bucket != OwnBucket::Absent {
                        return Err("a bucket is made where one is".to_owned());
                    }
                    tagged_as_required(origin, facts, tags)?;
                    created = true;
                }
                Step::EnsurePublicAccessBlocked(bucket) | Step::EnsureEncryption(bucket) | Step::EnsureUploadsExpire(bucket) => {
                    let ours =
                        created || (!unmarked && matches!(facts.bucket, OwnBucket::Tagged { .. } | OwnBucket::Remnant { .. }));
                    if *bucket != own_bucket || !ours {
                        return Err(format!("{step}: not ours"));
                    }
                    let made_before = match &facts.bucket {
                        OwnBucket::Tagged { in_use, .. } => *in_use || named == Named::Tagged,
                        _ => false,
                    };
                    if made_before {
                        return Err(format!("{step}: settings are made once, then they are the customer's"));
                    }
                }
                Step::EnsureDeliveryAllowed { bucket, policy, from } => {
                    let seen = match &facts.bucket {
                        OwnBucket::Tagged { policy, .. } | OwnBucket::Remnant { policy } => {
                            PolicyBefore::Existing(policy.clone())
                        }
                        _ => PolicyBefore::NewBucket,
                    };
                    if *from != seen {
                        return Err("a policy is written without knowing which one it replaces".to_owned());
                    }
                    let ours =
                        created || (!unmarked && matches!(facts.bucket, OwnBucket::Tagged { .. } | OwnBucket::Remnant { .. }));
                    if *bucket != own_bucket || !ours {
                        return Err("a policy is written to a bucket that is not ours".to_owned());
                    }
                    let lost = matches!(&facts.bucket, OwnBucket::Tagged { policy: Some(before), .. } if before.contains("Mine"))
                        && !policy.contains("Mine");
                    if lost {
                        return Err("a statement of the customer's is lost".to_owned());
                    }
                    allowed_here = true;
                }
                Step::EnsureReport { report, tags } => {
                    let set_up = allowed_by_now;
                    if report.name != facts.id.report().as_str() || named != Named::Nothing || !set_up {
                        return Err("a report is made too early, twice, or under another name".to_owned());
                    }
                    made_where_it_may_be(export, facts)?;
                    tagged_as_required(origin, facts, tags)?;
                    // F-17.
                    if report.versioning != export.versioning.in_aws() {
                        return Err("a report of the other versioning".to_owned());
                    }
                    if report.prefix.is_empty() || report.prefix.ends_with(['/', '|', '.']) {
                        return Err("a prefix that AWS refuses".to_owned());
                    }
                }
                Step::EnsureExport { export: made, tags } => {
                    if made.name != facts.id.report().as_str() || named != Named::Nothing || !allowed_by_now {
                        return Err("an export is made too early, twice, or under another name".to_owned());
                    }
                    made_where_it_may_be(export, facts)?;
                    tagged_as_required(origin, facts, tags)?;
                    if made.overwrite != export.versioning.in_aws() {
                        return Err("an export of the other versioning".to_owned());
                    }
                    if made.prefix.is_empty() || made.prefix.ends_with(['/', '|', '.']) || made.bucket != own_bucket.as_str() {
                        return Err("an export to a place that is not ours".to_owned());
                    }
                }
                Step::EnsureExportCurrent(current) => {
                    let ours = facts.ours.as_ref().is_some_and(|ours| ours.arn == current.arn);
                    let before = data_export(export.kind, &current.name, "HOURLY", export.format);
                    let place = |export: &DataExport| (export.bucket.clone(), export.prefix.clone(), export.format.clone());
                    if !ours || place(current) != place(&before) {
                        return Err("an export is changed that is not ours, or delivers to another place then".to_owned());
                    }
                }
                Step::AskForBackfill(_) => {
                    if !export.backfill || !(created_or_ours(named, round, &plan.rounds)) {
                        return Err("past months are asked for, of nothing that is ours, or unasked".to_owned());
                    }
                }
                Step::RetireExport { arn, .. } => {
                    if !leftover.is_some_and(|left| left.remains.exports.contains(arn)) {
                        return Err("an export is removed that no failed replacement left".to_owned());
                    }
                }
                Step::RetireReport { report: name, .. } => {
                    if !may_touch_reports[1..].iter().any(|left| left == name.as_str()) {
                        return Err("a report is removed that no failed replacement left".to_owned());
                    }
                }
                Step::RetireData { bucket, .. } if export.retention == Retention::Retain => {
                    return Err(format!("data in `{bucket}` is deleted although it is to be kept"));
                }
                Step::RetireData { bucket, .. } | Step::RetireEmptyBucket(bucket) => {
                    if Some(bucket) != left_bucket.as_ref() {
                        return Err("a bucket is removed that no failed replacement left".to_owned());
                    }
                }
            }
        }
        allowed_by_now |= allowed_here;
    }
    if export.kind == Kind::None && !steps.iter().all(|s| s.name().starts_with("Retire")) {
        return Err("something is made though nothing is asked for".to_owned());
    }
    // HW-A6, F-30.
    let (has, wants): (BTreeSet<&str>, BTreeSet<&str>) = (plan.attributes.keys().copied().collect(), ATTRIBUTES.into());
    if has != wants {
        return Err("attributes are missing".to_owned());
    }
    let origin_attribute = plan.attributes["Origin"].as_str();
    let makes = steps.iter().any(|step| matches!(step, Step::EnsureReport { .. } | Step::EnsureExport { .. }));
    match origin_attribute {
        "created" if makes || named.is_ours() => {}
        // F-54: by a stack that has chosen it before, and by no other.
        "reused" if theirs == Theirs::Idle && (!facts.settled || matches!(facts.bucket, OwnBucket::Tagged { .. })) => {
            return Err("what stopped delivering is reused".to_owned());
        }
        "reused" if !makes && plan.attributes["Name"] == "theirs" => {}
        "none" if !makes && plan.attributes["Name"].is_empty() => {}
        other => return Err(format!("Origin is `{other}`")),
    }
    for name in ["ReadableBucketArn", "ReadableObjectsArn"] {
        if !plan.attributes[name].starts_with("arn:aws:s3:::") {
            return Err(format!("`{name}` is no ARN"));
        }
    }
    if !plan.attributes["DecryptableKeyArn"].starts_with("arn:aws:kms:") {
        return Err("`DecryptableKeyArn` is no ARN".to_owned());
    }
    // HW-A8.
    if let Some((name, value)) =
        plan.attributes.iter().find(|(_, value)| value.contains(['"', '\\']) || value.contains(char::is_control))
    {
        return Err(format!("`{name}` would end a JSON string: {value}"));
    }
    if plan.attributes["Decision"].is_empty() {
        return Err("no decision".to_owned());
    }
    Ok(())
}

/// The requirements on a refusal.
fn audit_refusal(export: &Export, facts: &Facts, theirs: Theirs, named: Named, failure: &Failure) -> Result<(), String> {
    let payer = matches!(facts.billing_position, BillingPosition::Standalone | BillingPosition::Management(_))
        && facts.bill_recipient.is_none();
    let payer = payer || export.scope == Scope::Account;
    let right = export.kind != Kind::None
        && facts.region.is_some()
        && match failure.code {
            Code::BillingReportNotOurs => named == Named::Untagged,
            Code::BillingReportLimit => {
                theirs == Theirs::TenDaily && named == Named::Nothing && payer && export.kind == Kind::CostAndUsageReport
            }
            // Also beside our report: it would deliver to a stranger.
            Code::BillingBucketNotOurs => {
                matches!(facts.bucket, OwnBucket::Untagged | OwnBucket::Unreadable(_)) && (payer || named.is_ours())
            }
            Code::BucketPolicyUnmergeable => {
                matches!(&facts.bucket, OwnBucket::Tagged { policy: Some(p), .. } if p == "not a policy")
            }
            Code::AwsAccessDenied => theirs == Theirs::Unseen && payer,
            _ => false,
        };
    if right { Ok(()) } else { Err(format!("refused without need: {failure}")) }
}

/// F-1, F-17, F-18, F-20, F-22, F-23, F-30, F-32: what the audit above asks of each plan.
/// The requirements on going back without the export that was refused (HW-B7): nothing is made, the reason is said, and what
/// the failed Update left is removed all the same (HW-L4).
fn audit_without(origin: &Origin, export: &Export, facts: &Facts, failure: &Failure) -> Result<(), String> {
    let plan = plan_without(origin, export, facts, failure).map_err(|why| why.to_string())?;
    let names: Vec<&str> = plan.rounds.iter().flatten().map(Step::name).collect();
    let (mut expected, left) = (Vec::new(), facts.leftover.as_ref().map(|leftover| &leftover.remains));
    if left.is_some_and(|left| left.report) {
        expected.push("RetireReport");
    }
    expected.extend(left.iter().flat_map(|left| left.exports.iter().map(|_| "RetireExport")));
    if left.is_some_and(|left| left.bucket) {
        expected.extend((export.retention == Retention::Delete).then_some("RetireData"));
        expected.push("RetireEmptyBucket");
    }
    if names != expected {
        return Err(format!("going back without it takes the steps {names:?}"));
    }
    let has: BTreeSet<&str> = plan.attributes.keys().copied().collect();
    let says = |name: &str, text: &str| plan.attributes.get(name).is_some_and(|value| value.contains(text));
    let stated = says("Decision", failure.code.as_str()) && says("Decision", &failure.cause) && says("Origin", "none");
    let billing_position = plan.attributes.get("AccountRole").map(String::as_str) == Some(facts.billing_position.name().as_str());
    let nothing = plan.attributes.get("Name").is_some_and(String::is_empty) && says("ReadableBucketArn", "-none");
    if has == BTreeSet::from(ATTRIBUTES) && stated && billing_position && nothing && plan.decision == plan.attributes["Decision"]
    {
        Ok(())
    } else {
        Err(format!("going back without it answers {:?}", plan.attributes))
    }
}

/// What a failed change of kind and format left: of the one service or of the other.
fn leftover(origin: &Origin, export: &Export, something: bool) -> Leftover {
    let kind = if export.kind.is_data_export() { Kind::CostAndUsageReport } else { Kind::CostAndUsageReport2 };
    let format = if export.format == Format::Csv { Format::Parquet } else { Format::Csv };
    let id = Export { format, kind, ..export.clone() }.id(origin);
    let exports = if something && kind.is_data_export() { vec![export_arn("left")] } else { Vec::new() };
    Leftover {
        remains: OwnedResources { report: something && !kind.is_data_export(), exports, bucket: true },
        id,
        is_partial: !something,
    }
}

#[test]
fn every_combination_is_planned_as_required() {
    let (mut plans, mut refusals) = (0_u32, 0_u32);
    let theirs_all = [
        Theirs::Nothing,
        Theirs::Suitable,
        Theirs::Idle,
        Theirs::Daily,
        Theirs::BucketGone,
        Theirs::OtherStacks,
        Theirs::TenDaily,
        Theirs::Unseen,
    ];
    let transferred = [false, true];
    let roles = roles();
    for export in exports() {
        for (billing_position, transferred) in
            roles.iter().flat_map(|billing_position| transferred.map(|transferred| (billing_position, transferred)))
        {
            // Only a management account's bill can go to another organization.
            if transferred && !matches!(billing_position, BillingPosition::Management(_)) {
                continue;
            }
            for bucket in buckets() {
                for theirs in theirs_all {
                    for named in [Named::Nothing, Named::Tagged, Named::Remnant, Named::Untagged] {
                        for at_home in [true, false] {
                            for left in [None, Some(true), Some(false)] {
                                let named = if theirs == Theirs::Unseen { Named::Nothing } else { named };
                                // Where there is no service, only that matters; and so it is where nothing is asked for.
                                let idle =
                                    export.kind == Kind::None && (export.scope, export.reuse) != (Scope::Payer, Reuse::Never);
                                if idle || (!at_home && (theirs != Theirs::Nothing || left.is_some())) {
                                    continue;
                                }
                                let request_type = if left.is_some() { RequestType::Update } else { RequestType::Create };
                                let origin = origin(request_type, None);
                                let mut facts = facts(&origin, &export, billing_position, &bucket, theirs, named, at_home);
                                facts.bill_recipient = transferred.then(|| "999988887777".parse().unwrap());
                                facts.leftover = left.map(|something| leftover(&origin, &export, something));
                                facts.settled = left == Some(false);
                                let context = || format!("{export:?}\n{facts:#?}\n{theirs:?} {named:?}");
                                match plan(&origin, &export, &facts) {
                                    Ok(plan) => {
                                        plans += 1;
                                        audit(&origin, &export, &facts, theirs, named, &plan)
                                            .unwrap_or_else(|what| panic!("{what}\n{plan:#?}\n{}", context()));
                                    }
                                    Err(failure) => {
                                        refusals += 1;
                                        audit_refusal(&export, &facts, theirs, named, &failure)
                                            .and_then(|()| audit_without(&origin, &export, &facts, &failure))
                                            .unwrap_or_else(|what| panic!("{what}\n{}", context()));
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    println!("{plans} plans, {refusals} refusals");
    assert!(plans > 50_000 && refusals > 50_000, "{plans} plans, {refusals} refusals");
}

/// HW-L1, HW-L3, F-2.
#[test]
fn the_id_changes_with_what_cannot_change_in_place_and_with_nothing_else() {
    let origin = origin(RequestType::Create, None);
    let of = |export: &Export| export.id(&origin).to_string();
    for a in exports() {
        for b in exports() {
            let replaced = (a.kind, a.format, a.versioning, a.namespace) != (b.kind, b.format, b.versioning, b.namespace);
            assert_eq!(of(&a) != of(&b), replaced, "{a:?} {b:?}");
        }
        // What the customer brings is one id, whatever it is: nothing is made under it.
        let brought = |existing| of(&Export { existing: Some(existing), ..a.clone() });
        let named = brought(Existing::Named("finance".to_owned()));
        assert_ne!(named, of(&a));
        let bucket = hawser::names::BucketName::existing("finance-data");
        assert_eq!(named, brought(Existing::Bucket { bucket, prefix: String::new() }));
    }
}

#[test]
fn removal_touches_only_what_has_our_tags() {
    for export in exports() {
        let origin = origin(RequestType::Delete, None);
        let id = export.id(&origin);
        for (report, bucket) in [(false, false), (true, false), (false, true), (true, true)] {
            let exports = if report { vec![export_arn("a"), export_arn("b")] } else { Vec::new() };
            let remains = OwnedResources { report, exports, bucket };
            let plan = plan_removal(&origin, &[(id.clone(), remains)], export.retention).unwrap();
            let names: Vec<&str> = plan.rounds.iter().flatten().map(Step::name).collect();
            let mut expected = Vec::new();
            if report {
                expected.extend(["RetireReport", "RetireExport", "RetireExport"]);
            }
            if bucket && export.retention == Retention::Delete {
                expected.push("RetireData");
            }
            if bucket {
                expected.push("RetireEmptyBucket");
            }
            assert_eq!(names, expected, "{export:?}");
        }
    }
}
