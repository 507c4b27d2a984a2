//! One instance of a policy's component, and calls of it that end.

use std::sync::Arc;

use portcullis_policy::set::PolicyName;
use portcullis_policy::{
    Cells, ColumnSample, Fault, FaultKind, Label, MaskAction, Masked, Verdict,
};
use wasmtime::component::Instance as Exports;
use wasmtime::{Store, Trap};

use crate::answers;
use crate::bindings::kinds;
use crate::bindings::types;
use crate::config::{CLASSIFY_DEADLINE_FACTOR, STARTUP_MS};
use crate::convert;
use crate::guest_state::{EgressPort, GuestState, LogBudget, on_epoch};
use crate::plugin::Plugin;
use crate::population::Population;
use crate::sandbox::Ticker;

/// All that instances of a policy are made of. Two policies of equal text have two forms; a
/// policy whose form did not change keeps its instances over a change of the others.
pub(crate) struct Form {
    pub(crate) policy: PolicyName,
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) deadline_ms: u32,
    pub(crate) memory_bytes_max: usize,
    /// JSON, for `configure`.
    pub(crate) settings: String,
    pub(crate) log: Arc<LogBudget>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) population: Population,
}

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    pub description: String,
    /// JSON schema of its settings.
    pub settings_schema: Option<String>,
}

/// A configured instance. After a fault it is thrown away: a trap may have left anything in
/// its memory, and wasmtime refuses to enter it again.
pub(crate) struct Instance {
    store: Store<GuestState>,
    guests: Guests,
    ticker: Arc<Ticker>,
    deadline_ms: u32,
    memory_bytes_max: usize,
    memory_bytes_at_start: usize,
}

struct Guests {
    plugin: kinds::plugin::Guest,
    guardrail: Option<kinds::guardrail::Guest>,
    masker: Option<kinds::masker::Guest>,
    classifier: Option<kinds::classifier::Guest>,
    audit_sink: Option<kinds::audit_sink::Guest>,
}

impl Guests {
    /// Finds the exports and checks their types.
    fn of(
        plugin: &Plugin,
        store: &mut Store<GuestState>,
        exports: &Exports,
    ) -> wasmtime::Result<Guests> {
        let indices = &plugin.indices;
        Ok(Guests {
            plugin: indices.plugin.load(&mut *store, exports)?,
            guardrail: match &indices.guardrail {
                Some(indices) => Some(indices.load(&mut *store, exports)?),
                None => None,
            },
            masker: match &indices.masker {
                Some(indices) => Some(indices.load(&mut *store, exports)?),
                None => None,
            },
            classifier: match &indices.classifier {
                Some(indices) => Some(indices.load(&mut *store, exports)?),
                None => None,
            },
            audit_sink: match &indices.audit_sink {
                Some(indices) => Some(indices.load(&mut *store, exports)?),
                None => None,
            },
        })
    }
}

/// A call's answer, unless the guest trapped.
type Called<T> = wasmtime::Result<Result<T, types::PluginError>>;

impl Instance {
    /// Makes an instance and configures it.
    pub(crate) fn start(form: &Form) -> Result<Instance, Fault> {
        let mut instance = Instance::unconfigured(form)?;
        instance.call(|store, guests| guests.plugin.call_configure(store, &form.settings))?;
        instance.deadline_ms = form.deadline_ms;
        instance.memory_bytes_at_start = instance.store.data().memory_bytes_used();
        Ok(instance)
    }

    /// Makes an instance that has seen no settings; it can only describe itself.
    pub(crate) fn unconfigured(form: &Form) -> Result<Instance, Fault> {
        let state = GuestState::new(
            Arc::clone(&form.policy),
            form.memory_bytes_max,
            Arc::clone(&form.log),
            form.population.enter(),
        );
        let mut store = Store::new(form.plugin.pre.engine(), state);
        store.limiter(GuestState::limiter);
        // What is lifted out of the guest costs the host memory, and a list may name the same
        // bytes many times.
        store.set_hostcall_fuel(form.memory_bytes_max.saturating_mul(2));
        store.epoch_deadline_callback(on_epoch);
        let startup_ms = form.deadline_ms.max(STARTUP_MS);
        let ticking = form.ticker.tick();
        start_clock(&mut store, startup_ms);
        let guests = form
            .plugin
            .pre
            .instantiate(&mut store)
            .and_then(|exports| Guests::of(&form.plugin, &mut store, &exports))
            .map_err(|error| instantiation_fault(&store, &error))?;
        drop(ticking);
        Ok(Instance {
            store,
            guests,
            ticker: Arc::clone(&form.ticker),
            deadline_ms: startup_ms,
            memory_bytes_max: form.memory_bytes_max,
            memory_bytes_at_start: 0,
        })
    }

    pub(crate) fn describe(&mut self) -> Result<Manifest, Fault> {
        let manifest = self.call(|store, guests| guests.plugin.call_describe(store).map(Ok))?;
        Ok(Manifest {
            name: manifest.name,
            version: manifest.version,
            description: manifest.description,
            settings_schema: manifest.settings_schema,
        })
    }

    /// Judges a request; `text` and `parameters` are what it may look at meanwhile.
    pub(crate) fn judge(
        &mut self,
        request: &types::Request<'_>,
        text: Option<Arc<str>>,
        parameters: Option<Arc<[Option<String>]>>,
    ) -> Result<Verdict, Fault> {
        let state = self.store.data_mut();
        (state.text, state.parameters) = (text, parameters);
        let verdict = self.call(|store, guests| match &guests.guardrail {
            Some(guest) => guest.call_judge(store, request.clone()),
            None => Ok(Err(not_exported("guardrail"))),
        });
        let state = self.store.data_mut();
        (state.text, state.parameters) = (None, None);
        let verdict = convert::verdict(verdict?);
        answers::check_verdict(&verdict).map_err(malformed)?;
        Ok(verdict)
    }

    pub(crate) fn plan(
        &mut self,
        shape: &kinds::masker::ResultShape<'_>,
    ) -> Result<Vec<MaskAction>, Fault> {
        let actions = self.call(|store, guests| match &guests.masker {
            Some(guest) => guest.call_plan(store, shape.clone()),
            None => Ok(Err(not_exported("masker"))),
        })?;
        let actions: Vec<MaskAction> = actions.into_iter().map(convert::mask_action).collect();
        answers::check_plan(&actions, shape.columns.len()).map_err(malformed)?;
        Ok(actions)
    }

    pub(crate) fn mask(
        &mut self,
        handle: u32,
        batch: &Cells,
        also: &[Cells],
    ) -> Result<Masked, Fault> {
        let companions: Vec<_> = also.iter().map(convert::cells).collect();
        let masked = self.call(|store, guests| match &guests.masker {
            Some(guest) => guest.call_mask(store, handle, convert::cells(batch), &companions),
            None => Ok(Err(not_exported("masker"))),
        })?;
        let masked = convert::masked(masked);
        answers::check_masked(&masked, batch, self.memory_bytes_max).map_err(malformed)?;
        Ok(masked)
    }

    pub(crate) fn classify(&mut self, samples: &[ColumnSample]) -> Result<Vec<Vec<Label>>, Fault> {
        let deadline_ms = self.deadline_ms.saturating_mul(CLASSIFY_DEADLINE_FACTOR);
        let labels = self.call_within(deadline_ms, |store, guests| match &guests.classifier {
            Some(guest) => {
                convert::with_samples(samples, |samples| guest.call_classify(store, samples))
            }
            None => Ok(Err(not_exported("classifier"))),
        })?;
        let labels: Vec<Vec<Label>> = labels
            .into_iter()
            .map(|labels| labels.into_iter().map(convert::label).collect())
            .collect();
        answers::check_labels(&labels, samples.len()).map_err(malformed)?;
        Ok(labels)
    }

    /// Delivers records; `port` is the way out meanwhile.
    pub(crate) fn deliver(
        &mut self,
        events: &[u8],
        ends: &[u32],
        port: EgressPort,
    ) -> Result<u32, Fault> {
        self.store.data_mut().egress = Some(port);
        let accepted = self.call(|store, guests| match &guests.audit_sink {
            Some(guest) => guest.call_deliver(store, events, ends),
            None => Ok(Err(not_exported("audit-sink"))),
        });
        // Dropping the port tells the posting side that the delivery has ended.
        self.store.data_mut().egress = None;
        let accepted = accepted?;
        match accepted as usize <= ends.len() {
            true => Ok(accepted),
            false => Err(malformed(format!("{accepted} of {} records accepted", ends.len()))),
        }
    }

    /// True when an instance has grown so much that the next call may not fit: some languages
    /// never give memory back, and a new instance costs microseconds.
    pub(crate) fn is_worn(&self) -> bool {
        let used = self.store.data().memory_bytes_used();
        used > self.memory_bytes_max / 4 * 3 && used / 2 > self.memory_bytes_at_start
    }

    fn call<T>(
        &mut self,
        call: impl FnOnce(&mut Store<GuestState>, &Guests) -> Called<T>,
    ) -> Result<T, Fault> {
        self.call_within(self.deadline_ms, call)
    }

    fn call_within<T>(
        &mut self,
        deadline_ms: u32,
        call: impl FnOnce(&mut Store<GuestState>, &Guests) -> Called<T>,
    ) -> Result<T, Fault> {
        let _ticking = self.ticker.tick();
        start_clock(&mut self.store, deadline_ms);
        match call(&mut self.store, &self.guests) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                Err(Fault { kind: FaultKind::Refused, message: convert::plugin_error(error) })
            }
            Err(error) => Err(fault(&self.store, &error)),
        }
    }
}

/// Starts the clock of a call.
fn start_clock(store: &mut Store<GuestState>, deadline_ms: u32) {
    let ticks = store.data_mut().deadline.start(deadline_ms);
    store.set_epoch_deadline(ticks);
}

fn not_exported(interface: &str) -> types::PluginError {
    types::PluginError::Unsupported(format!("it exports no {interface}"))
}

fn malformed(message: String) -> Fault {
    Fault { kind: FaultKind::Malformed, message }
}

fn instantiation_fault(store: &Store<GuestState>, error: &wasmtime::Error) -> Fault {
    let mut fault = fault(store, error);
    // Without a trap it is the host that could not: the pool is full, a type does not fit.
    if fault.kind == FaultKind::Malformed {
        fault.kind = FaultKind::Unavailable;
    }
    fault
}

/// What went wrong in a call that gave no answer.
fn fault(store: &Store<GuestState>, error: &wasmtime::Error) -> Fault {
    let trap = error.downcast_ref::<Trap>();
    let kind = match trap {
        Some(Trap::Interrupt) => FaultKind::Deadline,
        _ if store.data().memory_was_denied() => FaultKind::Memory,
        Some(_) => FaultKind::Trap,
        // The guest returned, but what it returned could not be read.
        None => FaultKind::Malformed,
    };
    // The first line says what happened; the others are frames of the guest.
    let message = match trap {
        Some(trap) => trap.to_string(),
        None => crate::guest_state::printable(&format!("{error:#}")),
    };
    Fault { kind, message }
}
