//! An OpenID provider on loopback, as bad as a test wants it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::signer::Signer;

/// A provider that answers as long as it is not dropped with its runtime.
#[derive(Clone)]
pub(super) struct Provider {
    pub url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    /// Path to status and body.
    answers: HashMap<String, (u16, String)>,
    /// Answers that are given once each, before the lasting one.
    queued: HashMap<String, Vec<(u16, Value)>>,
    /// Path, header and body of every request.
    requests: Vec<(String, String, String)>,
    down: bool,
}

impl Provider {
    /// A provider over plain HTTP with these keys.
    pub(super) async fn start(signers: &[&Signer]) -> Provider {
        Provider::start_with(signers, None).await
    }

    pub(super) async fn start_with(signers: &[&Signer], tls: Option<TlsAcceptor>) -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let state = State {
            answers: HashMap::new(),
            queued: HashMap::new(),
            requests: Vec::new(),
            down: false,
        };
        let provider = Provider {
            url: format!("{scheme}://localhost:{}", address.port()),
            state: Arc::new(Mutex::new(state)),
        };
        provider.publish(signers);
        provider.set("/.well-known/openid-configuration", provider.metadata());
        let serving = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (serving, tls) = (serving.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serving.answer(stream).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serving.answer(stream).await;
                            }
                        }
                    }
                });
            }
        });
        provider
    }

    pub(super) fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.url);
        json!({
            "issuer": self.url,
            "jwks_uri": at("/jwks"),
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "device_authorization_endpoint": at("/device"),
            "userinfo_endpoint": at("/userinfo"),
            "code_challenge_methods_supported": ["S256"],
        })
    }

    /// From now on these are the provider's keys.
    pub(super) fn publish(&self, signers: &[&Signer]) {
        let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
        self.set("/jwks", json!({ "keys": keys }));
    }

    /// From now on `path` answers so.
    pub(super) fn set(&self, path: &str, body: Value) {
        self.set_raw(path, 200, body.to_string());
    }

    pub(super) fn set_raw(&self, path: &str, status: u16, body: String) {
        self.state.lock().unwrap().answers.insert(path.to_owned(), (status, body));
    }

    /// The next answers of `path`, once each.
    pub(super) fn queue(&self, path: &str, answers: &[(u16, Value)]) {
        self.state.lock().unwrap().queued.insert(path.to_owned(), answers.to_vec());
    }

    pub(super) fn go_down(&self, down: bool) {
        self.state.lock().unwrap().down = down;
    }

    /// How often `path` was asked for.
    pub(super) fn asked(&self, path: &str) -> usize {
        let state = self.state.lock().unwrap();
        state.requests.iter().filter(|(asked, _, _)| asked == path).count()
    }

    /// Header and body of the last request for `path`.
    pub(super) fn last(&self, path: &str) -> (String, String) {
        let state = self.state.lock().unwrap();
        let found = state.requests.iter().rev().find(|(asked, _, _)| asked == path);
        found.map(|(_, head, body)| (head.clone(), body.clone())).unwrap()
    }

    /// Claims of a token that is good in every way.
    pub(super) fn claims(&self) -> Value {
        json!({
            "iss": self.url, "aud": "portcullis", "sub": "ana", "exp": now() + 600,
            "iat": now(), "nbf": now(), "groups": ["analysts"],
        })
    }

    async fn answer(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        if self.state.lock().unwrap().down {
            return;
        }
        let Some((path, head, body)) = request(&mut stream).await else {
            return;
        };
        let (status, body) = {
            let mut state = self.state.lock().unwrap();
            state.requests.push((path.clone(), head, body));
            let queued = state.queued.get_mut(&path).filter(|queue| !queue.is_empty());
            match queued.map(|queue| queue.remove(0)) {
                Some((status, body)) => (status, body.to_string()),
                None => state.answers.get(&path).cloned().unwrap_or((404, String::new())),
            }
        };
        let moved = if status == 302 { "location: /jwks\r\n" } else { "" };
        let answer = format!(
            "HTTP/1.1 {status} X\r\n{moved}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}

async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, String, String)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                let path = text.split(' ').nth(1)?.to_owned();
                return Some((path, text.split("\r\n\r\n").next()?.to_owned(), body.to_owned()));
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
