//! Everything end to end, in one program: it links once and starts one PostgreSQL.

mod scenario;
mod administration;
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
mod revocation;
mod view_dependencies;
