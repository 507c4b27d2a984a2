//! Badly behaved policies: one component of every kind that does whatever it is told.
//!
//! What it does is the setting `behaviour`; a statement `do:WORD` says it for that one
//! statement. The tests of the engine build this for WebAssembly; natively it is empty.
#![cfg(target_family = "wasm")]
// The generated glue crosses a foreign interface, and some lies need forged values.
#![allow(unsafe_code, unreachable_pub)]

#[cfg(not(feature = "wasi"))]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package portcullis:hostile;

            world guest {
                import portcullis:policy/host@0.1.0;
                import portcullis:policy/statement-text@0.1.0;
                import portcullis:policy/parameters@0.1.0;
                import portcullis:policy/egress@0.1.0;
                export portcullis:policy/plugin@0.1.0;
                export portcullis:policy/guardrail@0.1.0;
                export portcullis:policy/masker@0.1.0;
                export portcullis:policy/classifier@0.1.0;
                export portcullis:policy/audit-sink@0.1.0;
            }
        ",
        world: "portcullis:hostile/guest",
        generate_all,
    });
}

#[cfg(feature = "wasi")]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit", "wit-wasi"],
        inline: "
            package portcullis:hostile;

            world guest {
                import portcullis:policy/host@0.1.0;
                import portcullis:policy/statement-text@0.1.0;
                import portcullis:policy/parameters@0.1.0;
                import portcullis:policy/egress@0.1.0;
                import wasi:cli/environment@0.2.0;
                import wasi:cli/exit@0.2.0;
                import wasi:cli/stderr@0.2.0;
                import wasi:clocks/wall-clock@0.2.0;
                import wasi:random/random@0.2.0;
                export portcullis:policy/plugin@0.1.0;
                export portcullis:policy/guardrail@0.1.0;
                export portcullis:policy/masker@0.1.0;
                export portcullis:policy/classifier@0.1.0;
                export portcullis:policy/audit-sink@0.1.0;
            }
        ",
        world: "portcullis:hostile/guest",
        generate_all,
    });
}

mod lies;
mod violence;
#[cfg(feature = "wasi")]
mod wasi;

use std::cell::{Cell, RefCell};

use bindings::exports::portcullis::policy::audit_sink::Guest as AuditSink;
use bindings::exports::portcullis::policy::classifier::{Guest as Classifier, Label, Sample};
use bindings::exports::portcullis::policy::guardrail::{
    Decision, Denial, Guest as Guardrail, PluginError, Request, Verdict,
};
use bindings::exports::portcullis::policy::masker::{
    Cells, Guest as Masker, MaskAction, Masked, ResultShape,
};
use bindings::exports::portcullis::policy::plugin::{Guest as Plugin, Manifest};
use bindings::portcullis::policy::egress::{self, EgressError};
use bindings::portcullis::policy::{parameters, statement_text};

/// The tests change these bytes to get another component that does the same.
#[used]
static MARKER: [u8; 19] = *b"hostile-marker-0000";

thread_local! {
    static SETTINGS: RefCell<String> = const { RefCell::new(String::new()) };
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

/// The text of a key in the settings, without parsing JSON.
fn setting(key: &str) -> String {
    SETTINGS.with_borrow(|settings| {
        let quoted = format!("\"{key}\":\"");
        let value = settings.split_once(&quoted).map_or("", |(_, rest)| rest);
        value.split_once('"').map_or("", |(value, _)| value).to_owned()
    })
}

struct Hostile;

bindings::export!(Hostile with_types_in bindings);

impl Plugin for Hostile {
    fn describe() -> Manifest {
        Manifest {
            name: "hostile".to_owned(),
            version: "0.1.0".to_owned(),
            description: String::from_utf8_lossy(std::hint::black_box(&MARKER)).into_owned(),
            settings_schema: None,
        }
    }

    fn configure(settings: String) -> Result<(), PluginError> {
        SETTINGS.set(settings);
        match setting("configure").as_str() {
            "refuse" => Err(PluginError::InvalidSettings("not these".to_owned())),
            behaviour => {
                violence::commit(behaviour);
                Ok(())
            }
        }
    }
}

impl Guardrail for Hostile {
    fn judge(request: Request) -> Result<Verdict, PluginError> {
        let told = statement_text::get().strip_prefix("do:").map(str::to_owned);
        let behaviour = told.unwrap_or_else(|| setting("behaviour"));
        violence::commit(&behaviour);
        let calls = CALLS.get() + 1;
        CALLS.set(calls);
        let mut verdict = Verdict {
            decision: Decision::Allow,
            limit_rows: None,
            notice: None,
            tags: vec![format!("call {calls}"), setting("fill")],
        };
        match behaviour.as_str() {
            "deny" => {
                let reason = format!("{} says no", setting("fill"));
                verdict.decision = Decision::Deny(Denial { reason, hint: None });
            }
            "error" => return Err(PluginError::Internal("out of sorts".to_owned())),
            "post" => {
                let denied = matches!(egress::post("siem", "", &[]), Err(EgressError::Denied));
                verdict.tags = vec![if denied { "denied" } else { "posted" }.to_owned()];
            }
            "parameters" => verdict.tags = (0..parameters::count() + 1).map(parameter).collect(),
            #[cfg(feature = "wasi")]
            "wasi" => verdict.tags = wasi::look_around(),
            #[cfg(feature = "wasi")]
            "exit" => wasi::exit(),
            other => lies::verdict(other, &mut verdict),
        }
        Ok(verdict)
    }
}

fn parameter(index: u32) -> String {
    parameters::get(index).unwrap_or_else(|| "NULL".to_owned())
}

impl Masker for Hostile {
    fn plan(shape: ResultShape) -> Result<Vec<MaskAction>, PluginError> {
        let behaviour = setting("plan");
        violence::commit(&behaviour);
        Ok(lies::plan(&behaviour, shape.columns.len()))
    }

    fn mask(handle: u32, batch: Cells, also: Vec<Cells>) -> Result<Masked, PluginError> {
        let behaviour = setting("mask");
        violence::commit(&behaviour);
        if let Some(lie) = lies::masked(&behaviour, &batch) {
            return Ok(lie);
        }
        let fill = format!("{}{handle}+{}", setting("fill"), also.len());
        let rows = batch.ends.len() as u32;
        Ok(Masked::Replaced(Cells {
            data: fill.repeat(batch.ends.len()).into_bytes(),
            ends: (1..=rows).map(|row| row * fill.len() as u32).collect(),
            nulls: batch.nulls,
        }))
    }
}

impl Classifier for Hostile {
    fn classify(columns: Vec<Sample>) -> Result<Vec<Vec<Label>>, PluginError> {
        let behaviour = setting("classify");
        violence::commit(&behaviour);
        let label = |name: String, confidence| vec![Label { name, confidence }];
        Ok(match behaviour.as_str() {
            "few" => Vec::new(),
            "unsure" => columns.iter().map(|_| label("x".to_owned(), f32::NAN)).collect(),
            _ => columns.iter().map(|sample| label(sample.values.concat(), 0.5)).collect(),
        })
    }
}

impl AuditSink for Hostile {
    fn deliver(events: Vec<u8>, ends: Vec<u32>) -> Result<u32, PluginError> {
        let behaviour = setting("deliver");
        violence::commit(&behaviour);
        let post = |target: &str| egress::post(target, "application/x-ndjson", &events);
        match behaviour.as_str() {
            "too-many" => return Ok(ends.len() as u32 + 1),
            "post-for-ever" => while !matches!(post("siem"), Err(EgressError::Denied)) {},
            "post-twice" => {
                // Each post may take longer than the deadline; the work between them does not.
                let _ = (post("siem"), post("elsewhere"));
            }
            _ => {}
        }
        match post("siem") {
            Ok(response) if response.status == 200 => Ok(ends.len() as u32),
            Ok(response) => Err(PluginError::Internal(format!("status {}", response.status))),
            Err(_) => Ok(0),
        }
    }
}
