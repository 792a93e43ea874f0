//! Measures the published handler beside three others that do the same work on the same stub.
//!
//! One *session* is one handler process with a world of its own: a Lambda Runtime API and six TLS listeners (Organizations,
//! Cost and Usage Reports, S3, CloudFormation, the response mailbox, the vendor). The world records every call with its start and end, checks
//! that the work was really done, and adds the same latency to each call. A *cycle* measures every handler once in
//! each way; cycles repeat until the time is up, so that whatever slows the machine slows all handlers alike.
//!
//! Reading order: [`workload`] (the events), [`handlers`] (who handles them), [`stub`] and [`runtime_api`] (the world),
//! [`throttle`] (the CPU of a small function), [`session`] (one process, one sample), [`cycle`] (the run),
//! [`results`], [`budget`] and [`report`] (the results and their budget).

pub mod budget;
pub mod cycle;
pub mod error;
pub mod handlers;
pub mod process;
pub mod record;
pub mod report;
pub mod results;
pub mod runtime_api;
pub mod session;
pub mod stats;
pub mod stub;
pub mod throttle;
pub mod tls;
pub mod workload;
