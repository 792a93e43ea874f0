//! One event comes in, one reply goes out: parse, observe, plan, execute, reply.
//!
//! Hawser is the custom resource that connects a customer's AWS account to a vendor's product. CloudFormation
//! invokes it inside the customer's account while a stack is created, updated or deleted; it answers every such
//! request exactly once, before its deadline, whatever happens.
//!
//! Modules, in the order to read them:
//!
//! 1. [`handler`]: the story of one event, in one function.
//! 2. [`event`]: wire JSON to [`event::Envelope`] (whom to answer) and [`event::Request`] (what was asked).
//! 3. [`names`]: the newtypes; each has one door, so nothing behind it checks again.
//! 4. [`organization`]: the account's place in its organization, a total function.
//! 5. [`billing`]: `Custom::BillingExport`: facts, choice and plan, all pure.
//! 6. [`connection`]: `Custom::AccountConnection`: the notice to the vendor and the proof of identity.
//! 7. [`execute`]: a plan's steps through the ports, in order.
//! 8. [`reply`]: the verdict as CloudFormation's response, at most 4,096 bytes.
//! 9. [`error`]: the closed list of codes, each with what to do next.
//! 10. [`lifecycle`]: whether CloudFormation still wants what a request asks.
//! 11. [`watch`]: every few hours, whether billing data arrives.
//! 12. [`ports`]: what is needed of AWS, the vendor, the mailbox and the clock, in our words. SDK types stop there.
//! 13. `sim`: an account, a vendor and CloudFormation itself, in memory; and `dry_run`, the plan without its execution
//!     (both feature `sim`).
//! 14. `template` and `profile`: the template and named sets of its parameters as data, for every other way to connect
//!     (feature `cli`); `ways` makes those of them that are texts.
//! 15. `direct`: the handler's code with a person's own credentials, without a stack; and `preflight`, a look before a launch
//!     (both feature `direct`).

pub mod actions;
pub mod billing;
pub mod connection;
#[cfg(feature = "direct")]
pub mod direct;
#[cfg(feature = "sim")]
pub mod dry_run;
pub mod error;
pub mod event;
pub mod execute;
pub mod handler;
pub mod lifecycle;
pub mod names;
pub mod organization;
pub mod ports;
#[cfg(feature = "direct")]
pub mod preflight;
#[cfg(feature = "cli")]
pub mod profile;
pub mod properties;
pub mod reply;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "cli")]
pub mod template;
pub mod watch;
#[cfg(feature = "cli")]
pub mod ways;

/// The version of this handler, as notices and logs carry it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
