//! Every way a login can end, one after the other, among two hundred sessions of others.

use std::time::{Duration, SystemTime};

use end_to_end::portcullis::{ADMIN, ANA, BOT, DATABASE, DEVELOPER};
use end_to_end::provider::claims;
use end_to_end::waiting::SOON;
use end_to_end::{Account, Holder, Portcullis, Provider, Setup, User, Wanted, cluster, wait_until};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::sessions::{Arrival, Open, Victims, Watcher};

const OTHERS: usize = 200;
/// So many of them never stop asking.
const BUSY: usize = 20;
/// How many log in at once.
const AT_ONCE: usize = 8;
/// Long enough to log in and begin, on a machine that has much to do.
const SHORT_LIFE: Duration = Duration::from_secs(50);

const GONE: User = User { name: "gone", ..ANA };
const REGROUPED: User = User { name: "regrouped", ..ANA };
const REKEYED: User = User { name: "rekeyed", ..ANA };
const SHUT_OUT: User = User { name: "shut_out", ..ANA };
const SHUT_IN: User = User { name: "shut_in", ..ANA };
const HELPER: User = User { name: "helper", ..BOT };
const HELPED: User = User { name: "helped", ..ANA };
const CARD_EXPIRES: User = User { name: "card_expires", ..ANA };
const CARD_LOST: User = User { name: "card_lost", ..ANA };
const CARD_MOVES: User = User { name: "card_moves", ..ANA };
const CARD_STAYS: User = User { name: "card_stays", ..ANA };

const CARDS: [User; 4] = [CARD_EXPIRES, CARD_LOST, CARD_MOVES, CARD_STAYS];

struct Stage {
    portcullis: Portcullis,
    provider: Provider,
    watcher: Watcher,
}

impl Stage {
    async fn start() -> Stage {
        let provider = Provider::start().await;
        let database = cluster().await.database().await;
        let mut setup = Setup::new(&database).unmatched("allow").roles().client_certificates();
        // The same provider twice: once asked every second, once never.
        setup = setup
            .issuer("corp", &provider, "clock_skew_seconds = 0\nrecheck_seconds = 1")
            .issuer("trusting", &provider, "clock_skew_seconds = 0")
            .login_rule("method = \"token\"\nissuer = \"trusting\"\nusers = [\"brief_*\"]")
            .login_rule("method = \"token\"\nissuer = \"corp\"\nusers = [\"token_*\"]")
            .login_rule("method = \"certificate\"\nusers = [\"card_*\"]")
            .login_rule("method = \"scram\"");
        for user in [GONE, REGROUPED, REKEYED, SHUT_OUT, SHUT_IN, HELPED] {
            setup = setup.user(user);
        }
        setup = setup.user(HELPER).user_line(HELPER, "acts_for = \"helped\"");
        for user in CARDS {
            let line = format!("certificates = [\"cn:{}\"]", user.name);
            setup = setup.user(user).user_line(user, &line);
        }
        let watcher = Watcher::of(&database).await;
        Stage { portcullis: setup.start().await, provider, watcher }
    }

    /// Begins three sessions, has `act` take back what they rest on, and sees them end. `act`
    /// says from when on the time counts.
    async fn check(
        &self,
        name: &str,
        arrival: impl Into<Arrival>,
        reason: &str,
        act: impl AsyncFnOnce(&[u64]) -> Instant,
    ) {
        let arrival = arrival.into();
        let victims = Victims::begin(&self.portcullis, &self.watcher, name, &arrival).await;
        let since = act(&victims.ids).await;
        victims.check(&self.portcullis, &self.watcher, since, reason).await;
    }

    /// The same for what ends by itself, and not before.
    async fn check_expiry(&self, name: &str, arrival: Arrival, due: SystemTime) {
        let until = async |moment: SystemTime| {
            wait_until(name, 4 * SHORT_LIFE, async || (SystemTime::now() >= moment).then_some(()))
                .await;
        };
        self.check(name, arrival, "your login has expired", async |_| {
            until(due - Duration::from_secs(1)).await;
            assert_eq!(self.watcher.count(&format!("{name}/%")).await, 3, "{name}: not yet");
            until(due).await;
            Instant::now()
        })
        .await;
    }

    async fn token(&self, wanted: Wanted) -> Arrival {
        let token = self.provider.issue(&wanted).await.access;
        let user = claims(&token)["sub"].as_str().expect("whose it is").to_owned();
        Arrival::new(&user, &token)
    }

    /// An account at the provider, and how its owner comes.
    async fn account(&self, name: &str) -> Arrival {
        self.provider.put(&Account::new(name).groups(&["analysts"])).await;
        self.token(Wanted::by(name)).await
    }

    /// A short-lived password: its id, until when it is good, and how its owner comes.
    async fn credential(&self, user: User, minutes: u32) -> (String, String, Arrival) {
        let wish = json!({ "database": DATABASE, "minutes": minutes });
        let (status, issued) =
            self.portcullis.api_as(user, "POST", "/v1/credentials", Some(wish)).await;
        assert_eq!(status, 201, "{issued}");
        let text = |name: &str| issued[name].as_str().expect("text").to_owned();
        (text("id"), text("expires_at"), Arrival::new(&text("user"), &text("password")))
    }

    async fn done(&self, method: &str, path: &str, body: Option<Value>) -> Instant {
        let (status, answer) = self.portcullis.api(method, path, body).await;
        assert_eq!(status, 200, "{method} {path}: {answer}");
        Instant::now()
    }

    async fn run(&self, arguments: &[&str]) -> Instant {
        let output = self.portcullis.cli(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        Instant::now()
    }

    /// Changes somebody's `[[user]]` in the configuration, and has that read.
    fn change_user(&self, user: User, change: impl FnOnce(&str) -> String) -> Instant {
        let file = self.portcullis.configuration_file();
        let text = std::fs::read_to_string(&file).expect("it is there");
        let start = text.find(&format!("[[user]]\nname = \"{}\"", user.name)).expect("its user");
        let end = text[start + 1..].find("\n[[").map_or(text.len(), |end| start + end + 2);
        let changed = [&text[..start], &change(&text[start..end]), &text[end..]].concat();
        assert_ne!(changed, text, "something changes");
        let aside = file.with_extension("new");
        std::fs::write(&aside, changed).expect("the directory takes files");
        std::fs::rename(&aside, &file).expect("one file system");
        self.portcullis.signal("HUP");
        Instant::now()
    }

    async fn local_ways(&self) {
        self.check("user removed", GONE, "no longer known", async |_| {
            self.change_user(GONE, |_| String::new())
        })
        .await;
        self.check("groups changed", REGROUPED, "groups or rights", async |_| {
            self.change_user(REGROUPED, |user| user.replace("\"analysts\"", "\"guests\""))
        })
        .await;
        let other = cluster().await.scram_verifier("another password").await;
        self.check("password changed", REKEYED, "your password has been changed", async |_| {
            self.change_user(REKEYED, |user| {
                let (before, rest) = user.split_once("scram = \"").expect("it has a password");
                let (_, after) = rest.split_once('"').expect("it ends");
                format!("{before}scram = \"{other}\"{after}")
            })
        })
        .await;
        self.check("disabled by the API", SHUT_OUT, "disabled", async |_| {
            let path = "/v1/principals/shut_out/disabled";
            self.done("PUT", path, Some(json!({ "reason": "left" }))).await
        })
        .await;
        self.check("disabled by the command", SHUT_IN, "disabled", async |_| {
            self.run(&["principal", "disable", "shut_in", "--reason", "left"]).await
        })
        .await;
        self.check("an agent's human disabled", HELPER, "disabled", async |_| {
            self.run(&["principal", "disable", "helped"]).await
        })
        .await;
    }

    async fn ended_by_hand(&self) {
        self.check("ended by the API", ANA, "by an administrator: enough", async |ids| {
            for id in ids {
                let path = format!("/v1/sessions/{id}");
                self.done("DELETE", &path, Some(json!({ "reason": "enough" }))).await;
            }
            Instant::now()
        })
        .await;
        self.check("ended by the command", ANA, "by an administrator: enough", async |ids| {
            for id in ids {
                self.run(&["session", "end", &id.to_string(), "--reason", "enough"]).await;
            }
            Instant::now()
        })
        .await;
        let (id, _, arrival) = self.credential(ANA, 60).await;
        self.check("credential revoked", arrival, "has been revoked", async |_| {
            self.done("DELETE", &format!("/v1/credentials/{id}"), None).await
        })
        .await;
        let (id, _, arrival) = self.credential(ANA, 60).await;
        self.check("credential revoked by its owner", arrival, "has been revoked", async |_| {
            let output = self.portcullis.cli_as(ANA, &["credential", "revoke", &id]).await;
            assert!(output.status.success(), "{output:?}");
            Instant::now()
        })
        .await;
    }

    async fn provider_ways(&self) {
        let arrival = self.account("token_regrouped").await;
        let reason = "the groups of the login have changed";
        self.check("group dropped at the provider", arrival, reason, async |_| {
            self.provider.put(&Account::new("token_regrouped").groups(&["guests"])).await;
            Instant::now()
        })
        .await;
        let reason = "the identity provider no longer accepts the login";
        self.provider.put(&Account::new("token_revoked").groups(&["analysts"])).await;
        let tokens = self.provider.issue(&Wanted::by("token_revoked")).await;
        let arrival = Arrival::new("token_revoked", &tokens.access);
        self.check("token revoked at the provider", arrival, reason, async |_| {
            // With one of them goes all that was issued with it.
            self.provider.revoke(&tokens.opaque).await;
            Instant::now()
        })
        .await;
        let arrival = self.account("token_shut_out").await;
        self.check("account disabled at the provider", arrival, reason, async |_| {
            self.provider.put(&Account::new("token_shut_out").disabled()).await;
            Instant::now()
        })
        .await;
        let arrival = self.account("token_disabled").await;
        self.check("owner of a token disabled", arrival, "disabled", async |_| {
            self.done("PUT", "/v1/principals/token_disabled/disabled", Some(json!({}))).await
        })
        .await;
    }

    async fn card_ways(&self) {
        let authority = self.portcullis.certificates();
        let card = authority.client(&Holder::named(CARD_LOST.name));
        let arrival = Arrival::showing(CARD_LOST.name, card.clone());
        let reason = "your certificate has been revoked";
        self.check("certificate revoked", arrival, reason, async |_| {
            self.portcullis.revoke(&[&card]);
            Instant::now()
        })
        .await;
        let card = authority.client(&Holder::named(CARD_MOVES.name));
        let arrival = Arrival::showing(CARD_MOVES.name, card);
        let reason = "your certificate is no longer your user's";
        self.check("certificate somebody else's", arrival, reason, async |_| {
            self.change_user(CARD_MOVES, |user| user.replace("cn:card_moves", "cn:card_moved"))
        })
        .await;
    }

    async fn token_expires(&self) {
        self.provider.put(&Account::new("brief_token").groups(&["analysts"])).await;
        let seconds = u32::try_from(SHORT_LIFE.as_secs()).expect("short");
        let wanted = Wanted::by("brief_token").lifetime_seconds(seconds);
        let token = self.provider.issue(&wanted).await.access;
        let due = claims(&token)["exp"].as_u64().expect("it expires");
        let due = SystemTime::UNIX_EPOCH + Duration::from_secs(due);
        self.check_expiry("token expired", Arrival::new("brief_token", &token), due).await;
    }

    async fn card_expires(&self) {
        let holder = Holder { valid_for: Some(SHORT_LIFE), ..Holder::named(CARD_EXPIRES.name) };
        let issued = SystemTime::now();
        let card = self.portcullis.certificates().client(&holder);
        let arrival = Arrival::showing(CARD_EXPIRES.name, card);
        // Certificates count whole seconds.
        let due = issued + SHORT_LIFE;
        self.check_expiry("certificate expired", arrival, due).await;
    }

    async fn credential_expires(&self) {
        let issued = SystemTime::now();
        let (_, _, arrival) = self.credential(ANA, 1).await;
        self.check_expiry("credential expired", arrival, issued + Duration::from_secs(60)).await;
    }

    /// One of every kind, for whom nothing changes.
    async fn bystanders(&self) -> Vec<Open> {
        let card = self.portcullis.certificates().client(&Holder::named(CARD_STAYS.name));
        let (_, _, credential) = self.credential(ANA, 60).await;
        let arrivals = [
            Arrival::showing(CARD_STAYS.name, card),
            credential,
            self.account("token_stays").await,
            ANA.into(),
            BOT.into(),
            ADMIN.into(),
        ];
        let mut open = Vec::new();
        for arrival in arrivals {
            open.push(arrival.open(&self.portcullis, "bystander").await);
        }
        open
    }
}

/// Which of the server's sessions it is; the same for as long as it lives.
async fn backend(client: &Client) -> String {
    let answer = client.simple_query("SELECT pg_backend_pid()").await.expect("it lives");
    let row = answer.iter().find_map(|message| {
        let SimpleQueryMessage::Row(row) = message else { return None };
        row.get(0).map(str::to_owned)
    });
    row.expect("a row")
}

/// Asks again and again until told to stop; how often that was.
fn ask_on(client: Client, stop: watch::Receiver<bool>) -> JoinHandle<(Client, u64)> {
    tokio::spawn(async move {
        let mut asked = 0;
        while !*stop.borrow() {
            client.simple_query("SELECT pg_sleep(0.25)").await.expect("others live on");
            asked += 1;
        }
        (client, asked)
    })
}

#[tokio::test]
async fn sessions_end_within_seconds_of_what_they_rest_on() {
    let stage = Stage::start().await;
    let portcullis = &stage.portcullis;
    let others: Vec<Client> = stream::iter(0..OTHERS)
        .map(|_| portcullis.connect(DEVELOPER))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut before = Vec::new();
    for client in &others {
        before.push(backend(client).await);
    }
    let bystanders = stage.bystanders().await;
    let (stop, stopped) = watch::channel(false);
    let mut others = others.into_iter();
    let busy = others.by_ref().take(BUSY).map(|client| ask_on(client, stopped.clone()));
    let busy: Vec<_> = busy.collect();
    let one_by_one = async {
        stage.local_ways().await;
        stage.ended_by_hand().await;
        stage.provider_ways().await;
        stage.card_ways().await;
    };
    let (token, card, credential) =
        (stage.token_expires(), stage.card_expires(), stage.credential_expires());
    tokio::join!(one_by_one, token, card, credential);
    stop.send_replace(true);
    let mut after = Vec::new();
    for asking in busy {
        let (client, asked) = asking.await.expect("others live on");
        assert!(asked > 0, "it asked meanwhile");
        after.push(backend(&client).await);
    }
    for client in others {
        after.push(backend(&client).await);
    }
    assert_eq!(after, before, "others live on, on the same sessions of the server");
    for open in &bystanders {
        backend(&open.client).await;
    }
    let (_, answer) = portcullis.api("GET", "/v1/sessions", None).await;
    let left = answer["sessions"].as_array().map_or(0, Vec::len);
    assert_eq!(left, bystanders.len(), "who went is not in the list: {answer}");
    let ended = portcullis.ledger().of_kind("session-ended");
    assert_eq!(ended.len() % 3, 0, "three each, and nobody else: {ended:#?}");
    wait_until("what ended is not open at the server", SOON, async || {
        (stage.watcher.count("%/%").await == 0).then_some(())
    })
    .await;
}
