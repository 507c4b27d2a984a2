//! Questions about a client's message that its kind answers.

use portcullis_wire::{Expect, Frontend};

use crate::refusal::Refusal;

/// What the server would answer to a message that can be held.
pub(super) fn expected(message: &Frontend<'_>) -> Expect {
    match message {
        Frontend::Query { .. } => Expect::Query,
        Frontend::FunctionCall { .. } => Expect::FunctionCall,
        Frontend::Bind(_) => Expect::Bind,
        Frontend::Execute { .. }
        | Frontend::Parse { .. }
        | Frontend::Describe { .. }
        | Frontend::Close { .. }
        | Frontend::Sync
        | Frontend::Flush
        | Frontend::CopyData
        | Frontend::CopyDone
        | Frontend::CopyFail
        | Frontend::Terminate
        | Frontend::Password => Expect::Execute,
    }
}

/// Messages that open an implicit transaction, which a Sync ends: those that name what they are
/// about.
pub(super) fn is_extended(message: &Frontend<'_>) -> bool {
    names(message).is_some()
}

/// The server cuts long names and converts others, so that two of the client's could be one
/// of the server's. And a portal that stands in for what was refused must not be there.
pub(super) fn unsafe_name(message: &Frontend<'_>) -> Option<Refusal> {
    if let Frontend::Bind(bind) = message
        && bind.portal.starts_with(STAND_IN.as_bytes())
    {
        let why = format!("names of portals do not begin with {STAND_IN} here");
        return Some(Refusal::Unsupported(why));
    }
    let is_unsafe = |name: &&[u8]| name.len() > NAME_BYTES_MAX || !name.is_ascii();
    names(message)?.iter().any(is_unsafe).then(|| {
        Refusal::Unsupported(format!(
            "names of prepared statements and portals have at most {NAME_BYTES_MAX} ASCII characters here"
        ))
    })
}

/// What a message of the extended protocol names: prepared statements and portals, the second
/// empty where it is only one.
fn names<'m>(message: &Frontend<'m>) -> Option<[&'m [u8]; 2]> {
    match message {
        Frontend::Parse { statement, .. } => Some([statement, b""]),
        Frontend::Bind(bind) => Some([bind.statement, bind.portal]),
        Frontend::Execute { portal, .. } => Some([portal, b""]),
        Frontend::Describe { name, .. } | Frontend::Close { name, .. } => Some([name, b""]),
        Frontend::Query { .. }
        | Frontend::Sync
        | Frontend::Flush
        | Frontend::FunctionCall { .. }
        | Frontend::CopyData
        | Frontend::CopyDone
        | Frontend::CopyFail
        | Frontend::Terminate
        | Frontend::Password => None,
    }
}

/// What the name of a stand-in begins with.
pub(super) const STAND_IN: &str = "portcullis_denied_";

/// `NAMEDATALEN` less its terminating zero.
const NAME_BYTES_MAX: usize = 63;
