//! What a guest finds in the empty WASI.

use crate::bindings::wasi;

/// Everything that could be seen, as text.
pub(crate) fn look_around() -> Vec<String> {
    let now = wasi::clocks::wall_clock::now();
    let stream = wasi::cli::stderr::get_stderr();
    let room = stream.check_write().unwrap_or(0);
    let written = stream.write(b"nobody reads this").is_ok();
    vec![
        format!("environment {}", wasi::cli::environment::get_environment().len()),
        format!("arguments {}", wasi::cli::environment::get_arguments().len()),
        format!("directory {:?}", wasi::cli::environment::initial_cwd()),
        format!("clock {}.{}", now.seconds, now.nanoseconds),
        format!("random {:?}", wasi::random::random::get_random_bytes(4)),
        format!("output {} {written}", room > 0),
    ]
}

pub(crate) fn exit() {
    wasi::cli::exit::exit(Ok(()));
}
