//! Which stack, which resource, which request.

use crate::names::StackId;

/// What CloudFormation asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestType {
    Create,
    /// Bring it to these properties; also how CloudFormation rolls back.
    Update,
    /// Remove it; also the end of a replacement and of a failed Create.
    Delete,
}

impl RequestType {
    /// CloudFormation's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "Create",
            Self::Update => "Update",
            Self::Delete => "Delete",
        }
    }
}

/// Which stack, which resource, which request: what both resources share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Create, Update or Delete.
    pub request_type: RequestType,
    /// The stack's ARN, checked.
    pub stack: StackId,
    pub request_id: String,
    /// The resource's name in the template.
    pub logical_id: String,
    /// The id this resource answered with before; always given on Update and Delete.
    pub physical_id: Option<String>,
}
