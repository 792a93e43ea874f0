//! What webhooks out decide: payloads, endpoints, secrets, the schedule, and what is reported of an endpoint. No request is made.

use std::collections::BTreeSet;

use hawser_console::webhook::{
    self,
    attempt::{Attempt, FailureKind, Outcome, printable},
    endpoint::{Endpoint, Filter, FilterRefused},
    endpoint_url::{EndpointUrl, Reach},
    event::{Event, EventType, PAYLOAD_BYTES_MAX, PayloadTooLarge},
    health::{DISABLED_AFTER, DisabledBy, FAILING_AFTER, Health},
    ids::{EndpointId, EventId},
    schedule::{Jitter, Next, PAUSES, after, retry_after_seconds},
    secrets::{OVERLAP_DEFAULT, OVERLAP_MAX, RotationRefused, SECRETS_MAX, SigningSecret, SigningSecrets},
    settle,
};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime, macros::datetime};

pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-22 10:00:00 UTC);

pub(crate) fn secret(number: u8) -> SigningSecret {
    SigningSecret::new(&[number; 32])
}

pub(crate) fn event(event_type: EventType) -> Event {
    Event::new(EventId::new([7; 16]), event_type, NOW, &json!({"connection": {"account": "111122223333"}})).unwrap()
}

pub(crate) fn endpoint(url: &str, reach: Reach) -> Endpoint {
    Endpoint {
        id: EndpointId::new([1; 16]),
        url: EndpointUrl::parse(url, reach).unwrap(),
        filter: Filter::parse(&["*"]).unwrap(),
        secrets: SigningSecrets::new(secret(1)),
        health: Health::Active,
    }
}

fn failure() -> Outcome {
    Outcome::of(500, None)
}

fn attempt(number: u32, outcome: Outcome) -> Attempt {
    let (endpoint_id, event_id) = (EndpointId::new([1; 16]), EventId::new([7; 16]));
    Attempt { endpoint_id, event_id, number, at: NOW, outcome, duration_ms: 12, excerpt: String::new() }
}

#[test]
fn a_payload_has_type_timestamp_and_data() {
    let at = datetime!(2026-11-22 12:00:00 +2);
    let event = Event::new(EventId::new([7; 16]), EventType::ConnectionDegraded, at, &json!({"a": 1})).unwrap();
    let payload: Value = serde_json::from_str(event.payload()).unwrap();
    assert_eq!(payload, json!({"type": "connection.degraded", "timestamp": "2026-11-22T10:00:00Z", "data": {"a": 1}}));
    assert_eq!(event.id().to_string(), format!("evt_{}", "07".repeat(16)));
    let stored = serde_json::to_value(&event).unwrap();
    assert_eq!(stored["eventType"], "connection.degraded");
    assert_eq!(serde_json::from_value::<Event>(stored).unwrap(), event);

    let of = |bytes: usize| Event::new(EventId::new([7; 16]), EventType::WebhookTest, NOW, &json!("x".repeat(bytes)));
    let around = of(0).unwrap().payload().len();
    assert_eq!(of(PAYLOAD_BYTES_MAX - around).unwrap().payload().len(), PAYLOAD_BYTES_MAX);
    assert_eq!(of(PAYLOAD_BYTES_MAX - around + 1), Err(PayloadTooLarge(PAYLOAD_BYTES_MAX + 1)));
}

#[test]
fn event_types_are_unique_and_are_never_renamed() {
    let expected = "billing.delivered billing.failed billing.silent billing.stalled billing.waiting connection.announced \
        connection.connected connection.contested connection.degraded connection.paused connection.removed connection.renamed \
        connection.resumed connection.rotated connection.unavailable problem.closed problem.opened webhook.disabled \
        webhook.exhausted webhook.failing webhook.recovered webhook.test";
    let names: BTreeSet<&str> = EventType::ALL.iter().map(|event_type| event_type.as_str()).collect();
    assert_eq!(names.len(), EventType::ALL.len());
    assert_eq!(names, expected.split_whitespace().collect());
    for event_type in EventType::ALL {
        assert_eq!(event_type.as_str().parse(), Ok(*event_type));
        let texts = [event_type.meaning(), event_type.next_step()];
        assert!(texts.iter().all(|text| !text.is_empty()), "{event_type}");
        assert_eq!(event_type.is_about_endpoint(), event_type.as_str().starts_with("webhook."), "{event_type}");
    }
}

#[test]
fn ids_have_one_form() {
    for wrong in ["", "evt_", "evt_0707", &format!("evt_{}", "0G".repeat(16)), &format!("evt_{}", "AB".repeat(16)), "ep_1"] {
        assert!(wrong.parse::<EventId>().is_err() && wrong.parse::<EndpointId>().is_err(), "{wrong}");
    }
    let text = format!("ep_{}", "1f".repeat(16));
    assert_eq!(text.parse::<EndpointId>().unwrap(), EndpointId::new([0x1f; 16]));
    assert!(serde_json::from_value::<EventId>(json!("evt_x")).is_err());
}

#[test]
fn a_filter_takes_names_groups_and_everything() {
    use EventType::{BillingFailed, ConnectionPaused, ConnectionRemoved, ProblemOpened, WebhookFailing};
    for (patterns, takes) in [
        (&["*"][..], &[BillingFailed, ConnectionPaused, ConnectionRemoved, ProblemOpened, WebhookFailing][..]),
        (&["connection.*"], &[ConnectionPaused, ConnectionRemoved]),
        (&["connection.paused", "billing.*"], &[BillingFailed, ConnectionPaused]),
        (&["webhook.failing"], &[WebhookFailing]),
    ] {
        let filter = Filter::parse(patterns).unwrap();
        for event_type in [BillingFailed, ConnectionPaused, ConnectionRemoved, ProblemOpened, WebhookFailing] {
            assert_eq!(filter.takes(event_type), takes.contains(&event_type), "{patterns:?} {event_type}");
        }
    }
    for unknown in ["connection", "connection.", "connection.*.*", "con*", "*.paused", ".*", "", "connection.exploded", "a.*"] {
        assert_eq!(Filter::parse(&["*", unknown]), Err(FilterRefused::Unknown(unknown.to_owned())), "{unknown}");
    }
    assert_eq!(Filter::parse::<&str>(&[]), Err(FilterRefused::Empty));
    assert_eq!(Filter::parse(&["*"; 65]), Err(FilterRefused::TooMany));
    // A later version may have stored a type that this one does not know.
    let stored: Filter = serde_json::from_value(json!(["connection.exploded", "billing.failed"])).unwrap();
    assert!(stored.takes(BillingFailed) && !stored.takes(ConnectionPaused));
}

#[test]
fn no_endpoint_receives_events_about_itself() {
    let mut endpoint = endpoint("https://hooks.example.com/", Reach::Public);
    let other = EndpointId::new([2; 16]);
    assert!(endpoint.takes(EventType::WebhookFailing, Some(&other)));
    assert!(!endpoint.takes(EventType::WebhookFailing, Some(&endpoint.id)));
    assert!(endpoint.takes(EventType::ConnectionPaused, None));
    assert!(!endpoint.takes(EventType::WebhookTest, None), "the operator sends it to one endpoint");
    endpoint.health = Health::Disabled { by: DisabledBy::Operator, since: NOW };
    assert!(!endpoint.takes(EventType::ConnectionPaused, None));
}

#[test]
fn a_secret_is_what_standard_webhooks_allows() {
    assert_eq!(SigningSecret::parse(secret(1).expose()), Ok(secret(1)));
    let of = |bytes: usize| format!("whsec_{}", "AAAA".repeat(bytes / 3));
    for (text, allowed) in
        [(of(24), true), (of(63), true), (of(21), false), (of(66), false), ("whsec_!".into(), false), ("AAAA".repeat(8), false)]
    {
        assert_eq!(SigningSecret::parse(&text).is_ok(), allowed, "{text}");
    }
}

#[test]
fn a_replaced_secret_counts_until_its_end() {
    let mut secrets = SigningSecrets::new(secret(1));
    let valid = |secrets: &SigningSecrets, now| secrets.valid(now).cloned().collect::<Vec<_>>();
    secrets = secrets.rotate(secret(2), OVERLAP_DEFAULT, NOW).unwrap();
    assert_eq!(valid(&secrets, NOW), [secret(2), secret(1)]);
    assert_eq!(valid(&secrets, NOW + OVERLAP_DEFAULT - Duration::SECOND), [secret(2), secret(1)]);
    assert_eq!(valid(&secrets, NOW + OVERLAP_DEFAULT), [secret(2)]);
    let signatures = |now| secrets.sign(&event(EventType::ConnectionPaused), now).split(' ').count();
    assert_eq!((signatures(NOW), signatures(NOW + OVERLAP_DEFAULT)), (2, 1));

    for (next, overlap, refused) in [
        (secret(2), OVERLAP_DEFAULT, RotationRefused::Same),
        (secret(2), Duration::ZERO, RotationRefused::Same),
        (secret(1), OVERLAP_DEFAULT, RotationRefused::Same),
        (secret(3), -Duration::SECOND, RotationRefused::Overlap),
        (secret(3), OVERLAP_MAX + Duration::SECOND, RotationRefused::Overlap),
    ] {
        assert_eq!(secrets.rotate(next, overlap, NOW), Err(refused));
    }
    // A few at most, and what has ended makes room.
    for number in 3.. {
        match secrets.rotate(secret(number), OVERLAP_DEFAULT, NOW) {
            Ok(rotated) => secrets = rotated,
            Err(refused) => {
                assert_eq!((refused, usize::from(number)), (RotationRefused::TooMany, SECRETS_MAX + 1));
                break;
            }
        }
    }
    let later = secrets.rotate(secret(9), OVERLAP_DEFAULT, NOW + OVERLAP_DEFAULT).unwrap();
    assert_eq!(later.previous.len(), 1);
    // After a leak nothing of before counts.
    assert_eq!(secrets.rotate(secret(9), Duration::ZERO, NOW), Ok(SigningSecrets::new(secret(9))));
}

#[test]
fn the_schedule_is_svixs() {
    let minutes = |minutes| Duration::minutes(minutes);
    let expected =
        [Duration::seconds(5), minutes(5), minutes(30), minutes(2 * 60), minutes(5 * 60), minutes(10 * 60), minutes(10 * 60)];
    for (number, pause) in (1..).zip(expected) {
        assert_eq!(after(number, &failure(), NOW, Jitter::NONE), Next::At(NOW + pause), "{number}");
        for (random, factor) in [(0, 0.8), (u16::MAX, 1.2)] {
            let Next::At(at) = after(number, &failure(), NOW, Jitter::new(random)) else { panic!("{number}") };
            let off: Duration = at - (NOW + pause * factor);
            assert!(off.abs() < Duration::MILLISECOND, "{number} {random}: {at}");
        }
        assert_eq!(after(number, &Outcome::of(204, None), NOW, Jitter::NONE), Next::Done);
    }
    for number in [8, 9, u32::MAX] {
        assert_eq!(after(number, &failure(), NOW, Jitter::NONE), Next::Exhausted, "{number}");
    }
    assert_eq!(PAUSES.iter().sum::<Duration>(), Duration::seconds(5) + minutes(27 * 60 + 35));
}

#[test]
fn a_busy_endpoint_is_left_alone_within_bounds() {
    for (number, status, asked, seconds) in [
        // At least a minute, at most twice the pause.
        (1, 429, None, 60),
        (1, 503, None, 60),
        (1, 429, Some(3600), 60),
        (2, 429, None, 300),
        (2, 429, Some(10), 300),
        (2, 429, Some(400), 400),
        (2, 503, Some(600), 600),
        (2, 503, Some(601), 600),
        (7, 503, Some(u32::MAX), 20 * 3600),
        // Others are not asked.
        (2, 500, Some(600), 300),
        (2, 301, Some(600), 300),
        (2, 502, Some(600), 300),
    ] {
        let next = after(number, &Outcome::of(status, asked), NOW, Jitter::NONE);
        assert_eq!(next, Next::At(NOW + Duration::seconds(seconds)), "{number} {status} {asked:?}");
    }
    let next = |kind| after(1, &Outcome::failed(kind, ""), NOW, Jitter::NONE);
    assert_eq!(next(FailureKind::Timeout), Next::At(NOW + Duration::MINUTE));
    assert_eq!(next(FailureKind::Connect), Next::At(NOW + Duration::seconds(5)));
    // Chance takes nothing from what was asked for.
    let next = after(2, &Outcome::of(429, Some(300)), NOW, Jitter::new(0));
    assert_eq!(next, Next::At(NOW + Duration::seconds(300)));
    // The last attempt stays the last.
    assert_eq!(after(8, &Outcome::of(429, Some(60)), NOW, Jitter::NONE), Next::Exhausted);
}

#[test]
fn retry_after_is_a_number_or_a_time() {
    for (header, expected) in [
        ("120", Some(120)),
        (" 0 ", Some(0)),
        ("99999999999999999999", Some(u32::MAX)),
        ("Sun, 22 Nov 2026 10:02:00 GMT", Some(120)),
        ("Sun, 22 Nov 2026 09:00:00 GMT", Some(0)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", Some(u32::MAX)),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
    ] {
        assert_eq!(retry_after_seconds(header, NOW), expected, "{header}");
    }
}

/// When an attempt ends, its number, how it ends, and the event that follows.
type Step<'a> = (Duration, u32, &'a Outcome, Option<EventType>);

#[test]
fn failing_recovered_and_disabled_are_reported_once() {
    use EventType::{WebhookDisabled as Disabled, WebhookFailing as Failing, WebhookRecovered as Recovered};
    let (failed, done, gone) = (failure(), Outcome::of(200, None), Outcome::of(410, None));
    let minutes = |minutes| Duration::minutes(minutes);
    let stories: [(&str, &[Step]); 9] = [
        ("a restart is not reported", &[(minutes(0), 1, &failed, None), (minutes(5), 2, &done, None)]),
        (
            "half an hour is reported once, and so is its end",
            &[
                (minutes(0), 1, &failed, None),
                (FAILING_AFTER - Duration::SECOND, 3, &failed, None),
                (FAILING_AFTER, 4, &failed, Some(Failing)),
                (minutes(155), 5, &failed, None),
                (minutes(156), 1, &failed, None),
                (minutes(157), 2, &done, Some(Recovered)),
                (minutes(158), 1, &done, None),
                (minutes(159), 1, &failed, None),
            ],
        ),
        (
            "one message that fails among others is not reported",
            &[
                (minutes(0), 1, &failed, None),
                (minutes(1), 1, &done, None),
                (minutes(35), 4, &failed, None),
                (minutes(36), 1, &done, None),
                (minutes(155), 5, &failed, None),
            ],
        ),
        (
            "five days disable it",
            &[
                (minutes(0), 1, &failed, None),
                (minutes(35), 4, &failed, Some(Failing)),
                (DISABLED_AFTER - Duration::SECOND, 8, &failed, None),
                (DISABLED_AFTER, 4, &failed, Some(Disabled)),
                (DISABLED_AFTER + minutes(1), 5, &failed, None),
            ],
        ),
        (
            "a success within the five days counts",
            &[
                (minutes(0), 1, &failed, None),
                (minutes(35), 4, &failed, Some(Failing)),
                (Duration::days(4), 8, &done, Some(Recovered)),
                (Duration::days(5), 4, &failed, None),
                (Duration::days(9), 4, &failed, Some(Failing)),
            ],
        ),
        (
            "where one event comes each week, the second one is tried properly",
            &[
                (minutes(0), 1, &failed, None),
                (minutes(35), 4, &failed, Some(Failing)),
                (minutes(27 * 60), 8, &failed, None),
                (Duration::days(7), 1, &failed, None),
                (Duration::days(7) + minutes(6), 3, &failed, None),
                (Duration::days(7) + minutes(36), 4, &failed, Some(Disabled)),
            ],
        ),
        ("gone disables it at once", &[(minutes(0), 1, &gone, Some(Disabled)), (minutes(1), 1, &gone, None)]),
        (
            "gone disables one that was failing",
            &[(minutes(0), 1, &failed, None), (minutes(35), 4, &failed, Some(Failing)), (minutes(40), 1, &gone, Some(Disabled))],
        ),
        (
            "what was under way when it was disabled says nothing",
            &[
                (minutes(0), 1, &gone, Some(Disabled)),
                (minutes(1), 1, &done, None),
                (minutes(2), 4, &failed, None),
                (DISABLED_AFTER + minutes(3), 8, &failed, None),
            ],
        ),
    ];
    for (story, attempts) in stories {
        let mut health = Health::Active;
        for (at, number, outcome, expected) in attempts {
            let event;
            (health, event) = health.after(*number, outcome, NOW + *at);
            assert_eq!(event, *expected, "{story}: after {at}: {health:?}");
            // As it is stored.
            let stored = serde_json::to_value(health).unwrap();
            assert_eq!(stored["state"], health.as_str());
            assert_eq!(serde_json::from_value::<Health>(stored).unwrap(), health, "{story}");
        }
    }
}

#[test]
fn the_operator_disables_and_enables() {
    let (health, event) = Health::Active.disabled_by_operator(NOW);
    assert_eq!((health, event), (Health::Disabled { by: DisabledBy::Operator, since: NOW }, Some(EventType::WebhookDisabled)));
    assert_eq!(health.disabled_by_operator(NOW + Duration::HOUR), (health, None));
    assert_eq!(health.enabled_by_operator(), Health::Active);
    let failing = Health::Failing { since: NOW, reported: true };
    assert_eq!(failing.enabled_by_operator(), failing);
}

/// Messages, one each `pause`, to an endpoint that fails until a time: the events about it, each with its time, and how the messages ended.
fn play(messages: u32, pause: Duration, fails_until: Duration) -> (Vec<(Duration, EventType)>, Vec<Next>) {
    let mut due: BTreeSet<(Duration, u32, u32)> = (0..messages).map(|message| (pause * message, message, 1)).collect();
    let (mut health, mut sent, mut ends) = (Health::Active, Vec::new(), Vec::new());
    while let Some((at, message, number)) = due.pop_first() {
        if health.is_disabled() {
            ends.push(Next::Stopped);
            continue;
        }
        let outcome = if at < fails_until { failure() } else { Outcome::of(200, None) };
        let attempt = attempt(number, outcome);
        let settled = settle(health, EventType::ConnectionDegraded, &attempt, NOW + at, Jitter::NONE);
        health = settled.health;
        sent.extend(settled.events.into_iter().map(|event_type| (at, event_type)));
        match settled.next {
            Next::At(next) => assert!(due.insert((next - NOW, message, number + 1))),
            end => ends.push(end),
        }
    }
    (sent, ends)
}

/// A connection that breaks is reported, even if the operator's own system was down at that time (F-64).
#[test]
fn what_happens_while_a_receiver_is_down_reaches_it_later() {
    let (sent, ends) = play(24, Duration::HOUR, Duration::hours(20));
    let sent: Vec<_> = sent.iter().map(|(at, event_type)| (at.whole_seconds(), *event_type)).collect();
    assert_eq!(sent, [(2105, EventType::WebhookFailing), (20 * 3600, EventType::WebhookRecovered)]);
    assert_eq!(ends, vec![Next::Done; 24]);
}

#[test]
fn a_receiver_that_is_down_for_five_days_is_disabled() {
    let (sent, ends) = play(24 * 6, Duration::HOUR, Duration::days(30));
    let at = |wanted| sent.iter().filter(|(_, sent)| *sent == wanted).map(|(at, _)| at.whole_seconds()).collect::<Vec<_>>();
    assert_eq!(at(EventType::WebhookFailing), [2105]);
    assert_eq!(at(EventType::WebhookDisabled), [5 * 24 * 3600 + 2105]);
    assert!(at(EventType::WebhookRecovered).is_empty());
    let exhausted = at(EventType::WebhookExhausted);
    assert_eq!(exhausted.first(), Some(&(27 * 3600 + 2105)));
    assert_eq!(exhausted.len(), ends.iter().filter(|end| **end == Next::Exhausted).count());
    assert_eq!(ends.len(), 24 * 6);
    assert!(ends.iter().all(|end| matches!(end, Next::Exhausted | Next::Stopped)));
}

#[test]
fn two_endpoints_that_are_down_do_not_send_each_other_events_for_ever() {
    for (event_type, expected) in [
        (EventType::ConnectionPaused, vec![EventType::WebhookExhausted]),
        (EventType::WebhookExhausted, vec![]),
        (EventType::WebhookFailing, vec![]),
        (EventType::WebhookTest, vec![]),
    ] {
        let health = Health::Failing { since: NOW, reported: true };
        let settled = settle(health, event_type, &attempt(8, failure()), NOW + Duration::HOUR, Jitter::NONE);
        assert_eq!((settled.next, settled.events), (Next::Exhausted, expected), "{event_type}");
    }
    let settled = settle(Health::Active, EventType::ConnectionPaused, &attempt(1, Outcome::of(410, None)), NOW, Jitter::NONE);
    assert_eq!((settled.next, settled.events), (Next::Stopped, vec![EventType::WebhookDisabled]));
    // A message that arrives is done, whatever became of the endpoint meanwhile.
    let disabled = Health::Disabled { by: DisabledBy::Operator, since: NOW };
    let settled = settle(disabled, EventType::ConnectionPaused, &attempt(1, Outcome::of(200, None)), NOW, Jitter::NONE);
    assert_eq!((settled.next, settled.health), (Next::Done, disabled));
}

#[test]
fn an_event_about_an_endpoint_says_what_happened() {
    let health = Health::Failing { since: NOW, reported: true };
    let data = webhook::about(&health, &attempt(4, Outcome::failed(FailureKind::Dns, "no such host")));
    assert_eq!(
        data,
        json!({"endpoint": {
            "id": format!("ep_{}", "01".repeat(16)),
            "state": "failing",
            "since": "2026-11-22T10:00:00Z",
            "lastAttempt": {
                "eventId": format!("evt_{}", "07".repeat(16)),
                "number": 4,
                "at": "2026-11-22T10:00:00Z",
                "failure": "dns",
                "status": null,
            },
        }})
    );
}

#[test]
fn an_attempt_is_stored_as_it_is_read() {
    for (outcome, expected) in [
        (Outcome::of(204, None), json!({"result": "success", "status": 204})),
        (Outcome::of(503, Some(7)), json!({"result": "failure", "kind": "status", "status": 503, "retryAfterSeconds": 7})),
        (Outcome::of(302, None), json!({"result": "failure", "kind": "redirect", "status": 302})),
        (Outcome::of(101, None), json!({"result": "failure", "kind": "status", "status": 101})),
        (Outcome::failed(FailureKind::Tls, "bad"), json!({"result": "failure", "kind": "tls", "detail": "bad"})),
    ] {
        let attempt = attempt(1, outcome);
        let stored = serde_json::to_value(&attempt).unwrap();
        assert_eq!(stored["outcome"], expected);
        assert_eq!(stored["at"], "2026-11-22T10:00:00Z");
        assert_eq!(serde_json::from_value::<Attempt>(stored).unwrap(), attempt);
    }
    let words = FailureKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" ");
    assert!(FailureKind::ALL.iter().all(|kind| !kind.meaning().is_empty() && kind.next_step().ends_with('.')));
    assert_eq!(words, "dns address-not-public connect proxy tls timeout broken-off redirect status");
}

#[test]
fn an_excerpt_can_be_printed() {
    for (bytes, expected) in [
        (&b"{\"error\": \"it's full\"}"[..], "{\"error\": \"it's full\"}"),
        (b"a\r\nb\tc\0", "a\\r\\nb\\tc\\0"),
        (b"\x1b[31mred", "\\u{1b}[31mred"),
        ("grün \u{202e}x\u{200b}".as_bytes(), "grün \\u{202e}x\\u{200b}"),
        (b"\\n", "\\\\n"),
        (b"\xff", "\u{fffd}"),
    ] {
        assert_eq!(printable(bytes), expected);
    }
    assert!(printable(&[0; 5000]).len() <= 1024 + 10);
}

#[test]
fn nothing_secret_is_printed() {
    let mut endpoint = endpoint("https://hooks.example.com/in/path-token?token=query-token", Reach::Public);
    endpoint.secrets = endpoint.secrets.rotate(secret(2), OVERLAP_DEFAULT, NOW).unwrap();
    let egress = webhook::egress::Egress::Proxy(hawser_console::secret::Secret::new("http://user:proxy-password@proxy:3128"));
    let record = serde_json::to_string(&attempt(1, Outcome::failed(FailureKind::Connect, "refused"))).unwrap();
    let printed = format!("{endpoint:?} {:?} {egress:?} {:?} {record}", endpoint.url, endpoint.secrets);
    for secret in [secret(1).expose(), secret(2).expose(), "path-token", "query-token", "proxy-password"] {
        assert!(!printed.contains(secret.trim_start_matches("whsec_")), "{printed}");
    }
    assert!(printed.contains("https://hooks.example.com/[redacted]"), "{printed}");
}
