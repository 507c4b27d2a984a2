//! What the sections about logins and issuers mean, and what is said of those that cannot be
//! used.

use expect_test::{Expect, expect};

use super::{ANA, SHOP, check, check_database, check_top, directory, resolve};
use crate::config::Config;

/// A listener with everything, an admin API with pages, an issuer for all methods.
const TLS: &str = "[listen]\ntls = { certificate = \"server.crt\", key = \"server.key\", client_ca = \"clients.crt\" }\n";
pub(super) const ADMIN: &str = "[admin]\npublic_url = \"https://portcullis.example.com\"\n";
pub(super) const CORP: &str = "[[issuer]]\nname = \"corp\"\nurl = \"https://id.example.com\"\naudiences = [\"portcullis\"]\nclient_id = \"portcullis\"\n";

/// Everything that a login rule can ask for, then the rule, from line 16 on.
fn check_login(rule: &str, expected: Expect) {
    check(&format!("{TLS}{ADMIN}{CORP}{SHOP}[[login]]\n{rule}\n{ANA}"), expected);
}

/// Lines of an `[[issuer]]` called corp, from line 2 on.
fn check_issuer(lines: &str, expected: Expect) {
    check(&format!("[[issuer]]\n{lines}\n{SHOP}{ANA}"), expected);
}

/// Lines of a `[[user]]`, from line 4 on.
fn check_user(lines: &str, expected: Expect) {
    check(&format!("{SHOP}[[user]]\n{lines}\n{ANA}"), expected);
}

pub(super) fn resolved(text: &str) -> Config {
    let directory = directory();
    resolve(directory.path(), text).map_err(|report| format!("{report:#}")).unwrap()
}

#[test]
fn listeners() {
    let two = "[[listen]]\nname = \"inside\"\n[[listen]]\nname = \"outside\"\n\
               address = \"127.0.0.1:6433\"\nproxy_protocol_from = [\"10.0.0.7\", \"fd00::/8\"]\n";
    let config = resolved(&format!("{two}{SHOP}{ANA}"));
    expect![[r#"
        [
            Listen {
                name: "inside",
                address: 127.0.0.1:6432,
                tls: None,
                client_authority: None,
                tls_required: false,
                proxy_protocol_from: [],
            },
            Listen {
                name: "outside",
                address: 127.0.0.1:6433,
                tls: None,
                client_authority: None,
                tls_required: false,
                proxy_protocol_from: [
                    10.0.0.7/32,
                    fd00::/8,
                ],
            },
        ]
    "#]]
    .assert_debug_eq(&config.listeners);
    check_top(
        "[[listen]]\nname = \"a\"\n[[listen]]\n",
        expect!["portcullis.toml:3: [[listen]] needs `name`"],
    );
    check_top(
        "[[listen]]\nname = \"a\"\n[[listen]]\nname = \"a\"\naddress = \"127.0.0.1:6432\"",
        expect![[r#"
            portcullis.toml:4: there is a listener `a` already
            portcullis.toml:5: another listener has the address 127.0.0.1:6432 already"#]],
    );
    check_top(
        "[listen]\nproxy_protocol_from = [\"10.0.0.1/8\", \"balancer\", \"0.0.0.0/0\"]",
        expect![[r#"
            portcullis.toml:2: `10.0.0.1/8` has bits beyond its prefix: write 10.0.0.0/8
            portcullis.toml:2: `balancer` is not a network: write it as 10.0.0.0/8"#]],
    );
    check_top(
        "[listen]\nproxy_protocol_from = [\"0.0.0.0/0\"]",
        expect!["portcullis.toml:2: anybody may claim any address: name your balancers' alone"],
    );
    check_top(
        "[listen]\ntls = { certificate = \"server.crt\", key = \"server.key\", client_crl = \"clients.crl\" }",
        expect!["portcullis.toml:2: `client_crl` needs `client_ca`: nobody is asked for one"],
    );
    check_top(
        "[listen]\ntls = { certificate = \"server.crt\", key = \"server.key\", client_ca = \"no.crt\", client_clr = \"x\" }",
        expect![[r#"
            portcullis.toml:2: there is no file no.crt
            portcullis.toml:2: unknown key `client_clr` in [tls]; did you mean `client_crl`?"#]],
    );
}

#[test]
fn logins() {
    let all = "method = \"certificate\"\nlisteners = [\"default\"]\n[[login]]\nmethod = \"token\"\n\
               issuer = \"corp\"\nusers = [\"ci-*\"]\naddresses = [\"10.0.0.0/8\"]\n[[login]]\n\
               method = \"oauthbearer\"\nissuer = \"corp\"\ntls = true\n[[login]]\n\
               method = \"browser\"\nissuer = \"corp\"\ndatabases = [\"shop\", \"shop_*\"]\n\
               [[login]]\nmethod = \"scram\"\nusers = [\"ana\"]\n[[login]]\nmethod = \"refuse\"";
    check_login(all, expect![[""]]);
    let text = format!("{TLS}{ADMIN}{CORP}{SHOP}[[login]]\n{all}\n{ANA}");
    let rules: Vec<String> = resolved(&text)
        .logins
        .iter()
        .map(|rule| format!("{} {:?}", rule.method.as_str(), rule.method.issuer()))
        .collect();
    expect![[r#"
        certificate None
        token Some("corp")
        oauthbearer Some("corp")
        browser Some("corp")
        scram None
        refuse None"#]]
    .assert_eq(&rules.join("\n"));
    check_login(
        "methd = \"scram\"",
        expect![[r#"
        portcullis.toml:13: [[login]] needs `method`
        portcullis.toml:14: unknown key `methd` in [[login]]; did you mean `method`?"#]],
    );
    check_login(
        "method = \"scrm\"",
        expect![
            "portcullis.toml:14: `scrm` is not a value of `method`: scram, token, oauthbearer, browser, certificate or refuse; did you mean `scram`?"
        ],
    );
    check_login(
        "method = \"password\"",
        expect![
            "portcullis.toml:14: `password` is not a value of `method`: scram, token, oauthbearer, browser, certificate or refuse"
        ],
    );
    check_login("method = \"token\"", expect!["portcullis.toml:13: [[login]] needs `issuer`"]);
    check_login(
        "method = \"token\"\nissuer = \"crop\"",
        expect!["portcullis.toml:15: there is no issuer `crop`; did you mean `corp`?"],
    );
    check_login(
        "method = \"scram\"\nissuer = \"corp\"",
        expect!["portcullis.toml:15: this method asks no issuer: leave out `issuer`"],
    );
    check_login(
        "method = \"token\"\nissuer = \"corp\"\ntls = false",
        expect!["portcullis.toml:13: tokens travel over TLS only: leave out `tls = false`"],
    );
    check_login(
        "method = \"certificate\"\ntls = false",
        expect![
            "portcullis.toml:13: certificates are shown over TLS only: leave out `tls = false`"
        ],
    );
    check_login(
        "method = \"scram\"\nlisteners = [\"outside\"]",
        expect!["portcullis.toml:15: there is no listener `outside`"],
    );
    check_login(
        "method = \"scram\"\ndatabases = [\"shpo\", \"shp*\"]",
        expect!["portcullis.toml:15: there is no database `shpo`; did you mean `shop`?"],
    );
    check_login(
        "method = \"scram\"\nusers = []",
        expect!["portcullis.toml:13: `users` is empty: leave it out to mean all"],
    );
    check_login(
        "method = \"scram\"\naddresses = [\"10.0.0.0/33\"]",
        expect!["portcullis.toml:15: `10.0.0.0/33` is not a network: write it as 10.0.0.0/8"],
    );
    check_login(
        "method = \"refuse\"\n[[login]]\nmethod = \"scram\"",
        expect!["portcullis.toml:15: never reached: a rule above holds for everybody"],
    );
}

#[test]
fn logins_that_lack_what_they_need() {
    let token = "[[login]]\nmethod = \"token\"\nissuer = \"corp\"\n";
    let browser = "[[login]]\nmethod = \"browser\"\nissuer = \"corp\"\n";
    let certificate = "[[login]]\nmethod = \"certificate\"\n";
    let without_client = "[[issuer]]\nname = \"corp\"\nurl = \"https://id.example.com\"\naudiences = [\"portcullis\"]\n";
    check_top(
        &format!("{CORP}{token}"),
        expect![
            "portcullis.toml:6: tokens travel over TLS only: no listener of this rule has `tls`"
        ],
    );
    check_top(&format!("{token}{TLS}"), expect!["portcullis.toml:3: there is no issuer `corp`"]);
    check_top(
        certificate,
        expect![
            "portcullis.toml:1: certificates are shown over TLS only: no listener of this rule has `tls`"
        ],
    );
    check_top(
        &format!(
            "[listen]\ntls = {{ certificate = \"server.crt\", key = \"server.key\" }}\n{certificate}"
        ),
        expect![
            "portcullis.toml:3: certificates need `client_ca` in the `tls` of a listener of this rule"
        ],
    );
    check_top(
        "[[login]]\nmethod = \"scram\"\ntls = true",
        expect!["portcullis.toml:1: holds for nobody: no listener of this rule has `tls`"],
    );
    check_top(
        &format!("{CORP}{browser}"),
        expect![
            "portcullis.toml:6: browser logins need [admin] with `public_url`: there the page is"
        ],
    );
    check_top(
        &format!("{CORP}[admin]\n{browser}"),
        expect![
            "portcullis.toml:7: browser logins need [admin] with `public_url`: there the page is"
        ],
    );
    check_top(
        &format!("{without_client}{ADMIN}{browser}"),
        expect!["portcullis.toml:9: browser logins need `client_id` in issuer `corp`"],
    );
    // One listener of several is enough.
    let two = "[[listen]]\nname = \"plain\"\n[[listen]]\nname = \"tls\"\naddress = \"127.0.0.1:6433\"\n\
               tls = { certificate = \"server.crt\", key = \"server.key\" }\n";
    check_top(&format!("{two}{CORP}{token}"), expect![[""]]);
    check_top(
        &format!("{two}{CORP}{token}listeners = [\"plain\"]"),
        expect![
            "portcullis.toml:12: tokens travel over TLS only: no listener of this rule has `tls`"
        ],
    );
    let user = "[[user]]\nname = \"svc\"\ncertificates = [\"cn:svc\"]\n";
    check_top(
        user,
        expect!["portcullis.toml:1: users have certificates, but no [[login]] asks for one"],
    );
}

#[test]
fn issuers() {
    let config = resolved(&format!("{CORP}{SHOP}{ANA}"));
    expect![[r#"
        [
            IssuerConfig {
                name: "corp",
                url: "https://id.example.com",
                audiences: [
                    "portcullis",
                ],
                algorithms: [
                    "RS256",
                ],
                authorized_parties: None,
                subject_claim: "sub",
                subject_prefix: "",
                user_claim: "sub",
                groups_claim: "groups",
                kinds: [],
                kind: Human,
                on_behalf_of_claim: None,
                claims: [],
                clock_skew: 60s,
                root_certificates: None,
                client_id: Some(
                    "portcullis",
                ),
                client_secret: None,
                scopes: [
                    "openid",
                ],
                recheck: None,
                databases: None,
            },
        ]
    "#]]
    .assert_debug_eq(&config.issuers);
    check_issuer(
        "",
        expect![[r#"
        portcullis.toml:1: [[issuer]] needs `name`
        portcullis.toml:1: [[issuer]] needs `url`
        portcullis.toml:1: [[issuer]] needs `audiences`"#]],
    );
    let corp = "name = \"corp\"\naudiences = [\"portcullis\"]";
    let check_line = |line: &str, expected: Expect| {
        check_issuer(&format!("{corp}\nurl = \"https://id.example.com\"\n{line}"), expected);
    };
    check_issuer(
        &format!("{corp}\nurl = \"http://id.example.com\""),
        expect!["portcullis.toml:4: http is for this machine only: use https"],
    );
    check_issuer(&format!("{corp}\nurl = \"http://127.0.0.1:8080/realm\""), expect![[""]]);
    check_issuer(&format!("{corp}\nurl = \"http://[::1]:8080\""), expect![[""]]);
    check_issuer(
        &format!("{corp}\nurl = \"http://127.0.0.1.example.com\""),
        expect!["portcullis.toml:4: http is for this machine only: use https"],
    );
    check_issuer(
        &format!("{corp}\nurl = \"id.example.com\""),
        expect!["portcullis.toml:4: this is not a URL: write it as https://host/path"],
    );
    check_issuer(
        &format!("{corp}\nurl = \"ldap://id.example.com\""),
        expect!["portcullis.toml:4: a URL begins with https:// here"],
    );
    check_issuer(
        &format!("{corp}\nurl = \"https://me:you@id.example.com\""),
        expect!["portcullis.toml:4: a user or password does not belong into the URL"],
    );
    check_issuer(
        &format!("{corp}\nurl = \"https://id.example.com/?a\""),
        expect!["portcullis.toml:4: an issuer's URL has no `?`"],
    );
    check_issuer(
        &format!("{corp}\nurl = \"https://id.example.com/#a\""),
        expect!["portcullis.toml:4: a URL has no `#` here"],
    );
    check_issuer(
        "name = \"corp\"\nurl = \"https://id.example.com\"\naudiences = []",
        expect!["portcullis.toml:1: `audiences` is empty: no token would be for the proxy"],
    );
    check_line(
        "algorithms = [\"ES256\", \"HS256\", \"none\", \"RS265\"]",
        expect![[r#"
        portcullis.toml:5: `HS256` is made with a shared secret: whoever checks a token could make one
        portcullis.toml:5: a token without a signature proves nothing
        portcullis.toml:5: `RS265` is not an algorithm: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA; did you mean `RS256`?"#]],
    );
    check_line(
        "algorithms = []",
        expect!["portcullis.toml:1: `algorithms` is empty: no token could be verified"],
    );
    check_line(
        "subject_clam = \"sub\"",
        expect![
            "portcullis.toml:5: unknown key `subject_clam` in [[issuer]]; did you mean `subject_claim`?"
        ],
    );
    check_line("user_claim = \"\"", expect!["portcullis.toml:5: `user_claim` is empty"]);
    check_line(
        "clock_skew_seconds = 301",
        expect!["portcullis.toml:5: `clock_skew_seconds` must be between 0 and 300"],
    );
    check_line(
        "root_certificates = \"no.crt\"",
        expect!["portcullis.toml:5: there is no file no.crt"],
    );
    check_line(
        "client_secret_file = \"secrets/corp\"",
        expect!["portcullis.toml:1: a client secret needs `client_id`"],
    );
    check_line(
        "client_id = \"p\"\nclient_secret_file = \"secrets/corp\"\nclient_secret_env = \"X\"",
        expect!["portcullis.toml:7: `client_secret_file` is given already: keep one of them"],
    );
    check_line(
        "scopes = [\"groups\"]",
        expect!["portcullis.toml:1: `scopes` needs `openid`, or logins would not say who it was"],
    );
    check_line(
        "scopes = [\"openid groups\"]",
        expect![[r#"
        portcullis.toml:1: `scopes` needs `openid`, or logins would not say who it was
        portcullis.toml:5: `openid groups` is not a scope: list each alone"#]],
    );
    check_line(
        "databases = [\"shpo\"]",
        expect!["portcullis.toml:5: there is no database `shpo`; did you mean `shop`?"],
    );
    check_line(
        "kinds = [{ claim = \"t\", value = \"a\", kind = \"agnet\" }]",
        expect![
            "portcullis.toml:5: `agnet` is not a value of `kind`: human, service or agent; did you mean `agent`?"
        ],
    );
    check_line(
        "kinds = [{ claim = \"t\", kind = \"agent\" }]",
        expect!["portcullis.toml:5: [[kinds]] needs `value`"],
    );
    check_line(
        "kinds = [{ claim = \"t\", value = \"a\" }]",
        expect!["portcullis.toml:5: [[kinds]] needs `kind`"],
    );
    check_line(
        "kinds = { agent = \"a\" }",
        expect!["portcullis.toml:5: `kinds` must be written as [[kinds]]: there may be several"],
    );
    check_top(
        &format!("{CORP}{CORP}"),
        expect!["portcullis.toml:7: there is an issuer `corp` already"],
    );
}

#[test]
fn people_and_certificates() {
    let check_certificate = |name: &str, expected: Expect| {
        let login = "[[login]]\nmethod = \"certificate\"\n";
        let user = format!("[[user]]\nname = \"svc\"\ncertificates = [\"{name}\"]\n");
        check(&format!("{TLS}{login}{SHOP}{user}{ANA}"), expected);
    };
    for right in
        ["CN=svc,O=Example", "cn:svc", "dns:svc.example.com", "email:a@b.c", "uri:spiffe://a/b"]
    {
        check_certificate(right, expect![[""]]);
    }
    check_certificate(
        "svc",
        expect![
            "portcullis.toml:10: `svc` is neither a whole name such as CN=ana,O=Example nor cn:, dns:, email: or uri: and a value"
        ],
    );
    check_certificate(
        "san:svc",
        expect!["portcullis.toml:10: `san:` is not cn:, dns:, email: or uri:"],
    );
    check_certificate(
        "emial:svc",
        expect![
            "portcullis.toml:10: `emial:` is not cn:, dns:, email: or uri:; did you mean `email`?"
        ],
    );
    check_certificate("cn:", expect!["portcullis.toml:10: `cn:` names nobody"]);
    check_certificate(
        "dns:*.example.com",
        expect!["portcullis.toml:10: `dns:*.example.com` is no pattern: write the name whole"],
    );
    check_certificate(
        "cn:svc\", \"cn:svc",
        expect!["portcullis.toml:10: `cn:svc` is user `svc` already"],
    );
    check_user(
        "name = \"svc\"\ncertificates = []",
        expect!["portcullis.toml:4: [[user]] needs `scram`, `password_file` or `certificates`"],
    );
    check_user(
        "name = \"bot\"\npassword_file = \"secrets/shop\"\nkind = \"agent\"\nacts_for = \"ana\"",
        expect![[""]],
    );
    check_user(
        "name = \"bot\"\npassword_file = \"secrets/shop\"\nkind = \"agent\"\nacts_for = \"anna\"",
        expect!["portcullis.toml:8: there is no user `anna`; did you mean `ana`?"],
    );
    check_user(
        "name = \"bot\"\npassword_file = \"secrets/shop\"\nkind = \"agent\"\nacts_for = \"bot\"",
        expect!["portcullis.toml:8: an agent acts for somebody else"],
    );
    check_user(
        "name = \"bot\"\npassword_file = \"secrets/shop\"\nacts_for = \"ana\"",
        expect![[r#"portcullis.toml:7: `acts_for` is for agents: set kind = "agent""#]],
    );
    // Whom an issuer knows, it alone knows.
    check_top(
        &format!(
            "{CORP}[[user]]\nname = \"bot\"\npassword_file = \"secrets/shop\"\nkind = \"agent\"\nacts_for = \"anna\""
        ),
        expect![[""]],
    );
    check(&format!("{SHOP}{CORP}"), expect![[""]]);
}

#[test]
fn roles_in_databases() {
    let role = |line: &str| {
        let config = resolved(&format!("{ANA}{SHOP}{line}\n"));
        format!("{:?} {:?}", config.databases[0].role, config.databases[0].tell_subject)
    };
    expect!["None None"].assert_eq(&role(""));
    expect![[r#"Some(Fixed("app_ro")) Some(ApplicationName)"#]]
        .assert_eq(&role("role = \"app_ro\"\ntell_subject = \"application_name\""));
    expect![[r#"Some(ByGroup { roles: [("b", "ro"), ("a", "rw")], default: None }) None"#]]
        .assert_eq(&role("role = { groups = { b = \"ro\", a = \"rw\" } }"));
    expect![[r#"Some(ByGroup { roles: [("a", "rw")], default: Some("ro") }) None"#]]
        .assert_eq(&role("role = { groups = { a = \"rw\" }, default = \"ro\" }"));
    expect![[r#"Some(Subject) Some(Setting("app.me"))"#]]
        .assert_eq(&role("role = { subject = true }\ntell_subject = \"app.me\""));
    check_database(
        "role = { subject = false }",
        expect![
            "portcullis.toml:7: `role` is a role's name, { groups = { … } } or { subject = true }"
        ],
    );
    check_database(
        "role = { subject = true, default = \"ro\" }",
        expect![
            "portcullis.toml:7: `subject = true` gives everybody a role: leave out `groups` and `default`"
        ],
    );
    check_database(
        "role = { default = \"ro\" }",
        expect![
            "portcullis.toml:7: `role` is a role's name, { groups = { … } } or { subject = true }"
        ],
    );
    check_database(
        "role = { group = { a = \"ro\" } }",
        expect![[r#"
        portcullis.toml:7: `role` is a role's name, { groups = { … } } or { subject = true }
        portcullis.toml:7: unknown key `group` in [role]; did you mean `groups`?"#]],
    );
    check_database(
        "role = 3",
        expect!["portcullis.toml:7: `role` must be a string or a table, not integer"],
    );
    check_database(
        "role = \"none\"",
        expect!["portcullis.toml:7: PostgreSQL knows no role called `none`"],
    );
    check_database("role = \"\"", expect!["portcullis.toml:7: a role has a name"]);
    check_database(
        &format!("role = \"{}\"", "r".repeat(64)),
        expect!["portcullis.toml:7: a role's name has 63 bytes at most"],
    );
    check_database(
        "tell_subject = \"search_path\"",
        expect![[
            r#"portcullis.toml:7: `search_path` is neither "application_name" nor a setting of your own such as "portcullis.subject""#
        ]],
    );
    check_database(
        "tell_subject = \"My.subject\"",
        expect![[
            r#"portcullis.toml:7: `My.subject` is neither "application_name" nor a setting of your own such as "portcullis.subject""#
        ]],
    );
}
