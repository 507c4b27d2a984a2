//! HTTP as the tests' clients speak it: straight there, no proxy of the machine's, no redirect
//! followed unseen, nobody trusted but the tests' authority.

use std::sync::Arc;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};
use rustls::{ClientConfig, RootCertStore};

use crate::certificates::Certificates;

/// A client that trusts this authority, or that speaks plain HTTP alone.
pub fn client(certificates: Option<&Certificates>) -> Client {
    builder(certificates).build().expect("a client without surprises")
}

pub fn builder(certificates: Option<&Certificates>) -> ClientBuilder {
    let config = match certificates {
        Some(certificates) => ClientConfig::clone(&certificates.client_config()),
        None => trusting_nobody(),
    };
    Client::builder()
        .tls_backend_preconfigured(config)
        .redirect(Policy::none())
        .no_proxy()
        // A server may close what is idle in the moment in which it is used again.
        .pool_max_idle_per_host(0)
}

fn trusting_nobody() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring knows them")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}
