//! What Hawser needs of AWS, in its own words: one port per service. SDK types stop in `sdk`.

use std::sync::Arc;

use crate::names::Region;

mod buckets;
mod cost_reports;
mod data_exports;
mod fault;
mod organizations;
mod stacks;
mod support;
mod tags;

pub use buckets::{
    BucketNamespace, Buckets, FolderListing, OBJECT_BYTES_MAX, OBJECTS_LISTED_MAX, Object, READ_OBJECT, TEST_OBJECT, Version,
};
pub use cost_reports::{CostReports, Report, SPLIT_ELEMENT};
pub use data_exports::{
    DataExport, DataExports, Execution, ExportStatus, ExportSummary, SPLIT_PROPERTY, Table, TableConfigurations, TableProperty,
};
pub use fault::{Fault, FaultKind, PolicyType};
pub use organizations::{BillingTransfer, Direction, Organization, Organizations};
pub use stacks::{StackDescription, StackResource, Stacks};
pub use support::{NewCase, Support, SupportCase, SupportService};
pub use tags::Tags;

/// AWS as seen from one account.
pub trait Cloud: Send + Sync {
    /// The account's billing services and buckets, through the given Region's endpoints.
    fn at(&self, region: &Region) -> Arc<dyn Aws>;
    /// Opens connections to the buckets of a Region ahead of need, and waits for nothing.
    fn open_bucket_connections(&self, _region: &Region, _count: usize) {}
}

/// The services of one Region.
pub trait Aws: Organizations + CostReports + DataExports + Buckets + Support {}

impl<T: Organizations + CostReports + DataExports + Buckets + Support> Aws for T {}
