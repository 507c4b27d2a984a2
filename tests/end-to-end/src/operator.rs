//! What people do with a running proxy: its admin API, its command line, psql.

use std::process::{Output, Stdio};

use reqwest::Method;
use serde_json::Value;

use crate::artefacts;
use crate::client_certificates::ClientCertificate;
use crate::http;
use crate::portcullis::{ADMIN, DATABASE, PASSWORD, Portcullis, User};
use crate::process::tied;
use crate::terminal::Terminal;

/// How somebody proves to the admin API who they are, directly or through the program.
#[derive(Clone, Copy, Debug)]
pub enum Login<'a> {
    Nobody,
    Basic { name: &'a str, password: &'a str },
    Bearer(&'a str),
}

impl From<User> for Login<'static> {
    fn from(user: User) -> Login<'static> {
        Login::Basic { name: user.name, password: PASSWORD }
    }
}

impl Portcullis {
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin())
    }

    /// Asks the admin API as the administrator. The answer is JSON, or text, or null.
    pub async fn api(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.api_as(ADMIN, method, path, body).await
    }

    /// The same as somebody else: a `User`, a token, or nobody.
    pub async fn api_as<'a>(
        &self,
        login: impl Into<Login<'a>>,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = http::client(None).request(method, format!("{}{path}", self.admin_url()));
        request = match login.into() {
            Login::Nobody => request,
            Login::Basic { name, password } => request.basic_auth(name, Some(password)),
            Login::Bearer(token) => request.bearer_auth(token),
        };
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.expect("the admin API answers");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("text");
        let said = match text.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        };
        (status, said)
    }

    /// Runs the program as the administrator does, against this proxy: `["approval", "list"]`.
    pub async fn cli(&self, arguments: &[&str]) -> Output {
        self.cli_as(ADMIN, arguments).await
    }

    /// The same as somebody else. What it keeps of a login it keeps in the proxy's directory.
    pub async fn cli_as<'a>(&self, login: impl Into<Login<'a>>, arguments: &[&str]) -> Output {
        let mut command = tied(&artefacts::program());
        command.args(arguments).envs(self.cli_variables(login.into())).stdin(Stdio::null());
        let run = tokio::task::spawn_blocking(move || command.output());
        run.await.expect("waiting does not panic").expect("the program runs")
    }

    /// The same in a terminal, for what asks or waits.
    pub fn cli_in_terminal<'a>(&self, login: impl Into<Login<'a>>, arguments: &[&str]) -> Terminal {
        let program = artefacts::program();
        let variables = self.cli_variables(login.into());
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Terminal::start(program.to_str().expect("a path of ours"), arguments, &variables)
    }

    /// How the program is told where the API is and who asks.
    fn cli_variables(&self, login: Login<'_>) -> Vec<(&'static str, String)> {
        let home = self.directory().display().to_string();
        let mut variables = vec![
            ("PORTCULLIS_ADMIN", self.admin_url()),
            ("HOME", home.clone()),
            ("XDG_CONFIG_HOME", home),
        ];
        match login {
            Login::Nobody => {}
            Login::Basic { name, password } => variables.extend([
                ("PORTCULLIS_USER", name.to_owned()),
                ("PORTCULLIS_PASSWORD", password.to_owned()),
            ]),
            Login::Bearer(token) => variables.push(("PORTCULLIS_TOKEN", token.to_owned())),
        }
        variables
    }

    /// psql in a terminal, as `user` with the password of all of them.
    pub fn psql(&self, user: User) -> Terminal {
        self.psql_with(&[], &[("PGUSER", user.name), ("PGPASSWORD", PASSWORD)])
    }

    /// psql in a terminal, with what else it is to know. The address and the database are
    /// set, and with TLS the authority too.
    pub fn psql_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Terminal {
        let (port, authority) = (self.address().port().to_string(), self.authority_file());
        let authority = authority.display().to_string();
        let mut all = vec![("PGPORT", port.as_str()), ("PGDATABASE", DATABASE)];
        all.extend(match self.is_tls() {
            true => [("PGHOST", "localhost"), ("PGSSLMODE", "verify-full")],
            false => [("PGHOST", "127.0.0.1"), ("PGSSLMODE", "disable")],
        });
        all.push(("PGSSLROOTCERT", &authority));
        all.extend(variables);
        Terminal::psql(arguments, &all)
    }

    /// Has the authority take back certificates, these and no others, and the proxy learn it.
    pub fn revoke(&self, revoked: &[&ClientCertificate]) {
        let list = self.certificates().revocations(revoked);
        let aside = self.directory().join("clients.crl.new");
        std::fs::write(&aside, list).expect("the directory takes files");
        std::fs::rename(&aside, self.directory().join("clients.crl")).expect("one file system");
        self.signal("HUP");
    }
}
