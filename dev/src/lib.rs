//! What `make demo` and the emulator tests are made of.
//!
//! [`emulator`] starts MiniStack and, in front of it, the strict [`front`]; [`stack`] packages `template.yaml` and drives
//! CloudFormation; [`watch`] runs the delivery watch of a stack; [`vendor`] starts the vendor's side over TLS, with the authority
//! that [`certs`] makes for the run; [`front::scenario`] says what goes wrong in a run, towards AWS, the vendor and the upload of
//! responses alike; `faults` and `serve` make it so; [`leaks`] searches everything that was written for secrets. [`publish`] is
//! what a vendor publishes.

pub mod account;
pub mod certs;
pub mod emulator;
mod faults;
pub mod front;
pub mod leaks;
pub mod publish;
mod serve;
pub mod setting;
pub mod stack;
pub mod vendor;
pub mod venv;
pub mod watch;
