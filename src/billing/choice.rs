//! Which export: ours first, then a suitable one of the customer's, then a new one. Pure, and the same facts always
//! give the same choice (HW-B3).

use crate::{
    aws::{Fault, Report},
    billing::{
        account_role::BillingPosition,
        candidate::Candidate,
        facts::{BucketCheck, Facts, OwnBucket, or_empty},
        request::{Existing, Export, Kind, Reuse, Scope},
    },
    error::{Code, Failure},
    names::{BucketName, shorten},
};

/// More reports than this no account can have: AWS's documentation says 10, the API's error text says 5. Between the
/// two AWS itself decides, by `ReportLimitReachedException`.
pub const REPORTS_MAX: usize = 10;

/// How much of the names of reports and exports an error repeats.
const NAMES_QUOTED_BYTES_MAX: usize = 500;

/// The chosen export and the sentence that says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub export: Selection,
    /// What was chosen, and why each other candidate was not (F-19).
    pub decision: String,
}

/// Which export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// This stack's own, made by an earlier request.
    Own(Candidate),
    /// One of the customer's.
    Reuse(Candidate),
    /// A bucket into which something else delivers.
    Bucket {
        bucket: BucketName,
        prefix: String,
    },
    Create,
    /// None, for the reason in the sentence.
    Nothing,
}

/// Chooses.
///
/// # Errors
/// [`Code::BillingReportNotOurs`] if the derived name belongs to a report without this stack's mark,
/// [`Code::BillingReportLimit`] if there is no room for a new one, [`Code::BillingExportNotFound`] and
/// [`Code::BillingExportUnusable`] for what the customer names, or the fault that hid the account's reports or exports.
pub fn choose(export: &Export, facts: &Facts) -> Result<Choice, Failure> {
    if export.kind == Kind::None {
        return Ok(no_export("no billing export, because Kind is None"));
    }
    if let Some(Existing::Bucket { bucket, prefix }) = &export.existing {
        return existing_bucket(bucket, prefix, facts);
    }
    let Some(region) = &facts.region else {
        return Ok(no_export(
            "no billing export, because this partition has no service for billing exports; its charges are in the \
             report of the paired commercial account: launch the stack there",
        ));
    };
    if let Some(Existing::Named(named)) = &export.existing {
        return existing_export(named, export, facts);
    }
    // Ours first, whatever the organization looks like by now: what this stack made is never abandoned by an Update.
    if let Some(ours) = ours(export, facts)? {
        let health = ours.delivery_error().map_or_else(String::new, |status| format!("; its last delivery was {status}"));
        let decision = format!("this stack's own {} `{}`{health}", noun(&ours), ours.name());
        return Ok(Choice {
            decision: with_remarks(&decision, &billing_coverage(facts).remarks()),
            export: Selection::Own(ours),
        });
    }
    let coverage = billing_coverage(facts);
    if let (Some(refusal), Scope::Payer) = (&coverage.refusal, export.scope) {
        return Ok(no_export(&format!("no billing export, because {refusal}")));
    }
    let mut remarks = coverage.remarks();
    let (unreadable, not_named) = unreadable(export, facts);
    if let Some(fault) = unreadable {
        return Err(fault.clone().into());
    }
    let (reports, exports) = (or_empty(&facts.reports), or_empty(&facts.exports));
    if export.reuse == Reuse::WhenSuitable {
        let Suitable { found, stays_though, rejected } = best_suitable(export, facts);
        remarks.splice(0..0, rejected.into_iter().chain(not_named));
        if let Some(found) = found {
            let stays = stays_though.map(|why| format!("{why}, and it stays: set Reuse to Never for a new one"));
            remarks.splice(0..0, stays.into_iter().chain(found.limitation()).chain(found.extras(export)));
            let decision = with_remarks(&format!("the existing {} `{}`", noun(&found), found.name()), &remarks);
            return Ok(Choice { export: Selection::Reuse(found), decision });
        }
    } else if !reports.is_empty() || !exports.is_empty() {
        remarks.insert(0, "existing reports and exports were not considered, because Reuse is Never".to_owned());
    }
    if export.kind == Kind::CostAndUsageReport && reports.len() >= REPORTS_MAX {
        return Err(limit_reached(reports));
    }
    let noun = if export.kind.is_data_export() { export.kind.title() } else { "report" };
    let decision = format!("a new {noun} `{}` in {region}", facts.id.report());
    Ok(Choice { export: Selection::Create, decision: with_remarks(&decision, &remarks) })
}

/// Whose bill this account's costs are on, in words.
#[derive(Default)]
struct BillingCoverage {
    /// Why there is no export without `Scope: Account`, and what to do (HW-B8); none where this account receives the bill.
    refusal: Option<String>,
    /// What an export of this account does not hold.
    limitation: Option<String>,
}

impl BillingCoverage {
    fn remarks(&self) -> Vec<String> {
        self.limitation.iter().cloned().collect()
    }
}

fn billing_coverage(facts: &Facts) -> BillingCoverage {
    match &facts.billing_position {
        BillingPosition::Member(organization) => {
            let receiver = organization.management_account.as_ref().map_or("unknown", |id| id.as_str());
            let delegated_services = delegated_services(facts);
            let whose = format!(
                "this account is a member of organization {} and account {receiver} receives its bill{delegated_services}",
                organization.id
            );
            BillingCoverage {
                refusal: Some(format!(
                    "{whose}: launch the stack there for the costs of all accounts (if that account is a reseller's, only the \
                     reseller can), or set Scope to Account for the costs of this one"
                )),
                limitation: Some(format!("it contains the costs of this account only, because {whose}")),
            }
        }
        BillingPosition::Unknown(why) => BillingCoverage {
            refusal: Some(format!("it is not known which account receives this account's bill: {why}")),
            limitation: Some(format!(
                "it may contain the costs of this account only, because its organization is not known: {why}"
            )),
        },
        BillingPosition::Management(_) | BillingPosition::Standalone => match &facts.bill_recipient {
            Some(receiver) => {
                let whose = format!("the bill of this organization is transferred to account {receiver}");
                BillingCoverage {
                    refusal: Some(format!(
                        "{whose} (billing transfer): launch the stack there, or set Scope to Account for what this account may \
                         still export"
                    )),
                    limitation: Some(format!("{whose}, so it may end or stay empty")),
                }
            }
            None if facts.bill_senders.is_empty() => {
                let unreadable =
                    |why| format!("whether its bill is transferred to or from another organization is not known: {why}");
                BillingCoverage { refusal: None, limitation: facts.transfers_unreadable.as_ref().map(unreadable) }
            }
            None => {
                let senders: Vec<&str> = facts.bill_senders.iter().map(|id| id.as_str()).collect();
                let senders = format!("account{} {}", if senders.len() > 1 { "s" } else { "" }, senders.join(", "));
                let limitation = format!(
                    "it does not contain the bills that were transferred from {senders}, which need an export of their billing view"
                );
                BillingCoverage { refusal: None, limitation: Some(limitation) }
            }
        },
    }
}

/// A delegated administrator is often taken for the payer (F-23).
fn delegated_services(facts: &Facts) -> String {
    if facts.delegated_services.is_empty() {
        return String::new();
    }
    format!(" (being a delegated administrator of {} does not change that)", facts.delegated_services.join(", "))
}

/// What this stack made under the request's own name.
fn ours(export: &Export, facts: &Facts) -> Result<Option<Candidate>, Failure> {
    let name = facts.id.report();
    let not_owned = |what: &str| {
        let cause = format!("{what} `{name}` exists and does not have this stack's ownership tags");
        Err(Failure::new(Code::BillingReportNotOurs, cause))
    };
    if export.kind.is_data_export() {
        let exports = or_empty(&facts.exports);
        let own = facts.ours.as_ref().and_then(|ours| exports.iter().find(|export| export.arn == ours.arn));
        return match own {
            Some(own) => Ok(Some(Candidate::Export(own.clone()))),
            None if exports.iter().any(|export| export.name == name.as_str()) => not_owned("export"),
            None => Ok(None),
        };
    }
    match or_empty(&facts.reports).iter().find(|report| report.name == name.as_str()) {
        Some(_) if facts.ours.is_none() => not_owned("report"),
        report => Ok(report.cloned().map(Candidate::Report)),
    }
}

/// What hid the service that is asked for; and of the other one, which has names to tell and no more, that it was hidden (HW-B11,
/// F-21).
fn unreadable<'a>(export: &Export, facts: &'a Facts) -> (Option<&'a Fault>, Option<String>) {
    let (reports, exports) = (facts.reports.as_ref().err(), facts.exports.as_ref().err());
    let (asked_for, other, name) = if export.kind.is_data_export() {
        (exports, reports, "Cost and Usage Reports")
    } else {
        (reports, exports, "Data Exports")
    };
    (asked_for, other.map(|fault| format!("{name} could not be listed: {fault}")))
}

/// Everything that is known of both services, the asked kind first: AWS promises no order.
fn ranked(export: &Export, facts: &Facts) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = Candidate::all(or_empty(&facts.reports), or_empty(&facts.exports)).collect();
    all.sort_by_key(|candidate| (candidate.kind() != Some(export.kind), candidate.rank()));
    all
}

/// What came of the search among what the customer has.
#[derive(Default)]
struct Suitable {
    /// The best of what suits.
    found: Option<Candidate>,
    /// Why it would not be chosen by a new stack.
    stays_though: Option<String>,
    /// What there is to say about each other one.
    rejected: Vec<String>,
}

/// Looks for the best of what suits. Whatever does not deliver is not chosen (F-54). But an Update that changes nothing does not move
/// the connection to another export, for which the vendor's role and data would change without anybody asking (HW-B3): where this stack
/// never made an export, it was answered with one of these, so the one that delivered last stays, and the decision says so. The delivery
/// check tells the vendor by itself.
fn best_suitable(export: &Export, facts: &Facts) -> Suitable {
    let mut suitable = Suitable::default();
    let keeps = facts.settled && !matches!(facts.bucket, OwnBucket::Tagged { .. });
    let mut idle: Option<(Candidate, String)> = None;
    let not = |candidate: &Candidate, why: &str| format!("not {}: {why}", named(candidate));
    for candidate in ranked(export, facts) {
        let (failing, idle_reason) = (candidate.failing_reason(), candidate.idle_reason(facts.now));
        let lacking = candidate.mismatches(export).into_iter().next();
        let unfit = lacking.or_else(|| failing.clone().filter(|_| !keeps)).or_else(|| candidate.disqualification(facts));
        match (unfit.or_else(|| idle_reason.clone().filter(|_| !keeps)), failing.or(idle_reason)) {
            (Some(why), _) => suitable.rejected.push(not(&candidate, &why)),
            (None, None) if suitable.found.is_none() => suitable.found = Some(candidate),
            (None, None) => suitable.rejected.push(format!("{} is suitable too", named(&candidate))),
            (None, Some(doubt)) => {
                let newer = idle.as_ref().is_none_or(|(other, _)| candidate.delivered_at() > other.delivered_at());
                let worse = if newer { idle.replace((candidate, doubt)) } else { Some((candidate, doubt)) };
                suitable.rejected.extend(worse.map(|(candidate, doubt)| not(&candidate, &doubt)));
            }
        }
    }
    match idle {
        Some((candidate, doubt)) if suitable.found.is_none() => {
            (suitable.found, suitable.stays_though) = (Some(candidate), Some(doubt));
        }
        Some((candidate, doubt)) => suitable.rejected.push(not(&candidate, &doubt)),
        None => {}
    }
    suitable
}

fn named(candidate: &Candidate) -> String {
    match candidate {
        Candidate::Report(report) => format!("`{}`", report.name),
        Candidate::Export(export) => format!("export `{}`", export.name),
    }
}

/// What the customer names (HW-B13) serves, unless nobody could read it. Where it falls short of what was asked for, that is said, and
/// the vendor, who is told, decides.
fn existing_export(named: &str, export: &Export, facts: &Facts) -> Result<Choice, Failure> {
    let Some(found) = ranked(export, facts).into_iter().find(|candidate| matches_name(candidate, named)) else {
        if let (Err(fault), _) | (_, Err(fault)) = (&facts.reports, &facts.exports) {
            return Err(fault.clone().into());
        }
        let all = Candidate::all(or_empty(&facts.reports), or_empty(&facts.exports));
        let names: Vec<String> = all.map(|candidate| format!("`{}`", candidate.name())).collect();
        let there = if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
        let cause = format!("this account has no report or export `{named}`; {}", shorten(&there, NAMES_QUOTED_BYTES_MAX));
        return Err(Failure::new(Code::BillingExportNotFound, cause));
    };
    if let Some(fault) = facts.candidate_buckets.get(found.location().0).and_then(BucketCheck::own_denial) {
        return Err(fault.clone().into());
    }
    let short = found.mismatches(export);
    let readable = found.kind().is_some() && (found.format().is_some() || found.is_zip());
    let unreadable = (!readable).then(|| short.join(", "));
    if let Some(why) = found.failing_reason().or_else(|| found.disqualification(facts)).or(unreadable) {
        let cause = format!("{} `{}` cannot be used: {why}", noun(&found), found.name());
        return Err(Failure::new(Code::BillingExportUnusable, cause));
    }
    let short: Vec<String> = short.into_iter().chain(found.idle_reason(facts.now)).collect();
    let short = (!short.is_empty()).then(|| format!("but {}", short.join(", ")));
    let remarks: Vec<String> = short
        .into_iter()
        .chain(found.limitation())
        .chain(found.extras(export))
        .chain(billing_coverage(facts).remarks())
        .collect();
    let decision = with_remarks(&format!("the existing {} `{}`, as ExistingExport says", noun(&found), found.name()), &remarks);
    Ok(Choice { export: Selection::Reuse(found), decision })
}

/// Whether a candidate is the one that a name or an ARN means.
pub(super) fn matches_name(candidate: &Candidate, named: &str) -> bool {
    let by_arn = named.rsplit_once("definition/").map(|(_, name)| name);
    match candidate {
        Candidate::Report(report) => report.name == named || (named.starts_with("arn:") && by_arn == Some(report.name.as_str())),
        Candidate::Export(export) => export.name == named || export.arn == named,
    }
}

fn existing_bucket(bucket: &BucketName, prefix: &str, facts: &Facts) -> Result<Choice, Failure> {
    let check = facts.candidate_buckets.get(bucket.as_str());
    if let Some(fault) = check.and_then(BucketCheck::own_denial) {
        return Err(fault.clone().into());
    }
    let why = match check {
        Some(BucketCheck::Usable) => {
            let place = if prefix.is_empty() { String::new() } else { format!(" below `{prefix}`") };
            // Without a key in the request, S3's listing has no `s3:prefix` for the policy to compare.
            let whole = if prefix.is_empty() { "; the role lists it with an empty prefix, which it has to name" } else { "" };
            let decision =
                format!("the existing bucket `{bucket}`{place}, as ExistingBucket says; what delivers to it is not known{whole}");
            return Ok(Choice { export: Selection::Bucket { bucket: bucket.clone(), prefix: prefix.to_owned() }, decision });
        }
        Some(BucketCheck::Elsewhere(why)) => format!("cannot be seen: {why}"),
        Some(BucketCheck::Refused(why)) => format!("cannot be seen: {why}"),
        Some(BucketCheck::Absent) | None => "does not exist".to_owned(),
    };
    Err(Failure::new(Code::BillingExportUnusable, format!("bucket `{bucket}` {why}")))
}

fn noun(candidate: &Candidate) -> &'static str {
    match candidate {
        Candidate::Report(_) => "report",
        Candidate::Export(_) => candidate.kind().map_or("export", Kind::title),
    }
}

/// The failure of an account without room for another report: it names those that are there.
pub fn limit_reached(reports: &[Report]) -> Failure {
    let names: Vec<String> = reports.iter().map(|report| format!("`{}`", report.name)).collect();
    let names = shorten(&names.join(", "), NAMES_QUOTED_BYTES_MAX);
    Failure::new(Code::BillingReportLimit, format!("this account already has {} reports ({names})", reports.len()))
}

/// The failure of an account without room for another export of a kind.
pub fn quota_reached(fault: &Fault, names: &[&str]) -> Failure {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let names = shorten(&names.join(", "), NAMES_QUOTED_BYTES_MAX);
    let cause =
        format!("this account has as many exports of this kind as AWS allows; its exports are {names} ({})", fault.message);
    Failure::explained(fault, Code::BillingExportQuota, cause)
}

fn no_export(decision: &str) -> Choice {
    Choice { export: Selection::Nothing, decision: decision.to_owned() }
}

fn with_remarks(decision: &str, remarks: &[String]) -> String {
    if remarks.is_empty() { decision.to_owned() } else { format!("{decision}; {}", remarks.join("; ")) }
}
