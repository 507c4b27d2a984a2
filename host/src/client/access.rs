//! Where the admin API is, and as whom it is asked.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;

use super::failure::{Failure, Kind};
use super::kept;
use crate::cli::Access;
use crate::config::is_loopback;

const ADMIN_DEFAULT: &str = "http://127.0.0.1:6480";

/// Who asks.
#[derive(Clone)]
pub enum Login {
    Nobody,
    Password {
        user: String,
        password: String,
    },
    /// Named by the user, or kept by `portcullis login`.
    Token {
        token: String,
        is_kept: bool,
    },
}

/// What the command line and the environment say.
pub struct Surroundings<'s> {
    pub environment: &'s dyn Fn(&str) -> Option<String>,
    /// Asks a person for a password.
    pub prompt: &'s dyn Fn(&str) -> std::io::Result<String>,
    pub pause: &'s dyn Fn(Duration),
}

/// The surroundings of this process.
pub const PROCESS: Surroundings<'static> = Surroundings {
    environment: &|name| std::env::var(name).ok().filter(|value| !value.is_empty()),
    prompt: &|user| {
        if !std::io::stdin().is_terminal() {
            return Err(std::io::Error::other("there is no terminal to ask for it"));
        }
        rpassword::prompt_password(format!("Password of {user}: "))
    },
    pause: &std::thread::sleep,
};

/// Where the API is.
pub fn address(access: &Access, around: &Surroundings<'_>) -> Result<Url, Failure> {
    let (text, origin) = match &access.admin {
        Some(text) => (text.clone(), "--admin"),
        None => match (around.environment)("PORTCULLIS_ADMIN") {
            Some(text) => (text, "PORTCULLIS_ADMIN"),
            None => (ADMIN_DEFAULT.to_owned(), "the default"),
        },
    };
    let wrong = |why: &str| {
        Err(Failure::failed(format!("{origin} is not where an API can be: {why}"))
            .hint("write it as https://host:port"))
    };
    let Ok(url) = text.parse::<Url>() else { return wrong("it is no URL") };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return wrong("it is neither https:// nor http://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("a password does not belong into a URL, use --user");
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return wrong("it has more than scheme, host and port");
    }
    Ok(url)
}

/// As whom to ask. Where saying so would give the login away, nothing is asked for or read.
pub fn login(access: &Access, api: &Url, around: &Surroundings<'_>) -> Result<Login, Failure> {
    let names_somebody = access.user.is_some() || access.token_file.is_some();
    if names_somebody {
        check_way(api)?;
    }
    let login = chosen(access, api, around)?;
    match &login {
        Login::Nobody => {}
        Login::Password { .. } | Login::Token { .. } => check_way(api)?,
    }
    Ok(login)
}

/// Nothing that proves who somebody is leaves this machine in plaintext.
pub fn check_way(api: &Url) -> Result<(), Failure> {
    if api.scheme() == "https" || is_loopback(api) {
        return Ok(());
    }
    let message = format!("{api} is plaintext, and others on the way could read the login");
    Err(Failure::failed(message).hint("use https://, or a tunnel to 127.0.0.1"))
}

fn chosen(access: &Access, api: &Url, around: &Surroundings<'_>) -> Result<Login, Failure> {
    let user = access.user.clone().or_else(|| (around.environment)("PORTCULLIS_USER"));
    match (&access.token_file, user, &access.password_file) {
        (Some(_), _, Some(_)) => {
            Err(Failure::failed("--token-file and --password-file exclude each other"))
        }
        (Some(_), Some(_), _) if access.user.is_some() => {
            Err(Failure::failed("--token-file and --user exclude each other"))
        }
        (Some(file), _, None) => Ok(Login::Token { token: kept::secret(file)?, is_kept: false }),
        (None, None, Some(_)) => {
            Err(Failure::failed("--password-file needs --user").hint("whose password is it?"))
        }
        (None, Some(user), file) => {
            let password = password(&user, file.as_deref(), around)?;
            Ok(Login::Password { user, password })
        }
        (None, None, None) => Ok(remembered(api, around)),
    }
}

fn password(user: &str, file: Option<&Path>, around: &Surroundings<'_>) -> Result<String, Failure> {
    // The header that carries both is cut at its first colon.
    if user.contains(':') || user.chars().any(char::is_control) {
        return Err(Failure::failed("a user's name has no colon here"));
    }
    if let Some(file) = file {
        return kept::secret(file);
    }
    if let Some(password) = (around.environment)("PORTCULLIS_PASSWORD") {
        return Ok(password);
    }
    (around.prompt)(user).map_err(|error| {
        Failure::new(Kind::LoginNeeded, format!("no password for {user}: {error}"))
            .hint("set PORTCULLIS_PASSWORD, or name a file with --password-file")
    })
}

fn remembered(api: &Url, around: &Surroundings<'_>) -> Login {
    if let Some(token) = (around.environment)("PORTCULLIS_TOKEN") {
        return Login::Token { token, is_kept: false };
    }
    let directory: Option<PathBuf> = kept::directory(around.environment).ok();
    match directory.and_then(|directory| kept::load(&directory, api)) {
        Some(token) => Login::Token { token, is_kept: true },
        None => Login::Nobody,
    }
}
