//! What a stack costs in a month, and what reading its bill costs: list prices and the arithmetic. Pure.
//!
//! Prices are list prices of us-east-1 in US dollars as known in November 2026, without the free tier; the pricing pages of AWS Lambda,
//! Amazon CloudWatch, Amazon EventBridge, Amazon S3 and AWS Secrets Manager have those of today. Data Exports and Cost and Usage Reports
//! have no price of their own.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use crate::template::Resolved;

/// AWS Lambda: a request, and a gigabyte-second on x86.
const FUNCTION_RUN: f64 = 0.20 / 1_000_000.0;
const FUNCTION_GIGABYTE_SECOND: f64 = 0.000_016_666_7;
/// CloudWatch Logs: a gigabyte taken in. What it stores for a month costs a sixteenth of that.
const LOG_GIGABYTE: f64 = 0.50;
/// EventBridge: a custom event. The pages name no price for a rule's schedule, so this is the most that it can be.
const SCHEDULE_RUN: f64 = 1.00 / 1_000_000.0;
/// Amazon S3 Standard: a gigabyte stored for a month, a PUT, a GET, and a gigabyte to another Region.
const STORED_GIGABYTE: f64 = 0.023;
const PUT: f64 = 0.005 / 1_000.0;
const GET: f64 = 0.000_4 / 1_000.0;
const REGION_GIGABYTE: f64 = 0.02;
/// Secrets Manager: a secret for a month.
const SECRET: f64 = 0.40;

/// `rate(6 hours)` in a month of 30 days.
const RUNS: f64 = 120.0;
/// Of the function, in gigabytes.
const MEMORY: f64 = 0.125;
/// A delivery check takes a few seconds; this is on the safe side.
const RUN_SECONDS: f64 = 10.0;
/// What a run logs, in gigabytes: some lines of JSON.
const RUN_LOG: f64 = 10_000.0 / 1e9;
/// AWS delivers a month's data anew up to once a day, whole.
const DELIVERIES: f64 = 30.0;
/// Files of a gigabyte: AWS splits a delivery into parts of some hundred megabytes at most.
const FILES_PER_GIGABYTE: f64 = 10.0;

/// How much billing data there is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BillSize {
    /// Of one month, in gigabytes as it is delivered, compressed.
    pub gigabytes: f64,
    /// Months that are kept.
    pub months: f64,
}

/// An example: prices grow in proportion.
pub const EXAMPLE: BillSize = BillSize { gigabytes: 1.0, months: 12.0 };

/// One part of what is paid in a month.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    pub what: &'static str,
    pub arithmetic: String,
    pub dollars: f64,
}

impl Cost {
    /// `$0.0003`: cents, and what is less than a cent with as many places as it takes.
    pub fn price(&self) -> String {
        if self.dollars >= 0.01 { format!("${:.2}", self.dollars) } else { format!("${:.4}", self.dollars) }
    }
}

/// What a stack makes that costs something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// The function runs by schedule.
    pub check: bool,
    /// A bucket of the stack's holds the bill, or will.
    pub bill: bool,
    /// An access key is in a secret.
    pub secret: bool,
}

impl Parts {
    /// Of the template as it is resolved.
    pub fn of(resolved: &Resolved) -> Self {
        let has = |kind: &str| resolved.resources().values().any(|resource| resource["Type"] == kind);
        let kind = resolved.resources().get("BillingExport").map(|export| &export["Properties"]["Kind"]);
        let bill = kind.and_then(Value::as_str).is_some_and(|kind| kind != "None");
        Self { check: has("AWS::Events::Rule"), bill, secret: has("AWS::SecretsManager::Secret") }
    }
}

/// What the customer pays in a month. S3 charges requests and transfer to the bucket's owner, whoever reads ("Using Requester Pays
/// general purpose buckets", Amazon S3 User Guide).
pub fn monthly(parts: Parts, bill: BillSize) -> Vec<Cost> {
    let BillSize { gigabytes, months } = bill;
    let mut costs = Vec::new();
    let mut add = |what, arithmetic, dollars| costs.push(Cost { what, arithmetic, dollars });
    if parts.check {
        let seconds = RUNS * RUN_SECONDS * MEMORY;
        let text = format!("{RUNS} runs × {RUN_SECONDS} s × {MEMORY} GB × ${FUNCTION_GIGABYTE_SECOND}/GB-s, {RUNS} requests");
        add("function", text, seconds * FUNCTION_GIGABYTE_SECOND + RUNS * FUNCTION_RUN);
        let text = format!("{RUNS} runs × 10 kB × ${LOG_GIGABYTE:.2}/GB");
        add("log", text, RUNS * RUN_LOG * LOG_GIGABYTE);
        add("schedule", format!("{RUNS} runs × $1.00 per million"), RUNS * SCHEDULE_RUN);
    }
    if parts.secret {
        add("secret with the access key", format!("1 secret × ${SECRET:.2}"), SECRET);
    }
    if parts.bill {
        let files = gigabytes * FILES_PER_GIGABYTE * DELIVERIES;
        let text = format!("{gigabytes} GB × {months} months × ${STORED_GIGABYTE}/GB");
        add("storage of the bill", text, gigabytes * months * STORED_GIGABYTE);
        add("delivery of the bill", format!("{files} files × $0.005 per thousand"), files * PUT);
        add("reading it, requests", format!("{files} files × $0.0004 per thousand"), files * GET);
        let read = gigabytes * DELIVERIES;
        let text = format!("{read} GB × ${REGION_GIGABYTE:.2}/GB; nothing within one Region");
        add("reading it from another Region", text, read * REGION_GIGABYTE);
    }
    costs
}

/// The table of the page for people who connect.
pub fn page() -> String {
    let mut text = String::from("| what | arithmetic for a month | US dollars |\n| --- | --- | --- |\n");
    for cost in monthly(Parts { check: true, bill: true, secret: true }, EXAMPLE) {
        let _ = writeln!(text, "| {} | {} | {} |", cost.what, cost.arithmetic, cost.price());
    }
    text
}
