//! Why a run without a stack does not go on: in the handler's words where they are the handler's, and in its own.

use hawser::{
    aws::Fault,
    error::{Code, Failure},
};
use thiserror::Error;

use crate::template::TemplateError;

/// What a run without a stack refuses by itself.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommandError {
    /// The parameters are not ones that the template takes.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A rule of this command.
    #[error("{code}: {cause}. {next}")]
    Rule {
        /// Stable.
        code: &'static str,
        /// One sentence without its full stop.
        cause: String,
        /// One sentence.
        next: &'static str,
    },
    /// What the handler, AWS or the vendor refused.
    #[error("{}", for_operator(&.0.to_string()))]
    Failure(#[from] Failure),
    /// The handler's answer to an event, which has its own code, cause and next step.
    #[error("{}", for_operator(.0))]
    Answer(String),
}

/// Next steps that are about the function, said to whoever runs its code.
const OPERATOR_TEXTS: [(Code, &str); 3] = [
    (Code::AwsAccessDenied, "Allow yourself the action, or ask somebody who has the permission to run this."),
    (
        Code::AwsDeniedByScp,
        "Ask your organization's administrator to exempt you from the service control policy that denies this action.",
    ),
    (Code::AwsUnavailable, "Check the AWS Health Dashboard and your internet connection, then try again."),
];

fn for_operator(text: &str) -> String {
    OPERATOR_TEXTS.iter().fold(text.to_owned(), |text, (code, next)| text.replace(code.next_step(), next))
}

impl CommandError {
    /// The stable code.
    pub fn code(&self) -> &str {
        match self {
            Self::Template(why) => why.code(),
            Self::Rule { code, .. } => code,
            Self::Failure(failure) => failure.code.as_str(),
            Self::Answer(reason) => reason.split(':').next().unwrap_or_default(),
        }
    }

    /// Whether AWS was in the way of looking, rather than what was seen.
    pub fn is_aws_error(&self) -> bool {
        let codes = [Code::AwsAccessDenied, Code::AwsDeniedByScp, Code::AwsThrottled, Code::AwsUnavailable, Code::AwsRefused];
        codes.iter().any(|code| code.as_str() == self.code()) || self.code() == Code::CredentialsMissing.as_str()
    }
}

impl From<Fault> for CommandError {
    fn from(fault: Fault) -> Self {
        Self::Failure(fault.into())
    }
}

pub(crate) fn command_error(code: &'static str, cause: String, next: &'static str) -> CommandError {
    CommandError::Rule { code, cause, next }
}
