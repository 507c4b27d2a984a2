//! The server's side of SCRAM: a client proves which user it is.

use std::fmt;
use std::time::SystemTime;

use subtle::{Choice, ConstantTimeEq};

use crate::binding::ChannelBinding;
use crate::hash::{hmac_sha256, sha256, xor};
use crate::message::{
    BindingFlag, ClientFinal, ClientFirst, Malformed, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, encode,
    new_nonce,
};
use crate::users::{Matched, UserMatched, Users};
use crate::verifier::Verifier;

/// Why a client is not let in. It never says which part was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// Wrong password, no such user, or not the channel it was bound to. SQLSTATE 28P01.
    Refused,
    /// Not SCRAM as it is spoken. SQLSTATE 08P01.
    Malformed,
    /// The system has no random numbers. SQLSTATE XX000.
    Unavailable,
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AuthError::Refused => "password authentication failed",
            AuthError::Malformed => "malformed SCRAM message",
            AuthError::Unavailable => "authentication is not available",
        })
    }
}

impl std::error::Error for AuthError {}

impl From<Malformed> for AuthError {
    fn from(_: Malformed) -> AuthError {
        AuthError::Malformed
    }
}

/// One exchange with one client. After an error it is over.
pub struct ScramServer {
    verifier: Verifier,
    /// `None` for a name that nobody has: the exchange runs to its end all the same.
    user: Option<Matched>,
    binding: ChannelBinding,
    state: State,
}

enum State {
    Begun,
    Challenged {
        /// What `c=` must decode to.
        binding: Vec<u8>,
        nonce: String,
        /// Both first messages and the comma behind: what is signed, up to the final one.
        signed: String,
    },
    Over,
}

impl ScramServer {
    /// Begins an exchange with a client that named `startup_user` in its startup packet.
    pub fn begin(users: &Users, startup_user: &str, binding: ChannelBinding) -> ScramServer {
        ScramServer::begin_at(users, startup_user, binding, SystemTime::now())
    }

    /// The mechanisms to offer, best first.
    pub fn mechanisms(&self) -> &'static [&'static str] {
        match self.binding {
            ChannelBinding::Unavailable => &[SCRAM_SHA_256],
            ChannelBinding::TlsServerEndPoint(_) => &[SCRAM_SHA_256_PLUS, SCRAM_SHA_256],
        }
    }

    /// Answers the client's first message; the result goes out as AuthenticationSASLContinue.
    pub fn first(&mut self, mechanism: &str, client_first: &[u8]) -> Result<Vec<u8>, AuthError> {
        let nonce = new_nonce().ok_or(AuthError::Unavailable)?;
        self.first_with(mechanism, client_first, &nonce)
    }

    /// Checks the client's proof; the bytes go out as AuthenticationSASLFinal.
    pub fn finish(&mut self, client_final: &[u8]) -> Result<(Vec<u8>, UserMatched), AuthError> {
        let state = std::mem::replace(&mut self.state, State::Over);
        let State::Challenged { binding, nonce, signed } = state else {
            return Err(AuthError::Malformed);
        };
        let message = ClientFinal::parse(client_final)?;
        if message.nonce != nonce {
            return Err(AuthError::Malformed);
        }
        let signed = [signed.as_bytes(), message.without_proof.as_bytes()];
        let client_signature = hmac_sha256(&self.verifier.stored_key, &signed);
        let client_key = xor(&message.proof, &client_signature);
        let proven = sha256(&client_key).ct_eq(&self.verifier.stored_key)
            & message.binding.ct_eq(&binding)
            & Choice::from(u8::from(self.user.is_some()));
        let server_signature = hmac_sha256(&self.verifier.server_key, &signed);
        match &self.user {
            Some(user) if bool::from(proven) => {
                let answer = ["v=", &encode(&server_signature)].concat();
                let matched = UserMatched::new(user.proven(&self.verifier));
                Ok((answer.into_bytes(), matched))
            }
            Some(_) | None => Err(AuthError::Refused),
        }
    }

    pub(crate) fn begin_at(
        users: &Users,
        startup_user: &str,
        binding: ChannelBinding,
        now: SystemTime,
    ) -> ScramServer {
        let (verifier, user) = users.asked(startup_user, now);
        ScramServer { verifier, user, binding, state: State::Begun }
    }

    pub(crate) fn first_with(
        &mut self,
        mechanism: &str,
        client_first: &[u8],
        nonce: &str,
    ) -> Result<Vec<u8>, AuthError> {
        if !matches!(std::mem::replace(&mut self.state, State::Over), State::Begun) {
            return Err(AuthError::Malformed);
        }
        if !self.mechanisms().contains(&mechanism) {
            return Err(AuthError::Malformed);
        }
        let message = ClientFirst::parse(client_first)?;
        let binding = self.expected_binding(mechanism, message.flag)?;
        let nonce = [message.nonce, nonce].concat();
        let (salt, iterations) = (encode(&self.verifier.salt), self.verifier.iterations);
        let answer = ["r=", &nonce, ",s=", &salt, ",i=", &iterations.to_string()].concat();
        let signed = [message.bare, ",", &answer, ","].concat();
        self.state = State::Challenged { binding, nonce, signed };
        Ok(answer.into_bytes())
    }

    /// What the client must send as `c=`: its header again, and the hash it is bound to.
    fn expected_binding(&self, mechanism: &str, flag: BindingFlag) -> Result<Vec<u8>, AuthError> {
        let mut expected = flag.header().as_bytes().to_vec();
        let bound = mechanism == SCRAM_SHA_256_PLUS;
        match (flag, &self.binding) {
            (BindingFlag::TlsServerEndPoint, ChannelBinding::TlsServerEndPoint(hash)) if bound => {
                expected.extend_from_slice(hash);
                Ok(expected)
            }
            (BindingFlag::Unable, _) | (BindingFlag::NotOffered, ChannelBinding::Unavailable)
                if !bound =>
            {
                Ok(expected)
            }
            // We offered binding and the client did not see it: somebody took it out.
            (BindingFlag::NotOffered, ChannelBinding::TlsServerEndPoint(_)) if !bound => {
                Err(AuthError::Refused)
            }
            (
                BindingFlag::TlsServerEndPoint | BindingFlag::Unable | BindingFlag::NotOffered,
                ChannelBinding::Unavailable | ChannelBinding::TlsServerEndPoint(_),
            ) => Err(AuthError::Malformed),
        }
    }
}
