//! Every freedom of AWS: where its services may answer in several ways, and what is known of which they choose.
//!
//! The simulation, the emulator's strict proxy and the tests take their answers from here, by seed: an answer that no double
//! ever gives is one that nothing was tried against.
//!
//! | freedom | what AWS may do | known from |
//! | --- | --- | --- |
//! | [`PolicyForm`] | gives a bucket policy back with keys and lists in another order, and a list of one as its element | recorded answers (LocalStack, `test_get_bucket_policy`, 2026-02-21), reports (hashicorp/terraform #2432, #4278; terraform-provider-aws #18878, #22030) |
//! | [`TableForm`] | adds properties to a table's configuration; gives an empty one back as null | reports (terraform-provider-aws #48807, #43978, #42761, #46230) |
//! | [`PartitionCase`] | writes `BILLING_PERIOD=` or `billing_period=` | page (Data Exports User Guide), reports (microsoft/finops-toolkit, glassity/focus-mcp) |
//! | a bucket's Region | answers 301 elsewhere, or 400 for a Region that has to be enabled | recorded answers (`test_create_bucket_via_host_name`), reports (cloud-custodian #8005, aws-sdk-rust #183); [`crate::buckets::answers_at`] |
//! | [`RegionNamed`] | names the bucket's Region in these answers | page (Amazon S3 API Reference, `HeadBucket`); of other calls nothing is documented (B-11) |
//! | [`Overlap`] | refuses a setting of a bucket with 409 `OperationAborted` while another one is made | page (Amazon S3 API Reference, "Error responses") |
//! | [`crate::file::TagsAtCreation`] | refuses tags in a call that creates | reports (terraform-provider-aws #45684, #45784); B-1 |
//! | [`crate::denials::denied`] | says much or little of who denies, with an authorization id | page (IAM User Guide, "Troubleshoot access denied error messages", "Access denied authorization id") |
//! | a HEAD without a body | never says who denies | page (Amazon S3 API Reference, `HeadBucket`); [`crate::port`] |
//! | [`Lags`] | shows late what was done, and holds names back | pages (Amazon S3 User Guide, "Amazon S3 data consistency model", "Deleting a bucket"; IAM User Guide, "Changes that I make are not always immediately visible"); of Data Exports and reports nothing is documented (B-22) |
//! | how CloudFormation shows a resource that was replaced, or is gone | under either id, or not at all | `Showing` of the simulation; B-2, B-3 |
//! | [`Rate`] | throttles Data Exports | nothing is documented (B-15) |

use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;

/// A freedom of few ways: the first is the plain one.
macro_rules! freedom {
    ($(#[$about:meta])* $name:ident { $(#[$plain_about:meta])* $plain:ident $(, $(#[$other_about:meta])* $other:ident)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub enum $name {
            $(#[$plain_about])*
            #[default]
            $plain,
            $($(#[$other_about])* $other,)+
        }

        impl $name {
            pub const ALL: &[Self] = &[Self::$plain, $(Self::$other),+];
        }
    };
}

freedom!(
    /// How `GetBucketPolicy` gives back what was put.
    PolicyForm {
        AsPut,
        /// In another order each time, lists of one as their element.
        Rewritten
    }
);
freedom!(
    /// How `GetExport` gives back a table's configuration.
    TableForm {
        AsSent,
        /// With properties that nobody sent, and null where nothing was.
        Completed
    }
);
freedom!(
    /// How Data Exports spells the partition of a month.
    PartitionCase { Upper, Lower }
);
freedom!(
    /// What becomes of two settings of one bucket that are made at once.
    Overlap { Taken, Aborted }
);
freedom!(
    /// Which answers of S3 in another Region have `x-amz-bucket-region`.
    RegionNamed { Always, ByHeadAlone }
);
freedom!(
    /// How many calls of Data Exports one caller may have under way.
    Rate {
        Unlimited,
        /// [`RATE_MAX`]
        Limited
    }
);

impl PartitionCase {
    /// The name of the partition of a month.
    pub fn key(self) -> &'static str {
        match self {
            Self::Upper => "BILLING_PERIOD",
            Self::Lower => "billing_period",
        }
    }
}

/// Calls of Data Exports under way that are not throttled; twice as many as the handler has of each (B-15).
pub const RATE_MAX: usize = 8;

/// How long AWS takes to show everywhere what was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lags {
    /// Every call takes this long.
    pub call: Duration,
    /// A new role is denied everything.
    pub role: Duration,
    /// A new bucket takes no settings.
    pub bucket: Duration,
    /// The services that deliver do not see a new policy.
    pub policy: Duration,
    /// `GetBucketPolicy` gives the earlier policy.
    pub policy_read: Duration,
    /// Lists lack what is new, and have what is gone.
    pub list: Duration,
    /// What is new shows no tags.
    pub tags: Duration,
    /// The name of a deleted bucket or export is not free yet.
    pub name: Duration,
}

impl Lags {
    /// Equal seeds are slow alike.
    pub fn by_seed(seed: u64) -> Self {
        Self::by_chance(&mut Rng::with_seed(seed))
    }

    /// Each is there as often as not, and of seconds.
    pub fn by_chance(random: &mut Rng) -> Self {
        let mut seconds = |from: &[u64]| Duration::from_secs(pick(random, from));
        let (role, bucket, policy) = (seconds(&[0, 0, 2, 5]), seconds(&[0, 0, 1, 4]), seconds(&[0, 0, 3, 6]));
        let (policy_read, list, tags, name) =
            (seconds(&[0, 0, 2]), seconds(&[0, 0, 1, 3]), seconds(&[0, 0, 1, 3]), seconds(&[0, 0, 1, 4]));
        let call = Duration::from_millis(pick(random, &[0, 20, 20, 700]));
        Self { call, role, bucket, policy, policy_read, list, tags, name }
    }
}

/// What AWS chooses.
#[derive(Debug, Clone)]
pub struct Freedoms {
    pub policy: PolicyForm,
    pub tables: TableForm,
    pub partition: PartitionCase,
    pub overlap: Overlap,
    pub region: RegionNamed,
    pub rate: Rate,
    /// Chooses anew at each answer, where a choice has its say.
    pub(crate) random: Rng,
}

impl Default for Freedoms {
    fn default() -> Self {
        Self {
            policy: PolicyForm::default(),
            tables: TableForm::default(),
            partition: PartitionCase::default(),
            overlap: Overlap::default(),
            region: RegionNamed::default(),
            rate: Rate::default(),
            random: Rng::with_seed(0),
        }
    }
}

impl Freedoms {
    /// Equal seeds choose alike.
    pub fn by_seed(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        Self {
            policy: pick(&mut random, PolicyForm::ALL),
            tables: pick(&mut random, TableForm::ALL),
            partition: pick(&mut random, PartitionCase::ALL),
            overlap: pick(&mut random, Overlap::ALL),
            region: pick(&mut random, RegionNamed::ALL),
            rate: pick(&mut random, Rate::ALL),
            random,
        }
    }

    /// A bucket policy as S3 gives it back.
    pub fn given_back(&mut self, policy: &str) -> String {
        match (self.policy, serde_json::from_str(policy)) {
            (PolicyForm::Rewritten, Ok(document)) => rewritten(&document, false, &mut self.random),
            _ => policy.to_owned(),
        }
    }

    /// Whether something with this chance in a hundred happens.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.random.u32(0..100) < percent
    }
}

pub(crate) fn pick<T: Copy>(random: &mut Rng, from: &[T]) -> T {
    from[random.usize(0..from.len())]
}

/// JSON in another order: of keys everywhere, of lists below a statement; a list of one there as its element, as often as not.
fn rewritten(value: &Value, in_statement: bool, random: &mut Rng) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            random.shuffle(&mut members);
            let member = |(name, value): (&String, &Value)| {
                let below = in_statement || name != "Statement";
                format!("{}:{}", Value::from(name.as_str()), rewritten(value, below, random))
            };
            format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) if !in_statement => {
            let items: Vec<String> = items.iter().map(|item| rewritten(item, true, random)).collect();
            format!("[{}]", items.join(","))
        }
        Value::Array(items) if items.len() == 1 && random.bool() => rewritten(&items[0], true, random),
        Value::Array(items) => {
            let mut items: Vec<&Value> = items.iter().collect();
            random.shuffle(&mut items);
            let items: Vec<String> = items.into_iter().map(|item| rewritten(item, true, random)).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::bucket_policy::means_the_same;

    #[test]
    fn a_policy_comes_back_in_many_forms_and_means_what_it_did() {
        let put = json!({ "Version": "2012-10-17", "Statement": [
            { "Sid": "A", "Effect": "Allow", "Principal": { "Service": ["x.amazonaws.com", "y.amazonaws.com"] },
              "Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::b/*"] },
            { "Sid": "B", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::b" },
        ] })
        .to_string();
        let mut freedoms = Freedoms { policy: PolicyForm::Rewritten, ..Freedoms::default() };
        let forms: BTreeSet<String> = (0..100).map(|_| freedoms.given_back(&put)).collect();
        assert!(forms.len() > 20, "{} forms", forms.len());
        assert!(forms.iter().all(|form| means_the_same(form, &put)));
        assert!(forms.iter().any(|form| form.contains(r#""Action":"s3:PutObject""#)), "a list of one stays a list");
        assert!(!means_the_same(&put.replace("y.amazonaws.com", "z.amazonaws.com"), &put));
        assert_eq!(Freedoms::default().given_back(&put), put);
    }

    #[test]
    fn seeds_take_every_way() {
        let all: Vec<Freedoms> = (0..200).map(Freedoms::by_seed).collect();
        for way in PolicyForm::ALL {
            assert!(all.iter().any(|freedoms| freedoms.policy == *way), "{way:?}");
        }
        for (overlap, tables) in Overlap::ALL.iter().zip(TableForm::ALL) {
            assert!(all.iter().any(|freedoms| freedoms.overlap == *overlap && freedoms.tables == *tables));
        }
    }
}
