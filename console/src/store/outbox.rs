//! What is on its way to endpoints: stored with the change that it is about, delivered by jobs.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sqlx::{AnyConnection, FromRow};
use time::OffsetDateTime;

use super::{
    error::StoreError,
    jobs,
    rows::{Subject, nanos, read, write},
};
use crate::{
    job::Kind,
    webhook::{
        self,
        endpoint::takes,
        event::{Event, EventType},
        ids::{EndpointId, EventId},
    },
};

/// Posts a change of a connection to the endpoints that take it. Nothing is posted about an account that nobody confirmed.
pub(super) async fn publish_change(
    database: &mut AnyConnection,
    (connection_id, customer_id): Subject<'_>,
    (sequence, event_type): (i64, EventType),
    data: Value,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    #[derive(FromRow)]
    struct Row {
        account_id: String,
        connection_name: String,
        label: Option<String>,
        state: String,
        billing_state: Option<String>,
        unconfirmed: i64,
    }
    let row: Option<Row> = sqlx::query_as(
        "SELECT account_id, connection_name, label, state, billing_state, unconfirmed FROM connections WHERE connection_id = $1",
    )
    .bind(connection_id)
    .fetch_optional(&mut *database)
    .await?;
    let Some(row) = row.filter(|row| row.unconfirmed == 0) else { return Ok(()) };
    let connection = json!({
        "connectionId": connection_id,
        "customerId": customer_id,
        "accountId": row.account_id,
        "connectionName": row.connection_name,
        "label": row.label,
        "state": row.state,
        "billingState": row.billing_state,
    });
    let data = match event_type.data() {
        "problem" => json!({"connection": connection, "problem": data}),
        _ => json!({"connection": connection, "change": data}),
    };
    let subject = format!("{connection_id} {sequence}");
    publish(database, (&subject, event_type), (Some(customer_id), None), &data, now).await
}

/// Posts an event to the endpoints that take it: of one customer's those of all and of this one. `about` is the endpoint that it is about.
pub(super) async fn publish(
    database: &mut AnyConnection,
    (subject, event_type): (&str, EventType),
    (customer_id, about): (Option<&str>, Option<&EndpointId>),
    data: &Value,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT endpoint_id, filter, health FROM webhook_endpoints WHERE customer_id IS NULL OR customer_id = $1 ORDER BY sequence",
    )
    .bind(customer_id)
    .fetch_all(&mut *database)
    .await?;
    if rows.is_empty() {
        return Ok(());
    }
    let Ok(event) = Event::new(event_id(subject), event_type, now, data) else {
        tracing::error!("event.type" = event_type.as_str(), "not posted: it is too large");
        return Ok(());
    };
    for (id, filter, health) in rows {
        // A later version may have written what this one cannot read: that must not keep a notice out.
        let endpoint = (id.parse(), read(&filter), read(&health));
        let (Ok(endpoint_id), Ok(filter), Ok(health)) = endpoint else {
            tracing::error!("endpoint.id" = id, "not posted: the endpoint cannot be read");
            continue;
        };
        if takes((&endpoint_id, &filter, &health), event_type, about) {
            enqueue(&mut *database, &id, &event, now).await?;
        }
    }
    Ok(())
}

pub(super) async fn enqueue(
    database: &mut AnyConnection,
    endpoint_id: &str,
    event: &Event,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let delivery_id = format!("{} {endpoint_id}", event.id());
    sqlx::query("INSERT INTO webhook_deliveries (delivery_id, endpoint_id, event, made_at) VALUES ($1, $2, $3, $4)")
        .bind(&delivery_id)
        .bind(endpoint_id)
        .bind(write(event)?)
        .bind(nanos(now)?)
        .execute(&mut *database)
        .await?;
    jobs::request(database, Kind::Deliver, &delivery_id, now).await
}

/// The same for what is the same, so that nothing is posted twice under two ids.
fn event_id(subject: &str) -> EventId {
    let mut bytes = [0; webhook::ids::ID_BYTES];
    let digest = Sha256::digest(subject);
    bytes.copy_from_slice(&digest[..webhook::ids::ID_BYTES]);
    EventId::new(bytes)
}
