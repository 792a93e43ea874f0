//! `make package` and `make publish`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_types::{SdkConfig, region::Region as SdkRegion};
use clap::{Args, Parser, Subcommand};
use hawser::names::Region;
use hawser_cli::{settings::Settings, template::Template};
use hawser_publish::{
    Manifest,
    package::{Built, PackageRequest, SigningKey, package},
    repository,
    sbom::sbom,
    template, upload,
};

/// The architectures that there may be zips of.
const ARCHITECTURES: [&str; 2] = ["x86_64", "arm64"];

/// Makes what a vendor publishes, and publishes it.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make `dist/` of the template, the zips and the bill of materials.
    Package(Package),
    /// Upload `dist/` into one bucket per Region.
    Upload {
        /// What `package` made.
        #[arg(long, default_value = "dist")]
        dist: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Package {
    /// The buckets are called by this, a hyphen and their Region.
    #[arg(long)]
    bucket_prefix: String,
    /// The Regions to publish to, with spaces or commas between them.
    #[arg(long, value_delimiter = ',', num_args = 1.., required = true)]
    regions: Vec<Region>,
    /// What the functions run on.
    #[arg(long, default_value = ARCHITECTURES[0], value_parser = ARCHITECTURES)]
    architecture: String,
    // They become the template's defaults.
    #[command(flatten)]
    settings: Settings,
    /// Sign the checksums and the bill of materials with this secret key of minisign's.
    #[arg(long, value_name = "FILE.key")]
    signing_key: Option<PathBuf>,
    /// The file with the key's password, if it has one.
    #[arg(long, value_name = "FILE", requires = "signing_key")]
    signing_password_file: Option<PathBuf>,
    /// Leave the access key out of the templates: the parameter AccessMethod, the user, its key and its secret.
    #[arg(long)]
    without_access_key: bool,
    /// Where to put it.
    #[arg(long, default_value = "dist")]
    dist: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Package(arguments) => make(arguments),
        Command::Upload { dist } => publish(dist).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn make(arguments: Package) -> anyhow::Result<()> {
    let folder = repository().join("target/lambda");
    let zips: BTreeMap<String, PathBuf> = ARCHITECTURES
        .iter()
        .map(|name| ((*name).to_owned(), folder.join(format!("hawser-{name}.zip"))))
        .filter(|(_, path)| path.is_file())
        .collect();
    let defaults = arguments.settings.parameters(&Template::ours())?;
    let read = |path: &PathBuf| std::fs::read_to_string(path).with_context(|| format!("could not read `{}`", path.display()));
    let password = arguments.signing_password_file.as_ref().map(read).transpose()?;
    let password = password.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    let signing_key = arguments.signing_key.as_ref().map(|path| SigningKey::read(&read(path)?, password)).transpose()?;
    let request = PackageRequest {
        bucket_prefix: arguments.bucket_prefix,
        regions: arguments.regions,
        architecture: arguments.architecture,
        defaults,
        signing_key,
        without_access_key: arguments.without_access_key,
    };
    let built = Built { zips, sbom: sbom(&repository())? };
    let dist = &arguments.dist;
    package(&template()?, &request, &built, dist, &mut |line| println!("{}/{line}", dist.display()))?;
    if !built.zips.contains_key(ARCHITECTURES[1]) {
        println!("{} is left out: it was not built (hint: rustup target add aarch64-unknown-linux-gnu)", ARCHITECTURES[1]);
    }
    Ok(())
}

/// With the credentials that the AWS command line would use.
async fn publish(dist: PathBuf) -> anyhow::Result<()> {
    let manifest = Manifest::read(&dist)?;
    let first = manifest.regions.first().context("no Region to publish to")?;
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let config = aws_config::from_env().http_client(http).region(SdkRegion::new(first.clone())).load().await;
    let identity = aws_sdk_sts::Client::new(&config).get_caller_identity().send().await;
    let identity = identity.context("could not find out which account you are (hint: `aws sts get-caller-identity`)")?;
    let owner = identity.account().context("an identity without an account")?;
    println!("publishing as {}", identity.arn().unwrap_or(owner));
    let client = |region: &str| s3(&config, region);
    let published = upload::publish(&dist, owner, &client, &mut |line| println!("{line}")).await?;
    println!("done: {} uploaded, {} there already", published.put, published.there);
    Ok(())
}

fn s3(config: &SdkConfig, region: &str) -> aws_sdk_s3::Client {
    let config = config.to_builder().region(SdkRegion::new(region.to_owned())).build();
    aws_sdk_s3::Client::new(&config)
}
