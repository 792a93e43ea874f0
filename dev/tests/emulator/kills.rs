//! HW-L5, HW-A5, HW-L6: the handler is killed at any call, and the event is delivered again, as Lambda does it.

use hawser_dev::front::scenario::FaultAnswer::{KillAfter, KillBefore};

use crate::lives::{clean, each, live_all, lives};

/// Mostly waiting: for a new process, and for the stack.
const LANES: usize = 3;

/// Killed before a call is made and after it was made, at every call of a create, an update and a delete, at every notice, and
/// at every upload of a response: the next delivery finishes what the first began.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_handler_is_followed_by_one_that_finishes() {
    let (lane, clean) = clean().await;
    let both = [KillBefore, KillAfter];
    let all = lives(each(&clean.create, &both), each(&clean.update, &both), each(&clean.delete, &both));
    live_all("kills::", lane, clean, all, LANES).await;
}
