//! AWS's side of the wire: answers from a list, and what was sent.
#![allow(dead_code, reason = "each test that includes this uses its own part")]

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    orchestrator::{HttpRequest, HttpResponse},
};
use aws_smithy_types::{body::SdkBody, retry::RetryConfig};
use aws_types::{SdkConfig, region::Region as SdkRegion};
use hawser::{names::Region, sdk::clients::Clients};

/// A connector that answers from a list and keeps what was sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Canned {
    pub(crate) answers: Arc<Mutex<VecDeque<(u16, String)>>>,
    /// What S3 says in each answer of where the bucket is.
    pub(crate) bucket_region: Option<&'static str>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) uri: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Sent {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

impl HttpConnector for Canned {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.sent.lock().unwrap().push(Sent {
            method: request.method().to_owned(),
            uri: request.uri().to_owned(),
            headers: request.headers().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned(),
        });
        let (status, body) = self.answers.lock().unwrap().pop_front().unwrap_or((200, String::new()));
        let mut answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        self.bucket_region.into_iter().for_each(|region| drop(answer.headers_mut().insert("x-amz-bucket-region", region)));
        HttpConnectorFuture::ready(Ok(answer))
    }
}

impl Canned {
    pub(crate) fn with(answers: &[(u16, &str)]) -> Self {
        let canned = Self::default();
        canned.answers.lock().unwrap().extend(answers.iter().map(|(status, body)| (*status, (*body).to_owned())));
        canned
    }

    pub(crate) fn config(&self) -> SdkConfig {
        let connector = SharedHttpConnector::new(self.clone());
        SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .region(SdkRegion::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::from_keys("AKID", "secret", None)))
            .retry_config(RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(1)))
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build()
    }

    pub(crate) fn clients(&self, region: &Region) -> Clients {
        Clients::new(&self.config(), region)
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }
}
