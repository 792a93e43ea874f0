//! AWS as the vendor: assumes a customer's role and reads the resources of its stack. The SDK stops here.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials as _, SharedCredentialsProvider},
};
use aws_sdk_sts::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls;
use serde_json::json;
use time::OffsetDateTime;

use crate::{
    confirm::{Aws, Packs, Question, Resources, not_assumed},
    probe::{Caller, How, Statement, Tried, granted, run_some},
    problem::{Problem, ProblemCode},
    sts,
};

/// What CloudTrail shows in the customer's account.
const SESSION_NAME: &str = "hawser-console";
/// What every session may do at least.
const READ_STACK: &str = "cloudformation:DescribeStackResources";
/// The shortest that AWS STS gives (`AssumeRole`, "DurationSeconds"): it is for one call.
const SESSION_SECONDS: i32 = 900;

/// The longest session policy (`AssumeRole`, "Policy").
const SESSION_POLICY_CHARS_MAX: usize = 2048;

/// With the vendor's credentials from the environment.
pub struct Sdk {
    config: SdkConfig,
    /// For calls in services of which there is no client here.
    http: reqwest::Client,
    clock: Arc<dyn Fn() -> OffsetDateTime + Send + Sync>,
}

impl Sdk {
    /// Reads the environment as AWS's own programs do; that there are no credentials is found when they are needed.
    ///
    /// # Errors
    /// The trusted authorities cannot be read.
    pub async fn from_environment(clock: Arc<dyn Fn() -> OffsetDateTime + Send + Sync>) -> Result<Self, reqwest::Error> {
        let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        let http = aws_smithy_http_client::Builder::new().tls_provider(tls).build_https();
        let config = aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await;
        Ok(Self { config, http: sts::client()?, clock })
    }

    /// A session that may do these actions and no others, whatever the role may.
    async fn assume(
        &self,
        question: &Question,
        external_id: Option<&str>,
        actions: &[&str],
    ) -> Result<(SdkConfig, Credentials), Problem> {
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
            .policy(session_policy(actions))
            .send()
            .await
            .map_err(|error| not_assumed(error.code().unwrap_or_default(), error.message().unwrap_or_default()))?;
        let keys = session.credentials.ok_or_else(|| Problem::new(ProblemCode::Unavailable, "it gave no credentials"))?;
        let keys = Credentials::new(keys.access_key_id, keys.secret_access_key, Some(keys.session_token), None, SESSION_NAME);
        let provider = SharedCredentialsProvider::new(keys.clone());
        Ok((config.to_builder().credentials_provider(provider).build(), keys))
    }
}

impl fmt::Debug for Sdk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sdk").finish_non_exhaustive()
    }
}

fn session_policy(actions: &[&str]) -> String {
    let statement = json!([{"Effect": "Allow", "Action": actions, "Resource": "*"}]);
    json!({"Version": "2012-10-17", "Statement": statement}).to_string()
}

/// The statements in groups for one session each: with all their actions in it a session policy would be too long.
fn sessions(statements: impl Iterator<Item = &'static Statement>) -> Vec<(Vec<&'static str>, Vec<&'static Statement>)> {
    let mut sessions: Vec<(Vec<&str>, Vec<&'static Statement>)> = Vec::new();
    for statement in statements {
        let action = match &statement.how {
            How::Probe(probe) => probe.action.as_str(),
            How::NoProbe(_) => READ_STACK,
        };
        if let Some((actions, group)) = sessions.last_mut() {
            let added = !actions.contains(&action);
            if added {
                actions.push(action);
            }
            if session_policy(actions).len() <= SESSION_POLICY_CHARS_MAX {
                group.push(statement);
                continue;
            }
            actions.pop();
        }
        sessions.push((vec![action], vec![statement]));
    }
    sessions
}

#[async_trait]
impl Aws for Sdk {
    async fn resources(&self, question: &Question) -> Result<Resources, Problem> {
        let (session, _) = self.assume(question, Some(&question.external_id), &[READ_STACK]).await?;
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
        match self.assume(question, external_id, &[READ_STACK]).await {
            Ok(_) => Ok(true),
            Err(problem) if problem.is_refusal() => Ok(false),
            Err(problem) => Err(problem),
        }
    }

    async fn try_packs(&self, question: &Question, packs: &Packs) -> Result<Vec<Tried>, Problem> {
        let mut tried = Vec::new();
        for (actions, statements) in sessions(granted(&packs.granted)) {
            let (session, keys) = self.assume(question, Some(&question.external_id), &actions).await?;
            let endpoint = session.endpoint_url().and_then(|url| url.parse().ok());
            let caller = Caller::new(self.http.clone(), keys, endpoint, Arc::clone(&self.clock));
            tried.extend(run_some(&caller, &packs.place, statements).await);
        }
        Ok(tried)
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
