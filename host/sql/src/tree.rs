//! PostgreSQL's parse tree as plain named nodes.
//!
//! The generated types have a struct per kind of node. A walk that names every kind and field
//! misses one sooner or later; serialising the tree into this form visits them all, because
//! the serialiser is derived. What is not known by name is still walked.

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// A value of the tree. Empty fields are left out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Empty,
    Number(i64),
    Text(String),
    List(Vec<Value>),
    Node(Node),
}

/// A node: its kind and its fields that are not empty.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub kind: &'static str,
    pub fields: Vec<(&'static str, Value)>,
}

static NOTHING: Value = Value::Empty;

impl Value {
    pub(crate) fn node(&self) -> Option<&Node> {
        match self {
            Value::Node(node) => Some(node),
            Value::Empty | Value::Number(_) | Value::Text(_) | Value::List(_) => None,
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Value::Text(text) => text,
            Value::Empty | Value::Number(_) | Value::Node(_) | Value::List(_) => "",
        }
    }

    pub(crate) fn list(&self) -> &[Value] {
        match self {
            Value::List(list) => list,
            Value::Empty | Value::Number(_) | Value::Text(_) | Value::Node(_) => &[],
        }
    }

    pub(crate) fn number(&self) -> i64 {
        match self {
            Value::Number(number) => *number,
            Value::Empty | Value::Text(_) | Value::List(_) | Value::Node(_) => 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Value::Empty => true,
            Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Node(_) => false,
        }
    }

    /// The texts of a list of String nodes.
    pub(crate) fn names(&self) -> Vec<&str> {
        let nodes = self.list().iter().filter_map(Value::node);
        nodes.filter(|node| node.kind == "String").map(|node| node.text("sval")).collect()
    }
}

impl Node {
    pub(crate) fn get(&self, field: &str) -> &Value {
        self.fields.iter().find(|(name, _)| *name == field).map_or(&NOTHING, |(_, value)| value)
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        !self.get(field).is_empty()
    }

    pub(crate) fn node(&self, field: &str) -> Option<&Node> {
        self.get(field).node()
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        self.get(field).text()
    }

    pub(crate) fn list(&self, field: &str) -> &[Value] {
        self.get(field).list()
    }

    pub(crate) fn number(&self, field: &str) -> i64 {
        self.get(field).number()
    }

    /// The nodes of a list.
    pub(crate) fn nodes(&self, field: &str) -> impl Iterator<Item = &Node> {
        self.list(field).iter().filter_map(Value::node)
    }

    pub(crate) fn names(&self, field: &str) -> Vec<&str> {
        self.get(field).names()
    }

    /// Nodes directly below, through lists.
    pub(crate) fn children(&self) -> impl Iterator<Item = &Node> {
        let mut pending: Vec<&Value> = self.fields.iter().rev().map(|(_, value)| value).collect();
        std::iter::from_fn(move || {
            loop {
                match pending.pop()? {
                    Value::Node(node) => return Some(node),
                    Value::List(list) => pending.extend(list.iter().rev()),
                    Value::Empty | Value::Number(_) | Value::Text(_) => {}
                }
            }
        })
    }

    /// Equal but for places in the text.
    pub(crate) fn same(&self, other: &Node) -> bool {
        let here = self.fields.iter().filter(|(name, _)| !is_place(name));
        let mut there = other.fields.iter().filter(|(name, _)| !is_place(name));
        self.kind == other.kind
            && here.into_iter().all(|(name, value)| {
                there.next().is_some_and(|(other, with)| name == other && same(value, with))
            })
            && there.next().is_none()
    }
}

fn is_place(field: &str) -> bool {
    matches!(field, "location" | "rexpr_list_start" | "rexpr_list_end" | "list_start" | "list_end")
}

fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Node(left), Value::Node(right)) => left.same(right),
        (Value::List(left), Value::List(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        _ => left == right,
    }
}

/// Turns any serialisable part of the tree into nodes; None where the form is one that the
/// tree does not have.
pub(crate) fn tree(part: &impl Serialize) -> Option<Value> {
    part.serialize(Builder).ok()
}

/// The tree has no such form.
#[derive(Debug)]
pub(crate) struct Unexpected;

impl std::fmt::Display for Unexpected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a form the parse tree does not have")
    }
}

impl std::error::Error for Unexpected {}

impl serde::ser::Error for Unexpected {
    fn custom<T: std::fmt::Display>(_: T) -> Unexpected {
        Unexpected
    }
}

struct Builder;

struct Fields(Node);

struct Items(Vec<Value>);

fn number(value: i64) -> Value {
    if value == 0 { Value::Empty } else { Value::Number(value) }
}

fn text(value: &str) -> Value {
    if value.is_empty() { Value::Empty } else { Value::Text(value.to_owned()) }
}

macro_rules! numbers {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<Value, Unexpected> {
            i64::try_from(value).map(number).map_err(|_| Unexpected)
        })*
    };
}

impl Serializer for Builder {
    type Ok = Value;
    type Error = Unexpected;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Items;
    type SerializeStruct = Fields;
    type SerializeStructVariant = Items;

    numbers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32
    );

    fn serialize_u64(self, value: u64) -> Result<Value, Unexpected> {
        // Bit sets: only whether they differ matters.
        Ok(text(&value.to_string()))
    }

    fn serialize_bool(self, value: bool) -> Result<Value, Unexpected> {
        Ok(number(i64::from(value)))
    }

    fn serialize_f32(self, value: f32) -> Result<Value, Unexpected> {
        Ok(text(&value.to_string()))
    }

    fn serialize_f64(self, value: f64) -> Result<Value, Unexpected> {
        Ok(text(&value.to_string()))
    }

    fn serialize_char(self, value: char) -> Result<Value, Unexpected> {
        Ok(text(value.encode_utf8(&mut [0; 4])))
    }

    fn serialize_str(self, value: &str) -> Result<Value, Unexpected> {
        Ok(text(value))
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<Value, Unexpected> {
        Err(Unexpected)
    }

    fn serialize_none(self) -> Result<Value, Unexpected> {
        Ok(Value::Empty)
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<Value, Unexpected> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, Unexpected> {
        Ok(Value::Empty)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, Unexpected> {
        Ok(Value::Empty)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Value, Unexpected> {
        Ok(text(variant))
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Value, Unexpected> {
        value.serialize(self)
    }

    /// `Node::RangeVar(…)`: the struct inside has the same name.
    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<Value, Unexpected> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items, Unexpected> {
        Ok(Items(Vec::new()))
    }

    fn serialize_tuple(self, _: usize) -> Result<Items, Unexpected> {
        Err(Unexpected)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Items, Unexpected> {
        Err(Unexpected)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Items, Unexpected> {
        Err(Unexpected)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Items, Unexpected> {
        Err(Unexpected)
    }

    fn serialize_struct(self, kind: &'static str, _: usize) -> Result<Fields, Unexpected> {
        Ok(Fields(Node { kind, fields: Vec::new() }))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Items, Unexpected> {
        Err(Unexpected)
    }
}

impl SerializeStruct for Fields {
    type Ok = Value;
    type Error = Unexpected;

    fn serialize_field<T: ?Sized + Serialize>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unexpected> {
        let value = value.serialize(Builder)?;
        if !value.is_empty() {
            self.0.fields.push((name, value));
        }
        Ok(())
    }

    /// The wrapper `Node { node }` is left out: what it holds stands for it.
    fn end(mut self) -> Result<Value, Unexpected> {
        if self.0.kind == "Node" {
            return Ok(self.0.fields.pop().map_or(Value::Empty, |(_, value)| value));
        }
        Ok(Value::Node(self.0))
    }
}

impl Items {
    fn push(&mut self, value: &(impl ?Sized + Serialize)) -> Result<(), Unexpected> {
        self.0.push(value.serialize(Builder)?);
        Ok(())
    }

    /// A list of nothing is nothing, as an unset field is.
    fn value(self) -> Result<Value, Unexpected> {
        Ok(if self.0.is_empty() { Value::Empty } else { Value::List(self.0) })
    }
}

impl SerializeSeq for Items {
    type Ok = Value;
    type Error = Unexpected;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unexpected> {
        self.push(value)
    }

    fn end(self) -> Result<Value, Unexpected> {
        self.value()
    }
}

macro_rules! never_begun {
    ($($form:ident: $method:ident),*) => {
        $(impl $form for Items {
            type Ok = Value;
            type Error = Unexpected;

            fn $method<T: ?Sized + Serialize>(&mut self, _: &T) -> Result<(), Unexpected> {
                Err(Unexpected)
            }

            fn end(self) -> Result<Value, Unexpected> {
                Err(Unexpected)
            }
        })*
    };
}

never_begun!(
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
);

impl SerializeMap for Items {
    type Ok = Value;
    type Error = Unexpected;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, _: &T) -> Result<(), Unexpected> {
        Err(Unexpected)
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, _: &T) -> Result<(), Unexpected> {
        Err(Unexpected)
    }

    fn end(self) -> Result<Value, Unexpected> {
        Err(Unexpected)
    }
}

impl SerializeStructVariant for Items {
    type Ok = Value;
    type Error = Unexpected;

    fn serialize_field<T: ?Sized + Serialize>(
        &mut self,
        _: &'static str,
        _: &T,
    ) -> Result<(), Unexpected> {
        Err(Unexpected)
    }

    fn end(self) -> Result<Value, Unexpected> {
        Err(Unexpected)
    }
}
