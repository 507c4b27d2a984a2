//! Conversations that nobody thought of.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::scripted::Random;

/// Always the same ones: others are for the fuzzer.
#[test]
fn a_client_hears_the_same_with_a_session_as_without() {
    stage(|stage| {
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(Config::with_cases(2_000), rng);
        let rig = std::cell::RefCell::new(&mut stage.rig);
        let numbers = proptest::collection::vec(any::<u8>(), 1..40);
        let checked = runner.run(&numbers, |numbers| {
            let random = Random::new(&numbers);
            random
                .check(&mut rig.borrow_mut())
                .map_err(|why| TestCaseError::fail(format!("{why}\n{}", random.shown())))
        });
        checked.unwrap_or_else(|failure| panic!("{failure}"));
        stage.endings();
    });
}
