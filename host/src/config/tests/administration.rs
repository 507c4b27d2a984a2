//! What the sections about approvals and the admin API mean, and what is said of those that
//! cannot be used.

use expect_test::{Expect, expect};

use super::identity::{ADMIN, CORP, resolved};
use super::{ANA, SHOP, check, check_top, said};

/// Lines of `[admin]`, from line 2 on.
fn check_admin(lines: &str, expected: Expect) {
    check_top(&format!("[admin]\n{lines}\n{CORP}"), expected);
}

#[test]
fn the_admin_api() {
    check_admin("public_url = \"https://p.example.com:8443/\"\nissuer = \"corp\"", expect![[""]]);
    check_admin(
        "address = \"0.0.0.0:6480\"",
        expect![
            "portcullis.toml:2: passwords would cross the network in plaintext: set `tls` or a loopback address"
        ],
    );
    check_admin(
        "address = \"0.0.0.0:6480\"\ntls = { certificate = \"server.crt\", key = \"server.key\" }",
        expect![[""]],
    );
    check_admin(
        "tls = { certificate = \"server.crt\", key = \"server.key\", client_ca = \"x\" }",
        expect!["portcullis.toml:2: unknown key `client_ca` in [tls]"],
    );
    check_admin(
        "public_url = \"http://p.example.com\"",
        expect!["portcullis.toml:2: http is for this machine only: use https"],
    );
    check_admin(
        "public_url = \"https://p.example.com/portcullis\"",
        expect!["portcullis.toml:2: `public_url` is a scheme and a host: https://host:port"],
    );
    check_admin(
        "public_url = \"http://localhost:6480\"\ntls = { certificate = \"server.crt\", key = \"server.key\" }",
        expect!["portcullis.toml:2: the API has `tls`: `public_url` begins with https://"],
    );
    check_admin(
        "issuer = \"corp\"",
        expect![
            "portcullis.toml:2: logins there need `public_url`: the provider sends browsers back to it"
        ],
    );
    check_admin(
        "public_url = \"https://p.example.com\"\nissuer = \"crop\"",
        expect!["portcullis.toml:3: there is no issuer `crop`; did you mean `corp`?"],
    );
    check_admin(
        "roles = { aprover = [\"leads\"], viewer = \"staff\" }",
        expect![[r#"
        portcullis.toml:2: unknown key `aprover` in [roles]; did you mean `approver`?
        portcullis.toml:2: `viewer` must be a list of strings, not string"#]],
    );
    // An issuer's groups are not known here; users' are.
    check_admin("roles = { approver = [\"leads\"] }", expect![[""]]);
    check(
        &format!(
            "[admin]\nroles = {{ approver = [\"lead\"], viewer = [\"leads\"] }}\n{SHOP}{ANA}groups = [\"leads\"]\n"
        ),
        expect!["portcullis.toml:2: no user is in the group `lead`; did you mean `leads`?"],
    );
}

#[test]
fn approvals_and_limits() {
    let check_approvals = |lines: &str, expected: Expect| {
        check_top(&format!("{ADMIN}[approvals]\n{lines}"), expected);
    };
    check_top(
        "[approvals]\nwaiting_max = 5",
        expect!["portcullis.toml:1: without [admin] nobody can release what waits"],
    );
    check_approvals(
        "waiting_max = 0\nwait_second_max = 5",
        expect![[r#"
        portcullis.toml:4: `waiting_max` must be between 1 and 100000
        portcullis.toml:5: unknown key `wait_second_max` in [approvals]; did you mean `wait_seconds_max`?"#]],
    );
    let webhook = |lines: &str| format!("[[approvals.webhook]]\n{lines}");
    let hook = "url = \"https://hooks.example.com/secret-path\"";
    check_approvals(&webhook(&format!("{hook}\nsecret_file = \"secrets/webhook\"")), expect![[""]]);
    check_approvals(
        &webhook(hook),
        expect![
            "portcullis.toml:4: its receiver cannot tell who sent a message: set `secret_file`"
        ],
    );
    check_approvals(
        &webhook(&format!("{hook}\nsecret_file = \"secrets/short\"")),
        expect!["portcullis.toml:6: a key needs at least 16 bytes"],
    );
    check_approvals(&webhook("url_file = \"secrets/slack\"\nformat = \"slack\""), expect![[""]]);
    check_approvals(
        &webhook("url_file = \"secrets/webhook\"\nformat = \"slack\""),
        expect!["portcullis.toml:5: this is not a URL: write it as https://host/path"],
    );
    check_approvals(
        &webhook("format = \"slack\""),
        expect!["portcullis.toml:4: [[webhook]] needs `url` or `url_file`"],
    );
    check_approvals(
        &webhook("url = \"http://hooks.example.com/\"\nformat = \"slak\""),
        expect![[r#"
            portcullis.toml:5: http is for this machine only: use https
            portcullis.toml:6: `slak` is not a value of `format`: generic, slack or teams; did you mean `slack`?"#]],
    );
    check_approvals(
        &webhook(&format!("{hook}\nformat = \"teams\"\nsecret_file = \"secrets/webhook\"")),
        expect!["portcullis.toml:7: `teams` looks at no signature: leave it out"],
    );
    check_top(
        &format!("[admin]\n{}", webhook("url_file = \"secrets/slack\"\nformat = \"slack\"")),
        expect!["portcullis.toml:2: messages will have no links: set [admin] `public_url`"],
    );
    check_top(
        "[browser_login]\nwait_seconds_max = 5\nwaiting = 3",
        expect![[r#"
        portcullis.toml:2: `wait_seconds_max` must be between 10 and 3600
        portcullis.toml:3: unknown key `waiting` in [browser_login]; did you mean `waiting_max`?"#]],
    );
    check_top(
        "[credentials]\nlifetime_minutes_max = 20_000",
        expect!["portcullis.toml:2: `lifetime_minutes_max` must be between 1 and 1440"],
    );
}

#[test]
fn webhooks_stay_out_of_debug_output() {
    let text = format!(
        "{ADMIN}[[approvals.webhook]]\nurl_file = \"secrets/slack\"\nformat = \"slack\"\n\
         {CORP}client_secret_file = \"secrets/corp\"\n{SHOP}{ANA}"
    );
    let printed = format!("{:?}", resolved(&text));
    assert!(printed.contains("https://hooks.slack.example"), "{printed}");
    for secret in ["hush", "open sesame"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    // Nor do they come into messages about a file that holds something else.
    let wrong =
        format!("{ADMIN}[[approvals.webhook]]\nurl_file = \"secrets/webhook\"\n{SHOP}{ANA}");
    assert!(!said(&wrong).contains("fedcba"), "{}", said(&wrong));
}
