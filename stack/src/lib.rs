//! From [`Pack`]s and the frame `stack/template.yaml.jinja` to `template.yaml`, and from CloudFormation's YAML to JSON.
//!
//! The command line needs this when it is built: its `build.rs` turns the templates into JSON, so that the program contains no
//! YAML parser. So does the console, which contains the packs' [`probes`].

mod document;
mod pack;
mod probe;
mod render;
mod services;

pub use document::{Document, read, to_json};
pub use pack::{Mode, Pack, Statement, packs};
pub use probe::{Probe, ProbeOrReason};
pub use render::template;
pub use services::probes;
