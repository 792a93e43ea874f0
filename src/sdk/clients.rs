//! The SDK's clients: how calls are retried and bounded.

use aws_sdk_bcmdataexports as exports;
use aws_sdk_cloudformation as cloudformation;
use aws_sdk_costandusagereport as cur;
use aws_sdk_organizations as organizations;
use aws_sdk_s3 as s3;
use aws_sdk_support as support;
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::SdkConfig;

use crate::{
    names::Region,
    protocol::retry::{SDK_CALL, SDK_CALL_LIMIT},
};

/// How calls are retried and bounded.
pub fn sdk_retry_config() -> (RetryConfig, TimeoutConfig) {
    let retries = RetryConfig::standard()
        .with_max_attempts(SDK_CALL.tries.unwrap_or(1))
        .with_initial_backoff(SDK_CALL.first_wait)
        .with_max_backoff(SDK_CALL.longest_wait);
    let limits = TimeoutConfig::builder().operation_attempt_timeout(SDK_CALL.try_limit).operation_timeout(SDK_CALL_LIMIT).build();
    (retries, limits)
}

/// The clients of one account in one Region.
#[derive(Debug)]
pub struct Clients {
    pub(super) cloudformation: cloudformation::Client,
    pub(super) exports: exports::Client,
    pub(super) organizations: organizations::Client,
    pub(super) cur: cur::Client,
    pub(super) s3: s3::Client,
    pub(super) support: support::Client,
    pub(super) region: Region,
}

impl Clients {
    /// Clients for a Region, sharing the configuration's HTTP client and credentials.
    pub fn new(config: &SdkConfig, region: &Region) -> Self {
        let config = config.to_builder().region(aws_types::region::Region::new(region.as_str().to_owned())).build();
        Self {
            cloudformation: cloudformation::Client::new(&config),
            exports: exports::Client::new(&config),
            organizations: organizations::Client::new(&config),
            cur: cur::Client::new(&config),
            // Path style: all buckets share one host and so one set of connections, and a bucket of a customer's may
            // have a name that no host can (upper case and `_` were legal in us-east-1).
            s3: s3::Client::from_conf(s3::config::Builder::from(&config).force_path_style(true).build()),
            support: support::Client::new(&config),
            region: region.clone(),
        }
    }
}

/// A time of the SDK's; `None` where it is none that a calendar has.
pub(super) fn when(time: &aws_smithy_types::DateTime) -> Option<time::OffsetDateTime> {
    time::OffsetDateTime::from_unix_timestamp(time.secs()).ok()
}
