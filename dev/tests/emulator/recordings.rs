//! What the emulator and its strict proxy answer, beside what real AWS was recorded to answer (`tests/recordings/`).

use hawser_dev::{emulator::Emulator, strict_proxy::scenario::Scenario, venv};
use tokio::process::Command;

#[tokio::test]
async fn the_doubles_answer_as_aws_was_recorded() {
    let emulator = Emulator::start(Scenario::default()).await.unwrap();
    let mut replay = Command::new(venv::python().unwrap());
    let replay = replay.args(["-m", "dev.recordings", emulator.front().url()]).current_dir(venv::repository());
    let output = replay.kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", emulator.log());
}

/// The net itself: it sees each kind of difference, and no recording holds what belongs to an account.
#[tokio::test]
async fn the_comparison_sees_differences_and_recordings_hold_no_secrets() {
    let mut tests = Command::new(venv::python().unwrap());
    let tests = tests.args(["-m", "unittest", "dev.recordings.test_recordings"]).current_dir(venv::repository());
    let output = tests.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("Ran 7 tests"), "{said}");
}
