//! What every request shares: the run's circumstances, the services of each account, and the way to the emulator.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;

use bytes::Bytes;
use hawser_account::{AccountFile, Refusal, Services};
use http::Response;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::Value;

use super::calls::{CallLog, Upload, lock};
use super::model::Model;
use super::refusal;
use super::scenario::Scenario;
use super::wire::{self, Answer, AwsError, Request};
use crate::account::Account;
use crate::faults::Faults;

/// The Region of the billing services in the partition `aws`, the only one the emulator has accounts of.
pub const BILLING_REGION: &str = "us-east-1";

/// Whether a service has an endpoint in a Region (AWS SDK `endpoints.json`; one home for each partition). In any other, the
/// name does not exist.
pub(super) fn is_served_in(service: &str, region: &str) -> bool {
    match service {
        "cur" => [BILLING_REGION, "cn-northwest-1", "eusc-de-east-1"].contains(&region),
        "bcm-data-exports" => [BILLING_REGION, "cn-northwest-1", "eusc-de-east-1", "us-gov-west-1"].contains(&region),
        "organizations" => [BILLING_REGION, "cn-northwest-1", "eusc-de-east-1", "us-gov-west-1"].contains(&region),
        "support" => [BILLING_REGION, "cn-north-1", "eusc-de-east-1", "us-gov-west-1"].contains(&region),
        _ => true,
    }
}

/// What every request shares.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) emulator: String,
    pub(super) python: PathBuf,
    pub(super) response_key: String,
    pub(super) models: BTreeMap<&'static str, Model>,
    pub(super) scenario: Mutex<Scenario>,
    pub(super) faults: Faults,
    pub(super) log: CallLog,
    pub(super) uploads: Mutex<Vec<Upload>>,
    pub(super) secrets: Mutex<BTreeSet<String>>,
    pub(super) accounts: Mutex<BTreeMap<String, String>>,
    /// The services of each account, as far as the front serves them itself.
    pub(super) services: Mutex<BTreeMap<String, Services>>,
    pub(super) client: Client<HttpConnector, Full<Bytes>>,
}

/// A request of a validated service, understood.
#[derive(Debug)]
pub(super) struct AwsCall {
    pub(super) service: String,
    pub(super) operation: String,
    pub(super) account: String,
    pub(super) input: Value,
}

impl AwsCall {
    /// A member of the request that is text; empty when it is absent.
    pub(super) fn text(&self, member: &str) -> &str {
        self.input[member].as_str().unwrap_or_default()
    }
}

impl Shared {
    pub(super) fn scenario(&self) -> Scenario {
        lock(&self.scenario).clone()
    }

    pub(super) fn root(&self, account: &str, region: &str) -> Account {
        Account::root(&self.emulator, account, region)
    }

    /// Lends an account's services to one call, in the circumstances of the run.
    pub(super) fn services<T>(&self, account: &str, act: impl FnOnce(&mut Services) -> T) -> T {
        let scenario = self.scenario();
        let mut all = lock(&self.services);
        let services = all.entry(account.to_owned()).or_insert_with(|| {
            let services = Services::new(AccountFile::default());
            Services { account: account.to_owned(), ..services }
        });
        scenario.apply(services);
        act(services)
    }

    /// The same for a call that can be refused, in the words of its service.
    pub(super) fn ask<T>(
        &self,
        aws_call: &AwsCall,
        act: impl FnOnce(&mut Services) -> Result<T, Refusal>,
    ) -> Result<T, AwsError> {
        self.services(&aws_call.account, act).map_err(|refusal| {
            let error = refusal::written_out(self.models.get(aws_call.service.as_str()), &refusal);
            let resource = aws_call.input["ExportArn"].as_str().or(aws_call.input["ResourceArn"].as_str());
            match resource {
                Some(arn) if error.code == "ResourceNotFoundException" => error.with("ResourceId", arn),
                _ => error,
            }
        })
    }

    /// Whether a bucket is `account`'s; nothing when there is no such bucket.
    pub(super) async fn owned_by(&self, account: &str, bucket: &str) -> Option<bool> {
        let root = self.root(account, BILLING_REGION);
        match root.raw("s3", "HEAD", &format!("/{bucket}"), &[], "").await {
            Ok((404, _)) | Err(_) => None,
            Ok((403, _)) => Some(false),
            Ok(_) => Some(true),
        }
    }

    /// The request as it came, `Host` included, because the signature covers it.
    pub(super) async fn forward(&self, request: &Request) -> Answer {
        let unreachable = |error: String| wire::respond(502, "text/plain", format!("the emulator did not answer: {error}"));
        let mut onward =
            http::Request::builder().method(request.method.clone()).uri(format!("{}{}", self.emulator, request.target()));
        for (name, value) in &request.headers {
            if name != http::header::CONNECTION && name != http::header::TRANSFER_ENCODING {
                onward = onward.header(name, value);
            }
        }
        // The front stands for AWS's endpoints, which speak TLS: a bucket policy that denies plain HTTP must not deny the run.
        onward = onward.header("x-forwarded-proto", "https");
        let onward = match onward.body(Full::new(request.body.clone())) {
            Ok(onward) => onward,
            Err(error) => return unreachable(error.to_string()),
        };
        match self.client.request(onward).await {
            Ok(answer) => {
                let (mut parts, body) = answer.into_parts();
                parts.headers.remove(http::header::TRANSFER_ENCODING);
                parts.headers.remove(http::header::CONNECTION);
                match body.collect().await {
                    Ok(body) => Response::from_parts(parts, Full::new(body.to_bytes())),
                    Err(error) => unreachable(error.to_string()),
                }
            }
            Err(error) => unreachable(error.to_string()),
        }
    }

    /// Gives an answer of a custom resource to the emulator. An answer to a request that the emulator does not wait for (a
    /// test's own event) ends here, as does a second answer to one that was answered.
    pub(super) async fn forward_response(&self, request_id: &str, answer: &Value) {
        let uri = format!("{}/_ministack/cfn-response/{request_id}", self.emulator);
        if let Ok(request) = http::Request::put(uri).body(Full::new(Bytes::from(answer.to_string()))) {
            let _ = self.client.request(request).await;
        }
    }

    /// The account of an access key, by `sts:GetAccessKeyInfo`.
    pub(super) async fn account_of(&self, access_key: &str) -> String {
        let is_root = access_key.len() == 12 && access_key.bytes().all(|byte| byte.is_ascii_digit());
        if access_key.is_empty() || is_root {
            return access_key.to_owned();
        }
        if let Some(known) = lock(&self.accounts).get(access_key) {
            return known.clone();
        }
        let sts = self.root("000000000000", BILLING_REGION).sts();
        let answer = sts.get_access_key_info().access_key_id(access_key).send().await;
        let Some(account) = answer.ok().and_then(|answer| answer.account) else { return String::new() };
        lock(&self.accounts).insert(access_key.to_owned(), account.clone());
        account
    }

    pub(super) fn remember_secrets(&self, request: &Request) {
        let mut secrets = lock(&self.secrets);
        let token = request.header("x-amz-security-token");
        let signature = request.header("authorization").rsplit_once("Signature=").map_or("", |(_, signature)| signature);
        let presigned = request.query.rsplit_once("X-Amz-Signature=").map_or("", |(_, signature)| signature);
        for secret in [token, signature, presigned] {
            if !secret.is_empty() {
                secrets.insert(secret.to_owned());
            }
        }
    }
}

pub(super) fn internal(error: &anyhow::Error) -> AwsError {
    AwsError::new(500, "InternalErrorException", format!("the front could not look this up: {error:#}"))
}
