//! The tour's step about approvals: an agent's UPDATE waits, and somebody releases it from a
//! second terminal.

use std::process::{Command, Stdio};

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use serde_json::Value;

use super::people::Person;
use super::stage::Stage;

/// What the agent wants.
pub const UPDATE: &str = "UPDATE orders SET status = 'cancelled' WHERE id = 7";

/// A person at a second terminal, with the program's own command line.
pub struct Terminal<'a> {
    stage: &'a Stage,
    person: &'a Person,
}

impl<'a> Terminal<'a> {
    pub fn of(stage: &'a Stage, person: &'a Person) -> Terminal<'a> {
        Terminal { stage, person }
    }

    /// What waits: the approval's id, once there is one.
    pub async fn waiting(&self) -> Result<Option<String>> {
        let listed = self.run(&["approval", "list", "--json"]).await?;
        let listed: Value = serde_json::from_str(&listed).into_diagnostic()?;
        let first = listed.pointer("/approvals/0/id").and_then(Value::as_str);
        Ok(first.map(str::to_owned))
    }

    /// What the command prints, as the person sees it.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        let program = std::env::current_exe().into_diagnostic()?;
        let admin = self.stage.admin_url()?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .args(["--user", self.person.name])
            .env("PORTCULLIS_ADMIN", &admin)
            .env("PORTCULLIS_PASSWORD", &self.person.password)
            .stdin(Stdio::null());
        let ran = tokio::task::spawn_blocking(move || command.output()).await.into_diagnostic()?;
        let ran = ran.into_diagnostic().wrap_err("the program cannot run itself")?;
        if !ran.status.success() {
            let said = String::from_utf8_lossy(&ran.stderr).into_owned();
            return Err(miette!("surprise: portcullis {}: {said}", arguments.join(" ")));
        }
        Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
    }
}
