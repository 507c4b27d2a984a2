//! A client that says exactly what a test wants said.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    /// Of bytes until the other side closed; status 0 for no answer at all.
    pub fn read(bytes: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// Every value of a header.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers(name).first().copied().unwrap_or_default()
    }

    /// The cookies it sets, as a browser sends them back.
    pub fn cookies(&self) -> Vec<String> {
        let pairs =
            self.headers("set-cookie").into_iter().filter_map(|line| line.split(';').next());
        pairs.filter(|pair| !pair.ends_with('=')).map(str::to_owned).collect()
    }

    /// The mark of the form in a page.
    pub fn mark(&self) -> String {
        let rest = self.body.split("name=\"mark\" value=\"").nth(1).unwrap_or_default();
        rest.split('"').next().unwrap_or_default().to_owned()
    }
}

/// A request under construction.
#[derive(Clone, Debug)]
pub struct Ask {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    host: Option<String>,
    body: String,
    from: Ipv4Addr,
}

/// Each request from an address of its own, so that what one failed at slows no other; this
/// machine has many.
static NEXT: AtomicU8 = AtomicU8::new(2);

impl Ask {
    pub fn new(method: &str, path: &str) -> Ask {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Ask {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            host: None,
            body: String::new(),
            from: Ipv4Addr::new(127, 0, 1, number),
        }
    }

    pub fn get(path: &str) -> Ask {
        Ask::new("GET", path)
    }

    pub fn post(path: &str) -> Ask {
        Ask::new("POST", path)
    }

    pub fn header(mut self, name: &str, value: &str) -> Ask {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn host(mut self, host: &str) -> Ask {
        self.host = Some(host.to_owned());
        self
    }

    pub fn from(mut self, last: u8) -> Ask {
        self.from = Ipv4Addr::new(127, 0, 2, last);
        self
    }

    /// As a user of the stage, whose passwords are all made alike.
    pub fn by(self, name: &str) -> Ask {
        let password = super::stage::password(name);
        self.basic(name, &password)
    }

    pub fn basic(self, name: &str, password: &str) -> Ask {
        let pair = STANDARD.encode(format!("{name}:{password}"));
        self.header("Authorization", &format!("Basic {pair}"))
    }

    pub fn json(mut self, body: &str) -> Ask {
        self.body = body.to_owned();
        self.header("Content-Type", "application/json")
    }

    pub fn form(mut self, fields: &[(&str, &str)]) -> Ask {
        let encode = |text: &str| text.replace('%', "%25").replace('/', "%2F").replace('&', "%26");
        let pairs = fields.iter().map(|(key, value)| format!("{key}={}", encode(value)));
        self.body = pairs.collect::<Vec<_>>().join("&");
        self.header("Content-Type", "application/x-www-form-urlencoded")
    }

    pub fn cookies(self, cookies: &[String]) -> Ask {
        if cookies.is_empty() { self } else { self.header("Cookie", &cookies.join("; ")) }
    }

    pub fn send(self, to: SocketAddr) -> Answer {
        let mut stream = connect(self.from, to);
        let host = self.host.unwrap_or_else(|| to.to_string());
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", self.method, self.path);
        head.push_str("Connection: close\r\n");
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        // Who answers early may close early; the answer is what counts.
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(self.body.as_bytes());
        read(&mut stream)
    }
}

/// Sends raw bytes, and gives what came until the other side closed.
pub fn raw(bytes: &[u8], to: SocketAddr) -> Answer {
    let mut stream = connect(Ipv4Addr::LOCALHOST, to);
    let _ = stream.write_all(bytes);
    read(&mut stream)
}

pub fn read(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    // A reset after the answer is no failure of it.
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..count]);
    }
    Answer::read(&bytes)
}

pub fn connect(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(IpAddr::V4(from), 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}
