//! An account, a vendor, Lambda and CloudFormation itself, in memory, with faults by call.
//!
//! Everything that the handler meets through [`hawser::ports`] is here again, small enough to read and strict enough to
//! catch a handler that relies on kindness. By what rules an account's services answer is in `hawser-account`.
//!
//! Read [`script`] (what goes wrong), [`account`], [`actors`] and [`parties`] (whom the handler meets), [`stack`] and [`lambda`]
//! (CloudFormation, Lambda), [`life`] (what happens to stacks), [`model`] (what must hold), [`random`] (lives by seed).

pub mod account;
pub mod actors;
mod clock;
pub mod cloudformation;
pub mod coverage;
mod delivery;
pub mod exchange;
pub mod lambda;
pub mod life;
pub mod model;
pub mod parties;
pub mod random;
pub mod script;
pub mod stack;
pub mod systematic;
pub mod third_party;
mod world;

pub use script::{InjectedFault, Script};
pub use world::World;
