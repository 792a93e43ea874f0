//! The embedded AWS by itself, for programs that are not written in Rust: prints where it is, and ends when its standard input
//! does, so that it never outlives who started it.

#![expect(clippy::print_stdout, reason = "the address is what its caller reads")]

use hawser_dev::emulator::Emulator;
use hawser_dev::front::scenario::Scenario;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let scenario = match std::env::args().nth(1) {
        Some(name) => Scenario::named(&name)?,
        None => Scenario::default(),
    };
    let emulator = Emulator::start(scenario).await?;
    println!("{}", serde_json::json!({ "endpoint": emulator.front().url() }));
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    Ok(())
}
