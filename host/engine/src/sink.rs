//! Audit sinks, run from a thread that may wait for them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use portcullis_policy::set::PolicyName;
use portcullis_policy::{Fault, FaultKind, Mode};

use crate::egress::Egress;
use crate::guest_state::EgressPort;
use crate::instance::Instance;
use crate::policy::Policy;
use crate::policy_file::Target;

/// A sink of one set, with an instance of its own.
pub struct SinkHandle {
    policy: Arc<Policy>,
    instance: Option<Instance>,
}

impl fmt::Debug for SinkHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkHandle").field("name", &self.policy.name).finish_non_exhaustive()
    }
}

impl SinkHandle {
    pub(crate) fn new(policy: Arc<Policy>) -> SinkHandle {
        SinkHandle { policy, instance: None }
    }

    pub fn name(&self) -> &PolicyName {
        &self.policy.name
    }

    pub fn mode(&self) -> Mode {
        self.policy.mode
    }

    /// Where the sink may post to, by the name it uses.
    pub fn targets(&self) -> &BTreeMap<String, Target> {
        &self.policy.targets
    }

    /// Offers records: newline-delimited JSON, with the end of each. Returns how many leading
    /// records were accepted. Blocks for as long as `egress` does, besides the deadline.
    pub fn deliver(
        &mut self,
        events: &[u8],
        ends: &[u32],
        egress: &dyn Egress,
    ) -> Result<u32, Fault> {
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => Instance::start(&self.policy.form)?,
        };
        let answer = deliver(&mut instance, events, ends, egress, &self.policy.name);
        // Only a plugin that said no by itself is as good as before.
        let sound = match &answer {
            Ok(_) => !instance.is_worn(),
            Err(fault) => fault.kind == FaultKind::Refused,
        };
        self.instance = sound.then_some(instance);
        answer
    }
}

/// The guest runs on a thread of its own, so that this one can post for it: what posts is
/// lent for the delivery only, and a store holds nothing that is lent.
fn deliver(
    instance: &mut Instance,
    events: &[u8],
    ends: &[u32],
    egress: &dyn Egress,
    policy: &str,
) -> Result<u32, Fault> {
    let (posts, asked) = sync_channel(0);
    let (answers, responses) = sync_channel(1);
    let port = EgressPort { posts, responses, posts_made: 0 };
    std::thread::scope(|scope| {
        let guest = std::thread::Builder::new()
            .name("policy-sink".to_owned())
            .spawn_scoped(scope, move || instance.deliver(events, ends, port))
            .map_err(|error| unavailable(format!("no thread for the sink: {error}")))?;
        for post in asked {
            let response = egress.post(policy, &post.target, &post.content_type, &post.body);
            if answers.send(response).is_err() {
                break;
            }
        }
        guest.join().unwrap_or_else(|_| Err(unavailable("the sink's thread panicked".to_owned())))
    })
}

fn unavailable(message: String) -> Fault {
    Fault { kind: FaultKind::Unavailable, message }
}
