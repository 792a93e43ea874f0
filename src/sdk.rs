//! The ports of a Lambda function: AWS through its SDK, the vendor and the response by HTTP.

mod buckets;
pub mod clients;
mod cost_reports;
mod data_exports;
pub mod fault;
mod organizations;
mod stacks;
mod support;
pub mod web;
pub mod world;
