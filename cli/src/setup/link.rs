//! The launch link ("Creating quick-create links for stacks", CloudFormation User Guide).

use std::collections::BTreeMap;

use hawser::names::{Partition, Region};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use url::Url;

use crate::{
    error::{CommandCode, CommandError},
    template::{EXTERNAL_ID, Parameter, Template},
};

/// Longest link. CloudFront, in front of the console, takes request lines of 8,192 bytes and the console repeats the link when it asks
/// to sign in; half of that also goes through mail programs and proxies.
pub const LINK_BYTES_MAX: usize = 4_096;

/// Longest name of a stack (CloudFormation, `CreateStack`).
const STACK_NAME_CHARACTERS_MAX: usize = 128;
/// Longest address of a template (CloudFormation, `CreateStack`, TemplateURL).
const TEMPLATE_URL_BYTES_MAX: usize = 5_120;

/// What needs no encoding anywhere in an address (RFC 3986, unreserved characters).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A launch link and what to do without it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    pub url: String,
    pub bytes: usize,
    /// The longest that a link may be.
    pub bytes_max: usize,
    /// The Region in which it opens the console.
    pub region: String,
    /// The template's own address.
    pub template_url: String,
    pub stack_name: String,
    /// The parameters that the link fills in.
    pub parameters: BTreeMap<String, String>,
    /// Parameters that must be filled in by hand, because neither the link nor the template has a value.
    pub to_fill_in: Vec<String>,
    /// What the sender should know.
    pub notes: Vec<String>,
    /// The same without the link.
    pub steps: Vec<String>,
}

/// The console's host in a partition, without a Region.
pub fn console_host(partition: Partition) -> &'static str {
    match partition {
        Partition::Aws => "console.aws.amazon.com",
        Partition::AwsCn => "console.amazonaws.cn",
        Partition::AwsUsGov => "console.amazonaws-us-gov.com",
        Partition::AwsEusc => "console.amazonaws-eusc.eu",
    }
}

/// Builds the link.
///
/// # Errors
/// [`CommandError`]; a parameter that the console would drop is an error and not left out.
pub fn link(
    template: &Template,
    template_url: &str,
    region: &Region,
    stack_name: &str,
    parameters: &BTreeMap<String, String>,
) -> Result<Link, CommandError> {
    template.check(parameters)?;
    let declared = template.parameters();
    if let Some(hidden) = declared.iter().find(|parameter| parameter.no_echo && parameters.contains_key(&parameter.name)) {
        let cause = format!("`{}` is a NoEcho parameter, and launch links drop those silently", hidden.name);
        return Err(CommandError::new(CommandCode::LinkParameterHidden, cause));
    }
    let (template_url, of_template) = check_template_url(template_url, Partition::of_region(region.as_str()))?;
    let elsewhere = of_template.filter(|of_template| of_template != region).map(|of_template| {
        format!(
            "the template is in {of_template} and the stack would be in {region}: the function's code must be published there too"
        )
    });
    check_region(region)?;
    check_stack_name(stack_name, CommandCode::LinkStackName)?;
    let encode = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let host = console_host(Partition::of_region(region.as_str()));
    let mut url = format!(
        "https://{region}.{host}/cloudformation/home?region={region}#/stacks/create/review?templateURL={}&stackName={}",
        encode(&template_url),
        encode(stack_name)
    );
    // In the template's order, so that the same values give the same link.
    for parameter in &declared {
        if let Some(value) = parameters.get(&parameter.name) {
            url.push_str(&format!("&param_{}={}", encode(&parameter.name), encode(value)));
        }
    }
    if url.len() > LINK_BYTES_MAX {
        let cause =
            format!("the link has {} bytes and at most {LINK_BYTES_MAX} go through browsers and mail unharmed", url.len());
        return Err(CommandError::new(CommandCode::LinkTooLong, cause));
    }
    let uses_stack_id = parameters.get("ExternalIdSource").is_some_and(|source| source == "Stack");
    let is_needed = |parameter: &Parameter| parameter.default.is_none() || (parameter.name == EXTERNAL_ID && !uses_stack_id);
    let to_fill_in: Vec<String> = declared
        .iter()
        .filter(|parameter| is_needed(parameter) && parameters.get(&parameter.name).is_none_or(String::is_empty))
        .map(|parameter| parameter.name.clone())
        .collect();
    let labelled = declared.iter().filter_map(|parameter| {
        let value = parameters.get(&parameter.name)?;
        Some(format!("{} ({}): {value}", parameter.label, parameter.name))
    });
    let mut steps = vec![
        format!("Open https://{region}.{host}/cloudformation/home?region={region}#/stacks/create"),
        "Choose \"Choose an existing template\" and \"Amazon S3 URL\"".to_owned(),
        format!("Paste {template_url} and choose Next"),
        format!("Enter the stack name {stack_name}"),
    ];
    steps.extend(labelled.map(|value| format!("Enter {value}")));
    steps.extend(to_fill_in.iter().map(|name| format!("Enter a value of your own for {name}")));
    steps.extend([
        "Leave all other parameters as they are and choose Next".to_owned(),
        "Tick \"I acknowledge that AWS CloudFormation might create IAM resources\" and choose Next".to_owned(),
        "Look at what will be made and choose Submit".to_owned(),
    ]);
    Ok(Link {
        bytes: url.len(),
        bytes_max: LINK_BYTES_MAX,
        url,
        region: region.to_string(),
        template_url,
        stack_name: stack_name.to_owned(),
        parameters: parameters.clone(),
        to_fill_in,
        notes: elsewhere.into_iter().collect(),
        steps,
    })
}

/// CloudFormation reads templates from S3 alone, over https. With the Region that the host names, if it names one.
fn check_template_url(text: &str, partition: Partition) -> Result<(String, Option<Region>), CommandError> {
    let refused =
        |why: &str| CommandError::new(CommandCode::LinkTemplateUrl, format!("`{}` {why}", hawser::names::shorten(text, 200)));
    if text.len() > TEMPLATE_URL_BYTES_MAX {
        return Err(refused("is longer than CloudFormation allows"));
    }
    let url = Url::parse(text).map_err(|_| refused("is not a URL"))?;
    let host = url.host_str().unwrap_or_default();
    if url.scheme() != "https" || !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(refused("must begin with https:// and have neither user name, password nor fragment"));
    }
    let of_s3 = host.strip_suffix(partition.dns_suffix()).and_then(|rest| rest.strip_suffix('.'));
    let of_s3 = of_s3.is_some_and(|rest| {
        rest.split('.').any(|label| label == "s3" || label.starts_with("s3-")) && !rest.contains("s3-website")
    });
    if !of_s3 {
        return Err(refused(&format!(
            "must be an object in S3, such as https://BUCKET.s3.REGION.{}/template.yaml, because CloudFormation reads templates from S3 only",
            partition.dns_suffix()
        )));
    }
    if url.path() == "/" {
        return Err(refused("does not name an object"));
    }
    let labels: Vec<&str> = host.split('.').collect();
    // `s3.REGION`, `s3.dualstack.REGION`, or `s3-REGION` as in S3's first years.
    let named = labels.iter().find_map(|label| label.strip_prefix("s3-"));
    let after =
        labels.iter().position(|label| *label == "s3").and_then(|at| labels[at..].iter().find(|label| label.contains('-')));
    let region: Option<Region> = named.or(after.copied()).and_then(|region| region.parse().ok());
    Ok((url.to_string(), region.filter(|region| check_region(region).is_ok())))
}

/// # Errors
/// `code`, for what CloudFormation does not take.
pub fn check_stack_name(name: &str, code: CommandCode) -> Result<(), CommandError> {
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let legal = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= STACK_NAME_CHARACTERS_MAX
        && name.chars().all(letters);
    if legal {
        return Ok(());
    }
    let cause =
        format!("`{name}` must begin with a letter and have up to {STACK_NAME_CHARACTERS_MAX} letters, digits and hyphens");
    Err(CommandError::new(code, cause))
}

/// What codes of Regions begin with, partition by partition (AWS SDKs, `partitions.json`).
const REGION_AREAS: [&str; 11] = ["af", "ap", "ca", "cn", "eu", "eusc", "il", "me", "mx", "sa", "us"];

/// A Region's code, as AWS forms them: newer ones than this program are taken too.
///
/// # Errors
/// [`CommandCode::RegionUnknown`].
pub fn check_region(region: &Region) -> Result<(), CommandError> {
    let parts: Vec<&str> = region.as_str().split('-').collect();
    let [area, places @ .., number] = parts.as_slice() else { return Err(unknown_region(region)) };
    let words = !places.is_empty() && places.iter().all(|place| place.len() > 1 && place.bytes().all(|b| b.is_ascii_lowercase()));
    let is_one = REGION_AREAS.contains(area) && words && number.parse::<u8>().is_ok();
    if is_one { Ok(()) } else { Err(unknown_region(region)) }
}

fn unknown_region(region: &Region) -> CommandError {
    CommandError::new(CommandCode::RegionUnknown, format!("there is no Region `{region}`"))
}
