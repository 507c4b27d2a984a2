//! Who somebody is, is proved or they stay out; and what was proved is what the ledger says.

mod arrival;
mod balancer;
mod bearer;
mod browser;
mod certificates;
mod changes;
mod forgeries;
mod issuers;
mod passwords;
mod roles;
mod rules;
mod tokens;
mod words;

use std::net::SocketAddr;

use end_to_end::waiting::SOON;
use end_to_end::{Account, Database, Portcullis, Provider, Setup, wait_until};
use serde_json::Value;

/// A provider that knows two people.
async fn provider() -> Provider {
    let provider = Provider::start().await;
    provider.put(&Account::new("ana").groups(&["analysts"]).claim("team", "risk")).await;
    provider.put(&Account::new("bo").groups(&["sales"])).await;
    provider
}

/// Nothing decides anything but who may come: with a token of the provider as the password.
fn by_token(database: &Database, provider: &Provider, lines: &str) -> Setup {
    let setup = Setup::new(database).unmatched("allow").tls();
    setup.issuer("corp", provider, lines).login_rule("method = \"token\"\nissuer = \"corp\"")
}

/// What the ledger has of the connection from this address: "login" or "login-refused".
async fn record(portcullis: &Portcullis, kind: &str, address: SocketAddr) -> Value {
    let (ledger, address) = (portcullis.ledger(), address.to_string());
    wait_until(&format!("{kind} of {address} is recorded"), SOON, async || {
        ledger.of_kind(kind).into_iter().find(|record| {
            let login = &record["principal"]["client_address"];
            login == address.as_str() || record["client_address"] == address.as_str()
        })
    })
    .await
}

/// The principal that the ledger has of that connection.
async fn principal(portcullis: &Portcullis, address: SocketAddr) -> Value {
    record(portcullis, "login", address).await["principal"].clone()
}
