//! The tour: what the proxy does, done and checked by itself.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use portcullis_engine::SetSummary;
use serde_json::Value;
use tokio_postgres::error::DbError;
use tokio_postgres::{Client, Statement};

use super::answer::Answer;
use super::introduction;
use super::records::{self, Told};
use super::release::{Terminal, UPDATE};
use super::stage::{DATABASE, Stage, connect};

/// How long anything may take that is not at once: a policy coming into force, a delivery.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

const CUSTOMERS: &str =
    "SELECT name, email, card_number, note FROM customers WHERE id IN (8, 10) ORDER BY id";
const ONE_EMAIL: &str = "SELECT email FROM customers WHERE id = $1";
const CUSTOMER: i32 = 8;
const DELETE: &str = "DELETE FROM customers";
const COUNT: &str = "SELECT count(*), sum(amount) FROM orders";
/// The policy that is edited: its name and its file.
const MASKER: &str = "50-pii";
const MASKER_FILE: &str = "50-pii.toml";
const GUARD: &str = "10-guard";
const FILL: &str = "***";
const OTHER_FILL: &str = "###";

/// Runs the tour. An error is a surprise: something is not as the demo says.
pub async fn run(stage: &Stage) -> Result<()> {
    let tour = Tour {
        stage,
        ana: connect(&stage.url(stage.person("ana")?)).await.wrap_err("ana cannot connect")?,
        truth: connect(&stage.postgres.superuser_url(DATABASE)).await?,
        revision: stage.running.engine.subscribe().borrow().revision,
    };
    say("Portcullis stands in front of a shop's database. Nobody in it exists.\n")?;
    say(introduction::who(stage).trim_end())?;
    tour.masks().await?;
    tour.the_same_for_others().await?;
    tour.refuses().await?;
    let revision = tour.changes_its_rules().await?;
    tour.keeps_its_rules_when_one_breaks().await?;
    tour.waits_for_people().await?;
    tour.tells(revision).await?;
    say("\nAll of this was checked as it ran. `portcullis demo` leaves it running for you.")
}

struct Tour<'a> {
    stage: &'a Stage,
    /// One connection for the whole tour: nothing below needs a new one.
    ana: Client,
    /// Past the proxy, to compare with.
    truth: Client,
    /// In force at the beginning.
    revision: u64,
}

impl Tour<'_> {
    async fn masks(&self) -> Result<()> {
        step(1, "ana, an analyst, reads customers. Personal data is masked on the way to her.")?;
        let masked = ask(&self.ana, "ana", CUSTOMERS).await?;
        let truth = Answer::of(&self.truth, CUSTOMERS).await.into_diagnostic()?;
        for column in ["email", "card_number", "note"] {
            let pairs = masked.column(column).into_iter().zip(truth.column(column));
            for (seen, real) in pairs.filter(|(_, real)| real.is_some()) {
                let (seen, real) = (seen.unwrap_or(""), real.unwrap_or(""));
                expect(seen != real && seen.contains(FILL), || {
                    format!("{column} is {real} and ana sees {seen}")
                })?;
            }
        }
        expect(masked.rows.len() == truth.rows.len() && !truth.rows.is_empty(), || {
            "ana sees other rows than there are".into()
        })?;
        say("   Nothing says that a note holds addresses: it was looked at.")
    }

    async fn the_same_for_others(&self) -> Result<()> {
        let truth = Answer::of(&self.truth, CUSTOMERS).await.into_diagnostic()?;
        step(2, "dora, a database administrator, asks the same and sees what is there.")?;
        let dora = self.connect("dora").await?;
        let clear = ask(&dora, "dora", CUSTOMERS).await?;
        expect(clear == truth, || "dora sees other values than there are".into())?;

        step(3, "bob, of support, sees how to reach customers, but not how they pay.")?;
        let bob = self.connect("bob").await?;
        let partial = ask(&bob, "bob", CUSTOMERS).await?;
        let same = |column| partial.column(column) == truth.column(column);
        expect(same("email"), || "bob does not see addresses".into())?;
        let cards = partial.column("card_number").into_iter().zip(truth.column("card_number"));
        for (seen, real) in cards {
            let (seen, real) = (seen.unwrap_or(""), real.unwrap_or(""));
            let last = real.split_at_checked(real.len().saturating_sub(4)).map_or("", |cut| cut.1);
            expect(seen != real && seen.ends_with(last), || {
                format!("the card is {real} and bob sees {seen}")
            })?;
        }

        step(4, "bot, an AI agent, sees pseudonyms: always the same for the same person.")?;
        let bot = self.connect("bot").await?;
        let first = ask(&bot, "bot", "SELECT email FROM customers WHERE id = 8").await?;
        let again = Answer::of(&bot, "SELECT email FROM customers WHERE id IN (8)").await;
        let again = again.into_diagnostic()?;
        let real = truth.column("email").into_iter().flatten().next();
        let seen = first.column("email").into_iter().flatten().next();
        expect(seen.is_some() && seen != real, || format!("bot sees {seen:?}"))?;
        expect(first == again, || "bot sees two pseudonyms of one person".into())
    }

    async fn refuses(&self) -> Result<()> {
        step(5, "ana forgets the WHERE. The statement never reaches the database.")?;
        let before = Answer::of(&self.truth, "SELECT count(*) FROM customers").await;
        let before = before.into_diagnostic()?;
        say(&format!("   ana=> {DELETE};"))?;
        let error = match Answer::of(&self.ana, DELETE).await {
            Ok(_) => return Err(surprise("the DELETE was not refused".into())),
            Err(error) => error,
        };
        let Some(refusal) = error.as_db_error() else {
            return Err(surprise(format!("the DELETE ended the connection: {error}")));
        };
        say(&shown(refusal))?;
        let detail = refusal.detail().unwrap_or("");
        expect(refusal.code().code() == "42501" && detail.contains(GUARD), || {
            format!(
                "the DELETE was refused by other than {GUARD}: {} {detail}",
                refusal.code().code()
            )
        })?;
        expect(refusal.hint().is_some(), || "the refusal has no hint".into())?;
        let after = Answer::of(&self.truth, "SELECT count(*) FROM customers").await;
        expect(after.into_diagnostic()? == before, || "customers have gone".into())?;
        say("   It is an ordinary error, and her session goes on:")?;
        let counted = ask(&self.ana, "ana", COUNT).await?;
        let truth = Answer::of(&self.truth, COUNT).await.into_diagnostic()?;
        expect(counted == truth, || "a sum of what is not masked came back changed".into())
    }

    /// Returns the revision the edit made.
    async fn changes_its_rules(&self) -> Result<u64> {
        step(6, "A rule changes on disk, while ana is connected.")?;
        let prepared = self.ana.prepare(ONE_EMAIL).await.into_diagnostic()?;
        let old = self.email(&prepared).await?;
        say(&format!("   ana=> {ONE_EMAIL};   -- prepared, $1 = {CUSTOMER}\n     {old}"))?;
        expect(old.contains(FILL), || format!("ana sees {old}"))?;
        let (from, to) = (format!("fill = \"{FILL}\""), format!("fill = \"{OTHER_FILL}\""));
        self.edit(|text| text.replace(&from, &to))?;
        say(&format!("   $ sed -i 's/{from}/{to}/' plugins.d/{MASKER_FILE}"))?;
        let edited = Instant::now();
        let new = within("the edited policy to come into force", async || {
            let seen = self.email(&prepared).await?;
            Ok((seen != old).then_some(seen))
        });
        let new = new.await?;
        let waited = edited.elapsed().as_millis();
        let revision = self.revision_in_force();
        say(&format!(
            "   The same prepared statement on the same connection, {waited} ms later, revision {revision}:\n     {new}"
        ))?;
        expect(new == old.replace(FILL, OTHER_FILL), || format!("after {old} ana sees {new}"))?;
        expect(revision > self.revision, || format!("revision {revision} is no newer"))?;
        Ok(revision)
    }

    async fn keeps_its_rules_when_one_breaks(&self) -> Result<()> {
        step(7, "The same file breaks: half of it is missing. It changes nothing.")?;
        let good = fs::read_to_string(self.masker_file()).into_diagnostic()?;
        let prepared = self.ana.prepare(ONE_EMAIL).await.into_diagnostic()?;
        let before = self.email(&prepared).await?;
        self.edit(|text| text.split_inclusive("[sett").next().unwrap_or("").to_owned())?;
        say(&format!("   $ truncate -s ... plugins.d/{MASKER_FILE}   # it ends in \"[sett\""))?;
        let failed =
            |set: &SetSummary| set.failures.iter().any(|failure| &*failure.policy == MASKER);
        let broken = self.set("the broken policy to be noticed", failed).await?;
        for failure in &broken.failures {
            let told = failure.to_string();
            say(&format!(
                "   {}",
                told.replace(&format!("{}/", self.stage.place.root().display()), "")
            ))?;
            expect(failure.last_good_in_force, || "its last good form is not in force".into())?;
        }
        let after = self.email(&prepared).await?;
        say(&format!("   ana=> {ONE_EMAIL};\n     {after}"))?;
        expect(after == before, || format!("after {before} ana sees {after}"))?;
        fs::write(self.masker_file(), good).into_diagnostic()?;
        self.set("the repaired policy to be noticed", |set| set.failures.is_empty()).await?;
        say("   Repaired, and the complaint is gone.")
    }

    async fn waits_for_people(&self) -> Result<()> {
        step(8, "bot wants to change something. It waits until dora has looked at it.")?;
        let bot = self.connect("bot").await?;
        let dora = Terminal::of(self.stage, self.stage.person("dora")?);
        say(&format!("   bot=> {UPDATE};   -- and the session waits"))?;
        let released = async {
            let approval = within("the statement to wait", || dora.waiting()).await?;
            for command in ["show", "grant"] {
                say(&format!("   dora$ portcullis approval {command} {approval}"))?;
                let said = dora.run(&["approval", command, &approval]).await?;
                said.trim_end().lines().try_for_each(|line| say(&format!("     {line}")))?;
            }
            Result::<()>::Ok(())
        };
        let (updated, released) = tokio::join!(bot.execute(UPDATE, &[]), released);
        released?;
        let rows = updated.into_diagnostic().wrap_err("bot was not released")?;
        say(&format!("   bot=> UPDATE {rows}"))?;
        expect(rows == 1, || format!("{rows} rows were updated"))?;
        let now = Answer::of(&self.truth, "SELECT status FROM orders WHERE id = 7").await;
        let now = now.into_diagnostic()?;
        expect(now.column("status") == [Some("cancelled")], || "nothing was updated".into())
    }

    async fn tells(&self, edited: u64) -> Result<()> {
        step(
            9,
            "All of that is in the audit ledger, written before each statement left and after it.",
        )?;
        let (first, ledger) = (self.revision, self.stage.place.ledger_dir());
        let records = within("the ledger's records", async || {
            let records = records::read(&ledger);
            Ok(wanted(&records, first, edited).map(drop).is_ok().then_some(records))
        });
        let records = match records.await {
            Ok(records) => records,
            // Says which record is missing.
            Err(late) => {
                return wanted(&records::read(&ledger), first, edited).map(drop).and(Err(late));
            }
        };
        let told = wanted(&records, first, edited)?;
        for statement in &told {
            say(&statement.to_string())?;
        }
        for decided in records.iter().filter(|record| records::text(record, "/kind") == "approval")
        {
            let (step, by) =
                (records::text(decided, "/step"), records::text(decided, "/by/subject"));
            let approval = records::text(decided, "/approval");
            let reason = records::text(decided, "/reason");
            say(format!("     approval {approval} {step:<8} {by:<5} {reason}").trim_end())?;
        }
        let changed = |record: &&Value| {
            records::text(record, "/kind") == "policy-set"
                && (records::number(record, "/revision") > first
                    || lines(record, "/failures").next().is_some())
        };
        for record in records.iter().filter(changed) {
            for line in lines(record, "/changes").chain(lines(record, "/failures")) {
                let root = format!("{}/", self.stage.place.root().display());
                say(&format!("     {}", line.replace(&root, "")))?;
            }
        }
        step(10, "And a webhook has received the same records, through a sandboxed plugin.")?;
        let received = within("the webhook to receive the records", async || {
            let received = fs::read_to_string(self.stage.place.received()).unwrap_or_default();
            let received = records::parse(received);
            let has = |statement: &Told<'_>| {
                received.iter().any(|record| records::text(record, "/event") == statement.event())
            };
            Ok(told.iter().all(has).then_some(received.len()))
        });
        say(&format!("   {} records so far, in order, at least once.", received.await?))
    }

    async fn connect(&self, name: &str) -> Result<Client> {
        let url = self.stage.url(self.stage.person(name)?);
        connect(&url).await.wrap_err_with(|| format!("{name} cannot connect"))
    }

    async fn email(&self, prepared: &Statement) -> Result<String> {
        let row = self.ana.query_one(prepared, &[&CUSTOMER]).await.into_diagnostic()?;
        let email: Option<String> = row.try_get(0).into_diagnostic()?;
        email.ok_or_else(|| surprise("ana sees no address".into()))
    }

    fn masker_file(&self) -> PathBuf {
        self.stage.place.plugin_dir().join(MASKER_FILE)
    }

    /// Edits the masker's file in place, as an editor does.
    fn edit(&self, change: impl Fn(&str) -> String) -> Result<()> {
        let text = fs::read_to_string(self.masker_file()).into_diagnostic()?;
        let edited = change(&text);
        expect(edited != text, || format!("there is nothing to edit in {MASKER_FILE}"))?;
        fs::write(self.masker_file(), edited).into_diagnostic()
    }

    fn revision_in_force(&self) -> u64 {
        self.stage.running.engine.subscribe().borrow().revision
    }

    /// The first set in force that is as wanted.
    async fn set(&self, what: &str, is: impl Fn(&SetSummary) -> bool) -> Result<SetSummary> {
        let mut sets = self.stage.running.engine.subscribe();
        let found = tokio::time::timeout(PATIENCE, sets.wait_for(|set| is(set))).await;
        let found = found.map_err(|_| late(what))?.into_diagnostic()?;
        Ok(SetSummary::clone(&found))
    }
}

/// The statements the tour shows, or which of them is missing or wrong.
fn wanted(records: &[Value], first: u64, edited: u64) -> Result<Vec<Told<'_>>> {
    let all = Told::all(records);
    let find = |what: &str, is: &dyn Fn(&Told<'_>) -> bool| {
        let found = all.iter().copied().find(|told| is(told));
        found.ok_or_else(|| surprise(format!("the ledger has no record of {what}")))
    };
    let reads = |told: &Told<'_>, name: &str| {
        told.subject() == name && told.is("SELECT", "customers") && told.decision() == "permitted"
    };
    let told = vec![
        find("ana's masked SELECT", &|told| {
            reads(told, "ana")
                && told.rows() == 2
                && told.cells_masked() >= 4
                && told.revision() == first
        })?,
        find("dora's SELECT", &|told| {
            reads(told, "dora") && told.rows() == 2 && told.cells_masked() == 0
        })?,
        find("bob's SELECT", &|told| reads(told, "bob") && told.cells_masked() >= 2)?,
        find("bot's SELECT", &|told| reads(told, "bot") && told.cells_masked() >= 1)?,
        find("the refused DELETE", &|told| {
            told.is("DELETE", "customers") && told.decision() == "denied" && told.policy() == GUARD
        })?,
        find("bot's UPDATE that waited", &|told| {
            told.is("UPDATE", "orders") && told.subject() == "bot" && told.decision() == "held"
        })?,
        find("bot's UPDATE that was released", &|told| {
            told.is("UPDATE", "orders") && told.decision() == "permitted" && told.rows() == 1
        })?,
        find("ana's SELECT before the edit", &|told| {
            reads(told, "ana")
                && told.rows() == 1
                && told.cells_masked() == 1
                && told.revision() == first
        })?,
        find("ana's SELECT after the edit", &|told| {
            reads(told, "ana")
                && told.rows() == 1
                && told.cells_masked() == 1
                && told.revision() == edited
        })?,
    ];
    let broken = |record: &&Value| lines(record, "/failures").any(|line| line.contains(MASKER));
    match records.iter().find(broken) {
        Some(_) => Ok(told),
        None => Err(surprise("the ledger has no record of the broken policy".into())),
    }
}

fn lines<'a>(record: &'a Value, pointer: &str) -> impl Iterator<Item = &'a str> {
    record
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// Asks as psql would, and shows both.
async fn ask(client: &Client, name: &str, sql: &str) -> Result<Answer> {
    say(&format!("   {name}=> {sql};"))?;
    let answer = Answer::of(client, sql).await.into_diagnostic();
    let answer = answer.wrap_err_with(|| format!("{name} was refused: {sql}"))?;
    say(answer.to_string().trim_end())?;
    Ok(answer)
}

/// An error, as psql prints it.
fn shown(error: &DbError) -> String {
    let mut lines = format!("     ERROR {}: {}", error.code().code(), error.message());
    for (title, text) in [("DETAIL", error.detail()), ("HINT", error.hint())] {
        if let Some(text) = text {
            lines.push_str(&format!("\n     {title}: {text}"));
        }
    }
    lines
}

/// Looks until there is something to see. Cancel safe: nothing is kept between two looks.
async fn within<T>(what: &str, look: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
    let looks = async {
        loop {
            if let Some(seen) = look().await? {
                return Ok(seen);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::time::timeout(PATIENCE, looks).await.unwrap_or_else(|_| Err(late(what)))
}

fn late(what: &str) -> miette::Report {
    miette!("surprise: {} s were not enough for {what}", PATIENCE.as_secs())
}

fn surprise(what: String) -> miette::Report {
    miette!("surprise: {what}")
}

fn expect(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(surprise(what())) }
}

fn step(number: u32, title: &str) -> Result<()> {
    say(&format!("\n{number}. {title}"))
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").into_diagnostic()
}
