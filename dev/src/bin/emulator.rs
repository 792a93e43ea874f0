//! AWS and a vendor for programs that are not written in Rust: the strict front, which takes responses as S3 and CloudFormation
//! do, and a scripted vendor over TLS.
//!
//! `emulator [ADDRESS]` listens on an address of this machine, 127.0.0.1 by default. The first line that it prints says where
//! everything is; each line on standard input is a [`Question`], answered by one line of JSON. It ends when its standard input
//! ends, so it never outlives its caller.

#![expect(clippy::print_stdout, reason = "its caller reads the answers there")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hawser_dev::account::ROOT_SECRET;
use hawser_dev::constants::CUSTOMER;
use hawser_dev::emulator::Emulator;
use hawser_dev::strict_proxy::scenario::Scenario;
use hawser_dev::vendor::{Script, ScriptedVendor};
use serde::Deserialize;
use serde_json::{Value, json};

/// CloudFormation's response URLs are valid for two hours.
const EXPIRES: Duration = Duration::from_secs(7200);

/// What a caller can ask.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Question {
    /// A response URL for a stack id, a logical id and a request id.
    ResponseUrl(String, String, String),
    /// The responses and notices since the last such question, and whether the notices are signed with this launch token.
    Received(String),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let host: IpAddr = std::env::args().nth(1).map_or(Ok(Ipv4Addr::LOCALHOST.into()), |address| address.parse())?;
    let emulator = Emulator::start_at(host, Scenario::default()).await?;
    let vendor = ScriptedVendor::start(emulator.certificates(), Script::ByPath).await?;
    let (mut uploads_seen, mut notices_seen) = (0, 0);
    println!(
        "{}",
        json!({
            "endpoint": emulator.front().url(),
            "authority": emulator.certificates().authority,
            "accessKeyId": CUSTOMER,
            "secretAccessKey": ROOT_SECRET,
            "vendor": vendor.authority(),
        })
    );
    for line in std::io::stdin().lines() {
        let answer = match serde_json::from_str(&line?)? {
            Question::ResponseUrl(stack_id, logical_id, request_id) => {
                json!(emulator.front().response_url(&stack_id, &logical_id, &request_id, EXPIRES)?)
            }
            Question::Received(token) => {
                let uploads = emulator.front().uploads().split_off(uploads_seen);
                let notices = vendor.notices().split_off(notices_seen);
                (uploads_seen, notices_seen) = (uploads_seen + uploads.len(), notices_seen + notices.len());
                let uploads: Vec<Value> =
                    uploads.iter().map(|upload| json!({"problem": upload.problem, "response": upload.body})).collect();
                let notices: Vec<Value> = notices
                    .iter()
                    .map(|notice| {
                        let signed = notice.is_signed_with(&token);
                        json!({"type": notice.kind(), "signed": signed, "billing": notice.event["data"]["billingStatus"]})
                    })
                    .collect();
                json!({"uploads": uploads, "notices": notices})
            }
        };
        println!("{answer}");
    }
    Ok(())
}
