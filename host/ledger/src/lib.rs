//! The audit ledger: what was asked, what was decided, what became of it.
//!
//! Append-only JSON lines, one *stream* per worker, so that no statement waits for another
//! thread. A stream is a directory of *segments* of limited size:
//!
//! ```text
//! <ledger>/lock                          held by the one process that writes
//! <ledger>/staging-1                     committed to stream 1, and not in its segment yet
//! <ledger>/stream-0/00000001.jsonl       oldest
//! <ledger>/stream-0/00000002.jsonl
//! <ledger>/stream-1/00000001.jsonl
//! ```
//!
//! # Promises
//!
//! * [`Stream::commit`] returns `Ok` only after the operating system has every record
//!   appended before it. After an error every later commit fails until the segment can be
//!   written again; each commit tries. Records wait meanwhile, up to
//!   [`Options::backlog_bytes_max`]; what does not fit is counted, and the count is in the
//!   `ledger-resumed` record that ends the outage.
//! * Of a stream that stages ([`Ledger::staging_stream`]) the segments, and so every reader, have
//!   what was committed once it is [passed on](Stream::pass_on). When the process is killed
//!   before that, [`Ledger::open`] of the next one moves it there.
//! * [`Stream::synced`] is ready once the disk has them. What nobody waits for is on disk
//!   within [`Options::sync_interval`].
//! * `seq` counts a stream's records from 1, without gaps, over restarts. A missing number
//!   is a missing record, and [`Reader`] reports it.
//! * A last line cut by a crash is removed when the stream is opened, and a
//!   `ledger-recovered` record says how many bytes went.
//! * [`Follower`] offers every record at least once, in order within a stream, and only
//!   records the disk has: a sink never hears of what a power failure could take back.
//!
//! # A record's fields
//!
//! Every record begins with these, in this order:
//!
//! | field | meaning |
//! | --- | --- |
//! | `v` | version of this layout, 1 |
//! | `seq` | number within the stream, from 1 |
//! | `stream` | who wrote it, as a string: a worker, by its number, or behind those the policies, the approvals, the admin API |
//! | `time` | when it was appended, RFC 3339 in UTC with microseconds |
//! | `kind` | which of the following it is |
//!
//! `intent`, before a statement leaves or when it is refused:
//!
//! | field | meaning |
//! | --- | --- |
//! | `event` | the event's id, 32 hexadecimal digits, sortable by time; the outcome has the same |
//! | `session` | the client session |
//! | `principal` | `subject`, `kind`, `groups`, `proof`, `on_behalf_of`, `claims`, `client_address`, `application`, `role` |
//! | `database` | name of the database asked |
//! | `message` | the protocol message: `query`, `parse`, `bind`, `execute`, `function-call` |
//! | `text` | the statement with its literals redacted |
//! | `fingerprint` | hash of its shape |
//! | `command` | PostgreSQL's command tag |
//! | `actions` | what it does, its own action first |
//! | `relations` | `name`, `access` (`read`, `write`, `define`), `columns`, `labels` of each relation |
//! | `functions` | functions called |
//! | `opaque` | what could not be seen; absent when all was |
//! | `parameters` | how many values were bound |
//! | `decision` | `permitted`, `denied` or `held` |
//! | `policy` | the policy that denied; absent where none matched, or nothing was denied |
//! | `reason` | why it was denied or held |
//! | `answers` | `policy`, `mode`, `answer`, `tags` of every policy asked |
//! | `released_by` | the approval or lease that released it, where one was needed |
//! | `revision` | the policy set it was judged under |
//!
//! `outcome`, after a statement:
//!
//! | field | meaning |
//! | --- | --- |
//! | `event`, `session`, `revision` | as in the intent |
//! | `ending` | `completed`, `failed`, `suspended`, `skipped`, `refused`, `released` (held, then run under an event of its own) or `lost` |
//! | `tag` | the server's command tag, when completed |
//! | `sqlstate` | the server's error code, when failed |
//! | `rows`, `bytes` | rows and bytes of the result |
//! | `cells_masked`, `labels_masked` | how many cells were masked, and labels of their columns |
//! | `cells_observed` | how many maskers in observe mode would have masked, where there are any |
//! | `duration_us` | from leaving to ending, in microseconds |
//!
//! Everything else:
//!
//! | kind | fields |
//! | --- | --- |
//! | `started` | `version` |
//! | `stopped` | |
//! | `login` | `session`, `principal`, `database` |
//! | `login-refused` | `role`, `client_address`, `reason` |
//! | `logout` | `session`, `statements` |
//! | `policy-set` | `revision`, `changes`, `failures` |
//! | `fault` | `policy`, `fault` (its kind), `message` |
//! | `approval` | `approval`, `step` and what the step has: `asked` (`event` of the held intent, `session`, `reason`, `approvers`, `approvals_needed`, `expires_in_seconds`), `shown`, `granted` (`by`, `comment`, `lease_seconds`), `refused` (`by`, `comment`), `ended` (`state`, `reason`), `lease-revoked` (`lease`, `by`) |
//! | `session-ended` | `session`, `reason`: the proxy ended it before its client did |
//! | `administered` | `by` (`subject`, `proof`, `address`), `action`, `target`, and `refused` with the reason where it was not allowed |
//! | `ledger-recovered` | `segment`, `bytes_removed`: a torn last line was cut off |
//! | `ledger-resumed` | `since`, `error`, `first_seq`, `last_seq`, `unwritten`: writing failed for a while. Intents numbered from `first_seq` to `last_seq` were written after the fact; their statements were refused then, whatever `decision` says, unless an outcome follows. `unwritten` records found no room to wait. Where `first_seq` is the larger no intent came meanwhile |
//! | `ledger-unsynced` | `first_seq`, `last_seq`, `error`: the disk may not have these records |
//!
//! Lists that are empty and values that are absent are left out.

mod head;
mod statements;
mod record;
mod event_id;
mod segment;
mod staging;
mod sync;
mod stream;
mod lines;
mod reader;
mod horizon;
mod follower;
mod ledger;

pub use follower::{Batch, Follower};
pub use head::LAYOUT;
pub use ledger::Ledger;
pub use portcullis_policy::event::EventId;
pub use reader::{ReadError, Reader, Record};
pub use statements::{Intent, Part};
pub use stream::{Options, Position, Stream};

#[cfg(test)]
mod tests;
