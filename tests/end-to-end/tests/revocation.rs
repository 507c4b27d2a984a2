//! What a login rests on ends, and its sessions end with it: within five seconds, in the
//! middle of a statement, and nobody else's.

mod lasting;
mod sessions;
mod stalled;
mod states;
mod ways;
