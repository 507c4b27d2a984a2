//! `portcullis login`: a person in a terminal, a browser elsewhere, a real provider.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use end_to_end::portcullis::DATABASE;
use end_to_end::provider::CLIENT;
use end_to_end::{Account, Login, Portcullis, Provider, Setup, Terminal, cluster};
use serde_json::{Value, json};

use super::{changes, told};

struct Place {
    portcullis: Portcullis,
    provider: Provider,
}

impl Place {
    async fn start() -> Place {
        let provider = Provider::start().await;
        provider.put(&Account::new("kim").groups(&["staff"])).await;
        let database = cluster().await.database().await;
        let setup = Setup::new(&database).unmatched("allow").roles();
        let setup = setup.issuer("corp", &provider, "scopes = [\"openid\", \"groups\"]");
        let portcullis = setup.admin_line("issuer = \"corp\"").start().await;
        Place { portcullis, provider }
    }

    /// As the API says where people log in.
    fn login(&self, more: &[&str]) -> Terminal {
        self.portcullis.cli_in_terminal(Login::Nobody, &[&["login"], more].concat())
    }

    /// As the command line says.
    fn login_at(&self, more: &[&str]) -> Terminal {
        let issuer = ["--issuer-url", self.provider.issuer(), "--client-id", CLIENT];
        let scopes = ["--scope", "openid", "--scope", "groups"];
        let arguments = [&["login"], &issuer[..], &scopes, more].concat();
        self.portcullis.cli_in_terminal(Login::Nobody, &arguments)
    }

    /// What the command prints when it needs no terminal, and its exit code.
    async fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.portcullis.cli_as(Login::Nobody, arguments).await;
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    fn kept(&self) -> Vec<PathBuf> {
        let directory = self.portcullis.directory().join(".local/state/portcullis");
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }
}

/// The address and the code that the terminal shows.
async fn instructions(terminal: &mut Terminal) -> (String, String) {
    terminal.wait_for("Open ").await;
    let link = terminal.wait_for("\n").await.trim().to_owned();
    terminal.wait_for("and confirm the code ").await;
    let code = terminal.wait_for(",").await.trim_end_matches(',').to_owned();
    assert!(link.contains(&code), "{link}, {code}");
    (link, code)
}

#[tokio::test]
async fn a_login_is_kept_for_the_commands_that_follow() {
    let place = Place::start().await;
    let (code, said) = place.run(&["whoami"]).await;
    assert!(code == Some(3) && said.contains("portcullis login"), "{said}");
    let mut terminal = place.login(&[]);
    let (link, _) = instructions(&mut terminal).await;
    assert!(link.starts_with(place.provider.issuer()), "{link}");
    place.provider.confirm_device_link(&link, "kim").await;
    terminal.wait_for("logged in as kim").await;
    assert_eq!(terminal.exit_code().await, 0);
    let kept = place.kept();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let mode = std::fs::metadata(&kept[0]).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else reads it");

    let (code, said) = place.run(&["whoami", "--json"]).await;
    let who: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(code, Some(0));
    assert_eq!((&who["subject"], &who["roles"]), (&json!("kim"), &json!(["viewer"])));
    assert_eq!(place.run(&["session", "list"]).await.0, Some(0));
    assert_eq!(place.run(&["principal", "list"]).await.0, Some(4));
    assert_eq!(place.run(&["logout"]).await.0, Some(0));
    assert_eq!(place.kept(), Vec::<PathBuf>::new());
    assert_eq!(place.run(&["whoami"]).await.0, Some(3));
}

#[tokio::test]
async fn a_login_can_end_in_a_line_for_psql() {
    let place = Place::start().await;
    let mut terminal = place.login_at(&["--database", DATABASE, "--minutes", "5"]);
    let (link, _) = instructions(&mut terminal).await;
    place.provider.confirm_device_link(&link, "kim").await;
    terminal.wait_for("logged in as kim").await;
    terminal.wait_for("The password is not shown again.").await;
    assert_eq!(terminal.exit_code().await, 0);
    let screen = terminal.screen();
    let line = screen.lines().find(|line| line.trim().starts_with("PGPASSWORD="));
    let line = line.expect("a line to copy").trim();
    assert!(line.contains("port=6432"), "where a proxy listens as usual: {line}");
    // This one listens elsewhere, so that tests can run beside each other.
    let port = format!("port={}", place.portcullis.address().port());
    let line = line.replace("port=6432", &port);
    let mut shell = Terminal::start("/bin/sh", &["-c", &line], &[("PSQL_PAGER", "cat")]);
    shell.wait_for("shop=> ").await;
    shell.type_line("SELECT 6 * 7 AS answer;");
    assert!(shell.wait_for("(1 row)").await.contains(" 42\n"));
    let (_, listed) = place.portcullis.api("GET", "/v1/sessions", None).await;
    let session = &listed["sessions"][0];
    let said = [&session["subject"], &session["proof"], &session["groups"]];
    assert_eq!(said, [&json!("kim"), &json!("credential"), &json!(["staff"])]);
    let records = changes(&place.portcullis, "kim", 1).await;
    assert_eq!(told(&records[0]), ("issue-credential", false));
    shell.end_of_input();
    assert_eq!(shell.exit_code().await, 0);
}

#[tokio::test]
async fn a_login_that_is_refused_keeps_nothing() {
    let place = Place::start().await;
    let mut terminal = place.login(&[]);
    let (_, code) = instructions(&mut terminal).await;
    place.provider.deny_device(&code).await;
    terminal.wait_for("the login was refused there").await;
    assert_eq!(terminal.exit_code().await, 3);
    let mut terminal = place.login(&[]);
    instructions(&mut terminal).await;
    terminal.interrupt();
    terminal.exit_code().await;
    assert_eq!(place.kept(), Vec::<PathBuf>::new());
    let (code, said) = place.run(&["login", "--issuer-url", "http://id.example/"]).await;
    assert_eq!(code, Some(2), "{said}");
    let elsewhere = ["login", "--issuer-url", "http://id.example", "--client-id", "portcullis"];
    let (code, said) = place.run(&elsewhere).await;
    assert!(code == Some(1) && said.contains("https://"), "{said}");
}
