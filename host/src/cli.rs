//! The command line. What stands in these comments is what `--help` says.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A PostgreSQL proxy whose rules are WebAssembly components.
///
/// It stands in front of every connection, knows who is asking, refuses what must not run,
/// masks what must not be seen, and records both. Policies are files in a directory; drop one
/// in and it is in force seconds later, on the connections that are open.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  portcullis demo                               see it work, with a database of its own
  portcullis check --config portcullis.toml     what would be in force, and every error
  portcullis serve --config portcullis.toml     run it
  portcullis explain \"delete from users\"        what a statement is, and what would become of it
  portcullis plugin inspect plugins.d/pii_mask.wasm";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the proxy.
    ///
    /// SIGTERM drains: sessions end when their transaction does. SIGHUP reads the
    /// configuration again, certificates included. Policies need neither: the plugin
    /// directory is watched.
    Serve(Serve),
    /// Say what would be in force, and touch nothing.
    ///
    /// Reads the configuration and every policy, compiles and configures them, and reports
    /// every error with its file and line. Exits with 1 when there is one.
    Check(Check),
    /// Show it working on a database of its own.
    ///
    /// Starts a throw-away PostgreSQL with made-up customers and the proxy with the shipped
    /// policies in front of it, and prints who may do what and the psql lines to try.
    Demo(Demo),
    /// Say what a statement is and what would become of it, without a database.
    Explain(Explain),
    /// Work with policy plugins.
    Plugin {
        #[command(subcommand)]
        command: Plugin,
    },
}

#[derive(Debug, Args)]
pub struct Serve {
    /// The configuration file.
    #[arg(short, long, default_value = "portcullis.toml")]
    pub config: PathBuf,
    /// Print one line of JSON on standard output when clients can connect.
    #[arg(long)]
    pub ready_json: bool,
}

#[derive(Debug, Args)]
pub struct Check {
    /// The configuration file.
    #[arg(short, long, default_value = "portcullis.toml")]
    pub config: PathBuf,
}

/// What the demo's policies do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DemoPolicies {
    /// They refuse and mask.
    #[default]
    Enforce,
    /// They only record what they would have done.
    Observe,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// Run the tour by itself and exit.
    #[arg(long, conflicts_with = "json")]
    pub script: bool,
    /// Print one line of JSON when all is up, and run until ended.
    #[arg(long)]
    pub json: bool,
    /// Where the proxy listens; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Where to keep database, configuration and ledger; a temporary directory by default,
    /// removed at the end.
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// What the policies do.
    #[arg(long, value_enum, default_value_t)]
    pub policies: DemoPolicies,
    /// The directory with the shipped plugins, built as components.
    #[arg(long, default_value = "target/plugins")]
    pub plugins: PathBuf,
}

#[derive(Debug, Args)]
pub struct Explain {
    /// The statement, or several.
    pub sql: String,
    /// Judge by the policies of this configuration; without one only the facts are told.
    #[arg(short, long)]
    pub config: Option<PathBuf>,
    /// Judge by the policies in this directory.
    #[arg(long, conflicts_with = "config")]
    pub plugins: Option<PathBuf>,
    /// Who asks: a user of the configuration, or any name.
    #[arg(long, default_value = "somebody")]
    pub user: String,
    /// Groups of whoever asks, where the configuration does not say.
    #[arg(long)]
    pub group: Vec<String>,
    /// Which database is asked.
    #[arg(long, default_value = "database")]
    pub database: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// Say what a component is: worlds, imports, digest, manifest.
    Inspect {
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Build a policy written in Rust into a component.
    Build {
        /// The crate's directory.
        #[arg(default_value = ".")]
        directory: PathBuf,
        /// Where the component goes; beside the crate by default.
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
}
