//! What a role lets the vendor do, tried step by step (F-63). Pure: [`worker`](crate::worker) tries, this says what follows.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::{
    probe::{self, FindingCode, How, NotTried, Tried},
    problem::Problem,
};

/// One test of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleTest {
    /// When it ended.
    #[serde(with = "time::serde::rfc3339")]
    pub checked_at: OffsetDateTime,
    pub verdict: Verdict,
    /// In the order in which they were tried. After the first without which there is no more to try nothing follows.
    pub steps: Vec<Step>,
}

/// What a test comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything that was granted works, and the role is closed to others.
    Verified,
    /// The role can be used, and something is wrong with it.
    Partial,
    /// The role cannot be used, or must not.
    Unavailable,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RoleTestStep)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What: `assume-with-external-id`, `stack-resources`, `refuse-without-external-id`, `refuse-other-external-id`, or a pack's statement.
    pub name: String,
    pub result: StepResult,
    /// Why it did not pass.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problem: Option<Problem>,
    /// Why it was not tried.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StepResult {
    Passed,
    Failed,
    /// AWS did not say, or we could not ask.
    Unknown,
    /// There is no harmless way to try it here.
    Skipped,
}

/// The role is assumed with the external ID that was issued for it.
pub const ASSUME: &str = "assume-with-external-id";
/// The stack has the role, the handler's role and the function that the notice names.
pub const STACK: &str = "stack-resources";
/// The role refuses whoever brings no external ID.
pub const REFUSE_WITHOUT: &str = "refuse-without-external-id";
/// The role refuses whoever brings another one.
pub const REFUSE_OTHER: &str = "refuse-other-external-id";

/// The statements of the granted packs, where none of them could be tried.
pub const PACKS: &str = "packs";

impl Step {
    /// Whether it is about one statement of a pack.
    fn is_statement(&self) -> bool {
        self.name.contains('/')
    }

    /// Nobody knows.
    pub fn unknown(name: &str, problem: Problem) -> Self {
        Self { name: name.to_owned(), result: StepResult::Unknown, problem: Some(problem), note: None }
    }

    /// It went as it should.
    pub fn passed(name: &str) -> Self {
        Self { name: name.to_owned(), result: StepResult::Passed, problem: None, note: None }
    }

    /// It did not.
    pub fn failed(name: &str, problem: Problem) -> Self {
        let result = if problem.is_outage() { StepResult::Unknown } else { StepResult::Failed };
        Self { name: name.to_owned(), result, problem: Some(problem), note: None }
    }
}

impl From<Tried> for Step {
    /// A statement of a pack, by its name.
    fn from(tried: Tried) -> Self {
        let statement = tried.statement;
        let name = format!("{}/{}", statement.pack, statement.sid);
        let probe = match (&statement.how, &tried.result) {
            (How::Probe(probe), Ok(_)) => probe,
            (How::NoProbe(reason), _) => {
                return Self { name, result: StepResult::Skipped, problem: None, note: Some(reason.clone()) };
            }
            (How::Probe(_), Err(not_tried)) => {
                let why = match not_tried {
                    NotTried::NoProbe | NotTried::NoService => "The partition does not have the service.",
                    NotTried::NoBillingBucket => "The connection has no billing data.",
                    NotTried::NotARegion => "The notice states no Region in which it could be tried.",
                };
                return Self { name, result: StepResult::Skipped, problem: None, note: Some(why.to_owned()) };
            }
        };
        let Ok(outcome) = tried.result else { return Self::passed(&name) };
        let Some(finding) = outcome.finding() else { return Self::passed(&name) };
        let denied = matches!(outcome, probe::Outcome::Denied(_));
        let found = finding.describe(&probe.action);
        // What will be the same tomorrow is no reason to ask again in an hour.
        let result = match finding.code {
            FindingCode::ServiceNotEnabled | FindingCode::Unexpected => {
                let note = format!("{}: {found}", finding.code.meaning());
                return Self { name, result: StepResult::Skipped, problem: None, note: Some(note) };
            }
            FindingCode::RegionNotEnabled => StepResult::Failed,
            _ if denied => StepResult::Failed,
            _ => StepResult::Unknown,
        };
        let lost = if denied { format!("{found}. Without it: {}", probe.lost) } else { found };
        let problem = Problem::new(finding.code, &lost).about(&name);
        Self { name, result, problem: Some(problem), note: None }
    }
}

impl RoleTest {
    /// What these steps come to. None where an outage, of AWS or of the vendor's own, leaves nothing to say: what was known stands. So
    /// does what was wrong at a step that nobody could answer for now; without any test before, there is none until all of it was tried.
    pub fn of(mut steps: Vec<Step>, before: Option<&Self>, checked_at: OffsetDateTime) -> Option<Self> {
        if steps.iter().any(|step| step.name == PACKS)
            && let Some(before) = before
        {
            steps.extend(before.steps.iter().filter(|step| step.is_statement()).cloned());
        }
        let is_first = before.is_none() && steps.iter().any(|step| step.result == StepResult::Unknown && !step.is_statement());
        if is_first {
            return None;
        }
        for step in steps.iter_mut().filter(|step| step.result == StepResult::Unknown) {
            let known = before.and_then(|before| before.steps.iter().find(|known| known.name == step.name));
            if let Some(known) =
                known.filter(|known| known.result == StepResult::Failed && known.name != ASSUME && known.name != STACK)
            {
                *step = known.clone();
            }
        }
        let of = |name: &str| steps.iter().find(|step| step.name == name).map(|step| step.result);
        let verdict = match (of(ASSUME), of(STACK)) {
            (None | Some(StepResult::Unknown), _) | (_, Some(StepResult::Unknown)) => return None,
            (Some(StepResult::Failed), _) | (_, Some(StepResult::Failed)) => Verdict::Unavailable,
            _ if steps.iter().any(|step| step.result == StepResult::Failed) => Verdict::Partial,
            _ => Verdict::Verified,
        };
        Some(Self { checked_at, verdict, steps })
    }

    /// Whether something could not be tried.
    pub fn is_incomplete(&self) -> bool {
        self.steps.iter().any(|step| step.result == StepResult::Unknown)
    }

    /// What is wrong, in the order of the steps. Where AWS did not answer nothing is said of a step.
    pub fn problems(&self) -> Vec<Problem> {
        let failed = self.steps.iter().filter(|step| step.result == StepResult::Failed);
        let mut problems: Vec<Problem> = Vec::new();
        for problem in failed.filter_map(|step| step.problem.as_ref()) {
            // A role that is open to everybody is one problem.
            if !problems.iter().any(|known| known.is(problem.code(), problem.subject())) {
                problems.push(problem.clone());
            }
        }
        problems
    }
}
