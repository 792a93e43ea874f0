//! What a request comes to, decided before anything is done. The handler carries it out; `hawser plan`, `preflight` and
//! `connect` show it.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::{
    billing::{
        BillingRequest, Export, ExportId, Kind, Retention,
        facts::Facts,
        observe::{delete_scope, observe, observe_removal},
        plan::{self, Plan},
    },
    connection,
    delivery::{self, place},
    error::Failure,
    ports::Ports,
    protocol::{origin::Origin, reply::Attributes, retry::EVENTUAL_CONSISTENCY},
    request::Request,
};

/// What a request about billing data comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided<'a> {
    /// On Create and Update: the export that is wanted, and the account as it is.
    pub wanted: Option<(&'a Export, Facts)>,
    /// What is to be done, or why it cannot be.
    pub plan: Result<Plan, Failure>,
    /// What the reader of the stack event should still know.
    pub remarks: Vec<String>,
}

impl Decided<'_> {
    /// The account's role in billing, where the request needs it.
    pub fn account_role(&self) -> Option<&'static str> {
        self.wanted.as_ref().map(|(_, facts)| facts.billing_position.name().as_str())
    }
}

/// Decides a request about billing data. Only reads.
///
/// # Errors
/// A change that is never possible, and what AWS refused or could not answer, after all tries.
pub async fn billing<'a>(origin: &Origin, asked: &'a BillingRequest, ports: &Ports<'_>) -> Result<Decided<'a>, Failure> {
    match asked {
        BillingRequest::Ensure { export, before } => {
            plan::check_change_is_possible(origin, export)?;
            let (facts, place) =
                tokio::join!(observe(origin, export, before.as_ref(), ports), place::look(origin, export, ports));
            let facts = facts?;
            // What the account lacks says more than what is at a place in it.
            let planned = plan::plan(origin, export, &facts).and_then(|plan| Ok((plan, place?)));
            let (plan, place) = planned.map_or_else(|failure| (Err(failure), None), |(plan, place)| (Ok(plan), place));
            let remarks = plan.iter().filter_map(|plan| plan.tags_unknown(&facts)).chain(place).collect();
            Ok(Decided { wanted: Some((export, facts)), plan, remarks })
        }
        BillingRequest::Remove { kind, retention, prefix } => {
            let mut scope = delete_scope(origin, prefix.as_ref(), ports).await?;
            let named = origin.physical_id.as_deref().and_then(|id| ExportId::from_physical_id(origin, id)).map(|id| id.kind());
            let sure: Vec<Kind> = kind.iter().copied().chain(named).collect();
            loop {
                let (decided, waited) = removal(origin, scope.ids.clone(), &sure, *retention, false, ports).await?;
                // By now the stack may be creating the same again (HW-L8).
                let now = if waited { delete_scope(origin, prefix.as_ref(), ports).await? } else { scope.clone() };
                if now.ids == scope.ids {
                    return Ok(Decided { remarks: scope.remark.into_iter().chain(decided.remarks).collect(), ..decided });
                }
                scope = now;
            }
        }
    }
}

/// Decides the removal of what is left under some ids, which was `made` for sure, or perhaps not; and whether it took more
/// than one look, seconds apart. Only reads.
///
/// # Errors
/// As [`observe_removal`].
pub async fn removal(
    origin: &Origin,
    ids: Vec<ExportId>,
    sure: &[Kind],
    retention: Retention,
    made: bool,
    ports: &Ports<'_>,
) -> Result<(Decided<'static>, bool), Failure> {
    let none = ids.is_empty();
    let mut tries = EVENTUAL_CONSISTENCY.tries(ports.clock, None);
    // Who saw a part has something to find, though another run may have removed that part by the next look.
    let mut expected = !none && made;
    let mut waited = false;
    let found = loop {
        let found = observe_removal(origin, ids.clone(), sure, ports).await?;
        expected |= found.is_partial;
        let is_whole =
            !found.is_partial && found.remains.iter().any(|(_, remains)| remains.report || !remains.exports.is_empty());
        // Whatever is not shown yet would be left for ever.
        if is_whole || !expected || !tries.again(&"some of what was created may not be shown yet", None).await {
            break found;
        }
        waited = true;
    };
    let mut plan = plan::plan_removal(origin, &found.remains, retention)?;
    if none {
        plan.decision = "nothing of this stack has this physical id".to_owned();
    } else if plan.rounds.is_empty() && !found.remarks.is_empty() {
        plan.decision = "nothing is removed".to_owned();
    }
    Ok((Decided { wanted: None, plan: Ok(plan), remarks: found.remarks }, waited))
}

/// The outcome of a dry run; serialized, it is `hawser plan --output json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DryRun {
    /// `Create`, `Update` or `Delete`; `Delivery check` of the schedule's event.
    pub request_type: &'static str,
    /// The resource's name in the template.
    pub logical_resource_id: String,
    /// The id that would be answered with.
    pub physical_resource_id: String,
    /// The account's role in billing, where the request needs it.
    pub account_role: Option<&'static str>,
    pub decision: String,
    /// The steps, by round; those of one round run together.
    pub rounds: Vec<Vec<String>>,
    /// The attributes that would be returned.
    pub attributes: Attributes,
}

/// Plans one event against whatever account the ports lead to, which is only read.
///
/// # Errors
/// The failure that the stack event would show.
pub async fn preview(event: &Value, ports: &Ports<'_>) -> Result<DryRun, Failure> {
    if delivery::is_delivery_check(event) {
        return Ok(delivery_check());
    }
    let request = Request::parse(event)?;
    let origin = request.origin();
    let run = DryRun {
        request_type: origin.request_type.as_str(),
        logical_resource_id: origin.logical_id.clone(),
        physical_resource_id: request.physical_id(),
        ..DryRun::default()
    };
    match &request {
        Request::Billing(origin, asked) => {
            let decided = billing(origin, asked, ports).await?;
            let account_role = decided.account_role();
            let Plan { rounds, attributes, decision } = decided.plan?;
            let decision = std::iter::once(decision).chain(decided.remarks).collect::<Vec<_>>().join("; ");
            let rounds = rounds.iter().map(|round| round.iter().map(ToString::to_string).collect()).collect();
            Ok(DryRun { account_role, decision, rounds, attributes, ..run })
        }
        Request::Connection(origin, asked) => {
            let plan = connection::decide(origin, asked, ports).await?;
            Ok(DryRun { decision: plan.decision(), rounds: vec![vec![plan.to_string()]], ..run })
        }
    }
}

/// The schedule's event changes nothing, whatever the account is like.
fn delivery_check() -> DryRun {
    let looks = "look at the export's status, at the policy of its bucket, and at the newest manifest in it";
    DryRun {
        request_type: "Delivery check",
        logical_resource_id: connection::LOGICAL_ID.to_owned(),
        decision: "nothing is created, changed or removed".to_owned(),
        rounds: vec![vec![looks.to_owned()], vec!["notify the vendor of how delivery fares".to_owned()]],
        ..DryRun::default()
    }
}

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {}", self.request_type, self.logical_resource_id)?;
        if !self.physical_resource_id.is_empty() {
            writeln!(f, "  physical id   {}", self.physical_resource_id)?;
        }
        if let Some(role) = self.account_role {
            writeln!(f, "  account role  {role}")?;
        }
        writeln!(f, "  decision      {}", self.decision)?;
        if self.rounds.is_empty() {
            writeln!(f, "  steps         none")?;
        }
        for (number, round) in self.rounds.iter().enumerate() {
            for (index, step) in round.iter().enumerate() {
                let label = if index == 0 { format!("round {}", number + 1) } else { String::new() };
                writeln!(f, "  {label:<13} {step}")?;
            }
        }
        for (index, (name, value)) in self.attributes.iter().filter(|(_, value)| !value.is_empty()).enumerate() {
            let label = if index == 0 { "attributes" } else { "" };
            writeln!(f, "  {label:<13} {name} = {value}")?;
        }
        Ok(())
    }
}
