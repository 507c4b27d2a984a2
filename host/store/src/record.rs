//! Cases, leases and credentials as the file has them: JSON of its own, so that types may
//! change without the file, and the file is read strictly.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_approvals::{Facts, Said, View, Who};
use portcullis_identity::Credential;
use portcullis_policy::approval::{Lease, Need, Standing};
use portcullis_policy::event::{EventId, RelationTouched};
use portcullis_policy::{Access, Approval, PrincipalKind, Terms};
use serde::{Deserialize, Serialize};

const STANDINGS: [Standing; 5] = [
    Standing::Pending,
    Standing::Granted,
    Standing::Refused,
    Standing::Expired,
    Standing::Withdrawn,
];
const KINDS: [PrincipalKind; 3] =
    [PrincipalKind::Human, PrincipalKind::Service, PrincipalKind::Agent];
const ACCESSES: [Access; 3] = [Access::Read, Access::Write, Access::Define];
const MESSAGES: [&str; 5] = ["query", "parse", "bind", "execute", "function-call"];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseRecord {
    id: String,
    standing: String,
    ended_because: Option<String>,
    who: WhoRecord,
    database: String,
    session: u64,
    event: String,
    revision: u64,
    content: [u8; 32],
    fingerprints: Vec<String>,
    facts: FactsRecord,
    needs: Vec<NeedRecord>,
    granted_by: Vec<SaidRecord>,
    lease_seconds_max: u32,
    asked_at: u64,
    expires_at: u64,
    ended_at: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhoRecord {
    subject: String,
    kind: String,
    groups: Vec<String>,
    proof: String,
    on_behalf_of: Option<String>,
    client_address: String,
    application: String,
    role: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FactsRecord {
    text: String,
    command: String,
    message: String,
    relations: Vec<RelationRecord>,
    rows_estimated: Option<u64>,
    earlier: Vec<String>,
    in_transaction: bool,
    reason: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RelationRecord {
    name: String,
    access: String,
    columns: Vec<String>,
    labels: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NeedRecord {
    policy: String,
    reason: String,
    approvers: Vec<String>,
    approvals_needed: u32,
    expires_in_seconds: u32,
    lease_seconds_max: u32,
    acted_for_may_release: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SaidRecord {
    by: String,
    proof: String,
    comment: Option<String>,
    at: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeaseRecord {
    id: String,
    subject: String,
    database: String,
    fingerprint: String,
    until: u64,
    granted_by: Vec<String>,
    needs: Vec<NeedRecord>,
}

/// But for its verifier, which has a column of its own.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialRecord {
    id: String,
    subject: String,
    kind: String,
    groups: Vec<String>,
    on_behalf_of: Option<String>,
    claims: Vec<(String, String)>,
    issued_on: String,
    of_user: Option<String>,
    of_password: Option<String>,
    database: String,
    issued_at: u64,
    expires_at: u64,
}

/// A case as text.
pub fn write_case(view: &View) -> io::Result<String> {
    // What could not be read again would stop the next start.
    named(MESSAGES, view.facts.message, |message| message, "message")?;
    let view = view.clone();
    write(&CaseRecord {
        id: view.id,
        standing: view.standing.as_str().to_owned(),
        ended_because: view.ended_because,
        who: write_who(view.who),
        database: view.database,
        session: view.session,
        event: view.event.to_string(),
        revision: view.revision,
        content: view.content,
        fingerprints: view.fingerprints,
        facts: write_facts(view.facts),
        needs: view.needs.iter().map(write_need).collect(),
        granted_by: view.granted_by.into_iter().map(write_said).collect(),
        lease_seconds_max: view.lease_seconds_max,
        asked_at: view.asked_at,
        expires_at: view.expires_at,
        ended_at: view.ended_at,
    })
}

/// A case from its text.
pub fn read_case(text: &str) -> io::Result<View> {
    let record: CaseRecord = read(text)?;
    let event = u128::from_str_radix(&record.event, 16).map_err(|_| unknown("event"))?;
    Ok(View {
        id: record.id,
        standing: named(STANDINGS, &record.standing, Standing::as_str, "standing")?,
        ended_because: record.ended_because,
        who: read_who(record.who)?,
        database: record.database,
        session: record.session,
        event: EventId(event),
        revision: record.revision,
        content: record.content,
        fingerprints: record.fingerprints,
        facts: read_facts(record.facts)?,
        needs: record.needs.into_iter().map(read_need).collect(),
        granted_by: record.granted_by.into_iter().map(read_said).collect(),
        lease_seconds_max: record.lease_seconds_max,
        asked_at: record.asked_at,
        expires_at: record.expires_at,
        ended_at: record.ended_at,
    })
}

/// A lease as text.
pub fn write_lease(lease: &Lease) -> io::Result<String> {
    let lease = lease.clone();
    write(&LeaseRecord {
        id: lease.id,
        subject: lease.subject,
        database: lease.database,
        fingerprint: lease.fingerprint,
        until: lease.until,
        granted_by: lease.granted_by,
        needs: lease.needs.iter().map(write_need).collect(),
    })
}

/// A lease from its text.
pub fn read_lease(text: &str) -> io::Result<Lease> {
    let record: LeaseRecord = read(text)?;
    Ok(Lease {
        id: record.id,
        subject: record.subject,
        database: record.database,
        fingerprint: record.fingerprint,
        until: record.until,
        granted_by: record.granted_by,
        needs: record.needs.into_iter().map(read_need).collect(),
    })
}

/// A credential as two texts: its verifier, and all else.
pub fn write_credential(credential: &Credential) -> io::Result<(String, String)> {
    let credential = credential.clone();
    let content = write(&CredentialRecord {
        id: credential.id,
        subject: credential.subject,
        kind: credential.kind.as_str().to_owned(),
        groups: credential.groups,
        on_behalf_of: credential.on_behalf_of,
        claims: credential.claims,
        issued_on: credential.issued_on,
        of_user: credential.of_user,
        of_password: credential.of_password,
        database: credential.database,
        issued_at: seconds(credential.issued_at),
        expires_at: seconds(credential.expires_at),
    })?;
    Ok((credential.verifier.to_string(), content))
}

/// A credential from its two texts.
pub fn read_credential(verifier: &str, content: &str) -> io::Result<Credential> {
    let record: CredentialRecord = read(content)?;
    Ok(Credential {
        id: record.id,
        verifier: verifier.parse().map_err(|_| unknown("verifier"))?,
        subject: record.subject,
        kind: named(KINDS, &record.kind, PrincipalKind::as_str, "kind")?,
        groups: record.groups,
        on_behalf_of: record.on_behalf_of,
        claims: record.claims,
        issued_on: record.issued_on,
        of_user: record.of_user,
        of_password: record.of_password,
        database: record.database,
        issued_at: time(record.issued_at)?,
        expires_at: time(record.expires_at)?,
    })
}

/// Seconds since the Unix epoch, rounded down: what expires never lives longer for having
/// been stored.
pub fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The time that many seconds after the Unix epoch.
pub fn time(seconds: u64) -> io::Result<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or_else(|| unknown("time"))
}

fn write_who(who: Who) -> WhoRecord {
    WhoRecord {
        subject: who.subject,
        kind: who.kind.as_str().to_owned(),
        groups: who.groups,
        proof: who.proof,
        on_behalf_of: who.on_behalf_of,
        client_address: who.client_address,
        application: who.application,
        role: who.role,
    }
}

fn read_who(record: WhoRecord) -> io::Result<Who> {
    Ok(Who {
        subject: record.subject,
        kind: named(KINDS, &record.kind, PrincipalKind::as_str, "kind")?,
        groups: record.groups,
        proof: record.proof,
        on_behalf_of: record.on_behalf_of,
        client_address: record.client_address,
        application: record.application,
        role: record.role,
    })
}

fn write_facts(facts: Facts) -> FactsRecord {
    let relations = facts.relations.into_iter().map(|relation| RelationRecord {
        name: relation.name,
        access: relation.access.as_str().to_owned(),
        columns: relation.columns,
        labels: relation.labels,
    });
    FactsRecord {
        text: facts.text,
        command: facts.command,
        message: facts.message.to_owned(),
        relations: relations.collect(),
        rows_estimated: facts.rows_estimated,
        earlier: facts.earlier,
        in_transaction: facts.in_transaction,
        reason: facts.reason,
    }
}

fn read_facts(record: FactsRecord) -> io::Result<Facts> {
    let relation = |record: RelationRecord| {
        Ok(RelationTouched {
            name: record.name,
            access: named(ACCESSES, &record.access, Access::as_str, "access")?,
            columns: record.columns,
            labels: record.labels,
        })
    };
    Ok(Facts {
        text: record.text,
        command: record.command,
        message: named(MESSAGES, &record.message, |message| message, "message")?,
        relations: record.relations.into_iter().map(relation).collect::<io::Result<_>>()?,
        rows_estimated: record.rows_estimated,
        earlier: record.earlier,
        in_transaction: record.in_transaction,
        reason: record.reason,
    })
}

fn write_need(need: &Need) -> NeedRecord {
    NeedRecord {
        policy: need.policy.to_string(),
        reason: need.approval.reason.clone(),
        approvers: need.approval.approvers.clone(),
        approvals_needed: need.approval.approvals_needed,
        expires_in_seconds: need.approval.expires_in_seconds,
        lease_seconds_max: need.terms.lease_seconds_max,
        acted_for_may_release: need.terms.acted_for_may_release,
    }
}

fn read_need(record: NeedRecord) -> Need {
    Need {
        policy: record.policy.into(),
        approval: Approval {
            reason: record.reason,
            approvers: record.approvers,
            approvals_needed: record.approvals_needed,
            expires_in_seconds: record.expires_in_seconds,
        },
        terms: Terms {
            lease_seconds_max: record.lease_seconds_max,
            acted_for_may_release: record.acted_for_may_release,
        },
    }
}

fn write_said(said: Said) -> SaidRecord {
    SaidRecord { by: said.by, proof: said.proof, comment: said.comment, at: said.at }
}

fn read_said(record: SaidRecord) -> Said {
    Said { by: record.by, proof: record.proof, comment: record.comment, at: record.at }
}

/// The one of `all` that `word` names.
fn named<T: Copy, const N: usize>(
    all: [T; N],
    word: &str,
    word_of: impl Fn(T) -> &'static str,
    what: &str,
) -> io::Result<T> {
    all.into_iter().find(|value| word_of(*value) == word).ok_or_else(|| unknown(what))
}

fn unknown(what: &str) -> io::Error {
    let message = format!("the state file holds an unknown {what}");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn write(record: &impl Serialize) -> io::Result<String> {
    Ok(serde_json::to_string(record)?)
}

fn read<'text, T: Deserialize<'text>>(text: &'text str) -> io::Result<T> {
    // What serde says about broken text may quote it.
    serde_json::from_str(text).map_err(|_| unknown("record"))
}
