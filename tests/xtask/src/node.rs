//! Packages of Node.js.

use std::path::Path;

use crate::failure::Failure;
use crate::{program, repository, system_package};

/// Puts packages into the `node_modules` of a directory, if they are not there already.
/// `manifest` is what its package.json says.
pub(crate) fn install(what: &str, directory: &Path, manifest: &str) -> Result<(), Failure> {
    let stamp = directory.join("node_modules/.done").join(what);
    repository::once(&stamp, manifest, || {
        if program::find(&["npm"]).is_none() || program::find(&["node"]).is_none() {
            system_package::install("Node.js with npm", &["nodejs", "npm"])?;
        }
        eprintln!("xtask: getting {what} for Node.js");
        repository::write(&directory.join("package.json"), manifest)?;
        // Anew: npm takes away from a tree that is there what some packages need unsaid.
        repository::create_anew(&directory.join("node_modules"))?;
        let mut npm = program::command("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]);
        program::run_quietly(npm.current_dir(directory))
    })
}
