//! JSON to other JSON: libFuzzer alone changes bytes, and nearly all of what it makes is no JSON any more.

use libfuzzer_sys::fuzzer_mutate;
use serde_json::{Map, Value, json};

/// One change in four is left to libFuzzer, so that what is no JSON is tried too.
const BYTES_ONE_IN: u32 = 4;

/// Words that mean something somewhere.
const WORDS: &[&str] = &[
    "",
    "*",
    "Create",
    "Update",
    "Delete",
    "Custom::BillingExport",
    "Custom::AccountConnection",
    "CostAndUsageReport",
    "None",
    "Focus",
    "Csv",
    "Retain",
    "acme",
    "true",
    "2008-10-17",
    "2012-10-17",
    "Allow",
    "Deny",
    "HawserBillingCheck",
    "HawserBillingWrite",
    "HawserTlsOnly",
    "AWS_REFUSED",
    "BUCKET_POLICY_UNMERGEABLE",
    "https://vendor.example/n",
    "arn:aws:cloudformation:eu-west-1:111122223333:stack/acme/5e0c1b70",
    "whsec_c2VjcmV0LXRoYXQtbXVzdC1uZXZlci1iZS1zZWVu",
    "hawser/billing-export/acme-5a3786aa0a9f623d",
    "…",
    "\"\\\u{1}",
    "...",
];

/// Names that mean something somewhere.
const NAMES: &[&str] = &[
    "ResponseURL",
    "StackId",
    "RequestId",
    "RequestType",
    "ResourceType",
    "LogicalResourceId",
    "PhysicalResourceId",
    "ResourceProperties",
    "OldResourceProperties",
    "Kind",
    "Format",
    "Reuse",
    "Retention",
    "NamePrefix",
    "RequestBackfill",
    "NoticeUrl",
    "LaunchToken",
    "ConnectionName",
    "RoleArn",
    "ExternalId",
    "Regions",
    "Packs",
    "Organization",
    "Billing",
    "ServiceToken",
    "Version",
    "Id",
    "Statement",
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
    "code",
    "cause",
    "awsRequestId",
    "attributes",
    "remark",
    "physicalId",
    "repeat",
    "times",
    "Decision",
    "Message",
    "Backfill",
    "Name",
];

/// Changes the first `size` bytes of `data` into other JSON, or into other bytes.
pub fn json(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut chance = Chance(seed);
    let parsed = serde_json::from_slice::<Value>(&data[..size]).ok().filter(|_| chance.below(BYTES_ONE_IN) != 0);
    let Some(mut value) = parsed else { return fuzzer_mutate(data, size, max_size) };
    for _ in 0..=chance.below(3) {
        let donor = pick(&value, &mut chance).clone();
        change(spot(&mut value, &mut chance), donor, &mut chance);
    }
    let text = value.to_string();
    if text.len() > max_size.min(data.len()) {
        return fuzzer_mutate(data, size, max_size);
    }
    data[..text.len()].copy_from_slice(text.as_bytes());
    text.len()
}

/// libFuzzer's seed made into a row of numbers (Knuth's linear congruential generator): a change can be repeated.
struct Chance(u32);

impl Chance {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % limit.max(1)
    }

    fn index(&mut self, length: usize) -> usize {
        self.below(u32::try_from(length).unwrap_or(u32::MAX)) as usize
    }
}

/// Some value inside this one, or itself.
fn spot<'a>(value: &'a mut Value, chance: &mut Chance) -> &'a mut Value {
    let children = match value {
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        _ => 0,
    };
    if children == 0 || chance.below(4) == 0 {
        return value;
    }
    let at = chance.index(children);
    let child = match value {
        Value::Array(items) => items.iter_mut().nth(at),
        Value::Object(fields) => fields.values_mut().nth(at),
        _ => None,
    };
    spot(child.expect("the index is below the number of children"), chance)
}

fn pick<'a>(value: &'a Value, chance: &mut Chance) -> &'a Value {
    let children: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    };
    if children.is_empty() || chance.below(3) == 0 { value } else { pick(children[chance.index(children.len())], chance) }
}

/// Adds to a list or map, takes from it, or puts something else in the place of anything.
fn change(value: &mut Value, donor: Value, chance: &mut Chance) {
    let word = || Value::from(WORDS[0]);
    match (chance.below(6), &mut *value) {
        (0 | 1, Value::Array(items)) => items.insert(chance.index(items.len() + 1), donor),
        (2, Value::Array(items)) if !items.is_empty() => drop(items.remove(chance.index(items.len()))),
        (3, Value::Array(items)) if items.len() > 1 => items.rotate_left(1),
        (0 | 1, Value::Object(fields)) => drop(fields.insert(NAMES[chance.index(NAMES.len())].to_owned(), donor)),
        (2, Value::Object(fields)) if !fields.is_empty() => drop(take(fields, chance)),
        (3, Value::Object(fields)) if !fields.is_empty() => {
            let moved = take(fields, chance);
            fields.insert(NAMES[chance.index(NAMES.len())].to_owned(), moved);
        }
        (0, Value::String(text)) => text.push_str(WORDS[chance.index(WORDS.len())]),
        (1, Value::String(text)) => drop(text.pop()),
        (2, Value::String(text)) => *value = json!({ "repeat": text, "times": chance.below(9000) }),
        (0..=2, Value::Number(_)) => *value = chance.below(9000).into(),
        (3, _) => *value = donor,
        (4, _) => *value = WORDS[chance.index(WORDS.len())].into(),
        _ => {
            let others = [Value::Null, true.into(), 0.into(), (-1.5).into(), word(), json!([]), json!({}), json!([donor])];
            *value = others[chance.index(others.len())].clone();
        }
    }
}

fn take(fields: &mut Map<String, Value>, chance: &mut Chance) -> Value {
    let name = fields.keys().nth(chance.index(fields.len())).cloned().unwrap_or_default();
    fields.remove(&name).unwrap_or_default()
}
