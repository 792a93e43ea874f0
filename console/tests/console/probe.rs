//! Probes: what is sent, what AWS's answers mean, and how a connection's packs are tried.

mod denials;

use std::{
    collections::BTreeMap,
    path::Path,
    str::FromStr,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use axum::{Router, extract::State, routing::any};
use hawser_console::{
    names::{AccountId, Partition},
    probe::{
        Answer, Aws, BillingBucket, Caller, FindingCode, How, NoAnswer, NotTried, Outcome, Place, Probe, Request, Statement,
        judge, request, run, statements,
    },
    sts,
};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::support::{ACCOUNT, NOW, REGION, SECRET_KEY, SESSION_TOKEN};

fn place(partition: Partition, region: &str) -> Place {
    let billing = BillingBucket {
        name: "acme.billing-111122223333".to_owned(),
        region: region.to_owned(),
        prefix: "hawser/1a2b 3c4d".to_owned(),
    };
    Place { partition, account: AccountId::from_str(ACCOUNT).unwrap(), region: region.to_owned(), billing: Some(billing) }
}

fn probes() -> impl Iterator<Item = (&'static Statement, &'static Probe)> {
    let probe = |statement: &'static Statement| match &statement.how {
        How::Probe(probe) => Some((statement, probe)),
        How::NoProbe(_) => None,
    };
    statements().iter().filter_map(probe)
}

pub(crate) fn probe_of(sid: &str) -> &'static Probe {
    probes().find(|(statement, _)| statement.sid == sid).unwrap().1
}

fn packs(granted: &[(&str, &str)]) -> BTreeMap<String, String> {
    granted.iter().map(|(name, mode)| ((*name).to_owned(), (*mode).to_owned())).collect()
}

/// `python -m dev.policies` compares the file with what AWS's own SDK sends.
#[test]
#[expect(clippy::disallowed_methods, reason = "`make bless` says so by a variable")]
fn every_request_is_the_recorded_one() {
    let places = [
        (Partition::Aws, "eu-west-1"),
        (Partition::AwsCn, "cn-north-1"),
        (Partition::AwsUsGov, "us-gov-east-1"),
        (Partition::AwsEusc, "eusc-de-east-1"),
    ];
    let sent = |probe, partition, region| match request(probe, &place(partition, region)) {
        Ok(sent) => json!({
            "method": sent.method, "host": sent.host, "path": sent.path, "query": sent.query, "headers": sent.headers,
            "body": sent.body, "region": sent.region, "signingName": sent.signing_name,
        }),
        Err(why) => json!(format!("{why:?}")),
    };
    let all = probes().map(|(statement, probe)| {
        let requests = places.map(|(partition, region)| (region.to_owned(), sent(probe, partition, region)));
        json!({
            "pack": statement.pack, "sid": statement.sid, "action": probe.action, "service": probe.service,
            "operation": probe.operation, "parameters": probe.parameters, "allowed": probe.allowed,
            "requests": Value::Object(requests.into_iter().collect()),
        })
    });
    let text = serde_json::to_string_pretty(&all.collect::<Value>()).unwrap() + "\n";
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/console/probe/requests.json"));
    if std::env::var_os("HAWSER_BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).is_ok_and(|recorded| recorded == text),
        "{} is out of date: `make bless`",
        path.display()
    );
}

/// A bucket's Region and prefix, and a connection's Regions, are the customer's words.
#[test]
fn nothing_is_sent_to_a_host_that_is_not_awss() {
    for region in ["", "eu-west-1.evil.example/", "eu-west-1.evil.example", "evil", "cn-north-1", "eu-west-1#"] {
        for (_, probe) in probes() {
            assert_eq!(request(probe, &place(Partition::Aws, region)), Err(NotTried::NotARegion), "{region} {}", probe.action);
        }
    }
    let mut elsewhere = place(Partition::Aws, REGION);
    elsewhere.billing.as_mut().unwrap().region = "x.evil.example/".to_owned();
    assert_eq!(request(probe_of("ListBillingFiles"), &elsewhere), Err(NotTried::NotARegion));
    elsewhere.billing.as_mut().unwrap().region = "us-east-1".to_owned();
    elsewhere.billing.as_mut().unwrap().name = "../?x=/&y".to_owned();
    let sent = request(probe_of("ListBillingFiles"), &elsewhere).unwrap();
    assert_eq!((sent.host.as_str(), sent.path.as_str()), ("s3.us-east-1.amazonaws.com", "/..%2F%3Fx%3D%2F%26y"));
}

/// Plays AWS: answers each operation, and keeps what was asked.
#[derive(Default)]
struct Double {
    /// By host and operation's name, in the order of the tries.
    answers: BTreeMap<&'static str, Vec<Result<Answer, NoAnswer>>>,
    asked: Mutex<Vec<Request>>,
}

#[async_trait]
impl Aws for Double {
    async fn call(&self, request: &Request) -> Result<Answer, NoAnswer> {
        let mut asked = self.asked.lock().unwrap();
        asked.push(request.clone());
        let service = request.host.split('.').next().unwrap();
        let earlier = asked.iter().filter(|one| one.host == request.host).count();
        let given = self.answers.get(service).and_then(|all| all.get(earlier - 1).or(all.last()).cloned());
        given.unwrap_or(Ok(Answer { status: 200, ..Answer::default() }))
    }
}

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, headers: HeaderMap::new(), body: body.as_bytes().to_vec() }
}

#[tokio::test(start_paused = true)]
async fn each_statement_of_the_granted_packs_is_tried_and_no_other() {
    let double = Double::default();
    let granted = packs(&[("ec2", "ReadOnly"), ("eks", "ReadWrite"), ("rds", "None"), ("pack-to-come", "ReadOnly")]);
    let tried = run(&double, &place(Partition::Aws, REGION), &granted).await;
    let seen: Vec<_> = tried.iter().map(|one| (one.statement.sid.as_str(), one.result.clone())).collect();
    let expected = [
        ("ReadInstances", Ok(Outcome::Allowed)),
        ("ReadClusters", Ok(Outcome::Allowed)),
        ("ScaleNodeGroups", Err(NotTried::NoProbe)),
        ("ReleaseNodes", Err(NotTried::NoProbe)),
    ];
    assert_eq!(seen, expected);
    assert_eq!(double.asked.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_throttled_or_fails_at_aws_is_tried_once_more() {
    let throttled = r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#;
    let denied = r#"{"__type":"AccessDeniedException","message":"no"}"#;
    let cases = [
        (vec![Ok(answer(400, throttled)), Ok(answer(200, ""))], 2, None),
        (vec![Ok(answer(503, "")), Ok(answer(400, denied))], 2, Some(FindingCode::Denied)),
        (vec![Ok(answer(500, "")), Ok(answer(500, "")), Ok(answer(200, ""))], 2, Some(FindingCode::Unanswered)),
        (vec![Ok(answer(400, throttled)); 3], 2, Some(FindingCode::Throttled)),
        (vec![Ok(answer(400, denied)), Ok(answer(200, ""))], 1, Some(FindingCode::Denied)),
        (vec![Err(NoAnswer("timeout")), Ok(answer(200, ""))], 1, Some(FindingCode::Unanswered)),
    ];
    for (answers, calls, expected) in cases {
        let double = Double { answers: BTreeMap::from([("ecs", answers)]), ..Double::default() };
        let tried = run(&double, &place(Partition::Aws, REGION), &packs(&[("ecs", "ReadOnly")])).await;
        let [one] = tried.as_slice() else { panic!("{tried:?}") };
        let found = one.result.as_ref().unwrap().finding().map(|finding| finding.code);
        assert_eq!((double.asked.lock().unwrap().len(), found), (calls, expected));
        assert_eq!(one.lacks_required(), expected == Some(FindingCode::Denied));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_connection_or_a_partition_does_not_have_is_not_tried() {
    let double = Double::default();
    let without = Place { billing: None, ..place(Partition::AwsUsGov, "us-gov-west-1") };
    let tried = run(&double, &without, &packs(&[("billing", "ReadOnly")])).await;
    let result = |sid: &str| tried.iter().find(|one| one.statement.sid == sid).unwrap().result.clone();
    assert_eq!(result("ListBillingFiles"), Err(NotTried::NoBillingBucket));
    assert_eq!(result("ReadReportDefinitions"), Err(NotTried::NoService));
    assert_eq!(result("ReadCostExplorer"), Err(NotTried::NoProbe));
    assert_eq!(result("ReadOrganization"), Ok(Outcome::Allowed));
}

#[test]
fn an_answer_that_a_permitted_call_gets_is_no_denial() {
    let xml =
        |code: &str| format!("<Response><Errors><Error><Code>{code}</Code><Message>m</Message></Error></Errors></Response>");
    let volumes = probe_of("ReadVolumes");
    assert_eq!(judge(volumes, &answer(412, &xml("DryRunOperation"))), Outcome::Allowed);
    assert!(matches!(judge(volumes, &answer(404, &xml("NoSuchEntity"))), Outcome::Unavailable(_)));
}

/// A server in place of AWS sees a signed request, and the session's keys in nothing that is printed.
#[tokio::test]
async fn a_request_is_signed_for_its_service_and_region() {
    type Seen = Arc<Mutex<Vec<(String, HeaderMap, String)>>>;
    let seen = Seen::default();
    let keep = |State(seen): State<Seen>, uri: http::Uri, headers: HeaderMap, body: String| async move {
        seen.lock().unwrap().push((uri.to_string(), headers, body));
        http::StatusCode::OK
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = axum::serve(listener, Router::new().fallback(any(keep)).with_state(seen.clone()));
    let server = tokio::spawn(server.into_future());
    let keys = Credentials::new("ASIAEXAMPLE", SECRET_KEY, Some(SESSION_TOKEN.to_owned()), None, "test");
    let endpoint = Some(format!("http://{address}").parse().unwrap());
    let caller = Caller::new(sts::client().unwrap(), keys, endpoint, Arc::new(|| NOW));
    assert!(!format!("{caller:?}").contains(SECRET_KEY) && !format!("{caller:?}").contains(SESSION_TOKEN));
    let granted = packs(&[("billing", "ReadOnly"), ("rds", "ReadOnly")]);
    let tried = run(&caller, &place(Partition::Aws, REGION), &granted).await;
    assert!(tried.iter().all(|one| matches!(one.result, Ok(Outcome::Allowed) | Err(NotTried::NoProbe))), "{tried:?}");
    server.abort();
    let seen = seen.lock().unwrap();
    let scope = |uri: &str| {
        let (_, headers, _) = seen.iter().find(|(seen, ..)| seen == uri).unwrap();
        assert_eq!(headers.get("x-amz-security-token"), Some(&HeaderValue::from_static(SESSION_TOKEN)));
        let authorization = headers["authorization"].to_str().unwrap();
        authorization.split(['=', ',']).nth(1).unwrap().to_owned()
    };
    assert_eq!(scope("/acme.billing-111122223333?location"), "ASIAEXAMPLE/20261122/eu-west-1/s3/aws4_request");
    let listed = "/acme.billing-111122223333?list-type=2&max-keys=1&prefix=hawser%2F1a2b%203c4d%2F";
    assert_eq!(scope(listed), "ASIAEXAMPLE/20261122/eu-west-1/s3/aws4_request");
    assert!(seen.iter().any(|(_, headers, body)| body == "Action=DescribeDBInstances&Version=2014-10-31&MaxRecords=20"
        && headers["authorization"].to_str().unwrap().contains("/eu-west-1/rds/aws4_request")));
}

#[tokio::test]
async fn nobody_there_is_no_denial() {
    let keys = Credentials::new("ASIAEXAMPLE", SECRET_KEY, None, None, "test");
    let caller = Caller::new(sts::client().unwrap(), keys, Some("http://127.0.0.1:1".parse().unwrap()), Arc::new(|| NOW));
    let tried = run(&caller, &place(Partition::Aws, REGION), &packs(&[("rds", "ReadOnly")])).await;
    let Ok(Outcome::Unavailable(finding)) = &tried[0].result else { panic!("{tried:?}") };
    assert_eq!((finding.code, finding.aws_code.as_str(), finding.actor()), (FindingCode::Unanswered, "no connection", "aws"));
}
