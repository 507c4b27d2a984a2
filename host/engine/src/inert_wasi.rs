//! A WASI in which nothing is there, for languages whose runtime insists on one.
//!
//! No file, no environment, no argument, no socket; output vanishes, the wall clock stands at
//! zero, the other only counts how often it was asked, randomness is zero, and exiting traps. Each function that a component imports answers the
//! emptiest value of its own type, so this serves every version of WASI 0.2 and grants none
//! of it.

// The types and values matched on are wasmtime's; those not named are not in WASI 0.2.
#![allow(clippy::wildcard_enum_match_arm)]

use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem, Type};
use wasmtime::component::{Component, Linker, Resource, ResourceAny, ResourceType, Val};
use wasmtime::{StoreContextMut, bail};

use crate::guest_state::GuestState;

/// What every WASI resource is here: nothing.
struct Nothing;

/// The most random bytes given at once.
const RANDOM_BYTES_MAX: u64 = 1 << 16;

/// How far the monotonic clock goes on each time somebody looks.
const MOMENT_NS: u64 = 1_000_000;

/// What an output stream always has room for.
const WRITE_BYTES: u64 = 1 << 16;

/// Does this import belong to WASI?
pub(crate) fn is_wasi(import: &str) -> bool {
    import.starts_with("wasi:")
}

/// Links every WASI interface that the component imports.
pub(crate) fn link(
    linker: &mut Linker<GuestState>,
    engine: &wasmtime::Engine,
    component: &Component,
) -> wasmtime::Result<()> {
    for (name, import) in component.component_type().imports(engine) {
        if let ComponentItem::ComponentInstance(interface) = import.ty
            && is_wasi(name)
        {
            link_interface(linker, engine, name, &interface)?;
        }
    }
    Ok(())
}

fn link_interface(
    linker: &mut Linker<GuestState>,
    engine: &wasmtime::Engine,
    name: &str,
    interface: &ComponentInstance,
) -> wasmtime::Result<()> {
    let mut instance = linker.instance(name)?;
    for (name, export) in interface.exports(engine) {
        match export.ty {
            ComponentItem::ComponentFunc(_) => {
                let function = name.to_owned();
                instance.func_new(name, move |store, ty, arguments, results| {
                    answer(store, &function, &ty, arguments, results)
                })?;
            }
            ComponentItem::Resource(_) => {
                instance.resource(name, ResourceType::host::<Nothing>(), |_, _| Ok(()))?;
            }
            ComponentItem::Type(_) => {}
            ComponentItem::CoreFunc(_)
            | ComponentItem::Module(_)
            | ComponentItem::Component(_)
            | ComponentItem::ComponentInstance(_) => bail!("{name} is not part of WASI"),
        }
    }
    Ok(())
}

fn answer(
    mut store: StoreContextMut<'_, GuestState>,
    function: &str,
    ty: &ComponentFunc,
    arguments: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    for (result, ty) in results.iter_mut().zip(ty.results()) {
        *result = match (function, arguments) {
            ("get-random-bytes" | "get-insecure-random-bytes", [Val::U64(count)]) => zeros(*count)?,
            // Go refuses to start at zero, and waits for ever on a clock that stands still.
            ("now", []) if matches!(ty, Type::U64) => {
                Val::U64(store.data_mut().next_moment().saturating_mul(MOMENT_NS))
            }
            ("poll", [Val::List(pollables)]) => {
                // Everything is ready: nothing will ever happen that is worth a wait.
                let count = u32::try_from(pollables.len())?;
                Val::List((0..count).map(Val::U32).collect())
            }
            ("[method]output-stream.check-write", _) => {
                Val::Result(Ok(Some(Box::new(Val::U64(WRITE_BYTES)))))
            }
            _ => emptiest(&mut store, &ty)?,
        };
    }
    arguments.iter().try_for_each(|argument| give_back(&mut store, argument))?;
    match function {
        "exit" | "exit-with-code" => bail!("the plugin asked to exit"),
        _ => Ok(()),
    }
}

/// Resources that came with a call are let go at its end.
fn give_back(store: &mut StoreContextMut<'_, GuestState>, argument: &Val) -> wasmtime::Result<()> {
    match argument {
        Val::Resource(resource) => resource.resource_drop(store),
        Val::List(values) | Val::Tuple(values) => {
            values.iter().try_for_each(|value| give_back(store, value))
        }
        Val::Record(fields) => fields.iter().try_for_each(|(_, value)| give_back(store, value)),
        Val::Option(Some(value)) | Val::Variant(_, Some(value)) => give_back(store, value),
        // No other type of WASI 0.2 holds a resource.
        _ => Ok(()),
    }
}

fn zeros(count: u64) -> wasmtime::Result<Val> {
    if count > RANDOM_BYTES_MAX {
        bail!("the plugin asked for {count} random bytes");
    }
    Ok(Val::List((0..count).map(|_| Val::U8(0)).collect()))
}

/// Zero, empty, none, ok, false: of a variant and an enum the first case.
fn emptiest(store: &mut StoreContextMut<'_, GuestState>, ty: &Type) -> wasmtime::Result<Val> {
    let mut boxed = |ty: Option<Type>| -> wasmtime::Result<Option<Box<Val>>> {
        ty.map(|ty| Ok(Box::new(emptiest(store, &ty)?))).transpose()
    };
    Ok(match ty {
        Type::Bool => Val::Bool(false),
        Type::S8 => Val::S8(0),
        Type::U8 => Val::U8(0),
        Type::S16 => Val::S16(0),
        Type::U16 => Val::U16(0),
        Type::S32 => Val::S32(0),
        Type::U32 => Val::U32(0),
        Type::S64 => Val::S64(0),
        Type::U64 => Val::U64(0),
        Type::Float32 => Val::Float32(0.0),
        Type::Float64 => Val::Float64(0.0),
        Type::Char => Val::Char('\0'),
        Type::String => Val::String(String::new()),
        Type::List(_) => Val::List(Vec::new()),
        Type::Option(_) => Val::Option(None),
        Type::Flags(_) => Val::Flags(Vec::new()),
        Type::Result(result) => Val::Result(Ok(boxed(result.ok())?)),
        Type::Enum(words) => match words.names().next() {
            Some(first) => Val::Enum(first.to_owned()),
            None => bail!("an enum without cases"),
        },
        Type::Variant(variant) => match variant.cases().next() {
            Some(first) => Val::Variant(first.name.to_owned(), boxed(first.ty)?),
            None => bail!("a variant without cases"),
        },
        Type::Record(record) => {
            let fields: wasmtime::Result<Vec<_>> = record
                .fields()
                .map(|field| Ok((field.name.to_owned(), emptiest(store, &field.ty)?)))
                .collect();
            Val::Record(fields?)
        }
        Type::Tuple(tuple) => {
            let fields: wasmtime::Result<Vec<_>> =
                tuple.types().map(|ty| emptiest(store, &ty)).collect();
            Val::Tuple(fields?)
        }
        Type::Own(_) => {
            let nothing = Resource::<Nothing>::new_own(0);
            Val::Resource(ResourceAny::try_from_resource(nothing, store)?)
        }
        // What is left of the types is not in WASI 0.2.
        other => bail!("no empty value of {other:?}"),
    })
}
