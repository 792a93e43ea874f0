//! One event comes in, one reply goes out: parse, observe, plan, execute, reply.
//!
//! Hawser is the custom resource that connects a customer's AWS account to a vendor's product. CloudFormation
//! invokes it inside the customer's account while a stack is created, updated or deleted; it answers every such
//! request exactly once, before its deadline, whatever happens.
//!
//! The modules form layers: each imports only from those above it in this list.
//!
//! 1. [`names`], [`error`]: the field's newtypes and codes; secrets that cannot be printed.
//! 2. [`aws`], [`identity`], [`ports`]: what is needed of the world, in our words, one trait per service.
//! 3. [`protocol`]: CloudFormation's protocol: envelope, properties, lifecycle, retry, reply.
//! 4. [`billing`]: `Custom::BillingExport`: facts, choice and plan (pure); observe and execute.
//! 5. [`connection`]: `Custom::AccountConnection`: the notice to the vendor and the proof of identity.
//! 6. [`delivery`]: every few hours, whether billing data arrives.
//! 7. [`request`]: wire JSON to what was asked.
//! 8. [`handler`]: the story of one event, in one function.
//! 9. `sdk`: the ports over AWS's SDK and HTTP (feature `sdk`).

pub mod aws;
pub mod billing;
pub mod connection;
pub mod decide;
pub mod delivery;
pub mod error;
pub mod handler;
pub mod identity;
pub mod names;
pub mod ports;
pub mod protocol;
pub mod request;
#[cfg(feature = "sdk")]
pub mod sdk;

/// The version of this handler, as notices and logs carry it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
