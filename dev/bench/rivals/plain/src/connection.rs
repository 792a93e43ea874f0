//! `Custom::AccountConnection`: one signed notice to the vendor.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use lambda_runtime::Error;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::{text, Clients, Done};

pub(crate) async fn create(clients: &Clients, event: &Value) -> Result<Done, Error> {
    let properties = &event["ResourceProperties"];
    let stack_id = text(event, "StackId")?;
    let account = stack_id.split(':').nth(4);
    let id = text(event, "RequestId")?.replace('-', "");
    let notice = json!({
        "specversion": "1.0",
        "id": id,
        "source": stack_id,
        "subject": account,
        "type": "hawser.connection.established",
        "datacontenttype": "application/json",
        "data": {
            "accountId": account,
            "roleArn": properties["RoleArn"],
            "externalId": properties["ExternalId"],
            "packs": properties["Packs"],
            "regions": properties["Regions"],
            "organization": properties["Organization"],
            "billingExport": properties["Billing"],
        },
    })
    .to_string();
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    let signature = Webhook::new(text(properties, "LaunchToken")?)?.sign(&id, now, notice.as_bytes())?;
    let answer: Value = clients
        .http
        .post(text(properties, "NoticeUrl")?)
        .header("content-type", "application/cloudevents+json")
        .header("webhook-id", &id)
        .header("webhook-timestamp", now)
        .header("webhook-signature", signature)
        .body(notice)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    let said = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    let data = BTreeMap::from([("ConnectionId", said("connectionId")), ("Message", said("message")), ("NoticeId", id.clone())]);
    Ok(Done { physical_id: format!("connection/{id}"), data })
}
