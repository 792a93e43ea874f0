//! CloudFormation's protocol for custom resources: who is answered, what was asked, what is answered.

pub mod envelope;
pub mod lifecycle;
pub mod origin;
pub mod properties;
pub mod reply;
pub mod retry;
