//! The Lambda entry point: one execution environment, one event at a time.

use hawser::{handler, sdk::world::LivePorts};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use time::OffsetDateTime;
use tracing::Level;
use tracing_subscriber::{Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false);
    tracing_subscriber::registry().with(lines.with_filter(log_filter())).init();
    let world = LivePorts::from_env().await;
    // Nothing fallible happens before the loop: a world that could not be built fails each event, clearly.
    let world = &world;
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| -> Result<(), Error> {
        let world = world.as_ref().map_err(|why| format!("INTERNAL: TLS could not be set up: {why}"))?;
        let deadline_ms = i128::from(event.context.deadline) * 1_000_000;
        let deadline = OffsetDateTime::from_unix_timestamp_nanos(deadline_ms).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        handler::handle(&event.payload, &event.context.request_id, deadline, &world.ports()).await.map_err(|why| {
            tracing::error!("{why}");
            Error::from(why)
        })
    }))
    .await
}

/// Our own lines at info, and only warnings of libraries: their debug lines may hold requests.
fn log_filter() -> Targets {
    Targets::new().with_default(Level::WARN).with_target("hawser", Level::INFO)
}
