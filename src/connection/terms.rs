//! What a request asks of `Custom::AccountConnection`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    error::{Code, Failure},
    identity::IdentityProof,
    names::{Digest16, LaunchToken, NameError, NoticeUrl},
    protocol::{origin::Origin, properties::Properties},
};

/// The resource type in the template.
pub const RESOURCE_TYPE: &str = "Custom::AccountConnection";

/// The resource's name in the template. It is part of the contract with vendors, as are `HandlerRole`, `Handler` and `VendorRole`: a
/// vendor may ask CloudFormation for them years later.
pub const LOGICAL_ID: &str = "Connection";

/// The id: derived from stack and resource, because everything about a connection can change in place.
pub fn physical_id(origin: &Origin) -> String {
    format!("hawser/account-connection/{}", Digest16::derive(&[origin.stack.as_str(), &origin.logical_id]))
}

/// How a connection is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By a stack, which sends heartbeats.
    Stack,
    /// By `hawser connect`, which leaves nothing in the account that could.
    Direct,
}

impl Way {
    /// The notice's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stack => "stack",
            Self::Direct => "direct",
        }
    }
}

/// What is told to the vendor: the properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Never a property: who runs the handler's code knows.
    pub way: Way,
    pub notice_url: NoticeUrl,
    pub token: LaunchToken,
    pub identity_proof: IdentityProof,
    /// What the customer calls the connection.
    pub connection_name: String,
    /// The role the vendor may assume.
    pub role_arn: String,
    /// With which external ID.
    pub external_id: String,
    /// The secret that holds an access key for products that need one; empty where the role is the way in.
    pub access_key_secret_arn: String,
    /// The id of that key, so that a new key is told; empty without one.
    pub access_key_id: String,
    /// Which Regions the customer wants covered.
    pub regions: Vec<String>,
    /// Granted permission packs and their modes.
    pub packs: BTreeMap<String, String>,
    pub template_version: String,
    /// The organization facts, attributes of the billing export.
    pub organization: BTreeMap<String, String>,
    /// The billing export, its attributes.
    pub billing: BTreeMap<String, String>,
}

/// What a request asks of the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionRequest {
    Ensure(Box<Terms>),
    /// Delete; terms that cannot be read leave no one to tell.
    Remove(Result<Box<Terms>, Failure>),
}

impl Terms {
    /// Reads the properties.
    ///
    /// # Errors
    /// [`Code::NoticeUrlRefused`] for the notice URL, else what [`Properties`] says.
    pub fn parse(properties: Option<&Map<String, Value>>) -> Result<Self, Failure> {
        let mut properties = Properties::new(properties);
        let url = properties.required("NoticeUrl")?;
        let terms = Self {
            way: Way::Stack,
            notice_url: url
                .parse()
                .map_err(|why: NameError| Failure::new(Code::NoticeUrlRefused, format!("property `NoticeUrl` {why}")))?,
            token: properties.required_parsed("LaunchToken")?,
            identity_proof: properties.choice("IdentityProof", &IdentityProof::WORDS)?,
            connection_name: properties.text("ConnectionName")?.unwrap_or_default(),
            role_arn: properties.required("RoleArn")?,
            external_id: properties.required("ExternalId")?,
            access_key_secret_arn: properties.text("AccessKeySecretArn")?.unwrap_or_default(),
            access_key_id: properties.text("AccessKeyId")?.unwrap_or_default(),
            regions: properties.list("Regions")?,
            packs: properties.map("Packs")?.into_iter().filter(|(_, mode)| mode != "None").collect(),
            template_version: properties.text("TemplateVersion")?.unwrap_or_default(),
            organization: properties.map("Organization")?,
            billing: properties.map("Billing")?,
        };
        properties.finish()?;
        Ok(terms)
    }
}
