//! `hawser-console`: reads the command line, binds, and serves until it is told to stop.

use std::{error::Error, io::Write as _, net::SocketAddr, process::ExitCode, sync::Arc};

use clap::Parser;
use hawser_console::{
    Console,
    access::Access,
    aws::Sdk,
    commands::{self, doctor, output::Output},
    config::{
        Cli, Command, Database, LaunchArgs, RevokeArgs, Serve,
        operate::{ConnectionArgs, DoctorArgs, TokenCommand},
    },
    issuers::Issuers,
    launch::Launch,
    limits::Limits,
    random, routes,
    seal::SealKeys,
    serve::{self, Clients},
    signal::Signal,
    store::{self, Change, Store},
    sts::Sts,
    webhook::sender::HttpSender,
    worker,
};
use serde_json::json;
use time::OffsetDateTime;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Serve(args) => run(args).await,
        Command::Launch(args) => launch(args).await,
        Command::Revoke(args) => revoke(args).await,
        Command::Disconnect(args) => disconnect(args).await,
        Command::Reseal(database) => reseal(database).await,
        Command::Doctor(args) => return doctor(args).await,
        other => operate(other).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Serve) -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(std::io::stderr)
        .with_env_filter(EnvFilter::new(args.log.filter()))
        .init();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Some(serve::tls(certificate, key)?),
        _ => None,
    };
    let store = open(&args.database).await?;
    let listener = bind(args.listen, "--listen").await?;
    let admin_listener = bind(args.admin_listen, "--admin-listen").await?;

    let (address, scheme) = (listener.local_addr()?, if tls.is_some() { "https" } else { "http" });
    let authorities = args.authorities(address);
    let authority = authorities.first().cloned().unwrap_or_default();
    let console = Console {
        store: store.clone(),
        sts: Sts::new()?,
        issuers: Issuers::new()?,
        requires_token: args.require_token,
        requires_api_token: args.require_api_token,
        trust: args.trust(),
        authorities,
        limits: Limits::default(),
        aws: Arc::new(Sdk::from_environment(Arc::new(now)).await?),
        reach: args.egress().reach(),
        webhooks: Arc::new(HttpSender::new(&args.egress())?),
        signal: Signal::default(),
        clock: Arc::new(now),
    };
    if tls.is_none() && args.proxies.is_empty() && !address.ip().is_loopback() {
        tracing::warn!(
            listening = %address,
            "plain HTTP for other machines: give it `--tls-cert` and `--tls-key`, or name the proxy in front of it with `--proxies`"
        );
    }
    let clients = Clients::Strangers { proxies: args.proxies.into() };
    say(&json!({
        "listening": format!("{scheme}://{address}"),
        "admin": format!("http://{}", admin_listener.local_addr()?),
        "authority": authority,
        "noticeUrl": format!("https://{authority}/notices"),
    }))?;

    let (stop, stopped) = watch::channel(());
    let until_stopped = |mut stopped: watch::Receiver<()>| async move {
        let _ = stopped.changed().await;
    };
    let servers = async {
        tokio::join!(
            serve::serve(listener, tls, routes::public(console.clone()), clients, until_stopped(stopped.clone())),
            serve::serve(
                admin_listener,
                None,
                routes::admin(console.clone()),
                Clients::Operators,
                until_stopped(stopped.clone())
            ),
        )
    };
    let stated = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop");
        drop(stop);
    };
    let worker = async {
        // What it was about to ask it asks after the next start.
        tokio::select! {
            () = worker::work(console.clone()) => {}
            () = until_stopped(stopped.clone()) => {}
        }
    };
    tokio::join!(servers, worker, stated);
    store.close().await;
    Ok(())
}

async fn open(database: &Database) -> Result<Store, Box<dyn Error>> {
    let is_new = !database.key_file.exists();
    let keys = SealKeys::open(&database.key_file)?;
    if is_new {
        tracing::info!(path = %database.key_file.display(), "made a key; keep a copy of it, and not beside the database's");
    }
    Ok(Store::open(database.database.expose(), keys).await?)
}

/// A listener; an error names the flag that chose its address.
async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, Box<dyn Error>> {
    TcpListener::bind(address).await.map_err(|error| format!("failed to listen at {address} (`{flag}`): {error}").into())
}

async fn launch(args: LaunchArgs) -> Result<(), Box<dyn Error>> {
    let (terms, hours) = args.order()?;
    let store = open(&args.database).await?;
    let entropy = random::bytes().ok_or("the operating system provided no randomness")?;
    let launch = Launch::new(&entropy, terms, now(), hours);
    store.add_launch(&Access::operator(), &launch, None, now()).await?;
    say(&launch.disclose())?;
    store.close().await;
    Ok(())
}

async fn revoke(args: RevokeArgs) -> Result<(), Box<dyn Error>> {
    let store = open(&args.database).await?;
    let revoked = store.revoke(&Access::operator(), &args.launch_id, now()).await?;
    store.close().await;
    if !revoked {
        return Err(format!("no launch has the id `{}`", args.launch_id).into());
    }
    say(&json!({"launchId": args.launch_id, "revoked": true}))
}

async fn disconnect(args: ConnectionArgs) -> Result<(), Box<dyn Error>> {
    let store = open(&args.database).await?;
    let disconnected = store.change(&Access::operator(), &args.connection_id, &Change::Disconnect, now()).await?;
    store.close().await;
    if !disconnected {
        return Err(format!("no connection has the id `{}`", args.connection_id).into());
    }
    say(&json!({"connectionId": args.connection_id, "disconnected": true}))
}

async fn reseal(database: Database) -> Result<(), Box<dyn Error>> {
    let store = open(&database).await?;
    let resealed = store.reseal().await?;
    store.close().await;
    say(&json!({"resealed": resealed}))
}

/// What is asked for by hand.
async fn operate(command: Command) -> Result<(), Box<dyn Error>> {
    let mut output = Output::standard();
    let output = &mut output;
    match command {
        Command::List(args) => {
            let store = open(&args.database).await?;
            commands::list(&store, args, output, now()).await
        }
        Command::Show(args) => commands::show(&open(&args.database).await?, &args.connection_id, output, now()).await,
        Command::Verify(args) => commands::verify(&open(&args.database).await?, &args.connection_id, output, now()).await,
        Command::Token(args) => match args.command {
            TokenCommand::Create(args) => {
                let store = open(&args.database).await?;
                commands::create_token(&store, args, output, now()).await
            }
            TokenCommand::List(database) => commands::list_tokens(&open(&database).await?, output).await,
            TokenCommand::Revoke(args) => {
                commands::revoke_token(&open(&args.database).await?, &args.token_id, output, now()).await
            }
        },
        Command::Backup(args) => {
            let bytes = store::backup(args.database.database.expose(), &args.file).await?;
            let key_file = args.database.key_file.display().to_string();
            output.one(&json!({"backup": args.file.display().to_string(), "bytes": bytes, "keyFile": key_file}))
        }
        Command::Restore(args) => {
            let key_file = &args.database.key_file;
            if !key_file.exists() {
                return Err(
                    format!("the key file `{}` is not there: a backup is of no use without it", key_file.display()).into()
                );
            }
            store::restore(args.database.database.expose(), &args.file, &SealKeys::open(key_file)?).await?;
            // Brings the schema up to date.
            open(&args.database).await?.close().await;
            output.one(&json!({"restored": args.file.display().to_string()}))
        }
        // These have their own functions.
        Command::Serve(_)
        | Command::Launch(_)
        | Command::Revoke(_)
        | Command::Disconnect(_)
        | Command::Reseal(_)
        | Command::Doctor(_) => Ok(()),
    }
}

async fn doctor(args: DoctorArgs) -> ExitCode {
    let findings = doctor::findings(&args, now).await;
    let mut output = Output::standard();
    for finding in &findings {
        if let Err(error) = output.either(&finding.to_string(), &json!(finding)) {
            report(error.as_ref());
            return ExitCode::FAILURE;
        }
    }
    if findings.iter().all(|finding| finding.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The one place where the clock is read.
#[expect(clippy::disallowed_methods, reason = "everything else takes the time as an argument")]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// One line of JSON on stdout, at once: whoever started us may be waiting for it.
fn say(what: &impl serde::Serialize) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(what)?)?;
    out.flush()?;
    Ok(())
}

/// The whole chain of causes, once.
#[expect(clippy::print_stderr, reason = "the last words of a program, for the person who started it")]
fn report(error: &dyn Error) {
    eprint!("error: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        eprint!(": {inner}");
        cause = inner.source();
    }
    eprintln!();
}
