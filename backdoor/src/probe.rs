//! Tells whether a value of unknown type is a `Result`, and takes its error out.
//!
//! A bound of `Serialize` cannot see the difference between a `Result<T, String>` and a struct, but serde's data
//! model can: a `Result` is the newtype variant `Ok` or `Err` of an enum called `Result`. The serializer below
//! answers only that question and refuses every other shape at its first call.

use serde::Serialize;
use serde::ser::{Error as _, Impossible, Serializer};
use serde_json::Value;

use crate::depth::Bounded;

/// The error of a `Result::Err`, as JSON; `None` for everything else.
pub(crate) fn error_of<T: Serialize>(value: &T) -> Option<Value> {
    match value.serialize(Probe) {
        Ok(Found::Err(error)) => Some(error),
        _ => None,
    }
}

/// Whether the value is a `Result::Ok`.
pub(crate) fn is_ok<T: Serialize>(value: &T) -> bool {
    matches!(value.serialize(Probe), Ok(Found::Ok))
}

enum Found {
    Ok,
    Err(Value),
}

struct Probe;

type Never = Impossible<Found, serde_json::Error>;

fn no<T>() -> Result<T, serde_json::Error> {
    Err(serde_json::Error::custom("not a Result"))
}

macro_rules! refuse {
    ($($method:ident($($kind:ty),*) -> $output:ty;)*) => {
        $(fn $method(self, $(_: $kind),*) -> Result<$output, serde_json::Error> { no() })*
    };
}

impl Serializer for Probe {
    type Ok = Found;
    type Error = serde_json::Error;
    type SerializeSeq = Never;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Never;
    type SerializeStruct = Never;
    type SerializeStructVariant = Never;

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Found, serde_json::Error> {
        match (name, variant) {
            ("Result", "Ok") => Ok(Found::Ok),
            ("Result", "Err") => Ok(Found::Err(serde_json::to_value(Bounded::new(value))?)),
            _ => no(),
        }
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<Found, serde_json::Error> {
        no()
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: &T,
    ) -> Result<Found, serde_json::Error> {
        no()
    }

    refuse! {
        serialize_bool(bool) -> Found;
        serialize_i8(i8) -> Found;
        serialize_i16(i16) -> Found;
        serialize_i32(i32) -> Found;
        serialize_i64(i64) -> Found;
        serialize_u8(u8) -> Found;
        serialize_u16(u16) -> Found;
        serialize_u32(u32) -> Found;
        serialize_u64(u64) -> Found;
        serialize_f32(f32) -> Found;
        serialize_f64(f64) -> Found;
        serialize_char(char) -> Found;
        serialize_str(&str) -> Found;
        serialize_bytes(&[u8]) -> Found;
        serialize_none() -> Found;
        serialize_unit() -> Found;
        serialize_unit_struct(&'static str) -> Found;
        serialize_unit_variant(&'static str, u32, &'static str) -> Found;
        serialize_seq(Option<usize>) -> Never;
        serialize_tuple(usize) -> Never;
        serialize_tuple_struct(&'static str, usize) -> Never;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Never;
        serialize_map(Option<usize>) -> Never;
        serialize_struct(&'static str, usize) -> Never;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Never;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_result_is_a_result() {
        assert_eq!(error_of(&Err::<u8, _>("no")), Some(Value::from("no")));
        assert!(is_ok(&Ok::<_, String>(3)));
        assert!(error_of(&Some(3)).is_none() && !is_ok(&Some(3)));
        assert!(!is_ok(&serde_json::json!({"Ok": 1})));
        assert!(!is_ok(&vec![1, 2]));
    }
}
