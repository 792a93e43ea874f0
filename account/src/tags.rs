//! Tags: what services take of them, when something is made and afterwards; and what else is demanded of it.

use hawser::aws::{BucketNamespace, FaultKind, PolicyType, Tags};

use crate::{creation::TagsAtCreation, refusal::Refusal, services::Services};

/// Tags of a bucket, and of a report or an export, written out, so that a slip in the handler shows (F-51).
const BUCKET_TAGS: usize = 50;
const EXPORT_TAGS: usize = 200;

/// "… is not authorized to perform: …", as IAM User Guide, "Troubleshoot access denied error messages", has it.
fn denial(action: &str, because: &str) -> String {
    format!(
        "User: arn:aws:sts::111122223333:assumed-role/acme-HandlerRole/acme is not authorized to perform: {action} on resource: * {because}"
    )
}

fn denied_by_scp(action: &str) -> Refusal {
    let kind = FaultKind::DeniedBy(PolicyType::ServiceControlPolicy);
    Refusal::new(kind, "AccessDenied", denial(action, "with an explicit deny in a service control policy"))
}

impl Services {
    /// What `DescribeStacks` tells of the stack's tags.
    pub fn stack_tags(&self) -> Result<Tags, Refusal> {
        let action = "cloudformation:DescribeStacks";
        let denied =
            || Refusal::new(FaultKind::Denied, "AccessDenied", denial(action, "because no identity-based policy allows it"));
        self.stack_tags.clone().ok_or_else(denied)
    }

    /// What a call that creates looks at before all else; a bucket has a namespace.
    pub fn check_creation(&self, action: &str, tags: &Tags, namespace: Option<BucketNamespace>) -> Result<(), Refusal> {
        let demands = &self.creation;
        let lacks_tag = demands.demanded_tags.iter().any(|key| !tags.contains_key(key));
        if lacks_tag || (demands.account_regional_names && namespace == Some(BucketNamespace::Global)) {
            return Err(denied_by_scp(action));
        }
        check_tags(tags, namespace.is_some())?;
        if tags.is_empty() {
            return Ok(());
        }
        let service = action.split(':').next().unwrap_or_default();
        let tagging = format!("{service}:TagResource");
        let unsupported = |code: &'static str| {
            let refusal = || Refusal::new(FaultKind::Refused, code, "An argument you provided is not supported");
            if namespace.is_some() { refusal() } else { Refusal::invalid("ResourceTags are not supported") }
        };
        Err(match demands.tags {
            TagsAtCreation::Accepted => return Ok(()),
            TagsAtCreation::Unsupported => unsupported("UnsupportedArgument"),
            TagsAtCreation::NotImplemented => unsupported("NotImplemented"),
            TagsAtCreation::Malformed => unsupported("MalformedXML"),
            TagsAtCreation::Denied => {
                let because = format!("because no identity-based policy allows the {tagging} action");
                Refusal::new(FaultKind::Denied, "AccessDenied", denial(&tagging, &because))
            }
            TagsAtCreation::DeniedByScp => denied_by_scp(&tagging),
            TagsAtCreation::Unexplained => Refusal::new(FaultKind::Denied, "AccessDenied", "Access Denied"),
        })
    }

    /// Adds tags to a report.
    pub fn tag_report(&mut self, name: &str, tags: &Tags) -> Result<(), Refusal> {
        let missing = || Refusal::new(FaultKind::Missing, "ResourceNotFoundException", "");
        let (_, known) = self.state.reports.get_mut(name).ok_or_else(missing)?;
        let (before, put) = add(known, tags)?;
        self.note_tags(name, before, &put);
        Ok(())
    }

    /// Adds tags to an export.
    pub fn tag_export(&mut self, arn: &str, tags: &Tags) -> Result<(), Refusal> {
        let missing = || Refusal::new(FaultKind::Missing, "ResourceNotFoundException", "");
        let (before, put) = add(&mut self.state.exports.get_mut(arn).ok_or_else(missing)?.tags, tags)?;
        self.note_tags(arn, before, &put);
        Ok(())
    }
}

/// Adds tags; gives back those before and those since.
fn add(known: &mut Tags, tags: &Tags) -> Result<(Tags, Tags), Refusal> {
    let all: Tags = known.iter().chain(tags).map(|(key, value)| (key.clone(), value.clone())).collect();
    check_tags(&all, false)?;
    Ok((std::mem::replace(known, all.clone()), all))
}

/// AWS's limits of a set of tags.
pub fn check_tags(tags: &Tags, of_bucket: bool) -> Result<(), Refusal> {
    let most = if of_bucket { BUCKET_TAGS } else { EXPORT_TAGS };
    let reserved = tags.keys().any(|key| key.to_lowercase().starts_with("aws:"));
    let fault = match (tags.len() > most, reserved) {
        (true, _) => format!("there are more than {most} tags"),
        (_, true) => "System tags cannot be added/updated by requester".to_owned(),
        (false, false) => return Ok(()),
    };
    let code = if of_bucket { "InvalidTag" } else { "ValidationException" };
    Err(Refusal::new(FaultKind::Refused, code, fault))
}

/// Whether a bucket's name is one of the account-regional namespace, which is for this account alone.
pub fn is_account_regional(name: &str, account: &str, region: &str) -> bool {
    name.ends_with(&format!("-{account}-{region}-an"))
}
