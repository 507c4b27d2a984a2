//! What the demo says when all is up.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::stage::{DATABASE, Stage};
use crate::cli::DemoPolicies;

/// What to try, as whom.
const TRIALS: [(&str, &str); 6] = [
    ("ana", "SELECT name, email, card_number, note FROM customers LIMIT 4"),
    ("dora", "SELECT name, email, card_number, note FROM customers LIMIT 4"),
    ("bob", "SELECT name, email, card_number FROM customers LIMIT 4"),
    ("bot", "SELECT id, email, birth_date FROM customers LIMIT 4"),
    ("ana", "SELECT status, count(*), sum(amount) FROM orders GROUP BY status"),
    ("ana", "DELETE FROM customers"),
];

/// One line for programs.
pub fn json(stage: &Stage) -> Value {
    let clients: Map<String, Value> = stage
        .people
        .iter()
        .map(|person| (person.name.to_owned(), Value::from(stage.url(person))))
        .collect();
    json!({
        "clients": clients,
        "upstream": stage.postgres.superuser_url(DATABASE),
        "admin": stage.admin_url().ok(),
        "config": stage.place.config().display().to_string(),
        "plugin_dir": stage.place.plugin_dir().display().to_string(),
        "ledger_dir": stage.place.ledger_dir().display().to_string(),
    })
}

/// A page for people.
pub fn text(stage: &Stage) -> String {
    let mut page =
        String::from("Portcullis stands in front of a shop's database. Nobody in it exists.\n\n");
    page.push_str(&who(stage));
    page.push_str("\nTry:\n");
    for (name, sql) in TRIALS {
        if let Ok(person) = stage.person(name) {
            let (address, password) = (stage.address(), &person.password);
            let (ip, port) = (address.ip(), address.port());
            // Writing to a String cannot fail.
            let _ = writeln!(
                page,
                "  PGPASSWORD={password} psql -h {ip} -p {port} -U {name} {DATABASE} -c '{sql}'"
            );
        }
    }
    page.push_str(&places(stage));
    page
}

/// Who may do what.
pub fn who(stage: &Stage) -> String {
    let mut lines = String::new();
    for person in &stage.people {
        let (name, group, kind) = (person.name, person.group, person.kind);
        let _ = writeln!(lines, "  {name:<5} {group:<9} {kind:<6} {}", person.may);
    }
    lines.push_str(match stage.policies {
        DemoPolicies::Enforce => {
            "Nobody deletes without WHERE or reaches the server's files, and only dora drops tables.\n"
        }
        DemoPolicies::Observe => {
            "But all policies only observe: nothing is masked or refused, and the ledger says what\n\
             would have been refused. In each policy's file, mode = \"enforce\" puts it to work.\n"
        }
    });
    lines
}

fn places(stage: &Stage) -> String {
    let place = &stage.place;
    let end = if place.is_temporary() { "ends it and removes the directory" } else { "ends it" };
    format!(
        "\nThe rules are files. Change one while you are connected, save it, and ask again:\n  \
           {plugins}\n\
         Every statement is in the ledger, before it runs and after:\n  \
           tail -f {ledger}/stream-*/*.jsonl\n\
         The same records as a webhook receives them:\n  \
           tail -f {received}\n\
         What is in force, and what could not be:\n  \
           curl -u dora:{dora} {admin}/v1/policies\n\
         Who is connected, and what waits to be released (let bot UPDATE something):\n  \
           export PORTCULLIS_ADMIN={admin} PORTCULLIS_PASSWORD={dora}\n  \
           portcullis session list --user dora\n  \
           portcullis approval list --user dora\n\
         The database as its superuser sees it, past the proxy:\n  \
           psql {upstream}\n\
         Configuration and log:\n  \
           {config}\n  \
           {log}\n\
         \nCtrl-C {end}.\n",
        plugins = place.plugin_dir().join("50-pii.toml").display(),
        ledger = place.ledger_dir().display(),
        received = place.received().display(),
        admin = stage.admin_url().unwrap_or_default(),
        dora = stage.person("dora").map(|dora| dora.password.as_str()).unwrap_or_default(),
        upstream = stage.postgres.superuser_url(DATABASE),
        config = place.config().display(),
        log = place.log().display(),
    )
}
