//! skeleton
use lambda_runtime::{Error, LambdaEvent, service_fn};
#[tokio::main]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(async |e: LambdaEvent<serde_json::Value>| Ok::<_, Error>(e.payload))).await
}
