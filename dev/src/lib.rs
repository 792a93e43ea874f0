//! What `make demo` and the emulator tests are made of.
//!
//! [`emulator`] starts MiniStack and, in front of it, the strict [`strict_proxy`]; [`stack`] packages `template.yaml` and drives
//! CloudFormation; [`watch`] runs the delivery watch of a stack; [`vendor`] starts the vendor's side over TLS, with the authority
//! that [`certs`] makes for the run, and [`receiver`] a system of the vendor's that gets what the console posts; [`strict_proxy::scenario`] says what goes wrong in a run, towards AWS, the vendor and the upload of
//! responses alike; `faults` and `serve` make it so; [`leaks`] searches everything that was written for secrets.

pub mod account;
pub mod certs;
pub mod constants;
pub mod emulator;
mod faults;
pub mod leaks;
pub mod receiver;
mod serve;
pub mod stack;
pub mod strict_proxy;
pub mod vendor;
pub mod venv;
pub mod watch;
