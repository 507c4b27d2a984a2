//! Times as answers show them: RFC 3339, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Whole seconds; nothing finer is meant.
pub(crate) fn time(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    seconds(since.as_secs())
}

/// The same, of seconds since the Unix epoch.
pub(crate) fn seconds(at: u64) -> String {
    let whole = i64::try_from(at).ok().and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    whole.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}
