//! The vendor's side of Hawser: notices come in, are verified and become connections.
//!
//! The way of a notice is `Console::receive`, which reads like this list:
//!
//! 1. [`signature`]: which launch's token signed it, and when.
//! 2. [`document`]: JSON that has one reading; [`notice`]: the CloudEvent; [`names`] for what is in it.
//! 3. [`proof`]: the signed `sts:GetCallerIdentity` request is exactly the one we are willing to forward; [`token`]: so is the JWT,
//!    with the keys that [`issuers`] fetches.
//! 4. [`ledger`]: seen before? may this launch say this? what changes, whatever the order of arrival?
//! 5. [`sts`] and [`identity`]: AWS's word on who signed the proof; [`speaker`]: whether that one may speak for the stack.
//! 6. [`store`] writes it down, in SQLite or PostgreSQL.
//! 7. [`worker`], which does each [`job`], and [`confirm`]: later, AWS's word through the vendor's role ([`aws`]) on what the stack has,
//!    and a [`role_test`] of what that role lets one do. What is wrong is a [`problem`].
//! 8. [`webhook`]: what happened is posted to the operator's own systems.
//!
//! [`billing`] is what a stack says of its billing data, [`view`] what an operator reads of a connection later.
//!
//! 1 to 4 (but for `issuers`) and `identity` are pure: time is an argument, nothing is called. [`routes`], [`serve`] and [`limits`] are the HTTP around it,
//! [`api`] is what the operator and programs with an [`api_token`] ask, within their [`access`],
//! [`launch`] is what a vendor hands out, [`refusal`] every way to say no, [`config`] the command line,
//! [`commands`] what an operator does by hand.

pub mod access;
pub mod api;
pub mod api_token;
pub mod aws;
pub mod billing;
pub mod commands;
pub mod config;
pub mod confirm;
pub mod connection;
pub mod document;
pub mod identity;
pub mod issuers;
pub mod job;
pub mod launch;
pub mod ledger;
pub mod limits;
pub mod names;
pub mod notice;
pub mod probe;
pub mod problem;
pub mod proof;
pub mod random;
mod receive;
pub mod refusal;
pub mod role_test;
pub mod routes;
pub mod seal;
pub mod secret;
pub mod serve;
pub mod signal;
pub mod signature;
pub mod speaker;
pub mod store;
pub mod sts;
pub mod token;
pub mod view;
pub mod webhook;
pub mod worker;

use std::{fmt, sync::Arc};

use time::OffsetDateTime;

/// What all requests share.
#[derive(Clone)]
pub struct Console {
    pub store: store::Store,
    pub sts: sts::Sts,
    pub issuers: issuers::Issuers,
    /// Whether a notice needs a token that was checked.
    pub requires_token: bool,
    /// Whether the operator's routes need a token of the API.
    pub requires_api_token: bool,
    /// Which STS endpoints are believed.
    pub trust: proof::Trust,
    /// `host` or `host:port` of the notice URL, of now and of before: the audiences that proofs may name.
    pub authorities: Vec<String>,
    pub limits: limits::Limits,
    /// AWS as the vendor, who is asked what a stack has.
    pub aws: Arc<dyn confirm::Aws>,
    /// Where those may be.
    pub reach: webhook::endpoint_url::Reach,
    /// The way to the operator's systems.
    pub webhooks: Arc<dyn webhook::sender::Sender>,
    /// Wakes [`worker::work`].
    pub signal: signal::Signal,
    pub clock: Arc<dyn Fn() -> OffsetDateTime + Send + Sync>,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("trust", &self.trust).field("authorities", &self.authorities).finish_non_exhaustive()
    }
}
