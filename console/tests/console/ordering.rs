//! F-12, F-34: notices of two stacks, in every order of arrival and with every one of them lost, through the database.
//! What remains must not depend on the order, only on which ones came. (Who takes over from whom depends on when AWS confirms.)

use hawser_console::access::Access;
use hawser_console::{identity::Identity, launch::Launch, ledger::Answer, store::Store, view::State};
use time::{Duration, OffsetDateTime};

use crate::support::{ACCOUNT, NOW, Stack, identity_xml, launch, parse, seal_keys};

/// (stack, kind, seconds). The first stack is created, updated and deleted; the second is created in its place.
type ReceivedNotice = (usize, &'static str, i64);

const APART: [ReceivedNotice; 5] =
    [(0, "established", 0), (0, "updated", 10), (0, "removed", 20), (1, "established", 30), (1, "updated", 40)];
/// The second stack is made before the first one's last words.
const INTERLEAVED: [ReceivedNotice; 5] =
    [(0, "established", 0), (1, "established", 10), (0, "updated", 20), (1, "removed", 30), (0, "removed", 40)];
/// Notices carry seconds, and everything may happen in one.
const AT_ONCE: [ReceivedNotice; 4] = [(0, "established", 0), (0, "updated", 0), (0, "removed", 0), (1, "established", 0)];

/// F-12, F-34.
#[tokio::test]
async fn what_remains_does_not_depend_on_the_order() {
    // In memory: thousands of commits to a disk would take half a minute.
    let store = Store::open("sqlite::memory:", seal_keys()).await.unwrap();
    let mut history = 0;
    for story in [APART.as_slice(), &INTERLEAVED, &AT_ONCE] {
        for chosen in 1_usize..1 << story.len() {
            let stated: Vec<ReceivedNotice> =
                story.iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1).map(|(_, t)| *t).collect();
            for order in orders(&stated) {
                history += 1;
                let found = play(&store, history, &order).await;
                assert_eq!(found, expected(&stated), "arrived as {order:?}");
            }
        }
    }
    // 5 + 20 + 60 + 120 + 120 orders of the two long stories, 4 + 12 + 24 + 24 of the short one.
    assert_eq!(history, 325 + 325 + 64);
}

/// State of a stack's connection, and the kind of notice that described it last.
type ShownConnection = Option<(State, &'static str)>;

/// What must remain, worked out from the whole set without looking at any order of arrival.
fn expected(stated: &[ReceivedNotice]) -> [ShownConnection; 2] {
    let rank = |kind: &str| ["established", "updated", "removed"].iter().position(|k| *k == kind);
    let of = |stack: usize| {
        let mut own: Vec<ReceivedNotice> = stated.iter().copied().filter(|(s, ..)| *s == stack).collect();
        own.sort_by_key(|(_, kind, seconds)| (*seconds, rank(kind)));
        own
    };
    let described = |stack: usize| of(stack).into_iter().filter(|(_, kind, _)| *kind != "removed").collect::<Vec<_>>();
    [0, 1].map(|stack| {
        let (_, description, _) = *described(stack).last()?;
        let (_, last, _) = *of(stack).last()?;
        let state = if last == "removed" { State::Removed } else { State::Announced };
        Some((state, description))
    })
}

/// Plays one order of arrival, with an account, stacks and launches of its own.
async fn play(store: &Store, history: usize, order: &[ReceivedNotice]) -> [ShownConnection; 2] {
    let account = format!("{history:012}");
    let mut stacks = Vec::new();
    for number in 0..2 {
        let launch = launch(2 * history + number, None);
        store.add_launch(&Access::operator(), &launch, None, NOW).await.unwrap();
        let mut stack = Stack::new(&launch, &format!("stack-{number}"), "http://127.0.0.1:1/");
        stack.stack_id = stack.stack_id.replace(ACCOUNT, &account);
        stack.account.clone_from(&account);
        stacks.push((stack, launch));
    }
    for (at, (stack, kind, seconds)) in order.iter().enumerate() {
        let (stack, launch) = &stacks[*stack];
        let arrived = NOW + Duration::minutes(1) + Duration::seconds(i64::try_from(at).unwrap());
        record(store, stack, launch, kind, NOW + Duration::seconds(*seconds), arrived).await;
    }
    let mut found = [None, None];
    for (at, (stack, _)) in stacks.iter().enumerate() {
        let id = hawser_console::ledger::connection_id(&stack.stack_id);
        found[at] = store.connection(&Access::operator(), &id, NOW).await.unwrap().map(|view| {
            // The template version tells which notice described the connection.
            let description = view.data["templateVersion"].as_str().unwrap();
            (view.state, if description == "established" { "established" } else { "updated" })
        });
    }
    found
}

async fn record(store: &Store, stack: &Stack, launch: &Launch, kind: &str, time: OffsetDateTime, arrived: OffsetDateTime) {
    let mut event = stack.event(kind, time);
    event["data"]["templateVersion"] = kind.into();
    event["data"]["proofKinds"] = serde_json::json!([]);
    event["data"]["proofs"] = serde_json::json!([]);
    let notice = parse(&event, arrived).unwrap();
    let speaker = Identity::read(&identity_xml(&stack.account)).unwrap().speaker(&notice).unwrap();
    let answer = store.record(&notice, launch, (&speaker, None), arrived).await.unwrap();
    if kind != "removed" {
        assert!(matches!(answer, Answer::Accepted { .. }));
    }
}

fn orders(stated: &[ReceivedNotice]) -> Vec<Vec<ReceivedNotice>> {
    if stated.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for first in 0..stated.len() {
        let mut rest = stated.to_vec();
        let first = rest.remove(first);
        all.extend(orders(&rest).into_iter().map(|mut order| {
            order.insert(0, first);
            order
        }));
    }
    all
}
