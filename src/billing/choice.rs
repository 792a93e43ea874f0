//! Which export: ours first, then a suitable one of the customer's, then a new one. Pure, and the same facts always
//! give the same choice (HW-B3).

use crate::{
    aws::{Fault, Report},
    billing::{
        account_role::AccountRole,
        candidate::Candidate,
        facts::{BucketSeen, Facts, known},
        request::{Existing, Export, Kind, Reuse, Scope},
    },
    error::{Code, Failure},
    names::{BucketName, shorten},
};

/// More reports than this no account can have: AWS's documentation says 10, the API's error text says 5. Between the
/// two AWS itself decides, by `ReportLimitReachedException`.
pub const REPORTS_MAX: usize = 10;

/// How much of the names of reports and exports an error repeats.
const NAMES_SHOWN_BYTES: usize = 500;

/// The chosen export and the sentence that says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Which one.
    pub export: Chosen,
    /// What was chosen, and why each other candidate was not (F-19).
    pub sentence: String,
}

/// Which export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// This stack's own, made by an earlier request.
    Ours(Candidate),
    /// One of the customer's.
    Reuse(Candidate),
    /// A bucket into which something else delivers.
    Bucket {
        /// The bucket.
        bucket: BucketName,
        /// Below which key.
        prefix: String,
    },
    /// A new one.
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
        return Ok(nothing("no billing export, because Kind is None"));
    }
    if let Some(Existing::Bucket { bucket, prefix }) = &export.existing {
        return existing_bucket(bucket, prefix, facts);
    }
    let Some(region) = &facts.region else {
        return Ok(nothing(
            "no billing export, because this partition has no service for billing exports; its charges are in the \
             report of the paired commercial account: launch the stack there",
        ));
    };
    if let Some(Existing::Named(named)) = &export.existing {
        return existing_export(named, export, facts);
    }
    // Ours first, whatever the organization looks like by now: what this stack made is never abandoned by an Update.
    if let Some(ours) = ours(export, facts)? {
        let health = ours.ailment().map_or_else(String::new, |status| format!("; its last delivery was {status}"));
        let sentence = format!("this stack's own {} `{}`{health}", noun(&ours), ours.name());
        return Ok(Choice { sentence: with_remarks(&sentence, &whose_bill(facts).remarks()), export: Chosen::Ours(ours) });
    }
    let bill = whose_bill(facts);
    if let (Some(without), Scope::Payer) = (&bill.without, export.scope) {
        return Ok(nothing(&format!("no billing export, because {without}")));
    }
    let mut remarks = bill.remarks();
    let (hidden, not_named) = hidden(export, facts);
    if let Some(fault) = hidden {
        return Err(fault.clone().into());
    }
    let (reports, exports) = (known(&facts.reports), known(&facts.exports));
    if export.reuse == Reuse::WhenSuitable {
        let (found, rejected) = find(export, facts);
        remarks.splice(0..0, rejected.into_iter().chain(not_named));
        if let Some(found) = found {
            let sentence = with_remarks(&format!("the existing {} `{}`", noun(&found), found.name()), &remarks);
            return Ok(Choice { export: Chosen::Reuse(found), sentence });
        }
    } else if !reports.is_empty() || !exports.is_empty() {
        remarks.insert(0, "existing reports and exports were not looked at, because Reuse is Never".to_owned());
    }
    if export.kind == Kind::CostAndUsageReport && reports.len() >= REPORTS_MAX {
        return Err(limit_reached(reports));
    }
    let noun = if export.kind.is_data_export() { export.kind.title() } else { "report" };
    let sentence = format!("a new {noun} `{}` in {region}", facts.id.report());
    Ok(Choice { export: Chosen::Create, sentence: with_remarks(&sentence, &remarks) })
}

/// Whose bill this account's costs are on, in words.
#[derive(Default)]
struct Bill {
    /// Why there is no export without `Scope: Account`, and what to do (HW-B8); none where this account receives the bill.
    without: Option<String>,
    /// What an export of this account does not hold.
    lacks: Option<String>,
}

impl Bill {
    fn remarks(&self) -> Vec<String> {
        self.lacks.iter().cloned().collect()
    }
}

fn whose_bill(facts: &Facts) -> Bill {
    match &facts.role {
        AccountRole::Member(organization) => {
            let receiver = organization.management_account.as_ref().map_or("unknown", |id| id.as_str());
            let administers = administers(facts);
            let whose = format!(
                "this account is a member of organization {} and account {receiver} receives its bill{administers}",
                organization.id
            );
            Bill {
                without: Some(format!(
                    "{whose}: launch the stack there for the costs of all accounts (if that account is a reseller's, only the \
                     reseller can), or set Scope to Account for the costs of this one"
                )),
                lacks: Some(format!("it holds the costs of this account only, because {whose}")),
            }
        }
        AccountRole::Unknown(why) => Bill {
            without: Some(format!("it is not known whose bill this account's costs are on: {why}")),
            lacks: Some(format!("it may hold the costs of this account only, because its organization is not known: {why}")),
        },
        AccountRole::Management(_) | AccountRole::Standalone => match &facts.bill_goes_to {
            Some(receiver) => {
                let whose = format!("the bill of this organization is transferred to account {receiver}");
                Bill {
                    without: Some(format!(
                        "{whose} (billing transfer): launch the stack there, or set Scope to Account for what this account may \
                         still export"
                    )),
                    lacks: Some(format!("{whose}, so it may end or stay empty")),
                }
            }
            None if facts.bills_received.is_empty() => {
                let hidden = |why| format!("whether its bill is transferred to or from another organization is not known: {why}");
                Bill { without: None, lacks: facts.transfers_hidden.as_ref().map(hidden) }
            }
            None => {
                let senders: Vec<&str> = facts.bills_received.iter().map(|id| id.as_str()).collect();
                let senders = format!("account{} {}", if senders.len() > 1 { "s" } else { "" }, senders.join(", "));
                let lacks = format!(
                    "it does not hold the bills that were transferred from {senders}, which need an export of their billing view"
                );
                Bill { without: None, lacks: Some(lacks) }
            }
        },
    }
}

/// A delegated administrator is often taken for the payer (F-23).
fn administers(facts: &Facts) -> String {
    if facts.administers.is_empty() {
        return String::new();
    }
    format!(" (that it administers {} for the organization changes nothing about the bill)", facts.administers.join(", "))
}

/// What this stack made under the request's own name.
fn ours(export: &Export, facts: &Facts) -> Result<Option<Candidate>, Failure> {
    let name = facts.id.report();
    let not_ours = |what: &str| {
        let cause = format!("{what} `{name}` exists and does not carry this stack's mark");
        Err(Failure::new(Code::BillingReportNotOurs, cause))
    };
    if export.kind.is_data_export() {
        let exports = known(&facts.exports);
        let own = facts.ours.as_ref().and_then(|ours| exports.iter().find(|export| export.arn == ours.arn));
        return match own {
            Some(own) => Ok(Some(Candidate::Export(own.clone()))),
            None if exports.iter().any(|export| export.name == name.as_str()) => not_ours("export"),
            None => Ok(None),
        };
    }
    match known(&facts.reports).iter().find(|report| report.name == name.as_str()) {
        Some(_) if facts.ours.is_none() => not_ours("report"),
        report => Ok(report.cloned().map(Candidate::Report)),
    }
}

/// What hid the service that is asked for; and of the other one, which has names to tell and no more, that it was hidden (HW-B11,
/// F-21).
fn hidden<'a>(export: &Export, facts: &'a Facts) -> (Option<&'a Fault>, Option<String>) {
    let (reports, exports) = (facts.reports.as_ref().err(), facts.exports.as_ref().err());
    let (asked_for, other, name) = if export.kind.is_data_export() {
        (exports, reports, "Cost and Usage Reports")
    } else {
        (reports, exports, "Data Exports")
    };
    (asked_for, other.map(|fault| format!("{name} are not named here: {fault}")))
}

/// Everything that is known of both services, the asked kind first: AWS promises no order.
fn in_order(export: &Export, facts: &Facts) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = Candidate::all(known(&facts.reports), known(&facts.exports)).collect();
    all.sort_by_key(|candidate| (candidate.kind() != Some(export.kind), candidate.rank()));
    all
}

/// The best of what suits, and what there is to say about each other one.
fn find(export: &Export, facts: &Facts) -> (Option<Candidate>, Vec<String>) {
    let mut found = None;
    let mut rejected = Vec::new();
    for candidate in in_order(export, facts) {
        let named = match &candidate {
            Candidate::Report(report) => format!("`{}`", report.name),
            Candidate::Export(export) => format!("export `{}`", export.name),
        };
        let why_not = candidate.shortcomings(export).into_iter().next().or_else(|| candidate.defect(facts));
        match why_not {
            None if found.is_none() => found = Some(candidate),
            None => rejected.push(format!("{named} would do as well")),
            Some(why) => rejected.push(format!("not {named}: {why}")),
        }
    }
    (found, rejected)
}

/// What the customer names (HW-B13) serves, unless nobody could read it. Where it falls short of what was asked for, that is said, and
/// the vendor, who is told, decides.
fn existing_export(named: &str, export: &Export, facts: &Facts) -> Result<Choice, Failure> {
    let Some(found) = in_order(export, facts).into_iter().find(|candidate| is_named(candidate, named)) else {
        if let (Err(fault), _) | (_, Err(fault)) = (&facts.reports, &facts.exports) {
            return Err(fault.clone().into());
        }
        let all = Candidate::all(known(&facts.reports), known(&facts.exports));
        let names: Vec<String> = all.map(|candidate| format!("`{}`", candidate.name())).collect();
        let there = if names.is_empty() { "there is none".to_owned() } else { format!("there are {}", names.join(", ")) };
        let cause = format!("this account has no report and no export `{named}`; {}", shorten(&there, NAMES_SHOWN_BYTES));
        return Err(Failure::new(Code::BillingExportNotFound, cause));
    };
    let short: Vec<String> = found.shortcomings(export).iter().map(ToString::to_string).collect();
    let unreadable = (found.format().is_none() || found.kind().is_none()).then(|| short.join(", "));
    if let Some(why) = found.defect(facts).map(|defect| defect.to_string()).or(unreadable) {
        let cause = format!("{} `{}` cannot serve: {why}", noun(&found), found.name());
        return Err(Failure::new(Code::BillingExportUnusable, cause));
    }
    let short = (!short.is_empty()).then(|| format!("but {}", short.join(", ")));
    let remarks: Vec<String> = short.into_iter().chain(whose_bill(facts).remarks()).collect();
    let sentence = with_remarks(&format!("the existing {} `{}`, as ExistingExport asks", noun(&found), found.name()), &remarks);
    Ok(Choice { export: Chosen::Reuse(found), sentence })
}

/// Whether a candidate is the one that a name or an ARN means.
pub(super) fn is_named(candidate: &Candidate, named: &str) -> bool {
    let by_arn = named.rsplit_once("definition/").map(|(_, name)| name);
    match candidate {
        Candidate::Report(report) => report.name == named || (named.starts_with("arn:") && by_arn == Some(report.name.as_str())),
        Candidate::Export(export) => export.name == named || export.arn == named,
    }
}

fn existing_bucket(bucket: &BucketName, prefix: &str, facts: &Facts) -> Result<Choice, Failure> {
    let why = match facts.candidate_buckets.get(bucket.as_str()) {
        Some(BucketSeen::Here) => {
            let place = if prefix.is_empty() { String::new() } else { format!(" below `{prefix}`") };
            let sentence =
                format!("the existing bucket `{bucket}`{place}, as ExistingBucket asks; what delivers to it is not known");
            return Ok(Choice { export: Chosen::Bucket { bucket: bucket.clone(), prefix: prefix.to_owned() }, sentence });
        }
        Some(BucketSeen::Hidden(why)) => format!("cannot be seen: {why}"),
        Some(BucketSeen::Absent) | None => "does not exist".to_owned(),
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
    let names = shorten(&names.join(", "), NAMES_SHOWN_BYTES);
    Failure::new(Code::BillingReportLimit, format!("this account already has {} reports ({names})", reports.len()))
}

/// The failure of an account without room for another export of a kind.
pub fn quota_reached(fault: &Fault, names: &[&str]) -> Failure {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let names = shorten(&names.join(", "), NAMES_SHOWN_BYTES);
    let cause =
        format!("this account has as many exports of this kind as AWS allows; its exports are {names} ({})", fault.message);
    Failure::explained(fault, Code::BillingExportQuota, cause)
}

fn nothing(sentence: &str) -> Choice {
    Choice { export: Chosen::Nothing, sentence: sentence.to_owned() }
}

fn with_remarks(sentence: &str, remarks: &[String]) -> String {
    if remarks.is_empty() { sentence.to_owned() } else { format!("{sentence}; {}", remarks.join("; ")) }
}
