//! The glue between the contract's exports and the traits.

use std::cell::OnceCell;
use std::sync::Once;

pub use crate::bindings::imports::portcullis::policy::types::PluginError;
use crate::bindings::plugin::exports::portcullis::policy::plugin::Manifest;
use crate::policy::Policy;

/// Exports a policy as a component: the interfaces it implements, joined by `+`, and its
/// type. Natively it only checks that the traits are there.
///
/// ```
/// use portcullis_plugin_sdk::{Guardrail, NoSettings, Policy, Request, Verdict, export};
///
/// struct AllowAll;
///
/// impl Policy for AllowAll {
///     type Settings = NoSettings;
///
///     fn new(_: NoSettings) -> Result<AllowAll, String> {
///         Ok(AllowAll)
///     }
/// }
///
/// impl Guardrail for AllowAll {
///     fn judge(&self, _: &Request) -> Verdict {
///         Verdict::allow()
///     }
/// }
///
/// export!(guardrail AllowAll);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export {
    ($interface:ident $(+ $more:ident)* $policy:ident) => {
        const _: () = {
            ::std::thread_local! {
                static INSTANCE: ::std::cell::OnceCell<$policy> =
                    const { ::std::cell::OnceCell::new() };
            }

            struct Component;

            impl $crate::component::plugin::Guest for Component {
                fn describe() -> $crate::component::plugin::Manifest {
                    $crate::component::describe::<$policy>(
                        env!("CARGO_PKG_NAME"),
                        env!("CARGO_PKG_VERSION"),
                        env!("CARGO_PKG_DESCRIPTION"),
                    )
                }

                fn configure(settings: String) -> Result<(), $crate::component::PluginError> {
                    INSTANCE.with(|slot| $crate::component::configure(slot, &settings))
                }
            }

            #[cfg(target_arch = "wasm32")]
            $crate::bindings::plugin::export!(
                Component with_types_in $crate::bindings::plugin
            );
            $crate::__export_interface!($interface $policy INSTANCE Component);
            $($crate::__export_interface!($more $policy INSTANCE Component);)*
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_interface {
    (guardrail $policy:ident $slot:ident $component:ident) => {
        impl $crate::component::guardrail::Guest for $component {
            fn judge(
                request: $crate::Request,
            ) -> Result<$crate::Verdict, $crate::component::PluginError> {
                $slot.with(|slot| {
                    Ok(<$policy as $crate::Guardrail>::judge(
                        $crate::component::configured(slot)?,
                        &request,
                    ))
                })
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::guardrail::export!(
            $component with_types_in $crate::bindings::guardrail
        );
    };
    (masker $policy:ident $slot:ident $component:ident) => {
        impl $crate::component::masker::Guest for $component {
            fn plan(
                shape: $crate::ResultShape,
            ) -> Result<Vec<$crate::MaskAction>, $crate::component::PluginError> {
                $slot.with(|slot| {
                    let policy: &$policy = $crate::component::configured(slot)?;
                    let plan = |column| <$policy as $crate::Masker>::plan(policy, column, &shape);
                    Ok(shape.columns.iter().map(plan).collect())
                })
            }

            fn mask(
                handle: u32,
                batch: $crate::Cells,
                also: Vec<$crate::Cells>,
            ) -> Result<$crate::Masked, $crate::component::PluginError> {
                $slot.with(|slot| {
                    Ok(<$policy as $crate::Masker>::mask(
                        $crate::component::configured(slot)?,
                        handle,
                        &batch,
                        &also,
                    ))
                })
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::masker::export!($component with_types_in $crate::bindings::masker);
    };
    (classifier $policy:ident $slot:ident $component:ident) => {
        impl $crate::component::classifier::Guest for $component {
            fn classify(
                columns: Vec<$crate::Sample>,
            ) -> Result<Vec<Vec<$crate::Label>>, $crate::component::PluginError> {
                $slot.with(|slot| {
                    let policy: &$policy = $crate::component::configured(slot)?;
                    let classify = |column| <$policy as $crate::Classifier>::classify(policy, column);
                    Ok(columns.iter().map(classify).collect())
                })
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::classifier::export!(
            $component with_types_in $crate::bindings::classifier
        );
    };
    (audit_sink $policy:ident $slot:ident $component:ident) => {
        impl $crate::component::audit_sink::Guest for $component {
            fn deliver(
                events: Vec<u8>,
                ends: Vec<u32>,
            ) -> Result<u32, $crate::component::PluginError> {
                $slot.with(|slot| {
                    let policy: &$policy = $crate::component::configured(slot)?;
                    let records = $crate::component::records(&events, &ends)?;
                    <$policy as $crate::AuditSink>::deliver(policy, &records)
                        .map_err($crate::component::PluginError::Internal)
                })
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::audit_sink::export!(
            $component with_types_in $crate::bindings::audit_sink
        );
    };
}

pub mod plugin {
    pub use crate::bindings::plugin::exports::portcullis::policy::plugin::{Guest, Manifest};
}
pub mod guardrail {
    pub use crate::bindings::guardrail::exports::portcullis::policy::guardrail::Guest;
}
pub mod masker {
    pub use crate::bindings::masker::exports::portcullis::policy::masker::Guest;
}
pub mod classifier {
    pub use crate::bindings::classifier::exports::portcullis::policy::classifier::Guest;
}
pub mod audit_sink {
    pub use crate::bindings::audit_sink::exports::portcullis::policy::audit_sink::Guest;
}

/// The manifest, from what Cargo knows of the policy's crate.
pub fn describe<P: Policy>(name: &str, version: &str, description: &str) -> Manifest {
    report_panics();
    Manifest {
        name: name.to_owned(),
        version: version.to_owned(),
        description: description.to_owned(),
        settings_schema: P::SETTINGS_SCHEMA.map(str::to_owned),
    }
}

/// Makes the policy of its settings and keeps it for the calls that follow.
pub fn configure<P: Policy>(slot: &OnceCell<P>, settings: &str) -> Result<(), PluginError> {
    report_panics();
    let policy = policy_from(settings).map_err(PluginError::InvalidSettings)?;
    slot.set(policy).map_err(|_| PluginError::Internal("an instance is configured once".to_owned()))
}

/// The policy in `slot`, if the host configured it before it called.
pub fn configured<P>(slot: &OnceCell<P>) -> Result<&P, PluginError> {
    slot.get().ok_or_else(|| PluginError::Internal("called before it was configured".to_owned()))
}

/// A policy of its settings in JSON; no text at all means no settings.
pub fn policy_from<P: Policy>(settings: &str) -> Result<P, String> {
    let settings = match settings.trim() {
        "" | "null" => "{}",
        settings => settings,
    };
    P::new(serde_json::from_str(settings).map_err(|error| error.to_string())?)
}

/// The records of a batch.
pub fn records<'a>(events: &'a [u8], ends: &[u32]) -> Result<Vec<&'a [u8]>, PluginError> {
    let mut start = 0;
    let record = |end: &u32| {
        let end = *end as usize;
        let record = events.get(start..end)?;
        start = end;
        Some(record.strip_suffix(b"\n").unwrap_or(record))
    };
    ends.iter()
        .map(record)
        .collect::<Option<_>>()
        .ok_or_else(|| PluginError::Internal("ends do not ascend within the events".to_owned()))
}

/// A panic in a component is a bare trap; its message reaches the host's log first.
fn report_panics() {
    static ONCE: Once = Once::new();
    if cfg!(target_arch = "wasm32") {
        ONCE.call_once(|| {
            std::panic::set_hook(Box::new(|panic| crate::host::error(&panic.to_string())));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_cut_at_their_ends() {
        let cut = |events: &'static [u8], ends: &[u32]| records(events, ends).ok();
        assert_eq!(cut(b"{}\n[]\n", &[3, 6]), Some(vec![&b"{}"[..], b"[]"]));
        assert_eq!(cut(b"{}", &[2]), Some(vec![&b"{}"[..]]));
        assert_eq!(cut(b"", &[]), Some(vec![]));
        assert_eq!(cut(b"{}", &[3]), None);
        assert_eq!(cut(b"{}{}", &[4, 2]), None);
    }
}
