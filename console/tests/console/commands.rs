//! What an operator does by hand with the binary, on whichever database the tests run.

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};
use time::Duration;

use crate::{
    api::{ask, connection},
    binary::{certificate, command, now},
    support::{ACCOUNT, Behaviour, StsStub, TestConsole, code, database_url, identity_xml, key_file},
};

/// A command on the database of this console.
fn on(world: &TestConsole, args: &[&str]) -> Command {
    let mut command = command();
    command.args(args).args(["--database", &database_url(&world.directory), "--key-file", &key_file(&world.directory)]);
    command
}

async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// The JSON lines of a command that goes well.
async fn lines(command: Command) -> Vec<Value> {
    let done = output(command).await;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a command says that does not.
async fn failure(command: Command) -> String {
    let done = output(command).await;
    assert_eq!((done.status.code(), done.stdout.len()), (Some(1), 0), "{}", String::from_utf8_lossy(&done.stdout));
    String::from_utf8(done.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_listed_shown_and_verified() {
    let world = TestConsole::new().await;
    let (stack, id) = connection(&world, "acme", "51af3dc0", "production").await;
    connection(&world, "other", "51af3dc1", "staging").await;
    world.ask_aws().await;
    for (args, expected) in [
        (&["list"][..], vec!["production", "staging"]),
        (&["list", "--customer-id", "acme"], vec!["production"]),
        (&["list", "--text", "STAG"], vec!["staging"]),
        (&["list", "--state", "verified,partial"], vec!["production", "staging"]),
        (&["list", "--state", "removed"], vec![]),
        (&["list", "--account-id", "999999999999"], vec![]),
    ] {
        let listed = lines(on(&world, args)).await;
        let names: Vec<_> = listed.iter().map(|one| one["data"]["connectionName"].as_str().unwrap()).collect();
        assert_eq!(names, expected, "{args:?}");
        assert!(!json!(listed).to_string().contains(&stack.external_id));
    }
    let shown = lines(on(&world, &["show", "--connection-id", &id])).await;
    assert_eq!(shown[0]["data"]["externalId"], json!(stack.external_id));
    let questions = world.stacks.questions.lock().unwrap().len();
    let asked = lines(on(&world, &["verify", "--connection-id", &id])).await;
    assert_eq!(asked, [json!({"connectionId": id, "requested": true})]);
    // The binary's clock is the machine's.
    world.set_clock(now() + Duration::seconds(1));
    world.ask_aws().await;
    assert!(world.stacks.questions.lock().unwrap().len() > questions);
    for name in ["show", "verify"] {
        assert!(failure(on(&world, &[name, "--connection-id", "con-0"])).await.contains("has the id `con-0`"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_made_listed_and_revoked() {
    let mut world = TestConsole::new().await;
    world.console.requires_api_token = true;
    let create = ["token", "create", "--name", "billing", "--scope", "read,launch", "--customer-id", "acme"];
    let made = lines(on(&world, &create)).await.remove(0);
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    assert_eq!((&made["scopes"], &made["customerId"]), (&json!(["read", "launch"]), &json!("acme")));
    let list = async || {
        let (status, _, body) = ask(&world, ("GET", "/api/v1/connections"), &[("authorization", &bearer)], None).await;
        (status, code(&body).to_owned())
    };
    assert_eq!(list().await.0, 200);
    let listed = lines(on(&world, &["token", "list"])).await;
    assert_eq!((listed.len(), &listed[0]["tokenId"], listed[0].get("token")), (1, &made["tokenId"], None));
    let id = made["tokenId"].as_str().unwrap();
    assert_eq!(lines(on(&world, &["token", "revoke", "--token-id", id])).await, [json!({"tokenId": id, "revoked": true})]);
    assert_eq!(list().await, (401, "api-token-revoked".to_owned()));
    assert!(failure(on(&world, &["token", "revoke", "--token-id", "0"])).await.contains("has the id `0`"));
    let long = ["token", "create", "--name", "x", "--scope", "read", "--expires-in-days", "367"];
    assert!(failure(on(&world, &long)).await.contains("`expiresInDays`"));
}

/// The findings of a look at this console's machine, by what was looked at.
async fn findings(mut command: Command, changes: &[(&str, &str)], succeeds: bool) -> Value {
    command.env("AWS_EC2_METADATA_DISABLED", "true").envs(changes.iter().copied());
    let done = output(command).await;
    assert_eq!(done.status.success(), succeeds, "{}", String::from_utf8_lossy(&done.stdout));
    assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    let findings = String::from_utf8(done.stdout).unwrap();
    let one = |line: &str| {
        let finding: Value = serde_json::from_str(line).unwrap();
        assert_eq!(finding["ok"] == true, finding["nextStep"] == "", "{finding}");
        (finding["check"].as_str().unwrap().to_owned(), finding)
    };
    findings.lines().map(one).collect::<serde_json::Map<_, _>>().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doctor_finds_what_is_missing() {
    let world = TestConsole::new().await;
    let directory = tempfile::tempdir().unwrap();
    certificate(directory.path(), "");
    certificate(directory.path(), "other-");
    let aws = StsStub::start_tls(directory.path()).await;
    aws.behave(Behaviour::Fixed(200, "text/xml", identity_xml(ACCOUNT)));
    let authority = aws.url.trim_start_matches("https://").trim_end_matches('/').to_owned();
    let certificates = directory.path().join("cert.pem").display().to_string();
    let good = [
        ("SSL_CERT_FILE", certificates.as_str()),
        ("AWS_ENDPOINT_URL", aws.url.trim_end_matches('/')),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ];
    let doctor = || on(&world, &["doctor", "--authority", &authority]);
    let found = findings(doctor(), &good, true).await;
    assert!(found["aws"]["found"].as_str().unwrap().contains(ACCOUNT), "{found}");
    for check in ["database", "key", "clock", "listener"] {
        assert_eq!(found[check]["ok"], true, "{found}");
    }
    // Nothing of AWS: two findings, or one where the database has a clock of its own.
    let found = findings(doctor(), &good[..1], false).await;
    assert_eq!(
        (&found["aws"]["ok"], &found["database"]["ok"], &found["listener"]["ok"]),
        (&json!(false), &json!(true), &json!(true))
    );
    // A listener whose certificate is not trusted, and one that is not there.
    for (authority, trusted) in [(authority.as_str(), "other-cert.pem"), ("127.0.0.1:1", "cert.pem")] {
        let file = directory.path().join(trusted).display().to_string();
        let found = findings(on(&world, &["doctor", "--authority", authority]), &[("SSL_CERT_FILE", &file)], false).await;
        assert_eq!(found["listener"]["ok"], false, "{found}");
    }
    // Another key; no key; no database.
    let other = directory.path().join("other.key");
    std::fs::write(&other, "0b".repeat(32)).unwrap();
    let look = |database: &str, key: &Path| {
        let mut command = command();
        command.args(["doctor", "--database", database, "--key-file"]).arg(key);
        command
    };
    let found = findings(look(&database_url(&world.directory), &other), &good, false).await;
    assert_eq!((&found["key"]["ok"], &found["database"]["ok"]), (&json!(false), &json!(true)), "{found}");
    let missing = directory.path().join("missing");
    let found = findings(look(&database_url(&world.directory), &missing), &good, false).await;
    assert_eq!(found["key"]["ok"], false, "{found}");
    let found = findings(look(&format!("sqlite:{}", missing.display()), &other), &good, false).await;
    assert_eq!(found["database"]["ok"], false, "{found}");
    assert!(!missing.exists(), "it makes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_made_and_restored() {
    let world = TestConsole::new().await;
    let (_, id) = connection(&world, "acme", "51af3dc0", "production").await;
    let file = |name: &str| world.directory.path().join(name);
    let (backup, new) = (file("it's a backup"), file("new.db"));
    let text = |path: &Path| path.display().to_string();
    if !database_url(&world.directory).starts_with("sqlite:") {
        assert!(failure(on(&world, &["backup", &text(&backup)])).await.contains("pg_dump"));
        assert!(failure(on(&world, &["restore", &text(&backup)])).await.contains("pg_restore"));
        return;
    }
    let made = lines(on(&world, &["backup", &text(&backup)])).await.remove(0);
    assert_eq!(made["bytes"].as_u64(), Some(backup.metadata().unwrap().len()));
    let mode = std::os::unix::fs::PermissionsExt::mode(&backup.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(failure(on(&world, &["backup", &text(&backup)])).await.contains("there already"));

    let into = |database: &Path, key: &str, backup: &Path| {
        let mut command = command();
        command.args(["restore", "--database", &format!("sqlite:{}", database.display()), "--key-file", key]).arg(backup);
        command
    };
    let (other, nothing) = (file("other.key"), file("nothing"));
    std::fs::write(&other, "0b".repeat(32)).unwrap();
    std::fs::write(&nothing, "no database").unwrap();
    let key = key_file(&world.directory);
    for (command, why) in [
        (into(&new, &text(&other), &backup), "does not open this backup"),
        (into(&new, &text(&file("no.key")), &backup), "is not there"),
        (into(&new, &key, &nothing), "is no backup"),
        (into(&new, &key, &file("missing")), "failed to write or read"),
    ] {
        let said = failure(command).await;
        assert!(said.contains(why), "{said}");
        assert!(!new.exists(), "{why}");
    }
    lines(into(&new, &key, &backup)).await;
    assert!(failure(into(&new, &key, &backup)).await.contains("there already"));
    let mut list = command();
    list.args(["list", "--database", &format!("sqlite:{}", new.display()), "--key-file", &key]);
    assert_eq!(lines(list).await[0]["connectionId"], json!(id));
}
