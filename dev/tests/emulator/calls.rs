//! What each pack lets a vendor do and what not, as calls that are really made: one table, by pack and mode.
//!
//! To add to it: a call in `checks` of `calls.yaml`, and in `fixtures` what the call needs to be there. `{name}` in a call is the
//! id of that thing, made by the customer for this call alone; `{n}` is a number that no other call has; `{account}`, `{stack}`,
//! `{bucket}`, `{report}`, `{folder}` and `{engine_boundary}` are the stack's. Where the emulator has no such service, its
//! simulation of IAM is asked.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_credential_types::Credentials;
use hawser_dev::{
    account::Account,
    constants::{CUSTOMER, STACK_REGION},
    emulator::Emulator,
    strict_proxy::shared::BILLING_REGION,
};
use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

/// `calls.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    versions: BTreeMap<String, String>,
    targets: BTreeMap<String, String>,
    calls: BTreeMap<String, Call>,
    fixtures: BTreeMap<String, Fixture>,
    checks: Vec<Check>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| serde_norway::from_str(include_str!("calls.yaml")).unwrap());

/// One call of AWS's, for whoever makes it, under the name that IAM has for it: `ec2:TerminateInstances`. Its service is the
/// signing name, where that is not what stands before the colon.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Call {
    /// AWS's query protocol.
    Query {
        query: String,
        service: Option<String>,
        #[serde(default)]
        with: BTreeMap<String, String>,
    },
    Json {
        json: String,
        service: Option<String>,
        #[serde(default)]
        with: Map<String, Value>,
    },
    Rest {
        rest: String,
        /// Method, and path with query.
        send: String,
        #[serde(default)]
        body: String,
    },
    /// No such service here: the resource that IAM's simulation is asked about, and condition keys.
    Simulate {
        simulate: String,
        resource: String,
        #[serde(default)]
        with: BTreeMap<String, String>,
    },
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Query { with, .. } => format!("{with:?}"),
            Self::Json { with, .. } => json!(with).to_string(),
            Self::Rest { send, .. } => send.clone(),
            Self::Simulate { resource, with, .. } => format!("simulated on {resource} {with:?}"),
        };
        write!(formatter, "{} {what}", self.action())
    }
}

/// Something that a customer has, the call that makes it, and its id: chosen by who made it, or in the answer as the group of a
/// regular expression.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    made_by: Call,
    id: Option<String>,
    found: Option<String>,
}

/// What one mode of one pack is to let through, and what not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Check {
    pub(crate) pack: String,
    pub(crate) mode: String,
    allowed: Vec<Call>,
    forbidden: Vec<Call>,
}

/// A call that `calls.yaml` names.
pub(crate) fn named(name: &str) -> &'static Call {
    &TABLE.calls[name]
}

pub(crate) fn checks() -> &'static [Check] {
    &TABLE.checks
}

/// The checks of these packs in these modes; a pack that has none is an error.
pub(crate) fn checks_of(packs: &BTreeMap<String, String>) -> Vec<&'static Check> {
    let found = packs.iter().flat_map(|(pack, mode)| {
        let found: Vec<&Check> = checks().iter().filter(|check| check.pack == *pack && check.mode == *mode).collect();
        assert!(found.iter().any(|check| !check.allowed.is_empty()), "`{pack}` in `{mode}` has no call that is allowed");
        assert!(found.iter().any(|check| !check.forbidden.is_empty()), "`{pack}` in `{mode}` has no call that is forbidden");
        found
    });
    found.collect()
}

/// What the emulator's IAM made of a call.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum AccessDecision {
    Allowed,
    Denied,
}

/// The vendor, with what it was given, and the customer's root beside it.
pub(crate) struct Vendor<'world> {
    emulator: &'world Emulator,
    /// The vendor's session or key.
    session: Account,
    /// Who that is, for the simulation.
    principal: String,
    given: BTreeMap<String, String>,
}

/// Services of which there is one, in us-east-1; everything else is asked in the stack's Region.
const GLOBAL: [&str; 5] = ["cur", "iam", "organizations", "route53", "s3"];

static NUMBER: AtomicUsize = AtomicUsize::new(1);

impl<'world> Vendor<'world> {
    pub(crate) fn new(
        emulator: &'world Emulator,
        session: Account,
        principal: &str,
        given: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        Self { emulator, session, principal: principal.to_owned(), given: given.into_iter().collect() }
    }

    /// A vendor with an access key.
    pub(crate) fn with_key(emulator: &'world Emulator, user: &str, key: &str, secret: &str) -> Self {
        let credentials = Credentials::new(key, secret, None, None, "access key");
        let session = Account::with(emulator.front().url(), CUSTOMER, BILLING_REGION, credentials);
        Self::new(emulator, session, &format!("arn:aws:iam::{CUSTOMER}:user/{user}"), [])
    }

    /// Everything that these checks say about the vendor is true. The answer is what is not.
    pub(crate) async fn wrong(&self, checks: &[&Check]) -> Vec<String> {
        let mut wrong = Vec::new();
        for check in checks {
            for (calls, expected) in [(&check.allowed, AccessDecision::Allowed), (&check.forbidden, AccessDecision::Denied)] {
                for call in calls {
                    if let Err(why) = self.expect(call, &expected).await {
                        wrong.push(format!("{} {}: {why}", check.pack, check.mode));
                    }
                }
            }
        }
        wrong
    }

    /// Makes a call. One that was denied is made again by the customer, to show that nothing else was wrong with it.
    pub(crate) async fn expect(&self, call: &Call, expected: &AccessDecision) -> Result<(), String> {
        let known = self.fixtures_of(call).await?;
        let (verdict, answer) = self.make(call, &known, &self.session).await?;
        if verdict != *expected {
            return Err(format!("{call} is {verdict:?}: {answer}"));
        }
        if verdict == AccessDecision::Denied && !matches!(call, Call::Simulate { .. }) {
            let control = self.make(call, &known, &self.customer()).await;
            control.map_err(|why| format!("{call} was denied, but the customer cannot do it either: {why}"))?;
        }
        Ok(())
    }

    fn customer(&self) -> Account {
        self.emulator.root(CUSTOMER, BILLING_REGION)
    }

    /// Makes what the call names, and what that needs in turn.
    async fn fixtures_of(&self, call: &Call) -> Result<BTreeMap<String, String>, String> {
        let mut known = self.given.clone();
        known.insert("n".to_owned(), NUMBER.fetch_add(1, Ordering::Relaxed).to_string());
        known.insert("account".to_owned(), CUSTOMER.to_owned());
        let mut wanted: Vec<(String, &Fixture)> = Vec::new();
        let mut names = call.names();
        while let Some(name) = names.pop() {
            if known.contains_key(&name) {
                continue;
            }
            let fixture = TABLE.fixtures.get(&name).ok_or_else(|| format!("{call} names `{name}`, which nothing makes"))?;
            // What is needed by many is made before the first of them.
            wanted.retain(|(other, _)| *other != name);
            wanted.push((name, fixture));
            names.extend(fixture.made_by.names());
        }
        for (name, fixture) in wanted.into_iter().rev() {
            let (_, answer) = self.make(&fixture.made_by, &known, &self.customer()).await?;
            let id = match (&fixture.id, &fixture.found) {
                (Some(id), None) => filled(id, &known),
                (None, Some(pattern)) => {
                    let found = Regex::new(pattern).unwrap().captures(&answer).map(|found| found[1].to_owned());
                    found.ok_or_else(|| format!("no `{pattern}` in what {} answered: {answer}", fixture.made_by))?
                }
                _ => return Err(format!("`{name}` needs either an id or where it is found")),
            };
            known.insert(name, id);
        }
        Ok(known)
    }

    /// The verdict with the answer; anything but a success and a denial of this very action is an error.
    async fn make(
        &self,
        call: &Call,
        known: &BTreeMap<String, String>,
        who: &Account,
    ) -> Result<(AccessDecision, String), String> {
        let fill = |text: &str| filled(text, known);
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let service = call.service();
        let who = who.in_region(if GLOBAL.contains(&service) { BILLING_REGION } else { STACK_REGION });
        let sent = match call {
            Call::Query { with, .. } => {
                let operation = call.action().split_once(':').unwrap().1;
                let mut body = form_urlencoded::Serializer::new(String::new());
                body.append_pair("Action", operation).append_pair("Version", &TABLE.versions[service]);
                for (name, value) in with {
                    body.append_pair(name, &fill(value));
                }
                who.raw(service, "POST", "/", &form, body.finish()).await
            }
            Call::Json { with, .. } => {
                let operation = call.action().split_once(':').unwrap().1;
                let target = format!("{}.{operation}", TABLE.targets[service]);
                let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
                who.raw(service, "POST", "/", &headers, fill(&json!(with).to_string())).await
            }
            Call::Rest { send, body, .. } => {
                let headers = [("content-type", "application/json")];
                let (method, path) = send.split_once(' ').unwrap();
                who.raw(service, method, &fill(path), if body.is_empty() { &[] } else { &headers }, fill(body)).await
            }
            Call::Simulate { resource, with, .. } => {
                let context: Vec<(&str, String)> = with.iter().map(|(key, value)| (key.as_str(), fill(value))).collect();
                return self.simulate(call.action(), &fill(resource), &context).await;
            }
        };
        let (status, answer) = sent.map_err(|error| format!("{call}: {error:#}"))?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if (200..300).contains(&status) {
            return Ok((AccessDecision::Allowed, answer));
        }
        let denied = answer.contains("AccessDenied") || answer.contains("UnauthorizedOperation");
        // S3 says no more than "Access Denied".
        if denied && (answer.contains(call.action()) || call.action().starts_with("s3:")) {
            return Ok((AccessDecision::Denied, answer));
        }
        Err(format!("{call} answered {status}: {answer}"))
    }

    async fn simulate(
        &self,
        action: &str,
        resource: &str,
        context: &[(&str, String)],
    ) -> Result<(AccessDecision, String), String> {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("Action", "SimulatePrincipalPolicy")
            .append_pair("Version", "2010-05-08")
            .append_pair("PolicySourceArn", &self.principal)
            .append_pair("ActionNames.member.1", action)
            .append_pair("ResourceArns.member.1", resource);
        for (number, (key, value)) in (1..).zip(context) {
            let entry = format!("ContextEntries.member.{number}");
            body.append_pair(&format!("{entry}.ContextKeyName"), key)
                .append_pair(&format!("{entry}.ContextKeyType"), "string")
                .append_pair(&format!("{entry}.ContextKeyValues.member.1"), value);
        }
        let body = body.finish();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = self.customer().raw("iam", "POST", "/", &headers, body).await.map_err(|error| format!("{error:#}"))?;
        let answer = String::from_utf8_lossy(&answer.1).into_owned();
        if answer.contains("<EvalDecision>allowed</EvalDecision>") {
            Ok((AccessDecision::Allowed, answer))
        } else if answer.contains("Deny</EvalDecision>") {
            Ok((AccessDecision::Denied, answer))
        } else {
            Err(format!("{action}: the simulation answered {answer}"))
        }
    }
}

impl Call {
    fn action(&self) -> &str {
        match self {
            Self::Query { query: action, .. }
            | Self::Json { json: action, .. }
            | Self::Rest { rest: action, .. }
            | Self::Simulate { simulate: action, .. } => action,
        }
    }

    fn service(&self) -> &str {
        match self {
            Self::Query { service: Some(service), .. } | Self::Json { service: Some(service), .. } => service,
            Self::Simulate { .. } => "iam",
            _ => self.action().split(':').next().unwrap(),
        }
    }

    /// What is in braces in it.
    fn names(&self) -> Vec<String> {
        let body;
        let texts: Vec<&String> = match self {
            Self::Query { with, .. } => with.values().collect(),
            Self::Json { with, .. } => {
                body = json!(with).to_string();
                vec![&body]
            }
            Self::Rest { send, body, .. } => vec![send, body],
            Self::Simulate { resource, with, .. } => with.values().chain([resource]).collect(),
        };
        let name = Regex::new(r"\{([a-z_]+)\}").unwrap();
        texts.into_iter().flat_map(|text| name.captures_iter(text)).map(|found| found[1].to_owned()).collect()
    }
}

fn filled(text: &str, known: &BTreeMap<String, String>) -> String {
    known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}
