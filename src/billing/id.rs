//! The physical id of a billing export, and the names that follow from it.

use std::{fmt, str::FromStr};

use super::request::{Export, Format, Kind, Versioning, fits};
use crate::{
    aws::BucketNamespace,
    names::{AccountId, BucketName, Digest16, ExportName, NameError, NamePrefix, Region, digest_hex},
    protocol::origin::Origin,
};

/// First part of every S3 prefix that Hawser lets AWS deliver to, so that removal finds all of it.
pub const DATA_ROOT: &str = "hawser/";

/// What an id is made of beside the stack, the resource and the prefix.
type Parts = (Kind, Format, Versioning, BucketNamespace);

fn key(origin: &Origin, (kind, format, versioning, namespace): Parts) -> Digest16 {
    let mut parts = vec![origin.stack.as_str(), &origin.logical_id, kind.as_str(), format.as_str()];
    // The defaults are as before there was a choice: the ids of stacks do not change.
    parts.extend((versioning != Versioning::OverwriteReport).then_some(versioning.as_str()));
    parts.extend((namespace == BucketNamespace::AccountRegional).then_some("AccountRegional"));
    Digest16::derive(&parts)
}

/// The Region that is part of a bucket's name in the account-regional namespace: that of the billing service.
fn region_in_name(origin: &Origin, namespace: BucketNamespace) -> Option<Region> {
    let region = || origin.stack.partition.billing_region().unwrap_or_else(|| origin.stack.region.clone());
    (namespace == BucketNamespace::AccountRegional).then(region)
}

/// The physical id of a billing export, and with it the names of all that Hawser makes for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportId {
    prefix: NamePrefix,
    key: Digest16,
    kind: Kind,
    /// Set if its bucket is in the account-regional namespace.
    region: Option<Region>,
}

/// What every id of this resource type begins with; [`crate::protocol::lifecycle::ID_ROOT`] first.
const ID_ROOT: &str = "hawser/billing-export/";

impl ExportId {
    /// Recognises an id that this very resource of this stack can have answered with; `None` for any other, such as
    /// the one CloudFormation makes up when a Create was never answered (F-34).
    pub fn from_physical_id(origin: &Origin, physical_id: &str) -> Option<Self> {
        let name = physical_id.strip_prefix(ID_ROOT)?;
        let (prefix, given) = name.rsplit_once('-')?;
        let prefix: NamePrefix = prefix.parse().ok()?;
        Self::all(origin, &prefix).find(|id| id.key.as_str() == given)
    }

    /// Every id that this resource of this stack can ever have answered with.
    pub fn all(origin: &Origin, prefix: &NamePrefix) -> impl Iterator<Item = Self> {
        let namespaces = [BucketNamespace::Global, BucketNamespace::AccountRegional];
        // Of a prefix that is too long for it, nothing was made there.
        let namespaces = namespaces.into_iter().filter(|namespace| fits(*namespace, prefix));
        let files = Format::ALL.map(|format| Versioning::ALL.map(|versioning| (format, versioning))).into_iter().flatten();
        let all =
            Kind::ALL.into_iter().flat_map(move |kind| files.clone().map(move |(format, versioning)| (kind, format, versioning)));
        let all = namespaces
            .flat_map(move |namespace| all.clone().map(move |(kind, format, versioning)| (kind, format, versioning, namespace)));
        let made = all.map(move |parts| Self::for_made(origin, prefix, parts));
        made.chain(std::iter::once(Self::for_existing(origin, prefix)))
    }

    fn for_made(origin: &Origin, prefix: &NamePrefix, parts: Parts) -> Self {
        let (kind, _, _, namespace) = parts;
        Self { prefix: prefix.clone(), key: key(origin, parts), kind, region: region_in_name(origin, namespace) }
    }

    /// What the customer brings: nothing is made under this id, so whichever thing it is can change in place.
    fn for_existing(origin: &Origin, prefix: &NamePrefix) -> Self {
        let key = Digest16::derive(&[origin.stack.as_str(), &origin.logical_id, "Existing"]);
        Self { prefix: prefix.clone(), key, kind: Kind::None, region: None }
    }

    /// The prefix every name begins with.
    pub fn prefix(&self) -> &NamePrefix {
        &self.prefix
    }

    /// Which kind of export can be made under the id; [`Kind::None`] if none.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The name of the report or the export.
    pub fn report(&self) -> ExportName {
        ExportName::new(&self.prefix, &self.key)
    }

    /// The bucket's name: it holds the account, so that policies can be narrow, and the key, so that it is no one
    /// else's by chance. In the account-regional namespace account and Region are its end (Amazon S3 User Guide, "General purpose
    /// bucket naming rules").
    ///
    /// # Errors
    /// None in practice: the prefix was checked to make a legal name.
    pub fn bucket(&self, account: &AccountId) -> Result<BucketName, NameError> {
        let Self { prefix, key, .. } = self;
        BucketName::from_str(&match &self.region {
            None => format!("{prefix}-{account}-{key}"),
            Some(region) => format!("{prefix}-{key}-{account}-{region}-an"),
        })
    }
}

impl fmt::Display for ExportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ID_ROOT}{}-{}", self.prefix, self.key)
    }
}

/// Below which key the data of an export go that a request makes or moves.
pub fn prefix_of(request_id: &str) -> String {
    format!("{DATA_ROOT}{}", digest_hex(&[request_id], 4))
}

impl Export {
    /// The id of this export: derived from the request alone, so known before any call (HW-L1, F-2). What cannot be changed
    /// in place (HW-L3; AWS::CUR::ReportDefinition marks name, granularity, elements and versioning create-only) makes another id,
    /// so CloudFormation deletes the old one only after the update succeeded, and the old export delivers until then. So does the
    /// format, also where AWS would change it in place: files of two formats below one key are no readable data, and an Update that
    /// comes late or again could turn it back. A bucket cannot move to another namespace.
    pub fn id(&self, origin: &Origin) -> ExportId {
        match &self.existing {
            Some(_) => ExportId::for_existing(origin, &self.prefix),
            None => ExportId::for_made(origin, &self.prefix, (self.kind, self.format, self.versioning, self.namespace)),
        }
    }
}
