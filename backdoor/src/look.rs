//! Looks into a value of any `Serialize` type along a path, without copying or converting what is beside it.

use serde::Serialize;
use serde::ser::{
    Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::Value;

use crate::depth::{Bounded, too_deep};
use crate::limits;

/// Names of a map that are told as its fields.
const NAMES: usize = 1024;

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Field(String),
    Index(usize),
}

/// What is wanted of the value at the end of the path.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Want {
    /// A scalar itself; of all else only what kind it is.
    Shape,
    /// All of it, unless it is longer than so many bytes of JSON.
    Whole(usize),
    /// Elements `from..to` of a list, likewise.
    Slice(usize, usize, usize),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found {
    Value(Value),
    /// A list of so many elements.
    List(usize),
    /// A struct or a map.
    Fields(Vec<String>),
}

/// Why there is nothing to be seen. Says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LookError(String);

impl serde::ser::Error for LookError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Looks. Calls no more of the value's own code than serializing it does.
pub(crate) fn look<T: Serialize + ?Sized>(
    value: &T,
    steps: &[Step],
    want: Want,
) -> Result<Found, LookError> {
    let look = Look {
        steps,
        want,
        left: limits::VALUE_LEVELS,
    };
    look.at(value)
}

fn whole<T: Serialize + ?Sized>(value: &T, limit: usize) -> Result<Value, LookError> {
    let mut bounded = Short {
        bytes: Vec::new(),
        limit,
    };
    let shown = |error: serde_json::Error| LookError(format!("it cannot be shown: {error}"));
    if let Err(error) = serde_json::to_writer(&mut bounded, &Bounded::new(value)) {
        return Err(if error.is_io() {
            LookError(format!(
                "it is more than {} MiB: ask for a part, such as its elements [0..100] or a field",
                limit >> 20
            ))
        } else {
            shown(error)
        });
    }
    serde_json::from_slice(&bounded.bytes).map_err(shown)
}

/// JSON that is not longer than allowed.
struct Short {
    bytes: Vec<u8>,
    limit: usize,
}

impl std::io::Write for Short {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            return Err(std::io::Error::other("too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Look<'a> {
    steps: &'a [Step],
    want: Want,
    /// Levels that may still be gone down.
    left: usize,
}

type Seen = Result<Found, LookError>;

impl<'a> Look<'a> {
    fn at<T: Serialize + ?Sized>(self, value: &T) -> Seen {
        if let (Want::Whole(limit), []) = (self.want, self.steps) {
            return whole(value, limit).map(Found::Value);
        }
        value.serialize(self)
    }

    /// Looks into a part, along what is left of the path.
    fn below<T: Serialize + ?Sized>(self, steps: &'a [Step], value: &T) -> Seen {
        let left = self.left.checked_sub(1);
        let left = left.ok_or_else(|| LookError(too_deep()))?;
        Self {
            steps,
            left,
            ..self
        }
        .at(value)
    }

    fn scalar(self, value: Value) -> Seen {
        match (self.steps.first(), self.want) {
            (Some(step), _) => Err(LookError(format!(
                "there is no {} in {value}",
                described(step)
            ))),
            (None, Want::Slice(..)) => Err(LookError(format!("{value} is no list"))),
            (None, _) => Ok(Found::Value(value)),
        }
    }

    fn inside(self) -> Inside<'a> {
        Inside {
            look: self,
            len: 0,
            names: Vec::new(),
            key: None,
            list: None,
            taken: Vec::new(),
            fields: serde_json::Map::new(),
            room: match self.want {
                Want::Slice(_, _, limit) | Want::Whole(limit) => limit,
                Want::Shape => 0,
            },
            found: None,
        }
    }
}

fn described(step: &Step) -> String {
    match step {
        Step::Field(name) => format!("field `{name}`"),
        Step::Index(index) => format!("element {index}"),
    }
}

/// Goes through the parts of a value.
struct Inside<'a> {
    look: Look<'a>,
    len: usize,
    names: Vec<String>,
    /// The latest key of a map.
    key: Option<String>,
    /// Whether its parts have numbers, not names.
    list: Option<bool>,
    /// Elements of a slice, or all.
    taken: Vec<Value>,
    /// All fields, of a variant that is wanted whole.
    fields: serde_json::Map<String, Value>,
    /// Bytes that the others may have.
    room: usize,
    found: Option<Found>,
}

impl Inside<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), LookError> {
        self.list = Some(true);
        let index = self.len;
        self.len += 1;
        match (self.look.steps, self.look.want) {
            ([Step::Index(wanted), rest @ ..], _) if *wanted == index => {
                self.found = Some(self.look.below(rest, value)?);
            }
            ([], Want::Slice(from, to, _)) if (from..to).contains(&index) => {
                let element = self.part(value)?;
                self.taken.push(element);
            }
            ([], Want::Whole(_)) => {
                let element = self.part(value)?;
                self.taken.push(element);
            }
            _ => {}
        }
        Ok(())
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), LookError> {
        self.list = Some(false);
        self.len += 1;
        match self.look.steps {
            [Step::Field(wanted), rest @ ..] if wanted == name => {
                self.found = Some(self.look.below(rest, value)?);
            }
            [] if matches!(self.look.want, Want::Whole(_)) => {
                let field = self.part(value)?;
                self.fields.insert(name.to_owned(), field);
            }
            _ if self.names.len() < NAMES => self.names.push(name.to_owned()),
            _ => {}
        }
        Ok(())
    }

    /// All of a part, of what room there is.
    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<Value, LookError> {
        let part = whole(value, self.room)?;
        self.room = self.room.saturating_sub(part.to_string().len());
        Ok(part)
    }

    fn end(self, list: bool) -> Seen {
        let list = self.list.unwrap_or(list);
        match (self.found, self.look.steps.first(), self.look.want) {
            (Some(found), ..) => Ok(found),
            (None, Some(Step::Index(index)), _) if list => Err(LookError(format!(
                "there is no element {index}: there are {}",
                self.len
            ))),
            (None, Some(step), _) if list => Err(LookError(format!(
                "there is no {}: it is a list of {}",
                described(step),
                self.len
            ))),
            (None, Some(step), _) => Err(LookError(format!(
                "there is no {}; there are {}",
                described(step),
                shortened(&self.names)
            ))),
            (None, None, Want::Slice(..) | Want::Whole(_)) if list => {
                Ok(Found::Value(self.taken.into()))
            }
            (None, None, Want::Whole(_)) => Ok(Found::Value(self.fields.into())),
            (None, None, Want::Slice(..)) => Err(LookError("it is no list".to_owned())),
            (None, None, _) if list => Ok(Found::List(self.len)),
            (None, None, _) => Ok(Found::Fields(self.names)),
        }
    }
}

fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    let shown = &names[..names.len().min(SHOWN)];
    format!("{}{more}", shown.join(", "))
}

macro_rules! scalars {
    ($($method:ident($kind:ty);)*) => {
        $(fn $method(self, value: $kind) -> Seen { self.scalar(value.into()) })*
    };
}

/// What has parts; what is said of it before they come is not needed.
macro_rules! wholes {
    ($($method:ident($($said:ty),*);)*) => {
        $(fn $method(self, $(_: $said),*) -> Result<Inside<'a>, LookError> { Ok(self.inside()) })*
    };
}

macro_rules! variants {
    ($($method:ident;)*) => {$(
        fn $method(
            self,
            _: &'static str,
            _: u32,
            variant: &'static str,
            _: usize,
        ) -> Result<Variant<'a>, LookError> {
            Variant::of(self, variant)
        }
    )*};
}

impl<'a> Serializer for Look<'a> {
    type Ok = Found;
    type Error = LookError;
    type SerializeSeq = Inside<'a>;
    type SerializeTuple = Inside<'a>;
    type SerializeTupleStruct = Inside<'a>;
    type SerializeTupleVariant = Variant<'a>;
    type SerializeMap = Inside<'a>;
    type SerializeStruct = Inside<'a>;
    type SerializeStructVariant = Variant<'a>;

    scalars! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_str(&str);
    }

    fn serialize_i128(self, value: i128) -> Seen {
        self.scalar(value.to_string().into())
    }

    fn serialize_u128(self, value: u128) -> Seen {
        self.scalar(value.to_string().into())
    }

    fn serialize_char(self, value: char) -> Seen {
        self.scalar(value.to_string().into())
    }

    fn serialize_bytes(self, value: &[u8]) -> Seen {
        value.serialize(self)
    }

    fn serialize_none(self) -> Seen {
        self.scalar(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Seen {
        self.below(self.steps, value)
    }

    fn serialize_unit(self) -> Seen {
        self.scalar(Value::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Seen {
        self.scalar(Value::Null)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Seen {
        self.scalar(variant.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Seen {
        self.below(self.steps, value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Seen {
        let mut inside = self.inside();
        inside.field(variant, value)?;
        inside.end(false)
    }

    wholes! {
        serialize_seq(Option<usize>);
        serialize_tuple(usize);
        serialize_tuple_struct(&'static str, usize);
        serialize_map(Option<usize>);
        serialize_struct(&'static str, usize);
    }

    variants! {
        serialize_tuple_variant;
        serialize_struct_variant;
    }
}

/// A variant with parts: in JSON, an object with the variant's name as its only field.
struct Variant<'a> {
    name: &'static str,
    /// Its parts, if the path leads to them.
    inside: Option<Inside<'a>>,
    look: Look<'a>,
}

impl<'a> Variant<'a> {
    fn of(look: Look<'a>, name: &'static str) -> Result<Self, LookError> {
        let inside = match look.steps {
            [Step::Field(wanted), rest @ ..] if wanted == name => Some(Look {
                steps: rest,
                ..look
            }),
            _ => None,
        };
        Ok(Self {
            name,
            inside: inside.map(Look::inside),
            look,
        })
    }

    fn end(self, list: bool) -> Seen {
        match self.inside {
            Some(inside) => inside.end(list),
            None => {
                let mut outside = self.look.inside();
                outside.field(self.name, &())?;
                outside.end(false)
            }
        }
    }
}

macro_rules! elements {
    ($($trait:ident::$method:ident),*) => {$(
        impl $trait for Inside<'_> {
            type Ok = Found;
            type Error = LookError;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), LookError> {
                self.element(value)
            }
            fn end(self) -> Seen {
                Inside::end(self, true)
            }
        }
    )*};
}

elements!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field
);

impl SerializeTupleVariant for Variant<'_> {
    type Ok = Found;
    type Error = LookError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), LookError> {
        self.inside
            .as_mut()
            .map_or(Ok(()), |inside| inside.element(value))
    }
    fn end(self) -> Seen {
        Variant::end(self, true)
    }
}

impl SerializeStructVariant for Variant<'_> {
    type Ok = Found;
    type Error = LookError;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), LookError> {
        self.inside
            .as_mut()
            .map_or(Ok(()), |inside| inside.field(name, value))
    }
    fn end(self) -> Seen {
        Variant::end(self, false)
    }
}

impl SerializeStruct for Inside<'_> {
    type Ok = Found;
    type Error = LookError;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), LookError> {
        self.field(name, value)
    }
    fn end(self) -> Seen {
        Inside::end(self, false)
    }
}

impl SerializeMap for Inside<'_> {
    type Ok = Found;
    type Error = LookError;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), LookError> {
        let name = match serde_json::to_value(key) {
            Ok(Value::String(name)) => name,
            Ok(other) => other.to_string(),
            Err(error) => return Err(LookError::custom(error)),
        };
        self.key = Some(name);
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), LookError> {
        let name = self.key.take().unwrap_or_default();
        self.field(&name, value)
    }
    fn end(self) -> Seen {
        Inside::end(self, false)
    }
}

#[cfg(test)]
mod tests;
