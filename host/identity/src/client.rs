//! The client's side of SCRAM: the proxy logs in at an upstream.

use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::binding::ChannelBinding;
use crate::hash::{hmac_sha256, sha256, xor};
use crate::message::{
    BindingFlag, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ServerFinal, ServerFirst, encode, new_nonce,
};
use crate::upstream::{Derived, ITERATIONS_ACCEPTED, LoginError, UpstreamKeys};

/// One login at one upstream. After an error it is over.
pub struct ScramClient {
    keys: Arc<UpstreamKeys>,
    mechanism: &'static str,
    flag: BindingFlag,
    /// Base64 of the header and the hash the login is bound to.
    binding: String,
    nonce: String,
    first_bare: String,
    state: State,
}

enum State {
    Begun,
    Proven { keys: Derived, signature: [u8; 32] },
    Over,
}

impl ScramClient {
    /// Begins a login with an upstream that offers `mechanisms`: bound to the channel if
    /// both sides can.
    pub fn begin<'m>(
        mechanisms: impl IntoIterator<Item = &'m str>,
        binding: &ChannelBinding,
        keys: Arc<UpstreamKeys>,
    ) -> Result<ScramClient, LoginError> {
        let nonce = new_nonce().ok_or(LoginError::Unavailable)?;
        // The name is left empty: the server goes by the startup packet.
        ScramClient::begin_with(mechanisms, binding, keys, "", nonce)
    }

    /// Begins a login before the upstream has said what it offers, as the last login there did
    /// that succeeded. `None` where there was none, or where the upstream
    /// [waits to be asked](UpstreamKeys::wait_to_be_asked).
    pub fn begin_ahead(binding: &ChannelBinding, keys: &Arc<UpstreamKeys>) -> Option<ScramClient> {
        let mechanism = keys.mechanism()?;
        ScramClient::begin([mechanism], binding, keys.clone()).ok()
    }

    pub(crate) fn begin_with<'m>(
        mechanisms: impl IntoIterator<Item = &'m str>,
        binding: &ChannelBinding,
        keys: Arc<UpstreamKeys>,
        name: &str,
        nonce: String,
    ) -> Result<ScramClient, LoginError> {
        let (can_bind, hash) = match binding {
            ChannelBinding::TlsServerEndPoint(hash) => (true, hash.as_slice()),
            ChannelBinding::Unavailable => (false, [].as_slice()),
        };
        let (mechanism, flag) = choose(mechanisms, can_bind).ok_or(LoginError::NoMechanism)?;
        let hash = if flag == BindingFlag::TlsServerEndPoint { hash } else { &[] };
        Ok(ScramClient {
            keys,
            mechanism,
            flag,
            binding: encode(&[flag.header().as_bytes(), hash].concat()),
            first_bare: ["n=", name, ",r=", &nonce].concat(),
            nonce,
            state: State::Begun,
        })
    }

    /// True where the login would have begun just so with an upstream that offers `mechanisms`.
    pub fn suits<'m>(&self, mechanisms: impl IntoIterator<Item = &'m str>) -> bool {
        let can_bind = self.flag != BindingFlag::Unable;
        choose(mechanisms, can_bind) == Some((self.mechanism, self.flag))
    }

    /// The mechanism chosen, for SASLInitialResponse.
    pub fn mechanism(&self) -> &'static str {
        self.mechanism
    }

    /// The client's first message.
    pub fn first(&self) -> Vec<u8> {
        [self.flag.header(), &self.first_bare].concat().into_bytes()
    }

    /// True when answering `server_first` takes milliseconds of computing, which belongs on
    /// another thread than the one that serves sessions.
    pub fn is_costly(&self, server_first: &[u8]) -> bool {
        let message = ServerFirst::parse(server_first);
        message.is_ok_and(|message| {
            ITERATIONS_ACCEPTED.contains(&message.iterations)
                && self.keys.cached(&message.salt, message.iterations).is_none()
        })
    }

    /// Answers the server's first message with our proof.
    pub fn respond(&mut self, server_first: &[u8]) -> Result<Vec<u8>, LoginError> {
        if !matches!(std::mem::replace(&mut self.state, State::Over), State::Begun) {
            return Err(LoginError::Malformed);
        }
        let message = ServerFirst::parse(server_first)?;
        let continues = message.nonce.strip_prefix(self.nonce.as_str());
        if continues.is_none_or(str::is_empty) {
            return Err(LoginError::Nonce);
        }
        if !ITERATIONS_ACCEPTED.contains(&message.iterations) {
            return Err(LoginError::Iterations(message.iterations));
        }
        let keys = self.keys.derive(&message.salt, message.iterations);
        let without_proof = ["c=", &self.binding, ",r=", message.nonce].concat();
        let signed = [&*self.first_bare, ",", message.text, ",", &without_proof].map(str::as_bytes);
        let client_signature = hmac_sha256(&sha256(&keys.client_key), &signed);
        let signature = hmac_sha256(&keys.server_key, &signed);
        let proof = encode(&xor(&keys.client_key, &client_signature));
        self.state = State::Proven { keys, signature };
        Ok([&*without_proof, ",p=", &proof].concat().into_bytes())
    }

    /// Checks that the server knows the password too. Only then is the login good.
    pub fn verify(&mut self, server_final: &[u8]) -> Result<(), LoginError> {
        let state = std::mem::replace(&mut self.state, State::Over);
        let State::Proven { keys, signature } = state else { return Err(LoginError::Malformed) };
        match ServerFinal::parse(server_final)? {
            ServerFinal::Signature(theirs) if bool::from(theirs.ct_eq(&signature)) => {
                self.keys.keep(keys, self.mechanism);
                Ok(())
            }
            ServerFinal::Signature(_) => Err(LoginError::Signature),
            ServerFinal::Refused => Err(LoginError::Refused),
        }
    }
}

/// Bound to the channel if both sides can; `None` where the upstream offers nothing known.
fn choose<'m>(
    mechanisms: impl IntoIterator<Item = &'m str>,
    can_bind: bool,
) -> Option<(&'static str, BindingFlag)> {
    let (mut plain, mut plus) = (false, false);
    for mechanism in mechanisms {
        plain |= mechanism == SCRAM_SHA_256;
        plus |= mechanism == SCRAM_SHA_256_PLUS;
    }
    match can_bind {
        true if plus => Some((SCRAM_SHA_256_PLUS, BindingFlag::TlsServerEndPoint)),
        true if plain => Some((SCRAM_SHA_256, BindingFlag::NotOffered)),
        false if plain => Some((SCRAM_SHA_256, BindingFlag::Unable)),
        true | false => None,
    }
}
