//! Why a run without a stack does not go on: in the handler's words where they are the handler's, and in its own.

use hawser::{
    aws::Fault,
    error::{Code, Failure},
};
use thiserror::Error;

use crate::template::TemplateError;

/// What a run without a stack refuses by itself.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
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
    #[error("{}", to_a_person(&.0.to_string()))]
    Failure(#[from] Failure),
    /// The handler's answer to an event, which has its own code, cause and next step.
    #[error("{}", to_a_person(.0))]
    Answer(String),
}

/// Next steps that are about the function, said to whoever runs its code.
const TO_A_PERSON: [(Code, &str); 3] = [
    (Code::AwsAccessDenied, "Allow the action for yourself, or let somebody run this who may."),
    (
        Code::AwsDeniedByScp,
        "Ask the owner of the organization to exempt you from the service control policy that denies this action.",
    ),
    (Code::AwsUnavailable, "Check the AWS Health Dashboard and your way to the internet, then try again."),
];

fn to_a_person(text: &str) -> String {
    TO_A_PERSON.iter().fold(text.to_owned(), |text, (code, next)| text.replace(code.next_step(), next))
}

impl Refusal {
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
    pub fn is_of_aws(&self) -> bool {
        let codes = [Code::AwsAccessDenied, Code::AwsDeniedByScp, Code::AwsThrottled, Code::AwsUnavailable, Code::AwsRefused];
        codes.iter().any(|code| code.as_str() == self.code()) || self.code() == Code::CredentialsMissing.as_str()
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Failure(fault.into())
    }
}

pub(crate) fn refused(code: &'static str, cause: String, next: &'static str) -> Refusal {
    Refusal::Rule { code, cause, next }
}
