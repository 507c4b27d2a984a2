//! Bytes that mean nothing, and nearly something: every parser answers and none panics.

use proptest::prelude::*;

use super::{keys, users};
use crate::message::{ClientFinal, ClientFirst, ServerFinal, ServerFirst};
use crate::{ChannelBinding, ScramClient, ScramServer, Verifier, tls_server_end_point};

proptest! {
    #[test]
    fn parsers_answer_whatever_comes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = ClientFirst::parse(&bytes);
        let _ = ClientFinal::parse(&bytes);
        let _ = ServerFirst::parse(&bytes);
        let _ = ServerFinal::parse(&bytes);
        let _ = tls_server_end_point(&bytes);
        let _ = String::from_utf8_lossy(&bytes).parse::<Verifier>();
    }

    #[test]
    fn parsers_answer_what_is_nearly_right(text in "([nyp=,a-z-]{0,8},,)?([a-z]=[A-Za-z0-9+/=]{0,9},?){0,5}") {
        let bytes = text.as_bytes();
        let _ = ClientFirst::parse(bytes);
        let _ = ClientFinal::parse(bytes);
        let _ = ServerFirst::parse(bytes);
        let _ = ServerFinal::parse(bytes);
        let _ = format!("SCRAM-SHA-256${text}").parse::<Verifier>();
    }

    #[test]
    fn der_with_lying_lengths_is_refused(mut bytes in proptest::collection::vec(any::<u8>(), 4..64)) {
        bytes[0] = 0x30;
        let _ = tls_server_end_point(&bytes);
    }

    #[test]
    fn nobody_guesses_a_proof(proof in proptest::collection::vec(any::<u8>(), 32)) {
        thread_local!(static USERS: crate::Users = users());
        let mut server = USERS.with(|users| ScramServer::begin(users, "user", ChannelBinding::Unavailable));
        let unbound = ChannelBinding::Unavailable;
        let client = ScramClient::begin(["SCRAM-SHA-256"], &unbound, keys("")).unwrap();
        let challenge = server.first("SCRAM-SHA-256", &client.first()).unwrap();
        let challenge = String::from_utf8(challenge).unwrap();
        let nonce = challenge.split(',').next().unwrap();
        let proof = crate::message::encode(&proof);
        let guess = format!("c=biws,{nonce},p={proof}");
        prop_assert!(server.finish(guess.as_bytes()).is_err());
    }
}
