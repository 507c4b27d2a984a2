//! Stand-ins until the crates they belong to have them.
#![allow(dead_code)]
use std::net::IpAddr;
use std::time::{Duration, SystemTime, Instant};
use portcullis_identity::{Proven, Users};
use portcullis_policy::{Principal, PrincipalKind};
use portcullis_policy::approval::{Lease, Need, Standing};
use portcullis_policy::event::{Actor, EventId, RelationTouched};

#[derive(Clone)]
pub struct Control;
impl Control {
    pub fn sessions(&self) -> Vec<SessionView> { Vec::new() }
    pub fn end(&self, _: u64, _: &str) -> bool { false }
    pub fn end_where(&self, _: &str, _: &dyn Fn(&SessionView) -> bool) -> usize { 0 }
    pub fn browser_login(&self, _: &str) -> Option<BrowserLogin> { None }
    pub fn metrics(&self) -> MetricsView { MetricsView::default() }
}
pub struct SessionView { pub id: u64, pub subject: String, pub kind: PrincipalKind, pub groups: Vec<String>, pub proof: String, pub on_behalf_of: Option<String>, pub database: String, pub client_address: String, pub application: String, pub since: SystemTime, pub expires_at: Option<SystemTime>, pub statements: u64, pub state: SessionState }
pub enum SessionState { Idle, Running, InTransaction, Waiting { approval: String } }
pub struct BrowserLogin { pub id: String, pub client_address: String, pub database: String, pub startup_user: String, pub user_code: String, pub verification_uri: String, pub until: SystemTime }
#[derive(Default)]
pub struct MetricsView { pub sessions: u64, pub logins: u64, pub logins_refused: u64, pub permitted: u64, pub denied: u64, pub held: u64, pub faults: u64, pub rows: u64, pub cells_masked: Vec<(String, u64)>, pub latency_us: Histogram }
#[derive(Default)]
pub struct Histogram { pub bounds: Vec<u64>, pub counts: Vec<u64>, pub sum: u64 }

#[derive(Clone)]
pub struct Issuers;
#[derive(Debug)]
pub struct TokenError;
impl std::fmt::Display for TokenError { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("x") } }
impl Issuers {
    pub async fn verify(&self, _: &str, _: String) -> Result<Proven, TokenError> { Err(TokenError) }
    pub async fn authorization_url(&self, _: &str, _: &str, _: &str, _: &str, _: &str) -> Result<String, TokenError> { Err(TokenError) }
    pub async fn exchange_code(&self, _: &str, _: String, _: &str, _: String, _: String) -> Result<Proven, TokenError> { Err(TokenError) }
}
#[derive(Clone)]
pub struct Credentials;
pub struct Issued { pub id: String, pub user: String, pub password: String, pub expires_at: SystemTime }
pub struct CredentialView { pub id: String, pub user: String, pub subject: String, pub database: String, pub expires_at: SystemTime }
impl Credentials {
    pub fn issue(&self, _: &Proven, _: &str, _: Duration) -> Result<Issued, String> { Err(String::new()) }
    pub fn revoke(&self, _: &str) -> Result<bool, std::io::Error> { Ok(false) }
    pub fn list(&self) -> Vec<CredentialView> { Vec::new() }
}
#[derive(Clone)]
pub struct Disabled;
impl Disabled {
    pub fn list(&self) -> Vec<String> { Vec::new() }
    pub fn disable(&self, _: &str) -> std::io::Result<()> { Ok(()) }
    pub fn enable(&self, _: &str) -> std::io::Result<bool> { Ok(true) }
}
#[derive(Clone)]
pub struct Throttle;
impl Throttle {
    pub fn delay(&self, _: IpAddr, _: &str, _: Instant) -> Duration { Duration::ZERO }
    pub fn failed(&self, _: IpAddr, _: &str, _: Instant) {}
    pub fn succeeded(&self, _: IpAddr, _: &str) {}
}
pub fn still_holds(_: &Proven, _: &Users, _: &Credentials, _: &Disabled, _: SystemTime) -> Result<(), String> { Ok(()) }

#[derive(Clone)]
pub struct Links;
pub struct LinkError;
#[derive(Clone)]
pub struct Approvals;
pub enum DecideError { Unknown }
