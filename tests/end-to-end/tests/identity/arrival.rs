//! A client at the door: what it says, what it is asked, and whether it comes in.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::BytesMut;
use end_to_end::frames::{Message, PROTOCOL_3_0, Session, error_of, startup_packet};
use end_to_end::portcullis::DATABASE;
use end_to_end::{ClientCertificate, Portcullis};
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use postgres_protocol::message::frontend;
use rustls::ClientConfig;

/// What a client has to show when it is asked.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'p> {
    /// A password, by SCRAM.
    Password(&'p str),
    /// A text, as it is.
    Text(&'p [u8]),
    /// A first message of this SASL mechanism, and the answer to the server's.
    Sasl(&'p str, &'p [u8], &'p [u8]),
    /// It hangs up when it has heard what it is asked for.
    Nothing,
}

/// Somebody about to connect.
#[derive(Clone)]
pub struct Arrival {
    server: SocketAddr,
    source: IpAddr,
    header: Vec<u8>,
    tls: Option<Arc<ClientConfig>>,
    parameters: Vec<(String, String)>,
}

/// What came of it.
pub struct Answer {
    pub session: Session,
    pub messages: Vec<Message>,
    /// What it was asked for, in words.
    pub asked: Vec<String>,
}

impl Arrival {
    /// Over TLS where the proxy has it, to the test's database.
    pub fn of(portcullis: &Portcullis, user: &str) -> Arrival {
        let arrival = Arrival {
            server: portcullis.address(),
            source: Ipv4Addr::LOCALHOST.into(),
            header: Vec::new(),
            tls: portcullis.is_tls().then(|| portcullis.certificates().client_config()),
            parameters: Vec::new(),
        };
        arrival.saying("user", user).saying("database", DATABASE)
    }

    /// One more word in the startup packet, or another one in its place.
    pub fn saying(mut self, name: &str, value: &str) -> Arrival {
        self.parameters.retain(|(known, _)| known != name);
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A word that may be there already.
    pub fn saying_too(mut self, name: &str, value: &str) -> Arrival {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn in_plaintext(mut self) -> Arrival {
        self.tls = None;
        self
    }

    pub fn showing(mut self, portcullis: &Portcullis, certificate: &ClientCertificate) -> Arrival {
        self.tls = Some(portcullis.certificates().client_config_with(certificate));
        self
    }

    /// From one of this machine's addresses.
    pub fn from(mut self, source: Ipv4Addr) -> Arrival {
        self.source = source.into();
        self
    }

    /// From an address that nobody has come from: whose logins fail is slowed.
    pub fn newly_come(self) -> Arrival {
        static USED: AtomicU32 = AtomicU32::new(0);
        let number = USED.fetch_add(1, Ordering::Relaxed);
        self.from(Ipv4Addr::from_bits(0x7f10_0001 + number))
    }

    /// With bytes ahead of everything else, as a balancer puts them there.
    pub fn behind(mut self, header: &[u8]) -> Arrival {
        self.header = header.to_vec();
        self
    }

    /// Knocks, and goes on up to ReadyForQuery, an error or the end.
    pub async fn arrive(&self, proof: Proof<'_>) -> Answer {
        let mut answer = self.knock().await;
        let password = if let Proof::Password(password) = proof { password } else { "" };
        let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
        while let Some(message) = answer.session.message().await {
            answer.messages.push(message.clone());
            match message.tag {
                b'R' => {
                    let reply = answer.reply(&message.body, proof, &mut scram);
                    answer.session.send(&reply).await;
                    if matches!(proof, Proof::Nothing) && !answer.asked.is_empty() {
                        break;
                    }
                }
                b'Z' | b'E' => break,
                _ => {}
            }
        }
        answer
    }

    /// Connects and sends the startup packet.
    pub async fn knock(&self) -> Answer {
        let mut session = Session::connect_from(self.source, self.server).await;
        session.send(&self.header).await;
        if let Some(tls) = &self.tls {
            session = session.start_tls(Arc::clone(tls)).await;
        }
        let words: Vec<_> =
            self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        session.send(&startup_packet(PROTOCOL_3_0, &words)).await;
        Answer { session, messages: Vec::new(), asked: Vec::new() }
    }
}

impl Answer {
    /// "in", "out: <SQLSTATE> <message>" with all that is said besides, or "closed".
    pub fn verdict(&self) -> String {
        if self.messages.last().is_some_and(|message| message.tag == b'Z') {
            return "in".to_owned();
        }
        let Some(error) = error_of(&self.messages) else { return "closed".to_owned() };
        let field = |code| error.field(code).unwrap_or_default();
        let besides: String = [b'D', b'H'].map(field).concat();
        let besides = if besides.is_empty() { besides } else { format!(" ({besides})") };
        format!("out: {} {}{besides}", field(b'C'), field(b'M'))
    }

    /// How the ledger knows it.
    pub fn address(&self) -> SocketAddr {
        self.session.local_address()
    }

    fn reply(&mut self, body: &[u8], proof: Proof<'_>, scram: &mut ScramSha256) -> Vec<u8> {
        let mut out = BytesMut::new();
        let (kind, rest) = body.split_first_chunk::<4>().expect("a kind of authentication");
        match (u32::from_be_bytes(*kind), proof) {
            (0, _) => {}
            (3, proof) => {
                self.asked.push("a text".to_owned());
                if let Proof::Text(text) = proof {
                    out.extend_from_slice(&password_message(&[text, b"\0"].concat()));
                }
            }
            (10, proof) => {
                let names = String::from_utf8_lossy(rest).trim_matches('\0').replace('\0', " ");
                self.asked.push(names);
                let (mechanism, first) = match proof {
                    Proof::Sasl(mechanism, first, _) => (mechanism, first),
                    Proof::Password(_) => ("SCRAM-SHA-256", scram.message()),
                    Proof::Text(_) | Proof::Nothing => return Vec::new(),
                };
                frontend::sasl_initial_response(mechanism, first, &mut out).expect("it fits");
            }
            (11, Proof::Sasl(_, _, last)) => {
                self.asked.push(String::from_utf8_lossy(rest).into_owned());
                out.extend_from_slice(&password_message(last));
            }
            (11, _) => {
                self.asked.push(without_nonce(rest));
                scram.update(rest).expect("a good challenge");
                frontend::sasl_response(scram.message(), &mut out).expect("it fits");
            }
            (12, _) => scram.finish(rest).expect("the server knows the password too"),
            (other, _) => panic!("an authentication request we do not expect: {other}"),
        }
        out.to_vec()
    }
}

/// A `p` message, whatever is in it.
fn password_message(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a test's message is short");
    [b"p", &length.to_be_bytes()[..], body].concat()
}

/// What of a SCRAM challenge is the same each time: salt and iterations.
fn without_nonce(challenge: &[u8]) -> String {
    let text = String::from_utf8_lossy(challenge);
    let words = text.split(',').filter(|word| !word.starts_with("r="));
    words.collect::<Vec<_>>().join(",")
}
