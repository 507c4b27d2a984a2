//! PostgreSQL's own regression suite.

use clap::Args;

use crate::stage::Stage;

#[derive(Args)]
pub struct Arguments {
    /// TLS on both legs
    #[arg(long)]
    tls: bool,
}

/// Runs it; the error says what differs.
pub async fn run(arguments: &Arguments) -> Result<(), String> {
    let directory = std::env::temp_dir().join(format!("portcullis-regress-{}", std::process::id()));
    let stage = Stage::new(&directory, "regression", "TEMPLATE template0", &[]).await;
    let proxy = stage.observed(arguments.tls).await;
    println!("{:?} {:?}", stage.direct(), stage.through(&proxy));
    Ok(())
}
