//! Measures the published handler beside three others that do the same work on the same stub.
//!
//! One *session* is one handler process with a world of its own: a Lambda Runtime API and a TLS listener for each service. The
//! world records every call with its start and end, checks that the work was really done, and adds the same latency to each
//! call. A *cycle* measures every handler once in each way, and cycles repeat, so that whatever slows the
//! machine slows all handlers alike.
//!
//! Reading order: [`workload`] (the events), [`mod@handlers`] (who handles them), [`world`], [`answers`], [`stub`] and
//! [`runtime_api`] (the world), [`throttle`] (the CPU of a small function), [`session`] (one process, one sample), [`network`] and
//! [`cycle`] (the run), [`results`], [`budget`] and [`report`] (the results and their budget).

mod answers;
mod budget;
mod cycle;
mod handlers;
mod network;
mod process;
mod record;
mod report;
mod results;
mod runtime_api;
mod session;
mod stats;
mod stub;
mod throttle;
mod tls;
mod workload;
mod world;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;
use std::{env, fs};

use anyhow::{Context as _, bail, ensure};
use clap::Parser;

use crate::cycle::RunPlan;
use crate::handlers::{Handler, HandlerName};
use crate::network::Network;
use crate::results::{Results, Run};
use crate::session::BenchSetup;
use crate::throttle::Throttle;
use crate::tls::Authority;
use crate::world::S3Ways;

/// Measure the handler beside three others that do the same work.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The handler as it is published. The zip beside its folder is looked at too, if it is there.
    #[arg(long, default_value = "target/lambda/hawser/bootstrap")]
    handler: PathBuf,
    /// A Python with crhelper, boto3 and awslambdaric.
    #[arg(long, default_value = ".venv/bin/python")]
    python: PathBuf,
    /// Where the handlers to compare with are.
    #[arg(long, default_value = "dev/bench/rivals")]
    rivals: PathBuf,
    /// Where they are built.
    #[arg(long, default_value = "target/bench/rivals")]
    rivals_target: PathBuf,
    /// Where the result is written.
    #[arg(long, default_value = "target/bench/result.json")]
    out: PathBuf,
    /// Measure with these networks.
    #[arg(long, value_delimiter = ',', default_value = "near,free-connections,far")]
    networks: Vec<Network>,
    /// S3 refuses a setting of a bucket while another one is being made.
    #[arg(long)]
    conflicts: bool,
    /// S3 closes the connection after an error, also after that of a request that only opens one.
    #[arg(long)]
    errors_close: bool,
    /// How often each handler is measured in each way.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..))]
    cycles: u8,
    /// Throttle by signals even where the kernel can.
    #[arg(long)]
    signals: bool,
    /// Measure only these handlers; ratios need `plain`.
    #[arg(long, value_delimiter = ',', default_value = "python,plain,hawser,floor")]
    only: Vec<HandlerName>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let start = Instant::now();
    match bench(&args, start).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(start, &format!("stopped: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "progress of a command")]
fn say(start: Instant, line: &str) {
    eprintln!("[{:>4} s] {line}", start.elapsed().as_secs());
}

async fn bench(args: &Args, start: Instant) -> anyhow::Result<()> {
    let handlers = handlers(args, start)?;
    let authority = Authority::new()?;
    let folder = tempfile::tempdir().context("making a temporary folder")?;
    let roots = folder.path().join("roots.pem");
    authority.write_bundle(&roots)?;
    let throttle = if args.signals { Throttle::Signals } else { Throttle::find() };
    say(start, &format!("the CPU of a 128 MB function: {}", throttle.describe()));
    let s3 = S3Ways { conflicts: args.conflicts, errors_close: args.errors_close };
    let setup = BenchSetup { authority: &authority, roots: &roots, throttle: &throttle, s3 };
    let plan = RunPlan { cycles: args.cycles.into(), networks: args.networks.clone() };
    let mut progress = |line: &str| say(start, line);
    let samples = tokio::select! {
        done = cycle::run(&plan, &handlers, &setup, &mut progress) => done?,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    };

    let at = time::OffsetDateTime::now_utc().format(&time::format_description::well_known::Rfc3339).unwrap_or_default();
    let run = Run::here(&setup, plan.cycles, at);
    let results = Results::new(run, &handlers, &samples);
    write_json(&args.out, &results)?;
    print(&report::render(&results));
    say(start, &format!("written to `{}`", args.out.display()));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result of a command")]
fn print(text: &str) {
    println!("{text}");
}

fn write_json(path: &Path, results: &Results) -> anyhow::Result<()> {
    let writing = || format!("writing `{}`", path.display());
    let json = serde_json::to_string_pretty(results)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).context(writing())?;
    }
    fs::write(path, json + "\n").context(writing())
}

fn handlers(args: &Args, start: Instant) -> anyhow::Result<Vec<Handler>> {
    let mut handlers = Vec::new();
    for name in HandlerName::ALL {
        if !args.only.contains(&name) {
            continue;
        }
        handlers.push(match name {
            HandlerName::Hawser => Handler::binary(name, &args.handler)?,
            HandlerName::Floor | HandlerName::Plain => {
                say(start, &format!("building {} (some minutes the first time)", name.as_str()));
                Handler::binary(name, &build(args, name)?)?
            }
            HandlerName::Python => Handler::python(&args.python, &args.rivals.join("python"))?,
        });
    }
    Ok(handlers)
}

/// Builds one package of the other workspace, by itself: together they would share features.
fn build(args: &Args, name: HandlerName) -> anyhow::Result<PathBuf> {
    let target = std::path::absolute(&args.rivals_target).context("finding the target folder")?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--release", "--locked", "--package", name.as_str(), "--manifest-path"]);
    command.arg(args.rivals.join("Cargo.toml")).arg("--target-dir").arg(&target);
    // Cargo tells its children about the profile and the flags of the outer build; these have their own.
    for (key, _) in env::vars_os() {
        if key.to_string_lossy().starts_with("CARGO_PROFILE_") || key == "RUSTFLAGS" {
            command.env_remove(key);
        }
    }
    let status = command.status().context("starting cargo")?;
    ensure!(status.success(), "`{}` cannot be built", name.as_str());
    Ok(target.join("release").join(name.as_str()))
}
