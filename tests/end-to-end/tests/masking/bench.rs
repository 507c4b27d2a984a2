//! A database, the proxy before it, and what must not come through.

use end_to_end::frames::{Batch, Message, Session, error_of, first_column, sequence, sqlstate_of};
use end_to_end::leaks::Needles;
use end_to_end::portcullis::ANA;
use end_to_end::{Database, Portcullis, Setup, cluster};

use super::direct_session;

/// Both shipped policies, as they come.
async fn protected(database: &Database) -> Portcullis {
    Setup::new(database)
        .unmatched("allow")
        .policy("10-guard.toml", "sql_guard.wasm", "")
        .policy("50-pii.toml", "pii_mask.wasm", "match = { groups = [\"analysts\"] }")
        .start()
        .await
}

/// A test's database, what must not leave it, and the proxy before it.
pub(super) struct Bench {
    pub(super) database: Database,
    needles: Needles,
    pub(super) portcullis: Portcullis,
}

impl Bench {
    pub(super) async fn new() -> Bench {
        let database = cluster().await.database().await;
        let portcullis = protected(&database).await;
        Bench::of(database, portcullis).await
    }

    /// With no guard, for what that would refuse.
    pub(super) async fn masking_alone() -> Bench {
        let database = cluster().await.database().await;
        let portcullis = super::masked(&database).await;
        Bench::of(database, portcullis).await
    }

    pub(super) async fn of(database: Database, portcullis: Portcullis) -> Bench {
        let needles = Needles::of(&database).await;
        Bench { database, needles, portcullis }
    }

    pub(super) async fn session(&self) -> Session {
        self.portcullis.session(ANA).await
    }

    /// Runs these directly, as what must be there before.
    pub(super) async fn make(&self, texts: &[&str]) {
        run_all(&mut direct_session(&self.database).await, texts).await;
    }

    pub(super) fn gives_away(&self, session: &Session) -> bool {
        self.needles.leak(&session.received).is_some()
    }

    /// What has been given away, or deleted.
    pub(super) async fn harm(
        &self,
        what: &str,
        session: &Session,
        answer: &[Message],
    ) -> Option<String> {
        let answer = sequence(answer);
        if let Some(value) = self.needles.leak(&session.received) {
            return Some(format!("{what} gave away {value}: {answer}"));
        }
        let mut direct = direct_session(&self.database).await;
        let left = first_column(&direct.query("SELECT count(*) FROM scratch").await);
        // For the next case.
        direct.query("INSERT INTO scratch SELECT n, 'word ' || n FROM generate_series(1, 20) n ON CONFLICT DO NOTHING").await;
        (left != ["20"]).then(|| format!("{what} deleted: {answer}"))
    }

    pub(super) async fn unharmed(&self, what: &str, session: &Session, answer: &[Message]) {
        assert_eq!(self.harm(what, session, answer).await, None);
    }

    /// The steps, each in a batch of its own, are answered as without the proxy.
    pub(super) async fn same_as_direct(
        &self,
        what: &str,
        steps: impl Fn() -> Vec<(Batch, &'static [u8])>,
    ) {
        // One after the other: what one has locked the other would wait for.
        let mut answers = Vec::new();
        for mut session in [direct_session(&self.database).await, self.session().await] {
            for batch in steps() {
                let answer = step(&mut session, batch).await;
                let complaint = error_of(&answer).and_then(|error| error.field(b'M'));
                answers.push((sequence(&answer), first_column(&answer), complaint));
            }
        }
        let (direct, proxied) = answers.split_at(answers.len() / 2);
        assert_eq!(proxied, direct, "{what}");
    }
}

/// Runs texts one after another, none of which fails.
pub(super) async fn run_all(session: &mut Session, texts: &[&str]) {
    for text in texts {
        let answer = session.query(text).await;
        assert_eq!(sqlstate_of(&answer), None, "{text}: {}", sequence(&answer));
    }
}

/// Sends a batch, and reads to one of these messages.
pub(super) async fn step(session: &mut Session, (batch, until): (Batch, &[u8])) -> Vec<Message> {
    session.send(batch.bytes()).await;
    session.until(until).await
}
