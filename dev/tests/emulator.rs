//! `template.yaml` and the handler's zip, deployed by an emulator that nobody here wrote, behind the strict front.
//!
//! Each test has an emulator of its own, so they run in any order and beside each other. They need `.venv` (`make venv`) and
//! the zip (`make build`), and say so when one is missing.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "emulator/access.rs"]
mod access;
#[path = "emulator/billing.rs"]
mod billing;
#[path = "emulator/calls.rs"]
mod calls;
#[path = "emulator/chaos.rs"]
mod chaos;
#[path = "emulator/direct.rs"]
mod direct;
#[path = "emulator/errors.rs"]
mod errors;
#[path = "emulator/events.rs"]
mod events;
#[path = "emulator/existing.rs"]
mod existing;
#[path = "emulator/faults.rs"]
mod faults;
#[path = "emulator/front.rs"]
mod front;
#[path = "emulator/hostile.rs"]
mod hostile;
#[path = "emulator/kills.rs"]
mod kills;
#[path = "emulator/kinds.rs"]
mod kinds;
#[path = "emulator/lifecycle.rs"]
mod lifecycle;
#[path = "emulator/live.rs"]
mod live;
#[path = "emulator/lives.rs"]
mod lives;
#[path = "emulator/permissions.rs"]
mod permissions;
#[path = "emulator/probes.rs"]
mod probes;
#[path = "emulator/profiles.rs"]
mod profiles;
#[path = "emulator/publish.rs"]
mod publish;
#[path = "emulator/recordings.rs"]
mod recordings;
#[path = "emulator/rollout.rs"]
mod rollout;
#[path = "emulator/rotation.rs"]
mod rotation;
#[path = "emulator/services.rs"]
mod services;
#[path = "emulator/speakers.rs"]
mod speakers;
#[path = "emulator/status.rs"]
mod status;
#[path = "emulator/tokens.rs"]
mod tokens;
#[path = "emulator/updates.rs"]
mod updates;
#[path = "emulator/vendor.rs"]
mod vendor;
#[path = "emulator/watch.rs"]
mod watch;
#[path = "emulator/world.rs"]
mod world;
