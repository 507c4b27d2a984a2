//! The whole of it over real HTTP on loopback, beside a real proxy and real approvals.

mod http;
mod stage;
mod api;
mod privileges;
mod document;
mod approvals;
mod browsers;
mod issuer;
mod bounds;
