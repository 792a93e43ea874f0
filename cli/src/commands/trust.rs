//! `hawser setup trust`: who may assume the role.

use clap::Args;
use hawser::names::{Partition, Region};
use hawser_cli::{
    error::CommandError,
    setup::{self, SetupTarget},
    template::Template,
};

use crate::commands::common::{Output, Settings, help, print_json};

#[derive(Debug, Args)]
#[command(after_help = help!("hawser setup trust --set VendorAccountId=999988887777 --set ExternalId=3f9c6a52-8d1e-4c07-b5a4-9e27d0f86b13"))]
pub(crate) struct Arguments {
    /// A Region of the account, which determines the partition.
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    region: Region,
    #[command(flatten)]
    settings: Settings,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<(), CommandError> {
    let template = Template::ours();
    let parameters = arguments.settings.parameters(&template)?;
    let target = SetupTarget {
        account: String::new(),
        partition: Partition::of_region(arguments.region.as_str()),
        region: arguments.region.to_string(),
        name: String::new(),
    };
    let policy = setup::trust::trust_policy(&template, &parameters, &target)?;
    match output {
        Output::Text => print_json(&policy),
        Output::Json => print_json(&serde_json::json!({ "trustPolicy": policy })),
    }
    Ok(())
}
