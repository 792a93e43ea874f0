//! Endpoints of the operator's systems, and what is on its way to them.

use serde::Serialize;
use sqlx::{AnyConnection, FromRow};
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use super::{
    error::{RowError, StoreError},
    jobs,
    lists::{Listed, Page, Selection},
    once::{Made, Once},
    open::Store,
    outbox::{enqueue, publish},
    rows::{from_nanos, nanos, read, storable, write},
};
use crate::{
    access::{Access, Customers},
    job::Job,
    secret::Secret,
    webhook::{
        self,
        attempt::Attempt,
        endpoint::{Endpoint, Filter},
        endpoint_url::{EndpointUrl, Reach},
        event::Event,
        health::Health,
        ids::EndpointId,
        schedule::{Jitter, Next},
        secrets::{PreviousSecret, SigningSecret, SigningSecrets},
    },
};

/// Each change is stored once for each of them.
const ENDPOINTS_MAX: usize = 64;
/// Attempts, and what was delivered, are shown for as long.
pub(super) const ATTEMPTS_KEPT_FOR: Duration = Duration::days(30);
/// Changes of endpoints wait for each other under this name, which no customer has as an id: a space is none of its characters.
const ENDPOINTS: &str = "webhook endpoints";

/// What an operator gives for a new endpoint.
#[derive(Debug)]
pub struct NewEndpoint {
    pub id: EndpointId,
    /// The only customer whose events it takes; None: all.
    pub customer_id: Option<String>,
    pub url: EndpointUrl,
    pub filter: Filter,
    pub secret: SigningSecret,
}

/// An endpoint as the operator sees it. Of its URL the host alone.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointView {
    #[schema(value_type = String)]
    pub endpoint_id: EndpointId,
    /// The only customer whose events it takes; null: all.
    pub customer_id: Option<String>,
    /// Scheme, host and port of its URL.
    pub origin: String,
    /// Types of events, groups of them such as `problem.*`, or `*`.
    #[schema(value_type = Vec<String>)]
    pub events: Filter,
    /// `state` is `active`, `failing` or `disabled`.
    #[schema(value_type = Object)]
    pub health: Health,
}

/// One event that is due at an endpoint.
#[derive(Debug)]
pub struct Delivery {
    pub endpoint: Endpoint,
    pub event: Event,
    /// Of the attempt that comes, from 1.
    pub number: u32,
}

#[derive(FromRow)]
struct EndpointRow {
    endpoint_id: String,
    customer_id: Option<String>,
    url: String,
    filter: String,
    secrets: String,
    health: String,
}

impl EndpointRow {
    /// One that takes the events of all customers is seen by who sees all of them.
    fn is_seen_by(&self, access: &Access) -> bool {
        match &self.customer_id {
            Some(customer_id) => access.customers.include(customer_id),
            None => access.customers == Customers::All,
        }
    }
}

/// As they are sealed: the current one, then those of before, each with the nanosecond in which it ends.
type StoredSecrets = Vec<(String, i64)>;

impl Store {
    fn open_endpoint(&self, row: &EndpointRow) -> Result<Endpoint, StoreError> {
        let url = self.keys.unseal(&row.endpoint_id, &row.url)?;
        let stored: StoredSecrets = read(self.keys.unseal(&row.endpoint_id, &row.secrets)?.expose())?;
        let mut secrets = stored.iter().map(|(text, until)| {
            let secret = SigningSecret::parse(text).map_err(RowError)?;
            Ok(PreviousSecret { secret, valid_until: from_nanos(*until)? })
        });
        let current = secrets.next().ok_or(RowError("an endpoint without a secret"))??.secret;
        let previous = secrets.collect::<Result<_, RowError>>()?;
        Ok(Endpoint {
            id: row.endpoint_id.parse().map_err(RowError)?,
            // What was allowed when it was made: where it leads is checked again when something is sent.
            url: EndpointUrl::parse(url.expose(), Reach::Proxy)
                .or_else(|_| EndpointUrl::parse(url.expose(), Reach::PublicAndLoopback))
                .map_err(|_| RowError("an endpoint without a URL"))?,
            filter: read(&row.filter)?,
            secrets: SigningSecrets { current, previous },
            health: read(&row.health)?,
        })
    }

    fn seal_secrets(&self, id: &EndpointId, secrets: &SigningSecrets) -> Result<String, StoreError> {
        let current = (secrets.current.expose().to_owned(), i64::MAX);
        let previous = secrets.previous.iter().map(|one| Ok((one.secret.expose().to_owned(), nanos(one.valid_until)?)));
        let all = [Ok(current)].into_iter().chain(previous).collect::<Result<StoredSecrets, RowError>>()?;
        Ok(self.keys.seal(&id.to_string(), &Secret::new(write(&all)?))?)
    }

    /// Stores a new endpoint, once where its request has an idempotency key. None where there are as many as may be.
    ///
    /// # Errors
    /// The database's.
    pub async fn add_endpoint(
        &self,
        endpoint: &NewEndpoint,
        once: Option<&Once>,
        now: OffsetDateTime,
    ) -> Result<Option<Made>, StoreError> {
        let mut transaction = self.database.begin(ENDPOINTS).await?;
        if let Some(once) = once {
            match self.once(&mut transaction, once, now).await? {
                Made::Now => {}
                made => return Ok(Some(made)),
            }
        }
        let there: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM webhook_endpoints").fetch_one(&mut *transaction).await?;
        if usize::try_from(there).is_ok_and(|there| there >= ENDPOINTS_MAX) {
            return Ok(None);
        }
        let id = endpoint.id.to_string();
        sqlx::query(
            "INSERT INTO webhook_endpoints (endpoint_id, customer_id, url, filter, secrets, health) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&id)
        .bind(endpoint.customer_id.as_deref().map(storable))
        .bind(self.keys.seal(&id, &Secret::new(endpoint.url.expose().as_str()))?)
        .bind(write(&endpoint.filter)?)
        .bind(self.seal_secrets(&endpoint.id, &SigningSecrets::new(endpoint.secret.clone()))?)
        .bind(write(&Health::Active)?)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Some(Made::Now))
    }

    /// The endpoints that who asks may see, in the order they were made.
    ///
    /// # Errors
    /// The database's.
    pub async fn endpoints(&self, access: &Access) -> Result<Vec<EndpointView>, StoreError> {
        let rows: Vec<EndpointRow> =
            sqlx::query_as("SELECT * FROM webhook_endpoints ORDER BY sequence").fetch_all(&self.database.pool).await?;
        let view = |row: EndpointRow| {
            let endpoint = self.open_endpoint(&row)?;
            Ok(EndpointView {
                endpoint_id: endpoint.id,
                customer_id: row.customer_id,
                origin: endpoint.url.expose().origin().ascii_serialization(),
                events: endpoint.filter,
                health: endpoint.health,
            })
        };
        rows.into_iter().filter(|row| row.is_seen_by(access)).map(view).collect()
    }

    /// The attempts at an endpoint, the newest first. None where who asks sees none of this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn attempts(&self, access: &Access, endpoint_id: &str, page: Page) -> Result<Option<Listed<Attempt>>, StoreError> {
        let row = endpoint_row(&mut *self.database.pool.acquire().await?, endpoint_id).await?;
        if !row.is_some_and(|row| row.is_seen_by(access)) {
            return Ok(None);
        }
        let mut selection = Selection::new("SELECT a.sequence, a.attempt FROM webhook_attempts a");
        selection.is("a.endpoint_id", Some(endpoint_id));
        let listed = selection.page(self, ("a.sequence", true), page, |row: &(i64, String)| row.0).await?;
        let items = listed.items.iter().map(|(_, attempt)| read(attempt)).collect::<Result<_, _>>()?;
        Ok(Some(Listed { items, next: listed.next }))
    }

    /// Removes an endpoint; what was on its way to it is dropped. False where who asks sees none of this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn remove_endpoint(&self, access: &Access, endpoint_id: &str) -> Result<bool, StoreError> {
        let mut transaction = self.database.begin(ENDPOINTS).await?;
        if !endpoint_row(&mut transaction, endpoint_id).await?.is_some_and(|row| row.is_seen_by(access)) {
            return Ok(false);
        }
        for statement in [
            "DELETE FROM webhook_endpoints WHERE endpoint_id = $1",
            "DELETE FROM jobs WHERE kind = 'deliver' AND subject IN (SELECT delivery_id FROM webhook_deliveries WHERE endpoint_id = $1)",
            "DELETE FROM webhook_deliveries WHERE endpoint_id = $1",
            "DELETE FROM webhook_attempts WHERE endpoint_id = $1",
        ] {
            sqlx::query(statement).bind(storable(endpoint_id)).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// Changes what is kept of an endpoint. None where who asks sees none of this id.
    ///
    /// # Errors
    /// The database's, or what `change` says.
    pub async fn change_endpoint<E>(
        &self,
        access: &Access,
        endpoint_id: &str,
        change: impl FnOnce(&mut Endpoint) -> Result<(), E> + Send,
    ) -> Result<Option<Result<(), E>>, StoreError> {
        let mut transaction = self.database.begin(ENDPOINTS).await?;
        let row = endpoint_row(&mut transaction, endpoint_id).await?;
        let Some(row) = row.filter(|row| row.is_seen_by(access)) else { return Ok(None) };
        let mut endpoint = self.open_endpoint(&row)?;
        if let Err(refused) = change(&mut endpoint) {
            return Ok(Some(Err(refused)));
        }
        sqlx::query("UPDATE webhook_endpoints SET filter = $1, secrets = $2, health = $3 WHERE endpoint_id = $4")
            .bind(write(&endpoint.filter)?)
            .bind(self.seal_secrets(&endpoint.id, &endpoint.secrets)?)
            .bind(write(&endpoint.health)?)
            .bind(&row.endpoint_id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Some(Ok(())))
    }

    /// Posts an event to one endpoint alone, whatever it takes otherwise. False where who asks sees none of this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn post_to(
        &self,
        access: &Access,
        endpoint_id: &str,
        event: &Event,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.database.begin(ENDPOINTS).await?;
        let row = endpoint_row(&mut transaction, endpoint_id).await?;
        let Some(row) = row.filter(|row| row.is_seen_by(access)) else { return Ok(false) };
        enqueue(&mut transaction, &row.endpoint_id, event, now).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// What a job has to deliver. None where there is nothing any more.
    ///
    /// # Errors
    /// The database's.
    pub async fn delivery(&self, job: &Job) -> Result<Option<Delivery>, StoreError> {
        let mut database = self.database.pool.acquire().await?;
        let row: Option<(String, String, i64)> = sqlx::query_as(
            "SELECT endpoint_id, event, attempts FROM webhook_deliveries WHERE delivery_id = $1 AND ended_at IS NULL",
        )
        .bind(&job.subject)
        .fetch_optional(&mut *database)
        .await?;
        let Some((endpoint_id, event, attempts)) = row else { return Ok(None) };
        let Some(row) = endpoint_row(&mut database, &endpoint_id).await? else { return Ok(None) };
        let endpoint = self.open_endpoint(&row)?;
        if endpoint.health.is_disabled() {
            sqlx::query("UPDATE webhook_deliveries SET ended_at = made_at, result = 'stopped' WHERE delivery_id = $1")
                .bind(&job.subject)
                .execute(&mut *database)
                .await?;
            return Ok(None);
        }
        Ok(Some(Delivery { endpoint, event: read(&event)?, number: u32::try_from(attempts + 1).unwrap_or(u32::MAX) }))
    }

    /// Ends a delivery whose job was taken too often without an end.
    pub(super) async fn give_up_delivery(&self, job: &Job, now: OffsetDateTime) -> Result<(), StoreError> {
        let mut transaction = self.database.begin(ENDPOINTS).await?;
        if jobs::is_current(&mut transaction, job).await? {
            sqlx::query("UPDATE webhook_deliveries SET ended_at = $1, result = 'exhausted' WHERE delivery_id = $2")
                .bind(nanos(now)?)
                .bind(&job.subject)
                .execute(&mut *transaction)
                .await?;
            jobs::end(&mut transaction, job, None).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    /// Stores what came of an attempt, and what follows from it.
    ///
    /// # Errors
    /// The database's.
    pub async fn delivered(
        &self,
        job: &Job,
        delivery: &Delivery,
        attempt: &Attempt,
        jitter: Jitter,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let mut transaction = self.database.begin(ENDPOINTS).await?;
        let id = delivery.endpoint.id.to_string();
        // Somebody else has the job, or the endpoint is gone: the receiver knows a repetition by the event's id.
        if !jobs::is_current(&mut transaction, job).await? {
            return Ok(());
        }
        let Some(row) = endpoint_row(&mut transaction, &id).await? else {
            jobs::end(&mut transaction, job, None).await?;
            transaction.commit().await?;
            return Ok(());
        };
        let settled = webhook::settle(read(&row.health)?, delivery.event.event_type(), attempt, now, jitter);
        sqlx::query("INSERT INTO webhook_attempts (endpoint_id, at, attempt) VALUES ($1, $2, $3)")
            .bind(&id)
            .bind(nanos(now)?)
            .bind(write(attempt)?)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("UPDATE webhook_endpoints SET health = $1 WHERE endpoint_id = $2")
            .bind(write(&settled.health)?)
            .bind(&id)
            .execute(&mut *transaction)
            .await?;
        let (again, result) = match settled.next {
            Next::At(at) => (Some((at, job.attempts + 1)), None),
            Next::Done => (None, Some("delivered")),
            Next::Exhausted => (None, Some("exhausted")),
            Next::Stopped => (None, Some("stopped")),
        };
        sqlx::query("UPDATE webhook_deliveries SET attempts = $1, ended_at = $2, result = $3 WHERE delivery_id = $4")
            .bind(i64::from(delivery.number))
            .bind(result.map(|_| nanos(now)).transpose()?)
            .bind(result)
            .bind(&job.subject)
            .execute(&mut *transaction)
            .await?;
        jobs::end(&mut transaction, job, again).await?;
        for event_type in settled.events {
            let subject = format!("{id} {} {} {event_type:?}", attempt.event_id, attempt.number);
            let data = webhook::about(&settled.health, attempt);
            publish(&mut transaction, (&subject, event_type), (None, Some(&delivery.endpoint.id)), &data, now).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

async fn endpoint_row(database: &mut AnyConnection, endpoint_id: &str) -> Result<Option<EndpointRow>, StoreError> {
    let found = sqlx::query_as("SELECT * FROM webhook_endpoints WHERE endpoint_id = $1");
    Ok(found.bind(storable(endpoint_id)).fetch_optional(database).await?)
}
