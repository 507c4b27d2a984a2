//! What an issuer says of itself (OpenID Connect Discovery, RFC 8414).

use serde_json::{Map, Value};

use crate::issuer_config::{IssuerConfig, may_go_to};
use crate::strict_json;

const URL_BYTES_MAX: usize = 2048;

/// Where an issuer is asked what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub jwks_uri: String,
    pub authorization_endpoint: Option<String>,
    pub token_endpoint: Option<String>,
    pub device_authorization_endpoint: Option<String>,
    pub userinfo_endpoint: Option<String>,
    /// Our secret goes into the form instead of the header.
    pub secret_in_form: bool,
    /// Challenges with SHA-256 (RFC 7636) are understood, or nothing is said of them.
    pub understands_pkce: bool,
}

impl Metadata {
    /// Reads the document that the issuer of `config` publishes; the error is for the log.
    pub(crate) fn parse(config: &IssuerConfig, document: &[u8]) -> Result<Metadata, String> {
        let document = strict_json::object(document)
            .map_err(|_| "its metadata is not a JSON object".to_owned())?;
        // Another issuer's metadata would have us believe another issuer's keys.
        if document.get("issuer").and_then(Value::as_str) != Some(config.url.as_str()) {
            return Err("its metadata is that of another issuer".to_owned());
        }
        let endpoint = |name| endpoint(config, &document, name);
        Ok(Metadata {
            jwks_uri: endpoint("jwks_uri")?.ok_or("its metadata has no jwks_uri")?,
            authorization_endpoint: endpoint("authorization_endpoint")?,
            token_endpoint: endpoint("token_endpoint")?,
            device_authorization_endpoint: endpoint("device_authorization_endpoint")?,
            userinfo_endpoint: endpoint("userinfo_endpoint")?,
            secret_in_form: lists(&document, "token_endpoint_auth_methods_supported").is_some_and(
                |methods| {
                    !methods.contains(&"client_secret_basic")
                        && methods.contains(&"client_secret_post")
                },
            ),
            understands_pkce: lists(&document, "code_challenge_methods_supported")
                .is_none_or(|methods| methods.contains(&"S256")),
        })
    }
}

fn endpoint(
    config: &IssuerConfig,
    document: &Map<String, Value>,
    name: &str,
) -> Result<Option<String>, String> {
    match document.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(url)) if url.len() <= URL_BYTES_MAX && may_go_to(config, url) => {
            Ok(Some(url.clone()))
        }
        Some(_) => Err(format!("its {name} is not an address that may be asked")),
    }
}

fn lists<'d>(document: &'d Map<String, Value>, name: &str) -> Option<Vec<&'d str>> {
    let list = document.get(name)?.as_array()?;
    Some(list.iter().filter_map(Value::as_str).collect())
}
