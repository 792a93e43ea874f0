//! Names that hold what could forge a line of a log, or speak to the terminal that shows a list.

use std::{
    io,
    sync::{Arc, Mutex},
};

use axum::body::{Body, to_bytes};
use hawser_console::routes;
use http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{NOW, Stack, TestConsole};

/// Line ends, terminal escapes in both their forms, what is not seen or turns a line round, and JSON.
const FORGED: &str = "x\n{\"level\":\"ERROR\",\"message\":\"forged\"}\r\n\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{85}\u{7f}\u{0}\u{202e}\u{2028}\u{2029}\u{200b}\u{2066}\u{feff}\u{ad}\u{e0041}\"},{\"a\":\"\\<script>";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

const UNSEEN: &str = "\u{202e}\u{2028}\u{2029}\u{200b}\u{2066}\u{feff}\u{ad}\u{e0041}";

fn has_control(text: &str) -> bool {
    text.trim_end_matches('\n').chars().any(|c| c.is_control() && c != '\n' || UNSEEN.contains(c))
}

/// A change to a notice.
type Edit = fn(&mut Value);

/// HW-W2: whatever a stack puts into its notice, the answer to it is one line without it, each line of our log is one of ours, and
/// the operator's list and page can be shown on a terminal. A name that we have no rule for is kept as it came.
#[tokio::test]
async fn a_name_in_a_notice_forges_no_line() {
    let edits: [(&str, bool, Edit); 14] = [
        ("connectionName", true, |e| e["data"]["connectionName"] = FORGED.into()),
        ("decision", true, |e| e["data"]["billingExport"]["decision"] = FORGED.into()),
        ("bucketName", true, |e| e["data"]["billingExport"]["bucketName"] = FORGED.into()),
        ("regions", true, |e| e["data"]["regions"] = json!([FORGED])),
        ("a pack", true, |e| e["data"]["packs"][FORGED.replace(|c: char| !c.is_ascii(), "")] = "ReadOnly".into()),
        ("a pack of any letters", false, |e| e["data"]["packs"][FORGED] = "ReadOnly".into()),
        ("templateVersion", true, |e| e["data"]["templateVersion"] = FORGED.into()),
        ("id", false, |e| e["id"] = FORGED.into()),
        ("source", false, |e| e["source"] = FORGED.into()),
        ("stackId", false, |e| e["data"]["stackId"] = FORGED.into()),
        ("accessKeySecretArn", false, |e| e["data"]["accessKeySecretArn"] = FORGED.into()),
        ("externalId", false, |e| e["data"]["externalId"] = FORGED.into()),
        ("roleArn", false, |e| e["data"]["roleArn"] = format!("arn:aws:iam::111122223333:role/{FORGED}").into()),
        ("a field", false, |e| e["data"][FORGED] = FORGED.into()),
    ];
    let log = Log::default();
    // With one subscriber in the process, `tracing` asks the thread that meets a line first whether anybody wants it, and that may
    // be another test's. With two it asks each time.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let lines = tracing_subscriber::fmt().json().flatten_event(true).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(lines);
    for (name, stored, edit) in edits {
        let world = TestConsole::new().await;
        let stack = world.stack("51af3dc0").await;
        let mut event = stack.event("established", NOW);
        let id = event["id"].as_str().unwrap().to_owned();
        edit(&mut event);
        let request = stack.sign(&id, &stack.prove(event, NOW).to_string(), NOW);
        let (status, answer) = world.post(request).await;
        assert_eq!(status == 200, stored, "{name}: {answer}");
        let stated = answer["detail"].as_str().or(answer["message"].as_str()).unwrap();
        // The place of an unknown field is told, in letters and dots.
        assert!(!has_control(stated) && !stated.contains(['{', '"', '\\']), "{name}: {stated}");

        let connections = world.connections().await;
        assert_eq!(connections.len(), usize::from(stored), "{name}");
        let paths = connections.first().map(|c| format!("/api/v1/connections/{}", c["connectionId"].as_str().unwrap()));
        for path in ["/api/v1/connections".to_owned()].into_iter().chain(paths) {
            let request = Request::get(&path).header("host", "localhost").body(Body::empty()).unwrap();
            let shown = routes::admin(world.console.clone()).oneshot(request).await.unwrap();
            assert_eq!(shown.headers()["content-type"], "application/json");
            let shown = String::from_utf8(to_bytes(shown.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap();
            assert!(!has_control(&shown) && !shown.contains('\n'), "{name}: {shown}");
            assert_eq!(shown.contains("forged"), stored, "{name}: {shown}");
        }
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(!has_control(&log) && !log.contains("\\\"forged"), "{log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(["notice refused", "notice verified and stored"].contains(&line["message"].as_str().unwrap()), "{line}");
    }
    assert_eq!(log.lines().count(), 14);
}

/// A name is what the customer wrote, also where a page would take it for its own: it travels as JSON, and comes back as it was.
#[tokio::test]
async fn a_name_is_kept_unchanged() {
    let world = TestConsole::new().await;
    for (number, name) in
        ["\"><script>alert(1)</script>", "Zürich \u{202e}gpj.exe\u{e0041}", "' OR 1=1 --", "{{7*7}}"].into_iter().enumerate()
    {
        let stack = Stack { connection_name: name.to_owned(), ..world.stack(&format!("51af3dc{number}")).await };
        assert_eq!(world.notify(&stack, "established", 0).await.0, 200, "{name}");
        assert_eq!(world.connections().await[number]["data"]["connectionName"], name);
    }
}
