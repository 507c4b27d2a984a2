//! The example policies, each built as its author would, with toolchains from the package
//! clients of their languages.

use std::path::{Path, PathBuf};

use crate::component::GuestTools;
use crate::failure::Failure;
use crate::setup::Ready;
use crate::{node, plugins, program, python, repository};

type Build = fn(&Guest<'_>) -> Result<(), Failure>;

/// The linker would give a guest a stack of 16 MiB, more than a policy's whole memory.
const C_STACK: &str = "-Wl,-z,stack-size=262144";

const GUESTS: [(&str, &str, Build); 6] = [
    ("javascript-guardrail", "guardrail", javascript),
    ("javascript-masker", "masker", javascript),
    ("python-guardrail", "guardrail", python_component),
    ("c-guardrail", "guardrail", c),
    ("c-masker", "masker", c),
    ("go-guardrail", "guardrail", go),
];

/// One example while it is built: a copy of its folder, so that nothing generated lands
/// beside the sources.
struct Guest<'t> {
    source: PathBuf,
    work: PathBuf,
    kind: &'static str,
    out: PathBuf,
    tools: &'t GuestTools,
}

impl Guest<'_> {
    fn world(&self) -> String {
        format!("{}-plugin", self.kind)
    }

    fn bindings(&self, language: &str, directory: &Path) -> Result<(), Failure> {
        let mut tools = self.tools.command();
        tools.args(["bindings", language]).arg(repository::wit()).arg(self.world());
        program::run_quietly(tools.arg(directory))
    }
}

/// `tools` must be those with bindings.
pub(crate) fn build(ready: &Ready, tools: &GuestTools) -> Result<(), Failure> {
    plugins::build_example(ready, tools)?;
    GUESTS.iter().try_for_each(|(name, kind, build)| make(name, kind, *build, tools))
}

fn make(name: &str, kind: &'static str, build: Build, tools: &GuestTools) -> Result<(), Failure> {
    let guest = Guest {
        source: repository::root().join("examples").join(name),
        work: workshop().join(name),
        kind,
        out: repository::examples().join(plugins::file_name(name)),
        tools,
    };
    let stamp = repository::examples().join(".done").join(name);
    let key = repository::digest(&sources(&guest.source))?;
    repository::once_made(&guest.out, &stamp, &key, || {
        eprintln!("xtask: building {name}");
        repository::create_anew(&guest.work)?;
        repository::copy_tree(&guest.source, &guest.work)?;
        build(&guest)
    })?;
    println!("{}", plugins::shown(&guest.out));
    Ok(())
}

/// What decides how an example comes out: it, the contract, and how it is built.
fn sources(guest: &Path) -> Vec<PathBuf> {
    let root = repository::root();
    vec![
        guest.to_owned(),
        repository::wit(),
        json_reader(),
        root.join("tests/guest-tools"),
        root.join("tests/xtask/src/examples.rs"),
    ]
}

/// The examples in C share it.
fn json_reader() -> PathBuf {
    root_of_c().join("json.h")
}

fn root_of_c() -> PathBuf {
    repository::root().join("examples/c-guardrail")
}

/// Where copies are built. Node.js looks for packages in the folders above a program.
fn workshop() -> PathBuf {
    repository::tools().join("guests")
}

fn javascript(guest: &Guest<'_>) -> Result<(), Failure> {
    let manifest = repository::read(&guest.source.join("package.json"))?;
    node::install("componentize-js", &workshop(), &without_name(&manifest))?;
    let mut build = program::command("node");
    build.arg("build.mjs").arg(repository::wit()).arg(&guest.out);
    program::run_quietly(build.current_dir(&guest.work))
}

/// The two examples ask for the same, and are then the same request.
fn without_name(manifest: &str) -> String {
    let kept: Vec<&str> = manifest.lines().filter(|line| !line.contains("\"name\"")).collect();
    kept.join("\n")
}

fn python_component(guest: &Guest<'_>) -> Result<(), Failure> {
    python::install("componentize-py", &requirements(guest)?)?;
    let mut componentize = program::command(python::script("componentize-py"));
    componentize.args(["--quiet", "--wit-path"]).arg(repository::wit());
    componentize.args(["--world", &guest.world(), "componentize", "--stub-wasi", "--output"]);
    program::run_quietly(componentize.arg(&guest.out).arg(guest.kind).current_dir(&guest.work))
}

fn c(guest: &Guest<'_>) -> Result<(), Failure> {
    python::install("the C compiler zig cc", &requirements(guest)?)?;
    let bindings = guest.work.join("bindings");
    guest.bindings("c", &bindings)?;
    let core = guest.work.join("core.wasm");
    let world = guest.world().replace('-', "_");
    let mut zig = program::command(python::script("python-zig"));
    zig.args([
        "cc",
        "--target=wasm32-wasi",
        "-mexec-model=reactor",
        "-O2",
        "-Wl,--strip-all",
        C_STACK,
    ]);
    zig.args(["-Wall", "-Wextra", "-Werror", "-I", "bindings", "-I"]).arg(root_of_c());
    zig.arg(format!("{}.c", guest.kind));
    zig.arg(bindings.join(format!("{world}.c")));
    zig.arg(bindings.join(format!("{world}_component_type.o")));
    program::run_quietly(zig.arg("-o").arg(&core).current_dir(&guest.work))?;
    guest.tools.component(&core, &guest.out)
}

fn go(guest: &Guest<'_>) -> Result<(), Failure> {
    python::install("the compiler of Go", &requirements(guest)?)?;
    guest.bindings("go", &guest.work)?;
    // The bindings bring a module file of their own; ours is the one to build.
    repository::copy_tree(&guest.source, &guest.work)?;
    let flags = "-ldflags=-s -w -checklinkname=0";
    run_go(guest, &["build", "-buildmode=c-shared", flags, "-o", "core.wasm", "."])?;
    let mut tools = guest.tools.command();
    tools.arg("go-component").arg(guest.work.join("core.wasm"));
    tools.arg(repository::wit()).arg(guest.world()).arg(&guest.out);
    program::run_quietly(&mut tools)
}

/// Everything Go reads and keeps is in the tools' directory, and nothing is downloaded.
fn run_go(guest: &Guest<'_>, args: &[&str]) -> Result<(), Failure> {
    let mut go = program::command(python::script("go"));
    go.args(args).current_dir(&guest.work);
    go.env("GOOS", "wasip1").env("GOARCH", "wasm");
    go.env("GOPROXY", "off").env("GOFLAGS", "-mod=mod").env("GOTOOLCHAIN", "local");
    go.env("GOPATH", workshop().join("go")).env("GOCACHE", workshop().join("go-cache"));
    program::run_quietly(&mut go)
}

fn requirements(guest: &Guest<'_>) -> Result<String, Failure> {
    Ok(repository::read(&guest.source.join("requirements.txt"))?.trim().to_owned())
}
