//! `[listen]`: where clients connect.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use toml::de::DeTable;

use super::table::{Placed, Problems, Table};
use super::values::{self, Context, Names, TlsFiles};

const ADDRESS_DEFAULT: &str = "127.0.0.1:6432";
/// What a listener without a name is called.
const NAME_DEFAULT: &str = "default";

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// What login rules call it.
    pub name: String,
    pub address: SocketAddr,
    /// `None`: plaintext only.
    pub tls: Option<TlsFiles>,
    /// By whom clients' certificates are signed; `None`: nobody is asked for one. Never
    /// without `tls`.
    pub client_authority: Option<ClientAuthority>,
    /// Refuse clients that do not use TLS. Never true without `tls`.
    pub tls_required: bool,
    /// Balancers whose word for a client's address counts (PROXY protocol).
    pub proxy_protocol_from: Vec<IpNet>,
}

/// PEM files; both exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuthority {
    pub certificates: PathBuf,
    /// Certificates taken back.
    pub revoked: Option<PathBuf>,
}

/// All listeners; none only when they are wrong.
pub(super) fn listeners(
    root: &mut Table<'_, '_>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Vec<Listen> {
    let empty = DeTable::new();
    let mut tables = root.one_or_more("listen", problems);
    if tables.is_empty() {
        tables.push(Table::new("[listen]", &empty, 0..0));
    }
    let is_alone = tables.len() == 1;
    let mut names = Names::new("a listener");
    let mut listeners: Vec<Listen> = Vec::new();
    for table in tables {
        let Some((listener, address)) = listener(table, is_alone, &mut names, context, problems)
        else {
            continue;
        };
        let takes = |other: &Listen| other.address == listener.address && address.value.port() != 0;
        if listeners.iter().any(takes) {
            let message = format!("another listener has the address {} already", address.value);
            problems.add(&address.span, message);
        }
        listeners.push(listener);
    }
    listeners
}

fn listener(
    mut table: Table<'_, '_>,
    is_alone: bool,
    names: &mut Names,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<(Listen, Placed<SocketAddr>)> {
    let name = match is_alone {
        true => table.string("name", problems),
        false => Some(table.required("name", problems)?),
    };
    if let Some(name) = &name {
        names.enter(name, problems);
    }
    let address = values::address(&mut table, ADDRESS_DEFAULT, problems);
    let tls = table.table("tls", problems);
    let tls_wanted = tls.is_some();
    let (tls, client_authority) = tls.map_or((None, None), |tls| read_tls(tls, context, problems));
    let tls_required = table.boolean("tls_required", problems).unwrap_or(false);
    if tls_required && !tls_wanted {
        problems.add(&table.span, "`tls_required` needs `tls`, or nobody could connect");
    }
    let balancers = values::networks(&mut table, "proxy_protocol_from", problems);
    table.finish(problems);
    let address = address?;
    if !address.value.ip().is_loopback() && !tls_wanted {
        let message = "clients from elsewhere connect in plaintext: set `tls`";
        problems.warn(&address.span, message);
    }
    let listen = Listen {
        name: name.map_or_else(|| NAME_DEFAULT.to_owned(), |name| name.value),
        address: address.value,
        tls,
        client_authority,
        tls_required,
        proxy_protocol_from: trusted(balancers.unwrap_or_default(), problems),
    };
    Some((listen, address))
}

/// Whoever may say where a client is may say anything of where they themselves are.
fn trusted(balancers: Vec<Placed<IpNet>>, problems: &mut Problems) -> Vec<IpNet> {
    for balancer in balancers.iter().filter(|balancer| balancer.value.prefix_len() == 0) {
        problems.warn(&balancer.span, "anybody may claim any address: name your balancers' alone");
    }
    balancers.into_iter().map(|balancer| balancer.value).collect()
}

fn read_tls(
    mut table: Table<'_, '_>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> (Option<TlsFiles>, Option<ClientAuthority>) {
    let files = TlsFiles::read(&mut table, context, problems);
    let authority = table.string("client_ca", problems);
    let revoked = table.string("client_crl", problems);
    if let (None, Some(revoked)) = (&authority, &revoked) {
        problems.add(&revoked.span, "`client_crl` needs `client_ca`: nobody is asked for one");
    }
    table.finish(problems);
    let certificates = authority.and_then(|file| context.file(&file, problems));
    let revoked = revoked.and_then(|file| context.file(&file, problems));
    (files, certificates.map(|certificates| ClientAuthority { certificates, revoked }))
}
