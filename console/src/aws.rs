//! AWS as the vendor: assumes a customer's role and reads the resources of its stack. The SDK stops here.

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::ProvideCredentials as _};
use aws_sdk_sts::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls;

use crate::{
    confirm::{Aws, Question, Resources},
    problem::{Problem, ProblemCode},
};

/// What CloudTrail shows in the customer's account.
const SESSION_NAME: &str = "hawser-console";
/// The shortest that AWS STS gives (`AssumeRole`, "DurationSeconds"): it is for one call.
const SESSION_SECONDS: i32 = 900;

/// With the vendor's credentials from the environment.
#[derive(Debug)]
pub struct Sdk {
    config: SdkConfig,
}

impl Sdk {
    /// Reads the environment as AWS's own programs do; that there are no credentials is found when they are needed.
    pub async fn from_environment() -> Self {
        let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        let http = aws_smithy_http_client::Builder::new().tls_provider(tls).build_https();
        Self { config: aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await }
    }

    async fn assume(&self, question: &Question, external_id: Option<&str>) -> Result<SdkConfig, Problem> {
        let Some(provider) = self.config.credentials_provider() else { return Err(Problem::new(ProblemCode::NoCredentials, "")) };
        provider.provide_credentials().await.map_err(|error| {
            tracing::debug!(error = %DisplayErrorContext(&error), "no credentials");
            Problem::new(ProblemCode::NoCredentials, "")
        })?;
        // The stack's own Region: sessions from there are good in it, also where it is not on by default.
        let config = self.config.to_builder().region(Region::new(question.stack.region.clone())).build();
        let session = aws_sdk_sts::Client::new(&config)
            .assume_role()
            .role_arn(question.role.as_str())
            .role_session_name(SESSION_NAME)
            .set_external_id(external_id.map(str::to_owned))
            .duration_seconds(SESSION_SECONDS)
            .send()
            .await
            .map_err(|error| problem(&error, ProblemCode::RoleRefused))?;
        let keys = session.credentials.ok_or_else(|| Problem::new(ProblemCode::Unavailable, "it gave no credentials"))?;
        let keys = Credentials::new(keys.access_key_id, keys.secret_access_key, Some(keys.session_token), None, SESSION_NAME);
        let keys = aws_credential_types::provider::SharedCredentialsProvider::new(keys);
        Ok(config.to_builder().credentials_provider(keys).build())
    }
}

#[async_trait]
impl Aws for Sdk {
    async fn resources(&self, question: &Question) -> Result<Resources, Problem> {
        let session = self.assume(question, Some(&question.external_id)).await?;
        if !question.reads_stack {
            return Ok(Resources::new());
        }
        let answer = aws_sdk_cloudformation::Client::new(&session)
            .describe_stack_resources()
            .stack_name(question.stack.as_str())
            .send()
            .await
            .map_err(|error| problem(&error, ProblemCode::StackUnreadable))?;
        let ids = |resource: aws_sdk_cloudformation::types::StackResource| {
            Some((resource.logical_resource_id?, resource.physical_resource_id?))
        };
        Ok(answer.stack_resources.unwrap_or_default().into_iter().filter_map(ids).collect())
    }

    async fn can_assume(&self, question: &Question, external_id: Option<&str>) -> Result<bool, Problem> {
        match self.assume(question, external_id).await {
            Ok(_) => Ok(true),
            Err(problem) if problem.code() == ProblemCode::RoleRefused.as_str() => Ok(false),
            Err(problem) => Err(problem),
        }
    }
}

/// AWS's refusal is a fact about the account; everything else is an outage. Of AWS's words only the code is repeated.
fn problem<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>, refused: ProblemCode) -> Problem {
    match (error, error.code()) {
        (SdkError::ServiceError(_), Some(code @ ("AccessDenied" | "AccessDeniedException" | "ValidationError"))) => {
            Problem::new(refused, &format!("`{code}`"))
        }
        (_, code) => Problem::new(ProblemCode::Unavailable, code.unwrap_or_default()),
    }
}
