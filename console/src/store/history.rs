//! What is wrong with connections, and what happened to them.

use serde_json::{Value, json};
use sqlx::{AnyConnection, FromRow};
use time::OffsetDateTime;

use super::{
    error::{RowError, StoreError},
    jobs,
    open::Store,
    outbox,
    rows::{Subject, connection_row, from_nanos, nanos, read, write},
};
use crate::{
    access::Actor,
    billing::StatusSummary,
    connection::Connection,
    job::{self, Job},
    problem::Problem,
    role_test::RoleTest,
    view::{Event, OpenProblem, State, billing_of},
};

/// What looks for problems, and closes those that it does not find again.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// AWS's word on the stack and its role.
    Verification,
    /// What the stack's own notices say.
    Notices,
    /// How the billing data arrives.
    Billing,
    /// A job that never ends.
    Jobs,
}

impl Source {
    fn as_str(self) -> &'static str {
        match self {
            Self::Verification => "verification",
            Self::Notices => "notices",
            Self::Billing => "billing",
            Self::Jobs => "jobs",
        }
    }
}

/// The type of event that is posted about it: receivers know the customer's words.
fn webhook_type(kind: &str) -> &str {
    match kind {
        "connection.verified" => "connection.connected",
        "connection.partial" => "connection.degraded",
        other => other,
    }
}

#[derive(FromRow)]
pub(super) struct ProblemRow {
    pub(super) problem_id: i64,
    pub(super) connection_id: String,
    customer_id: String,
    code: String,
    subject: String,
    problem: String,
    opened_at: i64,
}

impl TryFrom<ProblemRow> for OpenProblem {
    type Error = RowError;

    fn try_from(row: ProblemRow) -> Result<Self, RowError> {
        Ok(Self {
            problem_id: row.problem_id,
            connection_id: row.connection_id,
            customer_id: row.customer_id,
            problem: read(&row.problem)?,
            opened_at: from_nanos(row.opened_at)?,
        })
    }
}

#[derive(FromRow)]
pub(super) struct EventRow {
    pub(super) sequence: i64,
    connection_id: String,
    customer_id: String,
    at: i64,
    kind: String,
    actor: String,
    data: String,
}

impl TryFrom<EventRow> for Event {
    type Error = RowError;

    fn try_from(row: EventRow) -> Result<Self, RowError> {
        let EventRow { sequence, connection_id, customer_id, kind, actor, .. } = row;
        let (at, data) = (from_nanos(row.at)?, read(&row.data)?);
        Ok(Self { sequence, connection_id, customer_id, at, kind, actor, data })
    }
}

/// The problems that one source finds now: new ones open, those that are gone close, and the others keep their time.
pub(super) async fn set_problems(
    database: &mut AnyConnection,
    (connection_id, customer_id): Subject<'_>,
    source: Source,
    found: &[Problem],
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let open: Vec<ProblemRow> =
        sqlx::query_as("SELECT * FROM problems WHERE connection_id = $1 AND source = $2 AND closed_at IS NULL")
            .bind(connection_id)
            .bind(source.as_str())
            .fetch_all(&mut *database)
            .await?;
    for row in open.iter().filter(|row| !found.iter().any(|problem| problem.is(&row.code, &row.subject))) {
        sqlx::query("UPDATE problems SET closed_at = $1 WHERE problem_id = $2")
            .bind(nanos(now)?)
            .bind(row.problem_id)
            .execute(&mut *database)
            .await?;
        let problem: Value = read(&row.problem)?;
        record(&mut *database, (connection_id, customer_id), Actor::Console, "problem.closed", problem, now).await?;
    }
    for problem in found {
        let known = open.iter().find(|row| problem.is(&row.code, &row.subject));
        let text = write(problem)?;
        match known {
            Some(row) if row.problem == text => {}
            Some(row) => {
                sqlx::query("UPDATE problems SET problem = $1 WHERE problem_id = $2")
                    .bind(text)
                    .bind(row.problem_id)
                    .execute(&mut *database)
                    .await?;
            }
            None => {
                sqlx::query(
                    "INSERT INTO problems (connection_id, customer_id, source, code, subject, problem, opened_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7)",
                )
                .bind(connection_id)
                .bind(customer_id)
                .bind(source.as_str())
                .bind(problem.code())
                .bind(problem.subject())
                .bind(text)
                .bind(nanos(now)?)
                .execute(&mut *database)
                .await?;
                record(&mut *database, (connection_id, customer_id), Actor::Console, "problem.opened", json!(problem), now)
                    .await?;
            }
        }
    }
    Ok(())
}

/// What the last test found wrong with the role stands, and nothing else of its kind.
pub(super) async fn known_problems(
    database: &mut AnyConnection,
    subject: Subject<'_>,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let Some(row) = connection_row(&mut *database, subject.0).await? else { return Ok(()) };
    let known = row.beside()?.role_test.as_ref().map(RoleTest::problems).unwrap_or_default();
    set_problems(database, subject, Source::Verification, &known, now).await
}

/// Closes everything that is open: of a connection that is no more nothing is wrong.
async fn close_problems(database: &mut AnyConnection, subject: Subject<'_>, now: OffsetDateTime) -> Result<(), StoreError> {
    for source in [Source::Verification, Source::Notices, Source::Billing, Source::Jobs] {
        set_problems(database, subject, source, &[], now).await?;
    }
    Ok(())
}

/// Something happened to a connection.
pub(super) async fn record(
    database: &mut AnyConnection,
    (connection_id, customer_id): Subject<'_>,
    actor: Actor,
    kind: &str,
    data: Value,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let sequence: i64 = sqlx::query_scalar(
        "INSERT INTO events (connection_id, customer_id, at, kind, actor, data) VALUES ($1, $2, $3, $4, $5, $6) RETURNING sequence",
    )
    .bind(connection_id)
    .bind(customer_id)
    .bind(nanos(now)?)
    .bind(kind)
    .bind(actor.to_string())
    .bind(data.to_string())
    .fetch_one(&mut *database)
    .await?;
    // Later versions of the table of types have more; what is none of them is history only.
    let Ok(event_type) = webhook_type(kind).parse() else { return Ok(()) };
    outbox::publish_change(database, (connection_id, customer_id), (sequence, event_type), data, now).await
}

/// Derives the state of a connection again after a change, and those of the connections that it took over from or is contested with.
pub(super) async fn settle(database: &mut AnyConnection, connection_id: &str, now: OffsetDateTime) -> Result<(), StoreError> {
    settle_for(database, connection_id, Actor::Console, now).await
}

/// The same after a change that this actor made.
pub(super) async fn settle_for(
    database: &mut AnyConnection,
    connection_id: &str,
    actor: Actor,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let others: Vec<String> =
        sqlx::query_scalar("SELECT connection_id FROM connections WHERE contested_with = $1 OR replaced_by = $1")
            .bind(connection_id)
            .fetch_all(&mut *database)
            .await?;
    for id in others.iter().map(String::as_str).chain([connection_id]) {
        settle_one(&mut *database, id, actor.clone(), now).await?;
    }
    Ok(())
}

async fn settle_one(
    database: &mut AnyConnection,
    connection_id: &str,
    actor: Actor,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let Some(row) = connection_row(&mut *database, connection_id).await? else { return Ok(()) };
    let (before, customer_id, billing_before) = (row.state.clone(), row.customer_id.clone(), row.billing_state.clone());
    let contested_before = row.contested_with.is_some();
    let (beside, connection) = (row.beside()?, Connection::try_from(row)?);
    // What it was contested with is over: another one may take over again.
    if beside.contested_with.is_none() && contested_before {
        sqlx::query("UPDATE connections SET contested_with = NULL WHERE connection_id = $1")
            .bind(connection_id)
            .execute(&mut *database)
            .await?;
    }
    let (state, billing) = (State::of(&connection, &beside), billing_of(&connection, &beside, now));
    let subject = (connection_id, customer_id.as_str());
    // Of what is gone, of what another connection has taken over, and of an account that nobody confirmed nothing is wrong.
    let is_over = matches!(state, State::Removed | State::Replaced | State::Unconfirmed);
    if is_over {
        close_problems(&mut *database, subject, now).await?;
    } else {
        let problems: Vec<_> = connection.downgrade().into_iter().collect();
        set_problems(&mut *database, subject, Source::Notices, &problems, now).await?;
        // Whose launch was revoked is not heard any more: that is no fault of the customer's.
        let heard = billing.as_ref().filter(|_| beside.revoked_at.is_none());
        let problems: Vec<_> = heard.and_then(StatusSummary::problem).into_iter().collect();
        set_problems(&mut *database, subject, Source::Billing, &problems, now).await?;
    }
    match billing.as_ref().filter(|_| !is_over).and_then(|billing| billing.silent_at(connection.since)) {
        Some(at) => jobs::request(&mut *database, job::Kind::Listen, connection_id, at).await?,
        None => jobs::withdraw(&mut *database, job::Kind::Listen, connection_id).await?,
    }
    let billing_state = billing.as_ref().map(|billing| billing.state.as_str());
    if before == state.as_str() && billing_before.as_deref() == billing_state {
        return Ok(());
    }
    sqlx::query("UPDATE connections SET state = $1, billing_state = $2 WHERE connection_id = $3")
        .bind(state.as_str())
        .bind(billing_state)
        .bind(connection_id)
        .execute(&mut *database)
        .await?;
    if before != state.as_str() {
        let kind = format!("connection.{}", state.as_str());
        record(&mut *database, subject, actor, &kind, json!({"before": before}), now).await?;
    }
    if let Some(billing) = billing.filter(|billing| billing_before.as_deref() != Some(billing.state.as_str())) {
        let data = json!({"before": billing_before, "summary": billing.summary});
        record(database, subject, Actor::Console, &format!("billing.{}", billing.state.as_str()), data, now).await?;
    }
    Ok(())
}

impl Store {
    /// Looks whether a connection's stack was heard as it should be.
    ///
    /// # Errors
    /// The database's.
    pub async fn listen(&self, job: &Job, now: OffsetDateTime) -> Result<(), StoreError> {
        let Some(row) = connection_row(&self.database.pool, &job.subject).await? else { return self.drop_job(job).await };
        let mut transaction = self.database.begin(&row.customer_id).await?;
        jobs::end(&mut transaction, job, None).await?;
        settle(&mut transaction, &job.subject, now).await?;
        transaction.commit().await?;
        Ok(())
    }
}
