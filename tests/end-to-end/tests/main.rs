//! Everything end to end, in one program: it links once and starts one PostgreSQL.

mod scenario;
mod approvals;
mod connection;
mod guardrail;
mod identity;
mod languages;
mod ledger;
mod masking;
mod protocol;
mod provider;
mod reload;
mod view_dependencies;
