//! `make live` at the emulator: the same program that works in a real account, with another endpoint.

use std::{
    path::PathBuf,
    process::{ExitStatus, Stdio},
};

use hawser_dev::{
    emulator::Emulator,
    leaks,
    strict_proxy::{scenario::Scenario, shared::BILLING_REGION},
    vendor::{Script, ScriptedVendor},
    venv,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::watch::tool;

/// An account that is in no fixture, so that it is found wherever it was left.
const ACCOUNT: &str = "444455556666";

/// Where the stacks are.
const REGION: &str = "eu-central-1";

struct Live {
    emulator: Emulator,
    vendor: ScriptedVendor,
}

impl Live {
    async fn new() -> Self {
        let emulator = Emulator::start(Scenario::default()).await.unwrap();
        let vendor = ScriptedVendor::start(emulator.certificates(), Script::Accept).await.unwrap();
        Self { emulator, vendor }
    }

    fn out(&self) -> PathBuf {
        self.emulator.folder().join("live")
    }

    /// Starts `python -m dev.live` with the credentials of [`ACCOUNT`].
    fn start(&self, args: &[&str]) -> Child {
        let out = self.out();
        let mut live = Command::new(venv::python().unwrap());
        live.args(["-u", "-m", "dev.live", "--endpoint", self.emulator.front().url(), "--notice-url", &self.vendor.notice_url()]);
        live.args(["--region", REGION, "--out", out.to_str().unwrap()]).args(args);
        live.current_dir(venv::repository()).env_clear().env("PATH", "/usr/bin:/bin");
        live.envs([("AWS_ACCESS_KEY_ID", ACCOUNT), ("AWS_SECRET_ACCESS_KEY", "test")]);
        live.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
    }

    /// Runs it to its end: how it ended, and what it said.
    async fn run(&self, args: &[&str]) -> (ExitStatus, String) {
        let output = self.start(args).wait_with_output().await.unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (output.status, said.concat())
    }

    /// What a run in AWS recorded is what this one recorded, as far as there is one.
    async fn assert_as_recorded(&self, run: &str) {
        let mut compare = Command::new(venv::python().unwrap());
        compare.args(["-m", "dev.recordings.live", "tests/recordings/live"]).arg(self.out().join(run));
        let output = compare.current_dir(venv::repository()).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    /// The buckets and Data Exports of the account.
    async fn things(&self) -> Vec<String> {
        let buckets = self.emulator.root(ACCOUNT, BILLING_REGION).s3().list_buckets().send().await.unwrap();
        let buckets = buckets.buckets().iter().filter_map(|bucket| bucket.name().map(str::to_owned));
        let exports = self.emulator.front().exports(ACCOUNT);
        buckets.chain(exports.iter().map(ToString::to_string)).collect()
    }

    /// What the vendor was notified last, of the stack's export.
    fn export(&self, member: &str) -> String {
        let notices = self.vendor.notices();
        let export =
            &notices.iter().rev().find(|notice| notice.stack_id().contains("-a/")).unwrap().event["data"]["billingExport"];
        export[member].as_str().unwrap_or_default().to_owned()
    }

    /// Nothing that was written holds the account's id or a name of the run.
    fn assert_redacted(&self, run: &str) {
        let folder = self.out().join(run);
        let files: Vec<(String, String)> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|file| file.unwrap().path())
            .map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap()))
            .collect();
        assert!(files.len() > 2, "{files:?}");
        let external_id = self.vendor.notices()[0].event["data"]["externalId"].as_str().unwrap().to_owned();
        let vendor = self.vendor.authority();
        let secrets = [("the account", ACCOUNT), ("the run", run), ("the external ID", &external_id), ("the vendor", &vendor)];
        let texts: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        assert_eq!(leaks::search(&texts, &secrets), []);
    }
}

/// The name of the run, from what it says first.
fn name_of(said: &str) -> String {
    said.split("names that begin with ").nth(1).unwrap().split(',').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_made_unless_it_is_asked_for_by_account_and_confirmed() {
    let live = Live::new().await;
    for (args, why) in [
        (vec!["--confirm", "yes"], "say in which account"),
        (vec!["--account", "1111", "--confirm", "yes"], "say in which account"),
        (vec!["--account", "111122223333", "--confirm", "yes"], "these credentials are of account 444455556666"),
        (vec!["--account", ACCOUNT], "nothing was made; add CONFIRM=yes"),
        (vec!["--account", ACCOUNT, "--confirm", "maybe"], "Price: about USD"),
    ] {
        let (status, said) = live.run(&args).await;
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(live.things().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_stack_is_played_recorded_resumed_and_removed() {
    let live = Live::new().await;
    let asked = ["--account", ACCOUNT, "--confirm", "yes"];
    let (status, said) = live.run(&[&asked[..], &["--keep", "yes"]].concat()).await;
    assert!(status.success(), "{said}\n{}", live.emulator.handler_log());
    let run = name_of(&said);
    for belief in ["B-1", "B-2", "B-3", "B-11", "B-14"] {
        assert!(said.contains(&format!("{belief} is so at this endpoint")), "{belief}: {said}");
    }
    assert!(said.contains("the delivery check found `Waiting`"), "{said}");
    live.assert_redacted(&run);
    live.assert_as_recorded(&run).await;

    // No data yet: the stack stays, and the run can be resumed again.
    let resume = [&asked[..], &["--resume", &run]].concat();
    let (status, said) = live.run(&resume).await;
    assert!(!status.success() && said.contains("there is no data yet"), "{said}");

    let [bucket, prefix, name, arn] = ["bucketName", "prefix", "name", "arn"].map(|member| live.export(member));
    let mut args = vec!["make", "--kind", "Focus", "--format", "Parquet", "--versioning", "OVERWRITE_REPORT", "--name", &name];
    args.extend(["--prefix", &prefix, "--bucket", &bucket, "--account", ACCOUNT, "--arn", &arn]);
    args.extend(["--first", "2026-10-31", "--last", "2026-11-02", "--files", "1"]);
    tool(live.emulator.url(), ACCOUNT, &args).await;
    let (status, said) = live.run(&resume).await;
    assert!(status.success() && said.contains("B-8 is so") && said.contains("left: nothing"), "{said}");
    assert_eq!(live.things().await, [""; 0]);
    live.assert_redacted(&run);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_removes_what_it_made() {
    let live = Live::new().await;
    let mut running = live.start(&["--account", ACCOUNT, "--confirm", "yes"]);
    let mut said = String::new();
    let mut output = BufReader::new(running.stdout.take().unwrap());
    while !said.contains("== unchanged") {
        assert!(output.read_line(&mut said).await.unwrap() > 0, "{said}");
    }
    assert_ne!(live.things().await, [""; 0]);
    let process = rustix::process::Pid::from_raw(running.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    output.read_to_string(&mut said).await.unwrap();
    assert_eq!(running.wait().await.unwrap().code(), Some(1), "{said}");
    assert!(said.contains("FAILED: interrupted") && said.contains("left: nothing"), "{said}");
    assert_eq!(live.things().await, [""; 0]);
}
