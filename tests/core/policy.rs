//! The bucket's policy, in every shape IAM's grammar allows: what is not ours stays, in its order, or nothing is written
//! and the failure says so (HW-O3, HW-L5; F-15).

use hawser::{
    billing::policy::{
        DeliveryAccess, DeliveryCall, EXPORTS_SERVICE, POLICY_BYTES_MAX, PolicyError, delivery_access, merge, same_policy,
        was_set_up,
    },
    decide::preview,
    names::{AccountId, BucketName, Partition, Region},
};
use hawser_sim::World;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::fuzzed::policy::{OURS, check, is_ours, merged, parsed, statements};

// IAM's grammar (IAM User Guide, "Grammar of the IAM JSON policy language"): nearly everything may be one value or a list.

/// One text, or a list of them.
fn texts(words: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(words).prop_map(Value::from),
        prop::collection::vec(prop::sample::select(words), 1..4).prop_map(Value::from),
    ]
}

fn principal() -> impl Strategy<Value = Value> {
    let kinds = &["AWS", "Service", "Federated", "CanonicalUser"][..];
    let ids = &["*", "111122223333", "arn:aws:iam::444455556666:role/reader", "logging.s3.amazonaws.com", "79a59df900b9"][..];
    prop_oneof![
        Just(json!("*")),
        prop::collection::btree_map(prop::sample::select(kinds), texts(ids), 1..3).prop_map(|map| json!(map)),
    ]
}

fn condition() -> impl Strategy<Value = Value> {
    let operators = &["StringEquals", "ArnLike", "Bool", "NumericLessThan", "ForAnyValue:StringLike", "Null"][..];
    let keys = &["aws:SourceAccount", "aws:SecureTransport", "s3:max-keys", "aws:PrincipalOrgID"][..];
    let single = prop_oneof![
        "\\PC{0,12}".prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-4000..4000).prop_map(|quarters| Value::from(f64::from(quarters) / 4.0)),
        any::<bool>().prop_map(Value::from),
    ];
    let values = prop_oneof![single.clone(), prop::collection::vec(single, 0..3).prop_map(Value::from)];
    let of_operator = prop::collection::btree_map(prop::sample::select(keys), values, 1..3);
    prop::collection::btree_map(prop::sample::select(operators), of_operator, 1..3).prop_map(|map| json!(map))
}

/// A statement of the customer's, or one that has the id of one of ours and other content.
fn statement() -> impl Strategy<Value = Value> {
    let sids = &["Stmt1335892150622", "PublicRead", "hawserBillingWrite", "HawserBillingWrite2", "HawserBillingWrite"][..];
    let sid = prop::option::of(prop_oneof![prop::sample::select(sids).prop_map(str::to_owned), "[A-Za-z0-9]{0,20}"]);
    let actions = &["s3:*", "s3:GetObject", "s3:ListBucket", "s3:PutObject"][..];
    let resources = &["arn:aws:s3:::acme-111122223333-5a3786aa0a9f623d", "arn:aws:s3:::acme-111122223333-5a3786aa0a9f623d/*"][..];
    (
        sid,
        prop::sample::select(&["Allow", "Deny"][..]),
        (prop::sample::select(&["Principal", "NotPrincipal"][..]), principal()),
        (prop::sample::select(&["Action", "NotAction"][..]), texts(actions)),
        (prop::sample::select(&["Resource", "NotResource"][..]), texts(resources)),
        prop::option::of(condition()),
    )
        .prop_map(|(sid, effect, principal, action, resource, condition)| {
            let mut statement = json!({ "Effect": effect, principal.0: principal.1, action.0: action.1, resource.0: resource.1 });
            if let Some(sid) = sid {
                statement["Sid"] = sid.into();
            }
            if let Some(condition) = condition {
                statement["Condition"] = condition;
            }
            statement
        })
}

/// One of our own, as a merge writes it.
fn own_statement() -> impl Strategy<Value = Value> {
    prop::sample::select(ours())
}

fn policy() -> impl Strategy<Value = Map<String, Value>> {
    let any_statement = prop_oneof![4 => statement(), 1 => own_statement()];
    let list = prop::collection::vec(any_statement.clone(), 0..6).prop_map(Value::from);
    (
        prop::option::of(prop::sample::select(&["2008-10-17", "2012-10-17"][..])),
        prop::option::of("[A-Za-z0-9-]{0,40}"),
        prop::option::weighted(0.95, prop_oneof![4 => list, 1 => any_statement]),
    )
        .prop_map(|(version, id, statement)| {
            let version = version.map(|version| ("Version".to_owned(), version.into()));
            let id = id.map(|id| ("Id".to_owned(), id.into()));
            let statement = statement.map(|statement| ("Statement".to_owned(), statement));
            [version, id, statement].into_iter().flatten().collect()
        })
}

fn ours() -> Vec<Value> {
    statements(&parsed(&merged(None).unwrap().unwrap()))
}

fn theirs(policy: &Map<String, Value>) -> Vec<Value> {
    statements(policy).into_iter().filter(|statement| !is_ours(statement)).collect()
}

/// The policy with one more statement, as long as it takes for the merged policy to have exactly `bytes` bytes.
fn filled(mut policy: Map<String, Value>, bytes: usize) -> Map<String, Value> {
    let mut list = statements(&policy);
    list.retain(|statement| !is_ours(statement));
    list.push(json!({ "Sid": "Filler", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "" }));
    policy.insert("Statement".to_owned(), list.into());
    let short = merged(Some(&json!(policy).to_string())).unwrap().unwrap().len();
    let filler = policy["Statement"].as_array_mut().unwrap().last_mut().unwrap();
    filler["Resource"] = "x".repeat(bytes - short).into();
    policy
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_not_ours_stays_in_its_order(policy in policy()) {
        let text = json!(policy).to_string();
        check(text.as_bytes());
        let after = merged(Some(&text)).unwrap().map_or_else(|| policy.clone(), |text| parsed(&text));
        prop_assert_eq!(theirs(&after), theirs(&policy));
        prop_assert_eq!(after.get("Version"), policy.get("Version"), "the language's version is the customer's choice");
        prop_assert_eq!(after.get("Id"), policy.get("Id"));
        let mut own: Vec<Value> = statements(&after).into_iter().filter(is_ours).collect();
        own.sort_by_key(|statement| OURS.iter().position(|sid| statement["Sid"] == *sid));
        prop_assert_eq!(own, ours());
        prop_assert_eq!(merged(Some(&json!(after).to_string())), Ok(None), "merging twice is not merging once");
    }

    #[test]
    fn a_policy_at_the_limit_fits_and_one_byte_more_is_refused_whole(policy in policy()) {
        let full = json!(filled(policy.clone(), POLICY_BYTES_MAX)).to_string();
        check(full.as_bytes());
        let after = merged(Some(&full)).unwrap().unwrap();
        prop_assert_eq!(after.len(), 20_480);
        prop_assert_eq!(theirs(&parsed(&after)), theirs(&parsed(&full)));
        prop_assert_eq!(merged(Some(&after)), Ok(None), "a full policy that is right is left as it is");
        let over = json!(filled(policy, POLICY_BYTES_MAX + 1)).to_string();
        let refused = merged(Some(&over)).unwrap_err();
        prop_assert!(matches!(refused, PolicyError::TooLarge { bytes: 20_481, .. }), "{}", refused);
        prop_assert!(refused.to_string().contains("20481 bytes; S3 allows 20480"), "{}", refused);
    }
}

#[test]
fn an_empty_bucket_gets_what_the_user_guides_ask_for() {
    // Cost and Usage Reports User Guide, "Setting up an Amazon S3 bucket for Cost and Usage Reports"; Data Exports User
    // Guide, "Setting up an Amazon S3 bucket for data exports". F-15: both services, the account by equality, the
    // definition by pattern and never by equality with a `*` in it, writing allowed at the bucket's root.
    let text = merged(None).unwrap().unwrap();
    let bucket = "arn:aws:s3:::acme-111122223333-5a3786aa0a9f623d";
    let objects = format!("{bucket}/*");
    let services = json!({ "Service": ["billingreports.amazonaws.com", "bcm-data-exports.amazonaws.com"] });
    let condition = json!({
        "StringEquals": { "aws:SourceAccount": "111122223333" },
        "ArnLike": { "aws:SourceArn": [
            "arn:aws:cur:us-east-1:111122223333:definition/*", "arn:aws:bcm-data-exports:us-east-1:111122223333:export/*",
        ] },
    });
    let wanted = json!({ "Version": "2012-10-17", "Statement": [
        { "Sid": "HawserBillingCheck", "Effect": "Allow", "Principal": services, "Resource": bucket, "Condition": condition,
          "Action": ["s3:GetBucketAcl", "s3:GetBucketPolicy"] },
        { "Sid": "HawserBillingWrite", "Effect": "Allow", "Principal": services, "Resource": objects, "Condition": condition,
          "Action": "s3:PutObject" },
        { "Sid": "HawserTlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [bucket, objects],
          "Condition": { "Bool": { "aws:SecureTransport": "false" } } },
    ] });
    assert_eq!(Value::Object(parsed(&text)), wanted);
}

#[test]
fn in_each_partition_the_policy_names_that_partitions_own_billing_region() {
    // F-14, F-15: a Region or a partition too many, and delivery stops without a word.
    for (partition, region) in
        [(Partition::Aws, "us-east-1"), (Partition::AwsCn, "cn-northwest-1"), (Partition::AwsEusc, "eusc-de-east-1")]
    {
        assert_eq!(partition.billing_region(), Some(region.parse().unwrap()));
        let bucket: BucketName = "acme-0".parse().unwrap();
        let account: AccountId = "999988887777".parse().unwrap();
        let region: Region = region.parse().unwrap();
        let policy = parsed(&merge(None, &bucket, partition, &account, &region).unwrap().unwrap());
        let sources = json!([
            format!("arn:{partition}:cur:{region}:999988887777:definition/*"),
            format!("arn:{partition}:bcm-data-exports:{region}:999988887777:export/*"),
        ]);
        for statement in statements(&policy) {
            assert!(statement["Resource"].to_string().contains(&format!("arn:{partition}:s3:::acme-0")), "{statement}");
            if statement["Effect"] == "Allow" {
                assert_eq!(statement["Condition"]["ArnLike"]["aws:SourceArn"], sources);
                assert_eq!(statement["Condition"]["StringEquals"]["aws:SourceAccount"], "999988887777");
            }
        }
    }
    assert_eq!(Partition::AwsUsGov.billing_region(), None);
}

#[test]
fn statements_under_our_ids_with_other_content_are_put_right_and_stand_once() {
    let mine = |sid: &str| json!({ "Sid": sid, "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "*" });
    let theirs_first = mine("First");
    let theirs_last = json!({ "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*" });
    let mut list = vec![theirs_first.clone()];
    list.extend(OURS.map(mine));
    list.extend(ours());
    list.extend([theirs_last.clone(), theirs_last.clone()]);
    let after = merged(Some(&json!({ "Version": "2008-10-17", "Statement": list }).to_string())).unwrap().unwrap();
    let mut wanted = vec![theirs_first, theirs_last.clone(), theirs_last];
    wanted.extend(ours());
    assert_eq!(statements(&parsed(&after)), wanted, "even a statement that stands there twice is the customer's");
}

#[test]
fn only_our_exact_ids_make_a_bucket_one_that_was_set_up_before() {
    let with = |sid: Value| json!({ "Statement": [{ "Sid": "Theirs" }, { "Sid": sid }] }).to_string();
    for sid in OURS {
        assert!(was_set_up(Some(&with(sid.into()))), "{sid}");
    }
    for sid in
        [json!("hawserTlsOnly"), json!("HawserTlsOnly2"), json!("Hawser"), json!(""), json!(null), json!(["HawserTlsOnly"])]
    {
        assert!(!was_set_up(Some(&with(sid.clone()))), "{sid}");
    }
    assert!(!was_set_up(None));
    assert!(!was_set_up(Some("{}")));
    assert!(!was_set_up(Some("HawserTlsOnly")));
}

#[test]
fn what_is_no_policy_is_refused_and_its_bucket_named() {
    let deep = format!("{{\"Statement\":{}{}}}", "[".repeat(300), "]".repeat(300));
    for text in ["", "null", "[]", "\"*\"", "{", "{\"Statement\":1}", "{\"Statement\":\"Allow\"}", "{\"Statement\":null}", &deep]
    {
        let refused = merged(Some(text)).unwrap_err();
        assert!(matches!(refused, PolicyError::Unreadable { .. }), "{text}");
        assert!(refused.to_string().contains("`acme-111122223333-5a3786aa0a9f623d`"), "{refused}");
    }
}

/// A Create that finds its own bucket made, with a policy of the customer's on it.
async fn created(policy: Value) -> Result<String, String> {
    let event = json!({
        "RequestType": "Create", "RequestId": "r", "LogicalResourceId": "BillingExport", "ResourceType": "Custom::BillingExport",
        "StackId": "arn:aws:cloudformation:eu-west-1:111122223333:stack/acme/5e0c1b70-c7a1-11f1-8000-0a1b2c3d4e5f",
        "ResponseURL": "https://response.invalid/",
        "ResourceProperties": { "Kind": "CostAndUsageReport", "NamePrefix": "acme" },
    });
    let tags = json!({ "hawser:stack-id": event["StackId"], "hawser:logical-id": "BillingExport" });
    let bucket = json!({ "name": "acme-111122223333-5a3786aa0a9f623d", "tags": tags, "policy": policy });
    let account = serde_json::from_value(json!({ "buckets": [bucket] })).unwrap();
    preview(&event, &World::new(account).ports()).await.map(|run| run.to_string()).map_err(|failure| failure.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_full_policy_fails_the_create_with_its_own_code_and_nothing_is_planned() {
    let empty = Map::from_iter([("Version".to_owned(), json!("2012-10-17"))]);
    let fits = created(filled(empty.clone(), POLICY_BYTES_MAX).into()).await.unwrap();
    assert!(fits.contains("ensure AWS may deliver to"), "{fits}");
    let refused = created(filled(empty, POLICY_BYTES_MAX + 1).into()).await.unwrap_err();
    assert!(refused.starts_with("BUCKET_POLICY_UNMERGEABLE: "), "{refused}");
    assert!(refused.contains("20481 bytes; S3 allows 20480. Shorten"), "{refused}");
}

/// A policy as S3 may give it back: every list in some order, a list of one as its element and the other way round. Which of
/// these it is, the bits say.
fn given_back(policy: &Value, bits: &mut impl FnMut() -> bool) -> Value {
    match policy {
        Value::Array(list) => {
            let mut list: Vec<Value> = list.iter().map(|one| given_back(one, bits)).collect();
            if bits() {
                list.reverse();
            }
            if bits() && list.len() > 1 {
                list.rotate_left(1);
            }
            let list: Vec<Value> = list.into_iter().flat_map(|one| one.as_array().cloned().unwrap_or(vec![one])).collect();
            if bits() && list.len() == 1 && list[0].is_string() { list[0].clone() } else { list.into() }
        }
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), given_back(value, bits))).collect::<Map<_, _>>().into(),
        // Actions, resources and condition values; a version, an effect and an id are never a list.
        Value::String(text) if (text.contains(':') || text == "false") && bits() => json!([text]),
        other => other.clone(),
    }
}

/// Each of the seed's bits in turn.
fn bits(mut seed: u64) -> impl FnMut() -> bool {
    move || {
        seed = seed.rotate_right(1);
        seed & 1 == 1
    }
}

fn delivery(text: &str) -> DeliveryAccess {
    let (bucket, account) = ("acme-111122223333-5a3786aa0a9f623d".parse().unwrap(), "111122223333".parse().unwrap());
    let delivery = DeliveryCall {
        bucket: &bucket,
        partition: Partition::Aws,
        account: &account,
        source_arn: "arn:aws:bcm-data-exports:us-east-1:111122223333:export/acme-5a37-0e1f",
        service: EXPORTS_SERVICE,
        prefix: "hawser/5a37/acme-5a37-0e1f",
    };
    delivery_access(Some(text), &delivery)
}

/// AWS's own policy for legacy reports compares the ARN literally with `definition/*`, and its reports are delivered (B-23).
#[test]
fn the_policy_of_awss_page_on_reports_keeps_no_report_out() {
    use DeliveryAccess::{Allowed, Denied, Uncertain};
    let arn = "arn:aws:s3:::acme-111122223333-5a3786aa0a9f623d";
    let any = "arn:aws:cur:us-east-1:111122223333:definition/*";
    let page = |operator: &str, source: &str| {
        let statement = |action: Value, resource: String| {
            json!({ "Effect": "Allow", "Principal": { "Service": "billingreports.amazonaws.com" }, "Action": action, "Resource": resource,
                "Condition": { operator: { "aws:SourceArn": source, "aws:SourceAccount": "111122223333" } } })
        };
        let look = statement(json!(["s3:GetBucketAcl", "s3:GetBucketPolicy"]), arn.to_owned());
        json!({ "Version": "2008-10-17", "Statement": [look, statement(json!("s3:PutObject"), format!("{arn}/*"))] }).to_string()
    };
    let (bucket, account) = ("acme-111122223333-5a3786aa0a9f623d".parse().unwrap(), "111122223333".parse().unwrap());
    let report = DeliveryCall {
        bucket: &bucket,
        partition: Partition::Aws,
        account: &account,
        source_arn: "arn:aws:cur:us-east-1:111122223333:definition/acme",
        service: "billingreports.amazonaws.com",
        prefix: "hawser/acme",
    };
    for (operator, source, expected) in [
        ("StringEquals", any, Uncertain),
        ("ForAnyValue:StringEquals", any, Uncertain),
        ("StringLike", any, Allowed),
        ("ForAnyValue:StringLike", any, Allowed),
        ("StringEquals", report.source_arn, Allowed),
        ("StringEquals", "arn:aws:cur:us-east-1:444455556666:definition/*", Denied),
        ("StringEquals", "arn:aws:cur:us-east-1:111122223333:definition/other", Denied),
        ("StringEquals", "arn:aws:cur:*:111122223333:definition/*", Denied),
    ] {
        assert_eq!(delivery_access(Some(&page(operator, source)), &report), expected, "{operator} {source}");
    }
    let export = "arn:aws:bcm-data-exports:us-east-1:111122223333:export/*";
    assert_eq!(delivery(&page("StringEquals", export)), Denied, "an export's has no star (F-15)");
}

/// F-46: a statement narrowed to the export's own folder lets AWS in, and a variable may have any value.
#[test]
fn a_policy_is_judged_by_what_it_says_of_the_keys_that_are_delivered() {
    let bucket = "arn:aws:s3:::acme-111122223333-5a3786aa0a9f623d";
    let of = |keys: &str, more: Value| {
        let allow = json!({"Effect": "Allow", "Principal": {"Service": EXPORTS_SERVICE}, "Action": ["s3:PutObject", "s3:GetBucketPolicy"],
            "Resource": [bucket, format!("{bucket}/{keys}")]});
        delivery(&json!({"Version": "2012-10-17", "Statement": [allow, more]}).to_string())
    };
    let nothing = json!({"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": "*"});
    for keys in ["*", "hawser/*", "hawser/5a37/*", "hawser/5a37/acme-5a37-0e1f/*"] {
        assert_eq!(of(keys, nothing.clone()), DeliveryAccess::Allowed, "{keys}");
    }
    for keys in ["other/*", "hawser/5a37/another/*"] {
        assert_eq!(of(keys, nothing.clone()), DeliveryAccess::Denied, "{keys}");
    }
    for operator in ["StringNotEquals", "StringNotEqualsIgnoreCase", "StringNotLike"] {
        let perimeter = json!({"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*",
            "Condition": {operator: {"aws:SourceAccount": "${aws:ResourceAccount}"}}});
        assert_eq!(of("*", perimeter), DeliveryAccess::Uncertain, "{operator}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// F-46: "For policies that have an allow effect ... the order of statements does not matter" (IAM User Guide); lists have none.
    #[test]
    fn our_policy_given_back_in_any_form_is_not_written_again(seed in any::<u64>(), mut theirs in prop::collection::vec(statement(), 0..3)) {
        theirs.retain(|statement| !is_ours(statement));
        let text = merged(Some(&json!({ "Version": "2012-10-17", "Statement": theirs }).to_string())).unwrap().unwrap();
        let back = given_back(&serde_json::from_str(&text).unwrap(), &mut bits(seed)).to_string();
        prop_assert_eq!(merged(Some(&back)), Ok(None), "{}", back);
        prop_assert!(same_policy(Some(&text), Some(&back)), "{}", back);
    }

    /// A statement more or less, or another word in one, is another policy.
    #[test]
    fn a_policy_with_another_meaning_is_another_policy(policy in policy(), extra in statement()) {
        let text = json!(policy).to_string();
        let mut more = policy.clone();
        let mut list = statements(&policy);
        list.push(extra);
        more.insert("Statement".to_owned(), list.into());
        prop_assert!(!same_policy(Some(&text), Some(&json!(more).to_string())));
        prop_assert!(same_policy(Some(&text), Some(&text)));
        prop_assert!(!same_policy(Some(&text), None));
    }
}

/// What each change of a policy does to AWS's deliveries; the first is AWS's own from its console (Data Exports User Guide, "Setting
/// up an Amazon S3 bucket for data exports").
#[test]
fn a_changed_policy_is_judged_by_whether_it_lets_aws_deliver() {
    use DeliveryAccess::{Allowed, Denied, Uncertain};
    let arn = "arn:aws:s3:::acme-111122223333-5a3786aa0a9f623d";
    let console = json!({
        "Sid": "EnableAWSDataExportsToWriteToS3AndCheckPolicy", "Effect": "Allow",
        "Principal": { "Service": ["billingreports.amazonaws.com", "bcm-data-exports.amazonaws.com"] },
        "Action": ["s3:PutObject", "s3:GetBucketPolicy"], "Resource": [arn, format!("{arn}/*")],
        "Condition": { "StringLike": {
            "aws:SourceAccount": "111122223333",
            "aws:SourceArn": ["arn:aws:cur:us-east-1:111122223333:definition/*", "arn:aws:bcm-data-exports:us-east-1:111122223333:export/*"],
        } },
    });
    let with = |pointer: &str, value: Value| {
        let mut changed = console.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        changed
    };
    let tls = json!({ "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [arn, format!("{arn}/*")],
        "Condition": { "Bool": { "aws:SecureTransport": "false" } } });
    let org = json!({ "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": format!("{arn}/*"),
        "Condition": { "StringNotEqualsIfExists": { "aws:PrincipalOrgID": "o-a1b2c3d4e5" } } });
    let perimeter = json!({ "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": format!("{arn}/*"), "Condition": {
        "StringNotEqualsIfExists": { "aws:PrincipalOrgID": "o-a1b2c3d4e5" }, "BoolIfExists": { "aws:PrincipalIsAWSService": "false" },
    } });
    let endpoint = json!({ "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": format!("{arn}/*"),
        "Condition": { "StringNotEquals": { "aws:SourceVpce": "vpce-0a1b2c3d" } } });
    let deny = json!({ "Effect": "Deny", "Principal": "*", "Action": "s3:Put*", "Resource": format!("{arn}/*") });
    let services = ["billingreports.amazonaws.com", "bcm-data-exports.amazonaws.com"];
    // A denial of every call whose parts these change.
    let denied = |parts: Value| {
        let mut statement = json!({ "Effect": "Deny" });
        for (name, all) in [("Principal", "*"), ("Action", "s3:*"), ("Resource", "*")] {
            if parts.get(format!("Not{name}")).is_none() {
                statement[name] = json!(all);
            }
        }
        for (name, value) in parts.as_object().unwrap() {
            statement[name] = value.clone();
        }
        json!([console, statement])
    };
    let unless = |operator: &str, key: &str, value: &str| denied(json!({ "Condition": { operator: { key: value } } }));
    let equals_with_star =
        json!({ "StringEquals": { "aws:SourceArn": "arn:aws:bcm-data-exports:us-east-1:111122223333:export/*" } });
    for (what, list, expected) in [
        ("AWS's own", json!([console]), Allowed),
        ("a single statement", console.clone(), Allowed),
        ("TLS only beside it", json!([tls, console]), Allowed),
        ("an organization's perimeter that excepts AWS's services", json!([console, perimeter]), Allowed),
        ("another letter case", json!([with("/Action", json!(["S3:PUTOBJECT", "s3:getbucketpolicy"]))]), Allowed),
        ("every action", json!([with("/Action", json!("s3:*"))]), Allowed),
        ("no condition", json!([with("/Condition", json!({}))]), Allowed),
        ("everyone", json!([with("/Principal", json!("*"))]), Allowed),
        ("below our prefix only", json!([with("/Resource", json!([arn, format!("{arn}/hawser/*")]))]), Allowed),
        (
            "a condition nobody knows",
            json!([with("/Condition", json!({ "StringEquals": { "aws:SourceOrgID": "o-1" } }))]),
            Uncertain,
        ),
        ("a policy variable", json!([with("/Resource", json!([arn, format!("{arn}/${{aws:username}}/*")]))]), Uncertain),
        ("an organization's perimeter that excepts nobody", json!([console, org]), Uncertain),
        ("a network's perimeter", json!([console, endpoint]), Uncertain),
        ("no look at the policy", json!([with("/Action", json!("s3:PutObject"))]), Uncertain),
        ("nothing", json!([]), Denied),
        ("another service", json!([with("/Principal", json!({ "Service": "logging.s3.amazonaws.com" }))]), Denied),
        ("an account", json!([with("/Principal", json!({ "AWS": "arn:aws:iam::111122223333:root" }))]), Denied),
        ("another account's exports", json!([with("/Condition/StringLike/aws:SourceAccount", json!("444455556666"))]), Denied),
        ("a literal star (F-15)", json!([with("/Condition", equals_with_star)]), Denied),
        ("another prefix", json!([with("/Resource", json!([arn, format!("{arn}/other/*")]))]), Denied),
        ("a denial beside it", json!([console, deny]), Denied),
        ("a denial of all but AWS's services", denied(json!({ "NotPrincipal": { "Service": services } })), Allowed),
        (
            "a denial of all but another service",
            denied(json!({ "NotPrincipal": { "Service": "logging.s3.amazonaws.com" } })),
            Denied,
        ),
        (
            "a denial of all that delivery does not need",
            denied(json!({ "NotAction": ["s3:PutObject", "s3:GetBucketPolicy"] })),
            Allowed,
        ),
        ("a denial of all but reading", denied(json!({ "NotAction": "s3:Get*" })), Denied),
        ("a denial beside the keys", denied(json!({ "NotResource": format!("{arn}/*") })), Uncertain),
        ("a denial of other accounts", unless("StringNotEquals", "aws:SourceAccount", "111122223333"), Allowed),
        ("a denial of all but another account", unless("StringNotEquals", "aws:SourceAccount", "444455556666"), Denied),
        (
            "a denial of other services",
            unless("StringNotEqualsIgnoreCase", "aws:PrincipalServiceName", "BCM-Data-Exports.amazonaws.com"),
            Allowed,
        ),
        (
            "a denial of all but another service",
            unless("StringNotEqualsIgnoreCase", "aws:PrincipalServiceName", "logging.s3.amazonaws.com"),
            Denied,
        ),
        (
            "a denial of this service",
            unless("StringEqualsIgnoreCase", "aws:PrincipalServiceName", "BCM-Data-Exports.amazonaws.com"),
            Denied,
        ),
        (
            "a denial of others' exports",
            unless("ArnNotLike", "aws:SourceArn", "arn:aws:bcm-data-exports:*:111122223333:*"),
            Allowed,
        ),
        ("a denial of all but reports", unless("StringNotLike", "aws:SourceArn", "arn:aws:cur:*"), Denied),
        ("a denial of calls for nobody", unless("Null", "aws:SourceArn", "true"), Allowed),
        ("a denial of calls for somebody", unless("Null", "aws:SourceArn", "false"), Denied),
        ("a denial of what is not encrypted", unless("StringNotEquals", "s3:x-amz-server-side-encryption", "aws:kms"), Uncertain),
    ] {
        let text = json!({ "Version": "2012-10-17", "Statement": list }).to_string();
        assert_eq!(delivery(&text), expected, "{what}: {text}");
    }
}
