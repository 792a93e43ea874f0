//! What a run would do, as a person is shown it, and what came of it.

use std::fmt;

use hawser::{billing::ExportId, protocol::reply::Attributes};
use serde::Serialize;

use crate::connect::access::{Change, ExistingAccess};

/// What a run would do, shown before it is done.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionPlan {
    /// `connect`, `update` or `disconnect`.
    pub command: &'static str,
    pub account_id: String,
    /// Who runs it.
    pub caller: String,
    pub connection: String,
    pub vendor: String,
    pub id: String,
    /// About billing data, in the handler's own words.
    pub decision: String,
    /// The handler's steps for billing data, in order.
    pub billing: Vec<String>,
    /// Role and packs, before the vendor is told.
    pub access: Vec<String>,
    /// What the vendor is told.
    pub notice: Option<String>,
    pub afterwards: Vec<String>,
    #[serde(skip)]
    pub(super) work: PlanInputs,
}

/// What a plan needs to be carried out.
#[derive(Debug, Clone, Default)]
pub(super) struct PlanInputs {
    /// Earlier ids of billing data that still have something.
    pub(super) old: Vec<ExportId>,
    pub(super) current: Option<String>,
    pub(super) existing: ExistingAccess,
    pub(super) notified_before: Option<String>,
    pub(super) removal: Vec<Change>,
}

impl ConnectionPlan {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.billing.is_empty() && self.access.is_empty() && self.notice.is_none() && self.afterwards.is_empty()
    }
}

impl fmt::Display for ConnectionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.command {
            "disconnect" => "Disconnects",
            "update" => "Changes the connection of",
            _ => "Connects",
        };
        let preposition = if self.command == "disconnect" { "from" } else { "to" };
        writeln!(f, "{verb} account {} {preposition} {} as `{}`", self.account_id, self.vendor, self.connection)?;
        writeln!(f, "  you           {}", self.caller)?;
        writeln!(f, "  connection    {}", self.id)?;
        writeln!(f, "  billing data  {}", self.decision)?;
        let mut block = |title: &str, lines: &[String]| {
            lines
                .iter()
                .enumerate()
                .try_for_each(|(index, line)| writeln!(f, "  {:<13} {line}", if index == 0 { title } else { "" }))
        };
        block("", &self.billing)?;
        block("access", &self.access)?;
        block("vendor", self.notice.as_slice())?;
        block("then", &self.afterwards)?;
        if self.is_empty() {
            writeln!(f, "  nothing changes")?;
        }
        Ok(())
    }
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionResult {
    pub changed: bool,
    /// The role that the vendor assumes.
    pub role_arn: String,
    /// What the vendor calls the connection.
    pub connection_id: String,
    /// The vendor's own words.
    pub message: String,
    /// Of the billing data, what the handler answered.
    pub billing: Attributes,
    /// What else is worth knowing.
    pub remarks: Vec<String>,
}
