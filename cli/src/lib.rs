//! What the `hawser` command line does: the template as data, the setup methods, a plan before its execution, a look before a
//! launch, and a connection without a stack.

pub mod connect;
pub mod cost;
pub mod error;
pub mod plan;
pub mod preflight;
pub mod profile;
pub mod published;
pub mod settings;
pub mod setup;
pub mod template;
