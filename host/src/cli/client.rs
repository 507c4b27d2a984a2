//! The commands that ask a running proxy, through its admin API.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Where the admin API is, and who asks.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Admin API")]
pub struct Access {
    /// Where the API is; by default PORTCULLIS_ADMIN, or http://127.0.0.1:6480.
    #[arg(long, global = true, value_name = "URL")]
    pub admin: Option<String>,
    /// Ask as this user; the password is PORTCULLIS_PASSWORD, or is asked for.
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
    /// A file with the user's password.
    #[arg(long, global = true, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// A file with a token of the API's issuer, in place of PORTCULLIS_TOKEN or of what `login`
    /// keeps.
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificates (PEM) to trust in place of the system's.
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Print JSON, as the API answers.
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Client {
    /// See and decide what waits to be released.
    #[command(after_help = EXIT_CODES)]
    Approval {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: Approval,
    },
    /// See and end sessions.
    #[command(after_help = EXIT_CODES)]
    Session {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: Session,
    },
    /// Shut somebody out, or let them in again.
    #[command(after_help = EXIT_CODES)]
    Principal {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: Principal,
    },
    /// Passwords that live for minutes.
    #[command(after_help = EXIT_CODES)]
    Credential {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: Credential,
    },
    /// Log in with a browser, for the other commands or for psql.
    ///
    /// Prints an address and a code; confirm there. The token is kept in a file that only you
    /// can read, for this API alone, and the other commands use it until it expires. With
    /// --database, a password for that database is issued at once, and the psql line with it
    /// is printed.
    #[command(after_help = LOGIN_EXAMPLES)]
    Login(Login),
    /// Forget the login that is kept.
    Logout {
        #[command(flatten)]
        access: Access,
    },
    /// Read configuration and policies again.
    Reload {
        #[command(flatten)]
        access: Access,
    },
    /// Is it ready, and what policies are in force?
    Status {
        #[command(flatten)]
        access: Access,
    },
    /// Who am I for the API, and what may I do?
    Whoami {
        #[command(flatten)]
        access: Access,
    },
    /// Print the metrics, in Prometheus' text format.
    Metrics {
        #[command(flatten)]
        access: Access,
    },
}

#[derive(Debug, Subcommand)]
pub enum Approval {
    /// What waits for a decision.
    List {
        /// Those that ended, too.
        #[arg(long)]
        all: bool,
    },
    /// All that is known of one: who, the statement, what it touches, what came before.
    Show { id: String },
    /// Release it: exactly this statement, once, in its session.
    Grant {
        id: String,
        /// For the record, and for whoever asked.
        #[arg(long)]
        comment: Option<String>,
        /// Also allow statements of the same shape by the same principal for so long, if the
        /// policy does.
        #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..=10_080))]
        lease_minutes: Option<u32>,
    },
    /// End it: the statement will not run.
    Refuse {
        id: String,
        /// For the record, and for whoever asked.
        #[arg(long)]
        comment: Option<String>,
    },
    /// What is allowed for a while.
    Leases,
    /// Take a lease back.
    Revoke {
        #[arg(value_name = "LEASE")]
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Session {
    /// Who is connected.
    List,
    /// End one; what it runs is cancelled.
    End {
        id: u64,
        /// What the client is told, and the ledger.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Principal {
    /// Shut somebody out: their sessions end, and they cannot log in.
    Disable {
        subject: String,
        /// For the ledger.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let somebody in again.
    Enable { subject: String },
    /// Who is shut out.
    List,
}

#[derive(Debug, Subcommand)]
pub enum Credential {
    /// Issue one for yourself. Its password is shown this once.
    Issue {
        /// The one database it is for.
        #[arg(long)]
        database: String,
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
        minutes: u32,
    },
    /// Those that live: your own, or for administrators everybody's.
    List,
    /// End one, and the sessions that rest on it.
    Revoke { id: String },
}

#[derive(Debug, Args)]
pub struct Login {
    #[command(flatten)]
    pub access: Access,
    /// The provider; by default the one that the API names.
    #[arg(long, value_name = "URL", requires = "client_id")]
    pub issuer_url: Option<String>,
    /// What the provider knows this command as.
    #[arg(long, value_name = "ID", requires = "issuer_url")]
    pub client_id: Option<String>,
    /// What to ask the provider for; may be repeated.
    #[arg(long, default_value = "openid")]
    pub scope: Vec<String>,
    /// Issue a password for this database.
    #[arg(long)]
    pub database: Option<String>,
    /// How long that password lives.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub minutes: u32,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 not logged in, 4 not allowed,
5 no such thing or it is over, 6 the API does not answer.";

const LOGIN_EXAMPLES: &str = "\
Examples:
  portcullis login                                 for the commands below
  portcullis approval list
  portcullis login --database shop --minutes 60    for psql
  portcullis login --issuer-url https://id.example.com --client-id portcullis-cli";
