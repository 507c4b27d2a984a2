//! What a policy may ask of the host. Natively, in tests, the answers come from
//! [`crate::testing`] and the log goes to standard error.

pub use crate::bindings::imports::portcullis::policy::egress::{EgressError, Response};
pub use crate::bindings::imports::portcullis::policy::host::Level;

/// Writes a line to the proxy's log, under the policy's name.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::imports::portcullis::policy::host::log(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    {
        let word = match level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        eprintln!("{word}: {message}");
    }
}

/// [`log`] at level debug.
pub fn debug(message: &str) {
    log(Level::Debug, message);
}

/// [`log`] at level info.
pub fn info(message: &str) {
    log(Level::Info, message);
}

/// [`log`] at level warn.
pub fn warn(message: &str) {
    log(Level::Warn, message);
}

/// [`log`] at level error.
pub fn error(message: &str) {
    log(Level::Error, message);
}

/// The text of the statement being judged as it was sent, literals and all. A component that
/// calls this imports it, so whoever installs it can see that it reads texts.
pub fn statement_text() -> String {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::imports::portcullis::policy::statement_text::get();
    #[cfg(not(target_arch = "wasm32"))]
    stand_in::statement_text()
}

/// Values bound to the statement being judged. A component that calls these imports them, so
/// whoever installs it can see that it reads values.
pub mod parameters {
    /// How many values are bound; 0 for simple queries and before Bind.
    pub fn count() -> u32 {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::imports::portcullis::policy::parameters::count();
        #[cfg(not(target_arch = "wasm32"))]
        super::stand_in::parameter_count()
    }

    /// The text form of value `index`, counted from 0; `None` for NULL and out of range.
    pub fn get(index: u32) -> Option<String> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::imports::portcullis::policy::parameters::get(index);
        #[cfg(not(target_arch = "wasm32"))]
        super::stand_in::parameter(index)
    }
}

/// HTTP to the targets of the policy's `[targets]`, for audit sinks.
pub mod egress {
    use super::{EgressError, Response};

    /// Posts `body` to the target of this name. Address, credentials, TLS and time-outs are
    /// the host's.
    pub fn post(target: &str, content_type: &str, body: &[u8]) -> Result<Response, EgressError> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::imports::portcullis::policy::egress::post(
            target,
            content_type,
            body,
        );
        #[cfg(not(target_arch = "wasm32"))]
        super::stand_in::post(target, content_type, body)
    }
}

/// What answers in the place of the host where there is none: in a policy's own tests.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod stand_in {
    use std::cell::RefCell;

    use super::{EgressError, Response};

    type Post = Box<dyn Fn(&str, &str, &[u8]) -> Result<Response, EgressError>>;

    thread_local! {
        pub(crate) static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
        pub(crate) static PARAMETERS: RefCell<Vec<Option<String>>> = const { RefCell::new(Vec::new()) };
        pub(crate) static POST: RefCell<Option<Post>> = const { RefCell::new(None) };
    }

    pub(crate) fn statement_text() -> String {
        TEXT.with(|slot| slot.borrow().clone())
    }

    pub(crate) fn parameter_count() -> u32 {
        PARAMETERS.with(|slot| u32::try_from(slot.borrow().len()).unwrap_or(u32::MAX))
    }

    pub(crate) fn parameter(index: u32) -> Option<String> {
        PARAMETERS.with(|slot| slot.borrow().get(index as usize).cloned().flatten())
    }

    pub(crate) fn post(
        target: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<Response, EgressError> {
        POST.with(|slot| match slot.borrow().as_ref() {
            Some(answer) => answer(target, content_type, body),
            None => Err(EgressError::UnknownTarget),
        })
    }
}
