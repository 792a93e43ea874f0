//! `make demo`: an account connects, changes, moves on to another kind of billing data and disconnects, before your eyes.
//!
//! `template.yaml` and the handler's zip are deployed by an emulator that nobody here wrote; the vendor's side is the real
//! console, over TLS. Nothing is mocked on the way. Everything that is printed is kept, and searched for secrets at the end.

#![expect(clippy::print_stdout, reason = "a demo is there to be read")]

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use hawser_dev::{
    constants::{CUSTOMER, STACK, STACK_REGION, STRANGER, VENDOR, assume, may_assume, parameters},
    emulator::Emulator,
    leaks,
    receiver::Receiver,
    stack::{Event, Outcome, Parameters, Stack, handler_zip, package, template},
    strict_proxy::{scenario::Scenario, shared::BILLING_REGION},
    vendor::{Console, Launch, Script, ScriptedVendor},
    watch,
};
use serde_json::Value;

/// A resource name and a status fit; reasons go on their own line.
const STATUS_WIDTH: usize = 28;

/// Reasons and decisions are longer than a screen is wide.
const TEXT_WIDTH: usize = 110;

#[tokio::main]
async fn main() -> ExitCode {
    let mut demo = Demo::default();
    let result = demo.run().await;
    if let Err(error) = &result {
        demo.say(&format!("\nThe demo failed: {error:#}"));
    }
    demo.summary();
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What was printed, and how each step ended.
#[derive(Default)]
struct Demo {
    transcript: String,
    steps: Vec<Step>,
}

struct Step {
    name: &'static str,
    took: Duration,
    result: String,
}

/// Everything that runs.
struct Running {
    emulator: Emulator,
    tap: ScriptedVendor,
    console: Console,
    receiver: Receiver,
    /// What signs the events that it gets.
    receiver_secret: String,
    launch: Launch,
}

impl Demo {
    /// The story.
    async fn run(&mut self) -> anyhow::Result<()> {
        let running = self.prepare().await?;
        let reported = self.run_steps(&running).await;
        // Also after a failure: what was printed until then must not hold a secret either.
        let searched = self.search_for_secrets(&running);
        reported.and(searched)
    }

    async fn run_steps(&mut self, running: &Running) -> anyhow::Result<()> {
        let (mut stack, template, wanted) = self.connect(running).await?;
        self.show_the_connection(running, &stack).await?;
        self.assume_the_role(running, &stack).await?;
        self.test_the_role(running, &stack).await?;
        let wanted = self.change(running, &mut stack, &template, wanted).await?;
        self.move_on(running, &mut stack, &template, wanted).await?;
        self.disconnect(running, &mut stack).await
    }

    async fn prepare(&mut self) -> anyhow::Result<Running> {
        self.title("Start: an AWS of our own, and a vendor");
        let started = Instant::now();
        let zip = handler_zip()?;
        self.say(&format!("handler    {} ({} kB)", zip.display(), std::fs::metadata(&zip)?.len() / 1024));
        let emulator = Emulator::start(Scenario::named("management")?).await?;
        self.say(&format!("emulator   {} (MiniStack, IAM enforced)", emulator.url()));
        self.say(&format!("front      {} (the handler's AWS endpoint)", emulator.front().url()));
        let tap = ScriptedVendor::start(emulator.certificates(), Script::Accept).await?;
        let console = Console::start(&emulator, &tap.authority()).await?;
        tap.set_script(Script::Relay(console.listening().to_owned()));
        let receiver = Receiver::start().await?;
        let receiver_secret = console.post_to(&receiver).await?;
        let launch = console.launch(CUSTOMER).await?;
        self.say(&format!("vendor     {} (hawser-console, TLS by an authority made for this run)", tap.notice_url()));
        self.say(&format!("receiver   {} (a system of the vendor's, which gets every change by webhook)", receiver.url()));
        self.say(&format!("launch     external ID {}, token (redacted)", launch.external_id));
        self.done("start", started, "emulator, front and vendor are up".into());
        Ok(Running { emulator, tap, console, receiver, receiver_secret, launch })
    }

    async fn connect(&mut self, running: &Running) -> anyhow::Result<(Stack, String, Parameters)> {
        self.title(&format!("Create: stack `{STACK}` in {STACK_REGION}, account {CUSTOMER}; billing is in {BILLING_REGION}"));
        let started = Instant::now();
        let customer = running.emulator.root(CUSTOMER, STACK_REGION);
        let template = package(&customer, &template()?, &handler_zip()?).await?;
        let wanted = parameters(&running.tap.notice_url(), &running.launch);
        let created = Stack::create(&customer, STACK, &template, &wanted, &mut |event| self.event(event)).await?;
        let (stack, outcome) = created;
        self.expect(&outcome, "CREATE_COMPLETE")?;
        self.say("");
        for (name, value) in stack.outputs().await? {
            self.say(&format!("{name:<13} {value}"));
        }
        self.done("create", started, format!("CREATE_COMPLETE, {}", calls(running, 0)));
        Ok((stack, template, wanted))
    }

    async fn show_the_connection(&mut self, running: &Running, stack: &Stack) -> anyhow::Result<()> {
        self.title("The notice, as the vendor saw it");
        let started = Instant::now();
        let notices = running.tap.notices();
        let notice = notices.last().context("the vendor saw no notice")?;
        self.say(&serde_json::to_string_pretty(&notice.redacted())?);
        ensure!(notice.status == 200, "the vendor answered {}: {}", notice.status, notice.answer);
        self.say(&format!("answer: {} {}", notice.status, notice.answer));

        self.title("What the vendor knows now");
        let connection = running.console.connected(stack.id()).await?;
        let verified = connection["verifiedArn"].as_str().context("no verified identity")?;
        self.say(&format!("verified identity (by STS): {verified}"));
        self.say(&serde_json::to_string_pretty(&connection)?);
        let outputs = stack.outputs().await?;
        let role = stack.resources().await?;
        let handler_role = role.get("HandlerRole").context("no handler role")?;
        ensure!(verified.contains(&format!("::{CUSTOMER}:assumed-role/{handler_role}/")), "another identity than the handler's");
        ensure!(connection["data"]["roleArn"] == *outputs["RoleArn"], "the vendor was told another role");
        ensure!(
            connection["data"]["billingExport"]["bucketName"] == *outputs["BucketName"],
            "the vendor was told another bucket"
        );
        self.done("verify", started, "signature and proof accepted, stack confirmed by AWS".into());
        Ok(())
    }

    async fn assume_the_role(&mut self, running: &Running, stack: &Stack) -> anyhow::Result<()> {
        self.title("The role: only this vendor, and only with the external ID");
        let started = Instant::now();
        let outputs = stack.outputs().await?;
        let role = outputs.get("RoleArn").context("no role in the outputs")?;
        let right = running.launch.external_id.as_str();
        for (who, account, external_id, expected) in [
            ("the vendor, right external ID", VENDOR, Some(right), true),
            ("the vendor, wrong external ID", VENDOR, Some("not-the-external-id"), false),
            ("the vendor, no external ID", VENDOR, None, false),
            ("somebody else, right external ID", STRANGER, Some(right), false),
        ] {
            let allowed = may_assume(&running.emulator, account, role, external_id).await?;
            self.say(&format!("{account}  {who:<33} {}", if allowed { "assumed" } else { "denied" }));
            ensure!(allowed == expected, "{who}: this must not be so");
        }
        self.done("assume role", started, "1 allowed, 3 denied".into());
        Ok(())
    }

    async fn test_the_role(&mut self, running: &Running, stack: &Stack) -> anyhow::Result<()> {
        self.title("The vendor tests the role: whole, without a policy that the customer takes away, and whole again");
        let started = Instant::now();
        let connection = running.console.connected(stack.id()).await?;
        let id = connection["connectionId"].as_str().context("no id")?;
        self.say(&format!("state {}, tested at {}", connection["state"], connection["roleTest"]["checkedAt"]));
        let steps = connection["roleTest"]["steps"].as_array().context("the role was not tested")?;
        let mut skipped = 0;
        for step in steps {
            let (name, result) = (step["name"].as_str().unwrap_or_default(), step["result"].as_str().unwrap_or_default());
            if result == "skipped" {
                skipped += 1;
            } else {
                self.say(&format!("{result:<9} {name}"));
            }
        }
        self.say(&format!("skipped   {skipped} statements that have no harmless call"));

        let resources = stack.resources().await?;
        let (role, policy) = (&resources["VendorRole"], &resources["PackBillingPolicy"]);
        let mark = running.receiver.events().len();
        change_policies(running, "DetachRolePolicy", role, policy).await?;
        self.say("\nThe customer detaches the policy of the pack billing.");
        running.console.verify(id).await?;
        let broken = running.console.wait_for(stack.id(), |connection| connection["state"] == "partial").await?;
        for problem in broken["problems"].as_array().into_iter().flatten() {
            let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
            self.say(&format!("problem   {} at {}: {}", text("code"), text("subject"), text("actor")));
            self.say(&format!("          {}", wrapped(&text("cause"))));
            self.say(&format!("          {}", wrapped(&text("nextStep"))));
        }
        running.receiver.wait_for("connection.degraded", mark).await?;

        change_policies(running, "AttachRolePolicy", role, policy).await?;
        self.say("\nThe customer attaches it again.");
        running.console.verify(id).await?;
        let whole = running.console.connected(stack.id()).await?;
        ensure!(whole["problems"].as_array().is_some_and(Vec::is_empty), "a problem is left: {}", whole["problems"]);
        running.receiver.wait_for("connection.connected", mark).await?;
        self.say("\nWhat the vendor's system received of it, signed:");
        for event in running.receiver.events().iter().skip(mark) {
            let problem = event["data"]["problem"]["subject"].as_str().unwrap_or_default();
            self.say(&format!("{} {problem}", event["type"].as_str().unwrap_or_default()));
        }
        self.say("\nAnd its history, from the API:");
        for event in running.console.history(id).await? {
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            self.say(&format!("{}  {:<24} {}", text("at"), text("type"), event["data"]["subject"].as_str().unwrap_or_default()));
        }
        let opened = broken["problems"].as_array().map_or(0, Vec::len);
        self.done("test role", started, format!("{} steps; {opened} problems opened and closed", steps.len()));
        Ok(())
    }

    async fn change(
        &mut self,
        running: &Running,
        stack: &mut Stack,
        template: &str,
        mut wanted: Parameters,
    ) -> anyhow::Result<Parameters> {
        self.title("Update: the security audit pack goes, a Region comes");
        let started = Instant::now();
        let mark = running.emulator.front().calls().mark();
        wanted.insert("PackSecurityAudit".into(), "None".into());
        wanted.insert("Regions".into(), "eu-west-1,eu-central-1".into());
        let outcome = stack.update(template, &wanted, &mut |event| self.event(event)).await?;
        self.expect(&outcome, "UPDATE_COMPLETE")?;
        let connection = the_connection(running).await?;
        self.say(&format!("\npacks now: {}   Regions now: {}", connection["data"]["packs"], connection["data"]["regions"]));
        ensure!(connection["data"]["packs"].get("security-audit").is_none(), "the vendor still has the pack");
        self.done("update", started, format!("UPDATE_COMPLETE, {}", calls(running, mark)));
        Ok(wanted)
    }

    async fn move_on(
        &mut self,
        running: &Running,
        stack: &mut Stack,
        template: &str,
        mut wanted: Parameters,
    ) -> anyhow::Result<()> {
        self.title("Update: the report becomes a CUR 2.0 export, and the watch looks whether data arrive");
        let started = Instant::now();
        let mark = running.emulator.front().calls().mark();
        wanted.insert("BillingKind".into(), "CostAndUsageReport2".into());
        let outcome = stack.update(template, &wanted, &mut |event| self.event(event)).await?;
        self.expect(&outcome, "UPDATE_COMPLETE")?;
        let outputs = stack.outputs().await?;
        self.say(&format!("\ndecision: {}", wrapped(outputs.get("Decision").context("no decision in the outputs")?)));
        let calls_made = running.emulator.front().calls().since(mark);
        let at = |operation: &str| calls_made.iter().position(|call| call.operation == operation && call.status == 200);
        let (created, deleted) = (at("CreateExport"), at("DeleteReportDefinition"));
        ensure!(created.is_some() && deleted.is_some() && created < deleted, "the report went before the export came");
        self.say("the export came first, and then the report went");
        let run = watch::run(stack, &running.tap).await?;
        let notice = run.notices.last().context("the watch told the vendor nothing")?;
        ensure!(
            notice.status == 200 && run.error.is_none(),
            "the vendor answered {} to the watch: {}",
            notice.status,
            notice.answer
        );
        self.say(&format!("\n{}: {}", notice.kind(), serde_json::to_string_pretty(run.status())?));
        self.done("move on", started, format!("UPDATE_COMPLETE, {}", calls(running, mark)));
        Ok(())
    }

    async fn disconnect(&mut self, running: &Running, stack: &mut Stack) -> anyhow::Result<()> {
        self.title("Delete: the account disconnects, and its data stays");
        let started = Instant::now();
        let outputs = stack.outputs().await?;
        let bucket = outputs.get("BucketName").context("no bucket in the outputs")?;
        let role = outputs.get("RoleArn").context("no role in the outputs")?;
        let billing = running.emulator.root(CUSTOMER, BILLING_REGION);
        let name = outputs.get("ReportName").context("no export in the outputs")?;
        let connection = the_connection(running).await?;
        let prefix = connection["data"]["billingExport"]["prefix"].as_str().context("no prefix")?;
        let key = format!("{prefix}/{name}/data/BILLING_PERIOD=2026-11/{name}-00001.snappy.parquet");
        billing.s3().put_object().bucket(bucket).key(&key).body(b"line items".to_vec().into()).send().await?;
        self.say(&format!("AWS delivers s3://{bucket}/{key}"));
        let external_id = Some(running.launch.external_id.as_str());
        let session =
            assume(&running.emulator, VENDOR, role, external_id).await?.context("the vendor may not assume the role")?;
        session.s3().get_object().bucket(bucket).key(&key).send().await.context("the vendor cannot read the data")?;
        self.say("the vendor reads it with the role's billing pack\n");
        let mark = running.emulator.front().calls().mark();
        let outcome = stack.delete(&mut |event| self.event(event)).await?;
        self.expect(&outcome, "DELETE_COMPLETE")?;

        billing.s3().head_object().bucket(bucket).key(&key).send().await.context("the data is gone")?;
        self.say("\nthe delivered data is still there");
        let reports = billing.reports().describe_report_definitions().send().await?;
        let left = reports.report_definitions().len() + running.emulator.front().exports(CUSTOMER).len();
        ensure!(left == 0, "{left} reports and exports are still there");
        self.say("the export is gone, as is the report before it");
        ensure!(
            !may_assume(&running.emulator, VENDOR, role, Some(&running.launch.external_id)).await?,
            "the role is still there"
        );
        self.say("the vendor can no longer assume the role");
        let state = the_connection(running).await?["state"].clone();
        ensure!(state == "removed", "the vendor lists the connection as {state}");
        self.say("the vendor lists the connection as removed");
        self.done("delete", started, format!("DELETE_COMPLETE, {}", calls(running, mark)));
        Ok(())
    }

    /// HW-W2, F-7, F-8: the launch token, signatures, session tokens and response URLs are in nothing that was written.
    fn search_for_secrets(&mut self, running: &Running) -> anyhow::Result<()> {
        self.title("Secrets");
        let started = Instant::now();
        let mut secrets =
            vec![("the launch token", running.launch.token.clone()), ("a webhook's secret", running.receiver_secret.clone())];
        secrets.extend(running.emulator.front().secrets().into_iter().map(|secret| ("a session token or signature", secret)));
        for notice in running.tap.notices() {
            secrets.extend(notice.secrets().into_iter().map(|secret| ("a signature of a notice", secret)));
        }
        let secrets: Vec<(&str, &str)> = secrets.iter().map(|(kind, secret)| (*kind, secret.as_str())).collect();
        let (handler, emulator, console) = (running.emulator.handler_log(), running.emulator.log(), running.console.log());
        ensure!(!handler.is_empty(), "the handler left no log to search");
        let found = leaks::search(
            &[
                ("this output", self.transcript.as_str()),
                ("the handler's log", &handler),
                ("the emulator's log", &emulator),
                ("the vendor's log", &console),
            ],
            &secrets,
        );
        self.say(&format!("{} secrets looked for in this output and in the logs of handler, emulator and vendor", secrets.len()));
        for leak in &found {
            self.say(&format!("LEAK: {} in {}, line {}", leak.kind, leak.place, leak.line));
        }
        self.done("secrets", started, if found.is_empty() { "none found".into() } else { format!("{} LEAKED", found.len()) });
        ensure!(found.is_empty(), "a secret was printed or logged");
        Ok(())
    }

    fn expect(&self, outcome: &Outcome, status: &str) -> anyhow::Result<()> {
        if outcome.status != status {
            bail!("the stack is {} and not {status}: {}", outcome.status, outcome.first_failure());
        }
        Ok(())
    }

    fn event(&mut self, event: &Event) {
        let line = format!("{}  {:<STATUS_WIDTH$} {:<34} {}", event.time, event.status, event.resource_type, event.logical_id);
        self.say(&line);
        if !event.reason.is_empty() {
            self.say(&format!("          {}", wrapped(&event.reason)));
        }
    }

    fn title(&mut self, title: &str) {
        self.say(&format!("\n== {title}\n"));
    }

    fn done(&mut self, name: &'static str, started: Instant, result: String) {
        self.steps.push(Step { name, took: started.elapsed(), result });
    }

    fn summary(&mut self) {
        self.title("Summary");
        let lines: Vec<String> = self
            .steps
            .iter()
            .map(|step| format!("{:<12} {:>7.2} s   {}", step.name, step.took.as_secs_f64(), step.result))
            .collect();
        for line in lines {
            self.say(&line);
        }
    }

    fn say(&mut self, text: &str) {
        println!("{text}");
        self.transcript.push_str(text);
        self.transcript.push('\n');
    }
}

/// What the customer's administrator does to the role.
async fn change_policies(running: &Running, action: &str, role: &str, policy: &str) -> anyhow::Result<()> {
    let body = url::form_urlencoded::Serializer::new(format!("Action={action}&Version=2010-05-08"))
        .append_pair("RoleName", role)
        .append_pair("PolicyArn", policy)
        .finish();
    let customer = running.emulator.root(CUSTOMER, STACK_REGION);
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let (status, answer) = customer.raw("iam", "POST", "/", &headers, body).await?;
    ensure!(status == 200, "IAM answered {status}: {}", String::from_utf8_lossy(&answer));
    Ok(())
}

async fn the_connection(running: &Running) -> anyhow::Result<Value> {
    let mut connections = running.console.connections().await?;
    ensure!(connections.len() == 1, "the vendor lists {} connections", connections.len());
    connections.pop().context("no connection")
}

/// `9 AWS calls`, of the handler's.
fn calls(running: &Running, mark: usize) -> String {
    let calls = running.emulator.front().calls().since(mark);
    let count = calls.iter().filter(|call| call.service != "sts" && call.principal == "role").count();
    format!("{count} AWS calls by the handler")
}

fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() || line.len() + word.len() < TEXT_WIDTH => {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n          ")
}
