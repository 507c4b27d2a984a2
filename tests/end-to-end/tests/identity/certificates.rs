//! Client certificates: whose they are, and when they are nobody's.

use std::path::Path;

use end_to_end::certificates::Certificates;
use end_to_end::frames::{Session, first_column};
use end_to_end::portcullis::{ADMIN, ANA, BOT, PASSWORD, User};
use end_to_end::waiting::SOON;
use end_to_end::{ClientCertificate, Database, Holder, Portcullis, Setup, cluster, wait_until};
use serde_json::json;

use super::arrival::{Answer, Arrival, Proof};
use super::{principal, record};

/// A certificate for everybody but the administrator, who has a password.
fn by_certificate(database: &Database) -> Setup {
    Setup::new(database)
        .unmatched("allow")
        .client_certificates()
        .user_line(ANA, "certificates = [\"cn:ana\", \"email:ana@shop.example\"]")
        .user_line(
            BOT,
            "certificates = [\"CN=bot,O=Shop\", \"uri:spiffe://shop/bot\", \
                         \"dns:bot.shop.example\"]",
        )
        .login_rule("method = \"scram\"\nusers = [\"admin\"]")
        .login_rule("method = \"certificate\"")
}

async fn shows(portcullis: &Portcullis, user: User, certificate: &ClientCertificate) -> Answer {
    let arrival = Arrival::of(portcullis, user.name).newly_come();
    arrival.showing(portcullis, certificate).arrive(Proof::Nothing).await
}

#[tokio::test]
async fn a_certificate_is_whose_name_is_on_it() {
    let database = cluster().await.database().await;
    let portcullis = by_certificate(&database).start().await;
    let authority = portcullis.certificates();
    let cases: &[(User, Holder)] = &[
        (ANA, Holder::named("ana")),
        (ANA, Holder { organisation: "Elsewhere", unit: "x", ..Holder::named("ana") }),
        (ANA, Holder { emails: &["ana@shop.example"], ..Holder::named("a.n.") }),
        (ANA, Holder { emails: &["ana@SHOP.example"], ..Holder::default() }),
        (BOT, Holder { organisation: "Shop", ..Holder::named("bot") }),
        (BOT, Holder { uris: &["spiffe://shop/bot"], ..Holder::default() }),
        (BOT, Holder { dns: &["bot.shop.example"], ..Holder::default() }),
        (BOT, Holder { dns: &["other.example", "BOT.shop.example"], ..Holder::default() }),
    ];
    for (user, holder) in cases {
        let certificate = authority.client(holder);
        let answer = shows(&portcullis, *user, &certificate).await;
        assert_eq!(answer.verdict(), "in", "{holder:?}\n{}", portcullis.log());
        assert!(answer.asked.is_empty(), "{:?}", answer.asked);
        let who = principal(&portcullis, answer.address()).await;
        assert_eq!((&who["subject"], &who["kind"]), (&json!(user.name), &json!(user.kind)));
        assert_eq!((&who["proof"], &who["groups"]), (&json!("certificate"), &json!(user.groups)));
    }
    let answer = shows(&portcullis, ANA, &authority.client(&Holder::named("ana"))).await;
    let who = principal(&portcullis, answer.address()).await;
    let authority_name = json!(["certificate_issuer", "CN=Portcullis end-to-end authority"]);
    assert_eq!(who["claims"][0], json!(["certificate_subject", "CN=ana"]));
    assert_eq!(who["claims"][1], authority_name);
    assert_eq!(who["claims"][2][0], "certificate_serial");
}

#[tokio::test]
async fn a_certificate_that_names_somebody_else_or_several_is_refused() {
    let database = cluster().await.database().await;
    let portcullis = by_certificate(&database).start().await;
    let authority = portcullis.certificates();
    let ana = Holder::named("ana");
    let cases: &[(User, Holder, &str)] = &[
        (BOT, ana.clone(), "it is another user's"),
        (ANA, Holder { organisation: "Shop", ..Holder::named("bot") }, "it is another user's"),
        (ANA, Holder::named("eve"), "no user has one of its names"),
        (ANA, Holder::named("ANA"), "no user has one of its names"),
        (ANA, Holder::named("ana "), "no user has one of its names"),
        (ANA, Holder::default(), "no user has one of its names"),
        // Where a name stands counts: these are elsewhere than the configuration says.
        (
            ANA,
            Holder { organisation: "ana", ..Holder::named("eve") },
            "no user has one of its names",
        ),
        (ANA, Holder { dns: &["ana"], ..Holder::default() }, "no user has one of its names"),
        (BOT, Holder::named("bot"), "no user has one of its names"),
        (BOT, Holder { emails: &["bot@shop.example"], ..Holder::default() }, "no user has one"),
        (ANA, Holder { second_common_name: "admin", ..ana.clone() }, "more than one common name"),
        (ANA, Holder { second_common_name: "ana", ..ana.clone() }, "more than one common name"),
        (ANA, Holder { uris: &["spiffe://shop/bot"], ..ana.clone() }, "names of several users"),
        (BOT, Holder { uris: &["spiffe://shop/bot"], ..ana.clone() }, "names of several users"),
        (BOT, Holder { dns: &["*.shop.example"], ..Holder::default() }, "a wildcard"),
        (ANA, Holder { dns: &["*"], ..ana.clone() }, "a wildcard"),
        (ANA, Holder::named("*"), "a wildcard"),
    ];
    for (user, holder, why) in cases {
        let certificate = authority.client(holder);
        let answer = shows(&portcullis, *user, &certificate).await;
        let told = format!("out: 28P01 authentication failed for user \"{}\"", user.name);
        assert_eq!(answer.verdict(), told, "{holder:?}");
        let refused = record(&portcullis, "login-refused", answer.address()).await;
        let reason = refused["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(why), "{holder:?}: {reason}");
    }
    assert_eq!(shows(&portcullis, ANA, &authority.client(&ana)).await.verdict(), "in");
}

/// TLS itself ends before anybody has said who they are.
#[tokio::test]
async fn a_certificate_that_is_not_good_ends_the_handshake() {
    let database = cluster().await.database().await;
    let portcullis = by_certificate(&database).start().await;
    let authority = portcullis.certificates();
    let ana = Holder::named("ana");
    let good = authority.client(&ana);
    let cases = [
        ("expired", authority.client(&Holder { expired: true, ..ana.clone() })),
        ("purpose", authority.client(&Holder { server: true, ..ana.clone() })),
        // Of another authority with the same name.
        ("signature", Certificates::new().client(&ana)),
    ];
    for (name, certificate) in &cases {
        let answer = shows(&portcullis, ANA, certificate).await;
        assert_eq!(answer.verdict(), "closed", "{name}");
        let refused = record(&portcullis, "login-refused", answer.address()).await;
        let reason = refused["reason"].as_str().unwrap_or_default();
        assert!(reason.starts_with("the client certificate is not good: "), "{name}: {reason}");
        // Nor is it let through to be asked for a password.
        let answer = shows(&portcullis, ADMIN, certificate).await;
        assert_eq!(answer.verdict(), "closed", "{name}");
        assert_eq!(shows(&portcullis, ANA, &good).await.verdict(), "in");
    }
    assert_eq!(portcullis.ledger().of_kind("login").len(), cases.len());
}

#[tokio::test]
async fn who_shows_none_stays_out_and_a_password_is_asked_for_all_the_same() {
    let database = cluster().await.database().await;
    let portcullis = by_certificate(&database).start().await;
    let certificate = portcullis.certificates().client(&Holder::named("ana"));
    let without = Arrival::of(&portcullis, "ana").newly_come();
    for (arrival, told, why) in [
        (without.clone(), "out: 28P01 authentication failed", "no client certificate"),
        // Where there can be no certificate, the rule holds for nobody.
        (without.in_plaintext(), "out: 28000 user \"ana\" may not log in", "from here"),
    ] {
        let answer = arrival.arrive(Proof::Nothing).await;
        assert!(answer.verdict().starts_with(told), "{}", answer.verdict());
        assert!(answer.asked.is_empty(), "{:?}", answer.asked);
        let refused = record(&portcullis, "login-refused", answer.address()).await;
        let reason = refused["reason"].as_str().unwrap_or_default();
        assert!(reason.ends_with(why), "{reason}");
    }
    // Where a password is asked for, a certificate is none.
    let admin = Arrival::of(&portcullis, "admin").showing(&portcullis, &certificate);
    let told = admin.newly_come().arrive(Proof::Password("guess")).await.verdict();
    assert_eq!(told, "out: 28P01 authentication failed for user \"admin\"");
    let admin = Arrival::of(&portcullis, "admin").showing(&portcullis, &certificate);
    let answer = admin.arrive(Proof::Password(PASSWORD)).await;
    assert_eq!(answer.verdict(), "in");
    let who = principal(&portcullis, answer.address()).await;
    assert_eq!((&who["subject"], &who["proof"]), (&json!("admin"), &json!("scram")));
}

#[tokio::test]
async fn psql_shows_its_certificate() {
    let database = cluster().await.database().await;
    let portcullis = by_certificate(&database).start().await;
    let certificate = portcullis.certificates().client(&Holder::named("ana"));
    let (file, key) = certificate.write(portcullis.directory(), "ana");
    let text = |path: &Path| path.display().to_string();
    let (file, key) = (text(&file), text(&key));
    let shown = [("PGSSLCERT", file.as_str()), ("PGSSLKEY", key.as_str())];
    let mut psql = portcullis.psql_with(&["-w"], &[&shown[..], &[("PGUSER", "ana")]].concat());
    psql.wait_for("shop=> ").await;
    psql.type_line("SELECT 6 * 7 AS answer;");
    psql.wait_for(" 42\n").await;
    let mut psql = portcullis.psql_with(&["-w"], &[&shown[..], &[("PGUSER", "bot")]].concat());
    psql.wait_for("FATAL:  authentication failed for user \"bot\"").await;
    assert_ne!(psql.exit_code().await, 0);
}

async fn is_alive(session: &mut Session) {
    assert_eq!(first_column(&session.query("SELECT 6 * 7").await), ["42"]);
}

async fn is_read_anew(portcullis: &Portcullis, what: &str, line: &str, before: usize) {
    wait_until(what, SOON, async || {
        (portcullis.log().matches(line).count() > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_the_authority_takes_back_ends_at_once_and_stays_out() {
    let database = cluster().await.database().await;
    let portcullis = by_certificate(&database).start().await;
    let authority = portcullis.certificates();
    let [lost, kept] = [0, 1].map(|_| authority.client(&Holder::named("ana")));
    let mut ended = shows(&portcullis, ANA, &lost).await.session;
    let mut alive = shows(&portcullis, ANA, &kept).await.session;
    portcullis.revoke(&[&lost]);
    let message = ended.message().await.expect("a reason is given");
    let field = |code| message.field(code).unwrap_or_default();
    assert_eq!(field(b'C'), "57P01");
    assert_eq!(field(b'M'), "the session was ended: your certificate has been revoked");
    wait_until("it is not taken any more", SOON, async || {
        (shows(&portcullis, ANA, &lost).await.verdict() == "closed").then_some(())
    })
    .await;
    is_alive(&mut alive).await;
    assert_eq!(shows(&portcullis, ANA, &kept).await.verdict(), "in");

    // A list that cannot be read changes nothing: neither who is out nor who is in.
    std::fs::write(portcullis.directory().join("clients.crl"), "no list").expect("our file");
    let before = portcullis.log().matches("clients.crl").count();
    portcullis.signal("HUP");
    is_read_anew(&portcullis, "the list was found wanting", "clients.crl", before).await;
    assert_eq!(shows(&portcullis, ANA, &lost).await.verdict(), "closed");
    assert_eq!(shows(&portcullis, ANA, &kept).await.verdict(), "in");
    is_alive(&mut alive).await;
}

#[tokio::test]
async fn another_authority_is_taken_up_without_a_restart() {
    let database = cluster().await.database().await;
    let portcullis = by_certificate(&database).start().await;
    let old = portcullis.certificates().client(&Holder::named("ana"));
    let mut session = shows(&portcullis, ANA, &old).await.session;
    let authority = Certificates::new();
    let new = authority.client(&Holder::named("ana"));
    assert_eq!(shows(&portcullis, ANA, &new).await.verdict(), "closed");
    std::fs::write(portcullis.authority_file(), &authority.authority_pem).expect("our file");
    std::fs::write(portcullis.directory().join("clients.crl"), authority.revocations(&[]))
        .expect("our file");
    portcullis.signal("HUP");
    wait_until("the new authority's are taken", SOON, async || {
        (shows(&portcullis, ANA, &new).await.verdict() == "in").then_some(())
    })
    .await;
    assert_eq!(shows(&portcullis, ANA, &old).await.verdict(), "closed");
    is_alive(&mut session).await;
}
