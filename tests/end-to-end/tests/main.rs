//! Everything end to end, in one program: it links once and starts one PostgreSQL.

mod scenario;
<<<<<<< HEAD
mod approvals;
=======
mod administration;
>>>>>>> e2e-t3
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
