//! Which connections are opened when an event arrives, beside the first reads: those that only later calls need.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use hawser::{
    aws::{Aws, Cloud},
    billing::plan::BUCKET_SETTINGS,
    decide, handler,
    names::Region,
    ports::{Mailbox, NoResponse, Ports, Vendor, VendorResponse},
};
use hawser_account::AccountFile;
use hawser_sim::World;
use serde_json::Value;
use url::Url;

const TIME_OUT: Duration = Duration::from_secs(120);

/// Counts what is opened ahead of need: to the response's host, to the vendor, and to the billing Region's buckets.
struct Opened<'a> {
    ports: Ports<'a>,
    responses: AtomicUsize,
    vendors: AtomicUsize,
    buckets: AtomicUsize,
}

#[async_trait]
impl Mailbox for Opened<'_> {
    async fn put(&self, url: &Url, body: &[u8], limit: Duration) -> Result<u16, NoResponse> {
        self.ports.mailbox.put(url, body, limit).await
    }

    fn open_connection(&self, url: &Url) {
        assert!(url.as_str().starts_with("https://cloudformation-custom-resource-response-"), "{url}");
        self.responses.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Vendor for Opened<'_> {
    async fn post(
        &self,
        url: &Url,
        headers: &BTreeMap<&'static str, String>,
        body: &str,
        limit: Duration,
    ) -> Result<VendorResponse, NoResponse> {
        assert_eq!(self.vendors.load(Ordering::SeqCst), 1, "the notice has a connection already");
        self.ports.vendor.post(url, headers, body, limit).await
    }

    fn open_connection(&self, url: &Url) {
        assert_eq!(url.host_str(), Some("vendor.example"));
        self.vendors.fetch_add(1, Ordering::SeqCst);
    }
}

impl Cloud for Opened<'_> {
    fn at(&self, region: &Region) -> Arc<dyn Aws> {
        self.ports.cloud.at(region)
    }

    fn open_bucket_connections(&self, region: &Region, count: usize) {
        assert_eq!(region.as_str(), "us-east-1");
        self.buckets.fetch_add(count, Ordering::SeqCst);
    }
}

fn event(file: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(format!("events/{file}.json")).unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_later_calls_need_is_opened_when_the_event_arrives() {
    let settings = BUCKET_SETTINGS - 1;
    for (file, vendors, buckets) in [
        ("billing-export-create", 0, settings),
        ("billing-export-create-focus", 0, settings),
        ("billing-export-update-replace", 0, settings),
        // No bucket is made.
        ("billing-export-update", 0, 0),
        ("billing-export-create-none", 0, 0),
        ("billing-export-delete", 0, 0),
        ("account-connection-create", 1, 0),
        ("account-connection-update", 1, 0),
        ("account-connection-delete", 1, 0),
        ("billing-export-create-kind-wrong", 0, 0),
    ] {
        let world = World::new(AccountFile::default());
        let opened = Opened {
            ports: world.ports(),
            responses: AtomicUsize::new(0),
            vendors: AtomicUsize::new(0),
            buckets: AtomicUsize::new(0),
        };
        let ports = Ports { cloud: &opened, mailbox: &opened, vendor: &opened, ..world.ports() };
        handler::answer(&event(file), world.now() + TIME_OUT, &ports).await.unwrap();
        let found = [&opened.responses, &opened.vendors, &opened.buckets].map(|count| count.load(Ordering::SeqCst));
        assert_eq!(found, [1, vendors, buckets], "{file}");
    }
}

/// The first one is opened by the look at the bucket; a setting more or less is a connection more or less.
#[tokio::test(start_paused = true)]
async fn there_is_a_connection_for_each_setting_of_a_new_bucket() {
    let world = World::new(AccountFile::default());
    let plan = decide::preview(&event("billing-export-create"), &world.ports()).await.unwrap();
    assert_eq!(plan.rounds.iter().map(Vec::len).max(), Some(BUCKET_SETTINGS), "{:#?}", plan.rounds);
}
