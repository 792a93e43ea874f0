//! What the handler would do, and why, without doing it: `hawser plan`.
//!
//! The same parsing, observing and planning as in the handler, over an account described in a file. Nothing is
//! executed.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::{
    billing::{
        self,
        observe::{delete_scope, observe, observe_removal},
        plan,
    },
    connection::{self, notice},
    error::Failure,
    ports::Ports,
    protocol::{
        origin::{Origin, RequestType},
        reply::Attributes,
    },
    request::Request,
};

/// The outcome of a dry run; serialized, it is `hawser plan --output json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DryRun {
    /// `Create`, `Update` or `Delete`.
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
    let request = Request::parse(event)?;
    // Of the moment in which it is asked: looking may take a while.
    let now = ports.clock.now();
    let origin = request.origin();
    let run = |physical_id: String, role, decision: String, rounds, attributes| DryRun {
        request_type: origin.request_type.as_str(),
        logical_resource_id: origin.logical_id.clone(),
        physical_resource_id: physical_id,
        account_role: role,
        decision,
        rounds,
        attributes,
    };
    match &request {
        Request::Billing(_, asked @ billing::BillingRequest::Ensure { export, before }) => {
            plan::check_change_is_possible(origin, export)?;
            let facts = observe(origin, export, before.as_ref(), ports).await?;
            let plan = plan::plan(origin, export, &facts, now)?;
            let id = plan::physical_id(origin, asked);
            Ok(run(id, Some(facts.billing_position.name().as_str()), plan.decision.clone(), steps(&plan), plan.attributes))
        }
        Request::Billing(_, asked @ billing::BillingRequest::Remove { kind, retention, prefix }) => {
            let id = plan::physical_id(origin, asked);
            let delete_scope = delete_scope(origin, prefix.as_ref(), ports).await?;
            if delete_scope.ids.is_empty() {
                let decision = "nothing of this stack has this physical id".to_owned();
                return Ok(run(id, None, decision, Vec::new(), Attributes::new()));
            }
            let named = billing::ExportId::from_physical_id(origin, &id).map(|id| id.kind());
            let sure: Vec<billing::Kind> = kind.iter().copied().chain(named).collect();
            let found = observe_removal(origin, delete_scope.ids, &sure, ports).await?;
            let plan = plan::plan_removal(origin, &found.remains, *retention)?;
            let decision = std::iter::once(plan.decision.clone()).chain(found.remarks).collect::<Vec<_>>().join("; ");
            Ok(run(id, None, decision, steps(&plan), plan.attributes))
        }
        Request::Connection(_, asked) => {
            let (id, decision, step) = notice_step(origin, asked);
            Ok(run(id, None, decision, vec![vec![step]], Attributes::new()))
        }
    }
}

fn steps(plan: &plan::Plan) -> Vec<Vec<String>> {
    plan.rounds.iter().map(|round| round.iter().map(ToString::to_string).collect()).collect()
}

fn notice_step(origin: &Origin, asked: &connection::ConnectionRequest) -> (String, String, String) {
    let own = connection::physical_id(origin);
    let id = origin.physical_id.clone().unwrap_or_else(|| own.clone());
    let describe_notice = |terms: &connection::Terms, kind: notice::Type| {
        let packs: Vec<String> = terms.packs.iter().map(|(pack, mode)| format!("{pack} {mode}")).collect();
        let granted = if packs.is_empty() { "no permission packs".to_owned() } else { packs.join(", ") };
        format!("notify `{}` (`{}`) about role `{}` with {granted}", terms.notice_url.authority(), kind.as_str(), terms.role_arn)
    };
    let (decision, step) = match asked {
        connection::ConnectionRequest::Ensure(terms) => {
            let kind = if origin.request_type == RequestType::Update { notice::Type::Updated } else { notice::Type::Established };
            ("the vendor is notified, with a proof of identity; its answer decides".to_owned(), describe_notice(terms, kind))
        }
        connection::ConnectionRequest::Remove(_) if id != own => {
            ("nothing of this stack has this physical id".to_owned(), "send no notice".to_owned())
        }
        connection::ConnectionRequest::Remove(Ok(terms)) => (
            "the vendor is notified; the stack is deleted whatever it answers".to_owned(),
            describe_notice(terms, notice::Type::Removed),
        ),
        connection::ConnectionRequest::Remove(Err(failure)) => {
            (format!("the vendor cannot be notified: {failure}"), "send no notice".to_owned())
        }
    };
    (id, decision, step)
}

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {}", self.request_type, self.logical_resource_id)?;
        writeln!(f, "  physical id   {}", self.physical_resource_id)?;
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
