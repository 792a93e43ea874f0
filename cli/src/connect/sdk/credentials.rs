//! Whose credentials are used, and in which Region.

use aws_config::{
    BehaviorVersion,
    profile::{self, ProfileFileCredentialsProvider},
    provider_config::ProviderConfig,
};
use aws_types::{
    SdkConfig,
    os_shim_internal::{Env, Fs},
    region::Region,
    sdk_config::SharedCredentialsProvider,
};
use hawser::sdk::{clients, fault::cause, web::Web};

use crate::error::{CommandCode, CommandError};

/// The profile of a person who named none on the command line.
const PROFILE_VARIABLES: [&str; 2] = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"];

/// The configuration of the AWS CLI. A profile that is named on the command line is the only source of credentials: those of the
/// environment, of a container or of an instance may be of another account.
///
/// # Errors
/// [`CommandCode::AwsProfileUnknown`], also for the profile of `AWS_PROFILE`; [`CommandCode::File`] for files that cannot be read.
pub(super) async fn load(web: &Web, profile: Option<&str>, region: Option<&str>) -> Result<SdkConfig, CommandError> {
    let variable = PROFILE_VARIABLES.iter().find_map(|name| Env::real().get(name).ok().filter(|value| !value.is_empty()));
    if let Some(name) = profile.or(variable.as_deref()) {
        check_profile(name).await?;
    }
    let (retries, limits) = clients::sdk_retry_config();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(web.for_aws())
        .retry_config(retries.clone())
        .timeout_config(limits.clone());
    // The SDK reads `AWS_PROFILE` only, the AWS CLI both.
    if let Some(name) = profile.or(variable.as_deref()) {
        loader = loader.profile_name(name);
    }
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    let config = loader.load().await;
    let Some(name) = profile else { return Ok(config) };
    let provider = ProviderConfig::without_region()
        .with_region(config.region().cloned())
        .with_behavior_version(Some(BehaviorVersion::latest()))
        .with_http_client(web.for_aws())
        .with_retry_config(retries)
        .with_timeout_config(limits);
    let provider = ProfileFileCredentialsProvider::builder().configure(&provider).profile_name(name).build();
    Ok(config.into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build())
}

async fn check_profile(name: &str) -> Result<(), CommandError> {
    let profiles = profile::load(&Fs::real(), &Env::real(), &Default::default(), None).await.map_err(|why| {
        CommandError::new(CommandCode::File, format!("the AWS CLI's configuration could not be read: {}", cause(&why)))
    })?;
    if profiles.get_profile(name).is_some() {
        return Ok(());
    }
    let known: Vec<&str> = profiles.profiles().collect();
    let known = if known.is_empty() { "there is none".to_owned() } else { format!("there are `{}`", known.join("`, `")) };
    Err(CommandError::new(CommandCode::AwsProfileUnknown, format!("there is no profile `{name}` of the AWS CLI; {known}")))
}
