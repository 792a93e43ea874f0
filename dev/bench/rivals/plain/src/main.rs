//! The plain handler: the same two resources, the same calls, the usual way. Clients are made once, before the runtime
//! loop, from `aws_config`'s defaults, as the SDK's guide says; the calls follow one another, as most handlers do it.
//! It makes no proof of identity and decides nothing: it is a yardstick for cost, not a product.

mod billing;
mod connection;

use std::collections::BTreeMap;

use aws_config::{BehaviorVersion, Region};
use lambda_runtime::{Error, LambdaEvent, run, service_fn, tracing};
use serde_json::{Value, json};

/// Where AWS keeps the billing services of its standard partition.
const BILLING_REGION: &str = "us-east-1";

/// The clients that every event shares.
struct Clients {
    organizations: aws_sdk_organizations::Client,
    reports: aws_sdk_costandusagereport::Client,
    s3: aws_sdk_s3::Client,
    http: reqwest::Client,
}

/// What a finished request tells CloudFormation.
struct Done {
    physical_id: String,
    data: BTreeMap<&'static str, String>,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let config = aws_config::defaults(BehaviorVersion::latest()).region(Region::new(BILLING_REGION)).load().await;
    let clients = Clients {
        organizations: aws_sdk_organizations::Client::new(&config),
        reports: aws_sdk_costandusagereport::Client::new(&config),
        s3: aws_sdk_s3::Client::new(&config),
        http: reqwest::Client::new(),
    };
    run(service_fn(|event: LambdaEvent<Value>| handle(&clients, event.payload))).await
}

async fn handle(clients: &Clients, event: Value) -> Result<(), Error> {
    let result = match text(&event, "ResourceType")? {
        "Custom::BillingExport" => billing::create(clients, &event).await,
        "Custom::AccountConnection" => connection::create(clients, &event).await,
        other => Err(format!("unknown resource type `{other}`").into()),
    };
    let mut body = match result {
        Ok(done) => json!({"Status": "SUCCESS", "PhysicalResourceId": done.physical_id, "Data": done.data}),
        Err(error) => {
            tracing::error!(%error, "the request failed");
            json!({"Status": "FAILED", "PhysicalResourceId": "failed", "Reason": error.to_string()})
        }
    };
    for key in ["StackId", "RequestId", "LogicalResourceId"] {
        body[key] = event[key].clone();
    }
    let url = text(&event, "ResponseURL")?;
    clients.http.put(url).header("content-type", "").body(body.to_string()).send().await?.error_for_status()?;
    tracing::info!("answered");
    Ok(())
}

/// The string at `key`, or an error that names it.
fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, Error> {
    value[key].as_str().ok_or_else(|| format!("`{key}` is missing").into())
}
