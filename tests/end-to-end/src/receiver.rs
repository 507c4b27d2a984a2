//! A small HTTP server for sinks and webhooks to post to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Takes every POST and keeps its body.
pub struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// Requests still to be answered 503.
    failures_left: u32,
    posts: Vec<Post>,
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Post {
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Post {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body, where it is one JSON document.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a body of JSON")
    }
}

impl Receiver {
    /// Listens on a free port; the first `failures` requests are answered 503 and forgotten.
    pub async fn start(failures: u32) -> Receiver {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(Mutex::new(State { failures_left: failures, posts: Vec::new() }));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Receiver { address, state, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}/audit", self.address)
    }

    /// Every record received, in the order of arrival, repeats included: bodies are either
    /// lines of JSON or one JSON array.
    pub fn records(&self) -> Vec<Value> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.posts.iter().flat_map(|post| records_of(&post.body)).collect()
    }

    /// Every request taken, in the order of arrival.
    pub fn posts(&self) -> Vec<Post> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).posts.clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn records_of(body: &str) -> Vec<Value> {
    if let Ok(Value::Array(records)) = serde_json::from_str(body) {
        return records;
    }
    let lines = body.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Serves one connection until the client leaves it.
async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut stream = BufReader::new(stream);
    while let Some(post) = request(&mut stream).await {
        let failing = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let failing = state.failures_left > 0;
            state.failures_left = state.failures_left.saturating_sub(1);
            if !failing {
                state.posts.push(post);
            }
            failing
        };
        let status = if failing { "503 Service Unavailable" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Reads one request. Ours always say how long it is.
async fn request(stream: &mut BufReader<TcpStream>) -> Option<Post> {
    let mut length = 0usize;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            let (name, value) = (name.to_lowercase(), value.trim().to_owned());
            if name == "content-length" {
                length = value.parse().ok()?;
            }
            headers.push((name, value));
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Post { headers, body: String::from_utf8(body).ok()? })
}
