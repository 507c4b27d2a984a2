//! PostgreSQL's parse tree as plain named nodes.
//!
//! The generated types have a struct per kind of node. A walk that names every kind and field
//! misses one sooner or later; serialising the tree into this form visits them all, because
//! the serialiser is derived. What is not known by name is still walked.

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// A statement's tree: all nodes, lists and texts of it in a few vectors, so that a tree of a
/// hundred nodes costs no hundred allocations.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    root: Slot,
    nodes: Vec<(&'static str, Span)>,
    fields: Vec<Field>,
    items: Vec<Slot>,
    text: String,
    /// Fields and items of what is not complete yet, innermost last.
    open_fields: Vec<Field>,
    open_items: Vec<Slot>,
}

type Field = (&'static str, Slot);

/// A value as a tree keeps it: what it holds is elsewhere.
#[derive(Clone, Copy, Debug, Default)]
enum Slot {
    #[default]
    Empty,
    Number(i64),
    Text(Span),
    List(Span),
    Node(u32),
}

/// A part of one of the vectors.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Fails where a statement has more than is counted; limits are far below.
    fn new(start: usize, end: usize) -> Result<Span, Unexpected> {
        match (u32::try_from(start), u32::try_from(end)) {
            (Ok(start), Ok(end)) => Ok(Span { start, end }),
            _ => Err(Unexpected),
        }
    }

    fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Tree {
    /// Turns any serialisable part of the parse tree of so many tokens into nodes; None where
    /// the form is one that the parse tree does not have.
    pub(crate) fn of(part: &impl Serialize, tokens: usize) -> Option<Tree> {
        let mut tree = Tree {
            nodes: Vec::with_capacity(tokens * 2),
            fields: Vec::with_capacity(tokens * 6),
            items: Vec::with_capacity(tokens),
            text: String::with_capacity(tokens * 6),
            open_fields: Vec::with_capacity(64),
            open_items: Vec::with_capacity(64),
            ..Tree::default()
        };
        tree.root = part.serialize(Builder(&mut tree)).ok()?;
        Some(tree)
    }

    /// The nodes that nothing holds, in order.
    pub(crate) fn roots(&self) -> impl Iterator<Item = Node<'_>> {
        self.value(self.root).nodes()
    }

    /// The kinds of all its nodes.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.nodes.iter().map(|(kind, _)| *kind)
    }

    fn value(&self, slot: Slot) -> Value<'_> {
        match slot {
            Slot::Empty => Value::Empty,
            Slot::Number(number) => Value::Number(number),
            Slot::Text(span) => Value::Text(self.text.get(span.range()).unwrap_or_default()),
            Slot::List(span) => Value::List(List {
                tree: self,
                slots: self.items.get(span.range()).unwrap_or_default(),
            }),
            Slot::Node(index) => match self.nodes.get(index as usize) {
                Some((kind, fields)) => {
                    let fields = self.fields.get(fields.range()).unwrap_or_default();
                    Value::Node(Node { tree: self, kind, fields })
                }
                None => Value::Empty,
            },
        }
    }
}

/// A value of the tree. Empty fields are left out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'t> {
    Empty,
    Number(i64),
    Text(&'t str),
    List(List<'t>),
    Node(Node<'t>),
}

/// Values in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<'t> {
    tree: &'t Tree,
    slots: &'t [Slot],
}

/// A node: its kind and its fields that are not empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'t> {
    tree: &'t Tree,
    pub kind: &'static str,
    fields: &'t [Field],
}

impl<'t> List<'t> {
    pub(crate) fn len(self) -> usize {
        self.slots.len()
    }

    pub(crate) fn iter(self) -> impl DoubleEndedIterator<Item = Value<'t>> {
        self.slots.iter().map(move |slot| self.tree.value(*slot))
    }

    pub(crate) fn nodes(self) -> impl DoubleEndedIterator<Item = Node<'t>> {
        self.iter().filter_map(Value::node)
    }
}

impl<'t> Value<'t> {
    pub(crate) fn node(self) -> Option<Node<'t>> {
        match self {
            Value::Node(node) => Some(node),
            Value::Empty | Value::Number(_) | Value::Text(_) | Value::List(_) => None,
        }
    }

    /// The node that it is, or those of the list that it is.
    fn nodes(self) -> impl Iterator<Item = Node<'t>> {
        let listed = match self {
            Value::List(list) => Some(list.nodes()),
            Value::Empty | Value::Number(_) | Value::Text(_) | Value::Node(_) => None,
        };
        self.node().into_iter().chain(listed.into_iter().flatten())
    }
}

impl<'t> Node<'t> {
    pub(crate) fn get(self, field: &str) -> Value<'t> {
        let found = self.fields.iter().find(|(name, _)| *name == field);
        found.map_or(Value::Empty, |(_, slot)| self.tree.value(*slot))
    }

    /// Its fields that are not empty, by name.
    pub(crate) fn fields(self) -> impl Iterator<Item = (&'static str, Value<'t>)> {
        self.fields.iter().map(move |(name, slot)| (*name, self.tree.value(*slot)))
    }

    pub(crate) fn has(self, field: &str) -> bool {
        self.fields.iter().any(|(name, _)| *name == field)
    }

    pub(crate) fn node(self, field: &str) -> Option<Node<'t>> {
        self.get(field).node()
    }

    pub(crate) fn text(self, field: &str) -> &'t str {
        match self.get(field) {
            Value::Text(text) => text,
            Value::Empty | Value::Number(_) | Value::Node(_) | Value::List(_) => "",
        }
    }

    pub(crate) fn list(self, field: &str) -> List<'t> {
        match self.get(field) {
            Value::List(list) => list,
            Value::Empty | Value::Number(_) | Value::Text(_) | Value::Node(_) => {
                List { tree: self.tree, slots: &[] }
            }
        }
    }

    pub(crate) fn number(self, field: &str) -> i64 {
        match self.get(field) {
            Value::Number(number) => number,
            Value::Empty | Value::Text(_) | Value::List(_) | Value::Node(_) => 0,
        }
    }

    /// The nodes of a list.
    pub(crate) fn nodes(self, field: &str) -> impl DoubleEndedIterator<Item = Node<'t>> {
        self.list(field).nodes()
    }

    /// The texts of a list of String nodes.
    pub(crate) fn names(self, field: &str) -> Vec<&'t str> {
        let nodes = self.nodes(field);
        nodes.filter(|node| node.kind == "String").map(|node| node.text("sval")).collect()
    }

    /// The last of these texts.
    pub(crate) fn last_name(self, field: &str) -> Option<&'t str> {
        let mut nodes = self.nodes(field);
        nodes.rfind(|node| node.kind == "String").map(|node| node.text("sval"))
    }

    /// Nodes directly below, also those in lists.
    pub(crate) fn children(self) -> impl Iterator<Item = Node<'t>> {
        self.fields().flat_map(|(_, value)| value.nodes())
    }

    /// Equal but for places in the text.
    pub(crate) fn same(self, other: Node<'_>) -> bool {
        let here = self.fields().filter(|(name, _)| !is_place(name));
        let mut there = other.fields().filter(|(name, _)| !is_place(name));
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

fn same(left: Value<'_>, right: Value<'_>) -> bool {
    match (left, right) {
        (Value::Node(left), Value::Node(right)) => left.same(right),
        (Value::List(left), Value::List(right)) => {
            left.len() == right.len()
                && left.iter().zip(right.iter()).all(|(left, right)| same(left, right))
        }
        (Value::Empty, Value::Empty) => true,
        (Value::Number(left), Value::Number(right)) => left == right,
        (Value::Text(left), Value::Text(right)) => left == right,
        (Value::Empty | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Node(_), _) => {
            false
        }
    }
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

struct Builder<'b>(&'b mut Tree);

/// A node whose fields are still coming; those before `start` belong to nodes around it.
struct Fields<'b> {
    tree: &'b mut Tree,
    kind: &'static str,
    start: usize,
}

/// The same for a list.
struct Items<'b> {
    tree: &'b mut Tree,
    start: usize,
}

fn number(value: i64) -> Slot {
    if value == 0 { Slot::Empty } else { Slot::Number(value) }
}

impl Builder<'_> {
    fn text(self, value: &str) -> Result<Slot, Unexpected> {
        if value.is_empty() {
            return Ok(Slot::Empty);
        }
        let start = self.0.text.len();
        self.0.text.push_str(value);
        Span::new(start, self.0.text.len()).map(Slot::Text)
    }
}

macro_rules! numbers {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<Slot, Unexpected> {
            i64::try_from(value).map(number).map_err(|_| Unexpected)
        })*
    };
}

impl<'b> Serializer for Builder<'b> {
    type Ok = Slot;
    type Error = Unexpected;
    type SerializeSeq = Items<'b>;
    type SerializeTuple = Items<'b>;
    type SerializeTupleStruct = Items<'b>;
    type SerializeTupleVariant = Items<'b>;
    type SerializeMap = Items<'b>;
    type SerializeStruct = Fields<'b>;
    type SerializeStructVariant = Items<'b>;

    numbers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32
    );

    fn serialize_u64(self, value: u64) -> Result<Slot, Unexpected> {
        // Bit sets: only whether they differ matters.
        self.text(&value.to_string())
    }

    fn serialize_bool(self, value: bool) -> Result<Slot, Unexpected> {
        Ok(number(i64::from(value)))
    }

    fn serialize_f32(self, value: f32) -> Result<Slot, Unexpected> {
        self.text(&value.to_string())
    }

    fn serialize_f64(self, value: f64) -> Result<Slot, Unexpected> {
        self.text(&value.to_string())
    }

    fn serialize_char(self, value: char) -> Result<Slot, Unexpected> {
        self.text(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<Slot, Unexpected> {
        self.text(value)
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<Slot, Unexpected> {
        Err(Unexpected)
    }

    fn serialize_none(self) -> Result<Slot, Unexpected> {
        Ok(Slot::Empty)
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<Slot, Unexpected> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Slot, Unexpected> {
        Ok(Slot::Empty)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Slot, Unexpected> {
        Ok(Slot::Empty)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Slot, Unexpected> {
        self.text(variant)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Slot, Unexpected> {
        value.serialize(self)
    }

    /// `Node::RangeVar(…)`: the struct inside has the same name.
    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<Slot, Unexpected> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'b>, Unexpected> {
        Ok(Items { start: self.0.open_items.len(), tree: self.0 })
    }

    fn serialize_tuple(self, _: usize) -> Result<Items<'b>, Unexpected> {
        Err(Unexpected)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Items<'b>, Unexpected> {
        Err(Unexpected)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Items<'b>, Unexpected> {
        Err(Unexpected)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Items<'b>, Unexpected> {
        Err(Unexpected)
    }

    fn serialize_struct(self, kind: &'static str, _: usize) -> Result<Fields<'b>, Unexpected> {
        Ok(Fields { start: self.0.open_fields.len(), tree: self.0, kind })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Items<'b>, Unexpected> {
        Err(Unexpected)
    }
}

impl SerializeStruct for Fields<'_> {
    type Ok = Slot;
    type Error = Unexpected;

    #[inline]
    fn serialize_field<T: ?Sized + Serialize>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unexpected> {
        match value.serialize(Builder(self.tree))? {
            Slot::Empty => {}
            slot @ (Slot::Number(_) | Slot::Text(_) | Slot::List(_) | Slot::Node(_)) => {
                self.tree.open_fields.push((name, slot));
            }
        }
        Ok(())
    }

    /// The wrapper `Node { node }` is left out: what it holds stands for it.
    fn end(self) -> Result<Slot, Unexpected> {
        let Fields { tree, kind, start } = self;
        if kind == "Node" {
            let held = tree.open_fields.drain(start..).next();
            return Ok(held.map_or(Slot::Empty, |(_, slot)| slot));
        }
        let first = tree.fields.len();
        tree.fields.extend(tree.open_fields.drain(start..));
        let fields = Span::new(first, tree.fields.len())?;
        let index = u32::try_from(tree.nodes.len()).map_err(|_| Unexpected)?;
        tree.nodes.push((kind, fields));
        Ok(Slot::Node(index))
    }
}

impl Items<'_> {
    fn push(&mut self, value: &(impl ?Sized + Serialize)) -> Result<(), Unexpected> {
        let slot = value.serialize(Builder(self.tree))?;
        self.tree.open_items.push(slot);
        Ok(())
    }

    /// A list of nothing is nothing, as an unset field is.
    fn value(self) -> Result<Slot, Unexpected> {
        let Items { tree, start } = self;
        if tree.open_items.len() == start {
            return Ok(Slot::Empty);
        }
        let first = tree.items.len();
        tree.items.extend(tree.open_items.drain(start..));
        Span::new(first, tree.items.len()).map(Slot::List)
    }
}

impl SerializeSeq for Items<'_> {
    type Ok = Slot;
    type Error = Unexpected;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unexpected> {
        self.push(value)
    }

    fn end(self) -> Result<Slot, Unexpected> {
        self.value()
    }
}

macro_rules! never_begun {
    ($($form:ident: $method:ident),*) => {
        $(impl $form for Items<'_> {
            type Ok = Slot;
            type Error = Unexpected;

            fn $method<T: ?Sized + Serialize>(&mut self, _: &T) -> Result<(), Unexpected> {
                Err(Unexpected)
            }

            fn end(self) -> Result<Slot, Unexpected> {
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

impl SerializeMap for Items<'_> {
    type Ok = Slot;
    type Error = Unexpected;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, _: &T) -> Result<(), Unexpected> {
        Err(Unexpected)
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, _: &T) -> Result<(), Unexpected> {
        Err(Unexpected)
    }

    fn end(self) -> Result<Slot, Unexpected> {
        Err(Unexpected)
    }
}

impl SerializeStructVariant for Items<'_> {
    type Ok = Slot;
    type Error = Unexpected;

    fn serialize_field<T: ?Sized + Serialize>(
        &mut self,
        _: &'static str,
        _: &T,
    ) -> Result<(), Unexpected> {
        Err(Unexpected)
    }

    fn end(self) -> Result<Slot, Unexpected> {
        Err(Unexpected)
    }
}
