//! The command line. What stands in these comments is what `--help` says.

mod client;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use client::{Access, Approval, Client, Credential, Login, Principal, Session};

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
  portcullis plugin inspect plugins.d/pii_mask.wasm
  portcullis approval list                      what waits until somebody releases it";

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
    /// Reads the configuration and the files it names, compiles and configures every policy,
    /// and reports every error with its file and line. Warns of users whose statements would
    /// be refused because no policy applies to them. Exits with 1 when there is an error.
    Check(Check),
    /// Show it working on a database of its own.
    ///
    /// Starts a throw-away PostgreSQL with made-up customers and the proxy with the shipped
    /// policies in front of it, and prints who may do what and the psql lines to try.
    Demo(Demo),
    /// Say what a statement is and what would become of it, without a database.
    ///
    /// The facts are those that policies judge by: actions, relations, functions, where each
    /// column of the result comes from. With policies, each one's verdict and the decision
    /// follow, and what maskers would do with the result. There is no catalog to look names
    /// up in, so they stand as written, views are not followed and * is not expanded. Nothing
    /// is run, and the exit code is 0 also for what would be denied.
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(Explain),
    /// Work with policy plugins.
    Plugin {
        #[command(subcommand)]
        command: Plugin,
    },
    #[command(flatten)]
    Client(Client),
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
    /// The statement, or several; `-` reads them from standard input.
    pub sql: String,
    /// Judge by the policies of this configuration; without one only the facts are told.
    #[arg(short, long)]
    pub config: Option<PathBuf>,
    /// Judge by the policies in this directory.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub plugins: Option<PathBuf>,
    /// Who asks: a user of the configuration, or any name.
    #[arg(long, default_value = "somebody")]
    pub user: String,
    /// A group of whoever asks, beside those of the configuration; may be repeated.
    #[arg(long)]
    pub group: Vec<String>,
    /// What sort of caller asks; by default what the configuration says, or a human.
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,
    /// Which database is asked; by default the configuration's first.
    #[arg(long)]
    pub database: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What sort of caller a principal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Human,
    Service,
    Agent,
}

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  portcullis explain \"with users as (select 1) insert into users select 1\"
  portcullis explain --plugins plugins.d --group analysts \"select email from users\"
  portcullis explain --config portcullis.toml --user ana --database shop --json - < report.sql";

#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// Say what a component is: kinds, imports, digest, manifest.
    ///
    /// An import is a permission: a plugin can do nothing but what is listed. The digest is
    /// the one that log, ledger and `portcullis check` name.
    Inspect {
        /// The component (*.wasm).
        file: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Build a policy written in Rust into a component.
    ///
    /// Compiles the crate for wasm32-unknown-unknown, with the profile `plugin` if its
    /// workspace has one and else `release`, and makes a component of it. Moved into a plugin
    /// directory, it is in force seconds later.
    Build {
        /// The crate's directory.
        #[arg(default_value = ".")]
        directory: PathBuf,
        /// Where the component goes, a file or a directory; the crate's own by default.
        #[arg(short, long, value_name = "OUT")]
        output: Option<PathBuf>,
    },
}
