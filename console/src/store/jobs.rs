//! Jobs: asked for within the transaction of a change, taken by one worker at a time.

use sqlx::{AnyConnection, FromRow};
use time::OffsetDateTime;

use super::{
    error::{RowError, StoreError},
    open::Store,
    rows::nanos,
};
use crate::job::{Job, Kind, LEASE};

#[derive(FromRow)]
struct JobRow {
    job_id: i64,
    kind: String,
    subject: String,
    attempts: i64,
    claims: i64,
    version: i64,
}

impl TryFrom<JobRow> for Job {
    type Error = RowError;

    fn try_from(row: JobRow) -> Result<Self, RowError> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == row.kind).ok_or(RowError("unknown kind of job"))?;
        let JobRow { job_id: id, subject, attempts, claims, version, .. } = row;
        Ok(Self { id, kind, subject, attempts, claims, version })
    }
}

/// Asks for a job, at this time. One that was asked for before is this one.
pub(super) async fn request(
    database: &mut AnyConnection,
    kind: Kind,
    subject: &str,
    at: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO jobs (kind, subject, run_at) VALUES ($1, $2, $3) ON CONFLICT (kind, subject) DO UPDATE SET \
         run_at = excluded.run_at, attempts = 0, claims = 0, version = jobs.version + 1, dead_at = NULL",
    )
    .bind(kind.as_str())
    .bind(subject)
    .bind(nanos(at)?)
    .execute(database)
    .await?;
    Ok(())
}

/// Takes back what was asked for.
pub(super) async fn withdraw(database: &mut AnyConnection, kind: Kind, subject: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM jobs WHERE kind = $1 AND subject = $2").bind(kind.as_str()).bind(subject).execute(database).await?;
    Ok(())
}

/// Whether the job is still as it was taken: nobody asked for it again since, nor took it as one whose worker was gone.
pub(super) async fn is_current(database: &mut AnyConnection, job: &Job) -> Result<bool, StoreError> {
    let found: Option<i64> = sqlx::query_scalar("SELECT job_id FROM jobs WHERE job_id = $1 AND version = $2")
        .bind(job.id)
        .bind(job.version)
        .fetch_optional(database)
        .await?;
    Ok(found.is_some())
}

/// Ends a job; where it is to be done again: when, and whether that is an attempt more.
pub(super) async fn end(database: &mut AnyConnection, job: &Job, again: Option<(OffsetDateTime, i64)>) -> Result<(), StoreError> {
    let query = match again {
        None => sqlx::query("DELETE FROM jobs WHERE job_id = $1 AND version = $2").bind(job.id).bind(job.version),
        Some((at, attempts)) => {
            sqlx::query("UPDATE jobs SET run_at = $3, attempts = $4, claims = 0 WHERE job_id = $1 AND version = $2")
                .bind(job.id)
                .bind(job.version)
                .bind(nanos(at)?)
                .bind(attempts)
        }
    };
    query.execute(database).await?;
    Ok(())
}

/// Lays a job aside that was taken too often. False where somebody asked for it again.
pub(super) async fn bury(database: &mut AnyConnection, job: &Job, now: OffsetDateTime) -> Result<bool, StoreError> {
    let buried = sqlx::query("UPDATE jobs SET dead_at = $3 WHERE job_id = $1 AND version = $2")
        .bind(job.id)
        .bind(job.version)
        .bind(nanos(now)?)
        .execute(database)
        .await?;
    Ok(buried.rows_affected() > 0)
}

impl Store {
    /// Takes jobs of these kinds that are due. Nobody else has them until their lease ends.
    ///
    /// # Errors
    /// The database's.
    pub async fn claim(&self, kinds: &[Kind], limit: i64, now: OffsetDateTime) -> Result<Vec<Job>, StoreError> {
        let kinds: Vec<String> = kinds.iter().map(|kind| format!("'{}'", kind.as_str())).collect();
        let statement = format!(
            "UPDATE jobs SET run_at = $1, claims = claims + 1, version = version + 1 WHERE job_id IN \
             (SELECT job_id FROM jobs WHERE run_at <= $2 AND dead_at IS NULL AND kind IN ({}) ORDER BY run_at, job_id LIMIT $3{}) \
             RETURNING job_id, kind, subject, attempts, claims, version",
            kinds.join(", "),
            self.database.skip_locked()
        );
        let rows: Vec<JobRow> = sqlx::query_as(sqlx::AssertSqlSafe(statement))
            .bind(nanos(now + LEASE)?)
            .bind(nanos(now)?)
            .bind(limit)
            .fetch_all(&self.database.pool)
            .await?;
        let mut jobs = rows.into_iter().map(Job::try_from).collect::<Result<Vec<_>, _>>()?;
        jobs.sort_by_key(|job| job.id);
        Ok(jobs)
    }
}
