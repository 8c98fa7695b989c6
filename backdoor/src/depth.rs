//! Refuses values that are nested too deep while they are serialized, before that takes the whole stack.
//!
//! Whoever serializes a value recurses, once for each level. How deep the application's values are nested, we do not know,
//! and a stack that overflows ends the process.

use std::fmt::Display;

use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use crate::limits;

/// A value that is serialized as it is, unless it is nested deeper than [`limits::VALUE_LEVELS`].
pub(crate) struct Bounded<'a, T: ?Sized> {
    value: &'a T,
    /// Levels that are still allowed.
    left: usize,
}

impl<'a, T: ?Sized> Bounded<'a, T> {
    pub(crate) const fn new(value: &'a T) -> Self {
        Self {
            value,
            left: limits::VALUE_LEVELS,
        }
    }
}

impl<T: Serialize + ?Sized> Serialize for Bounded<'_, T> {
    fn serialize<S: Serializer>(&self, inner: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(Level {
            inner,
            left: self.left,
        })
    }
}

/// What is said of a value that is nested too deep.
pub(crate) fn too_deep() -> String {
    format!(
        "it is nested deeper than {} levels, which is the limit of the console",
        limits::VALUE_LEVELS
    )
}

/// A serializer, or what it gives for a value with parts, and how many levels its parts may have.
struct Level<S> {
    inner: S,
    left: usize,
}

impl<S: Serializer> Level<S> {
    /// The levels that are left below this one.
    fn below(&self) -> Result<usize, S::Error> {
        let below = self.left.checked_sub(1);
        below.ok_or_else(|| S::Error::custom(too_deep()))
    }
}

macro_rules! scalars {
    ($($method:ident($($argument:ident: $kind:ty),*);)*) => {$(
        fn $method(self, $($argument: $kind),*) -> Result<S::Ok, S::Error> {
            self.inner.$method($($argument),*)
        }
    )*};
}

macro_rules! wholes {
    ($($method:ident($($argument:ident: $kind:ty),*) -> $whole:ident;)*) => {$(
        fn $method(self, $($argument: $kind),*) -> Result<Level<S::$whole>, S::Error> {
            let left = self.below()?;
            let inner = self.inner.$method($($argument),*)?;
            Ok(Level { inner, left })
        }
    )*};
}

impl<S: Serializer> Serializer for Level<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Level<S::SerializeSeq>;
    type SerializeTuple = Level<S::SerializeTuple>;
    type SerializeTupleStruct = Level<S::SerializeTupleStruct>;
    type SerializeTupleVariant = Level<S::SerializeTupleVariant>;
    type SerializeMap = Level<S::SerializeMap>;
    type SerializeStruct = Level<S::SerializeStruct>;
    type SerializeStructVariant = Level<S::SerializeStructVariant>;

    scalars! {
        serialize_bool(value: bool);
        serialize_i8(value: i8);
        serialize_i16(value: i16);
        serialize_i32(value: i32);
        serialize_i64(value: i64);
        serialize_i128(value: i128);
        serialize_u8(value: u8);
        serialize_u16(value: u16);
        serialize_u32(value: u32);
        serialize_u64(value: u64);
        serialize_u128(value: u128);
        serialize_f32(value: f32);
        serialize_f64(value: f64);
        serialize_char(value: char);
        serialize_str(value: &str);
        serialize_bytes(value: &[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(name: &'static str);
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    wholes! {
        serialize_seq(len: Option<usize>) -> SerializeSeq;
        serialize_tuple(len: usize) -> SerializeTuple;
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct;
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize) -> SerializeTupleVariant;
        serialize_map(len: Option<usize>) -> SerializeMap;
        serialize_struct(name: &'static str, len: usize) -> SerializeStruct;
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize) -> SerializeStructVariant;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let left = self.below()?;
        self.inner.serialize_some(&Bounded { value, left })
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let left = self.below()?;
        self.inner
            .serialize_newtype_struct(name, &Bounded { value, left })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let left = self.below()?;
        self.inner
            .serialize_newtype_variant(name, index, variant, &Bounded { value, left })
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! parts {
    ($($trait:ident::$method:ident($($name:ident: $kind:ty)?);)*) => {$(
        impl<W: $trait> $trait for Level<W> {
            type Ok = W::Ok;
            type Error = W::Error;
            fn $method<T: Serialize + ?Sized>(&mut self, $($name: $kind,)? value: &T) -> Result<(), W::Error> {
                self.inner.$method($($name,)? &Bounded { value, left: self.left })
            }
            fn end(self) -> Result<W::Ok, W::Error> {
                self.inner.end()
            }
        }
    )*};
}

parts! {
    SerializeSeq::serialize_element();
    SerializeTuple::serialize_element();
    SerializeTupleStruct::serialize_field();
    SerializeTupleVariant::serialize_field();
    SerializeStruct::serialize_field(key: &'static str);
    SerializeStructVariant::serialize_field(key: &'static str);
}

impl<W: SerializeMap> SerializeMap for Level<W> {
    type Ok = W::Ok;
    type Error = W::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), W::Error> {
        let left = self.left;
        self.inner.serialize_key(&Bounded { value, left })
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), W::Error> {
        let left = self.left;
        self.inner.serialize_value(&Bounded { value, left })
    }

    fn end(self) -> Result<W::Ok, W::Error> {
        self.inner.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Clone, Default, serde::Serialize)]
    enum Kind {
        #[default]
        Unit,
        Newtype(u8),
        Tuple(u8, char),
        Struct {
            x: Option<f64>,
        },
    }

    #[derive(Debug, Clone, Default, serde::Serialize)]
    struct Everything {
        kinds: Vec<Kind>,
        map: BTreeMap<u16, (i8, i128, u128, bool)>,
        unit: (),
        wrapped: std::num::Wrapping<u64>,
        address: Option<std::net::Ipv4Addr>,
    }

    #[test]
    fn what_is_not_deep_is_as_it_is_without_us() {
        let value = Everything {
            kinds: vec![
                Kind::Unit,
                Kind::Newtype(1),
                Kind::Tuple(2, 'x'),
                Kind::Struct { x: Some(0.5) },
                Kind::Struct { x: None },
            ],
            map: [(7, (-1, i128::MIN, u128::MAX, true))].into(),
            address: Some([127, 0, 0, 1].into()),
            ..Everything::default()
        };
        let plain = serde_json::to_string(&value).unwrap();
        assert_eq!(serde_json::to_string(&Bounded::new(&value)).unwrap(), plain);
    }

    /// A chain as long as one likes, of links of every kind.
    #[derive(serde::Serialize)]
    enum Chain {
        End,
        Newtype(Option<Box<Self>>),
        Tuple(u8, Vec<Self>),
        Struct { next: Box<Self> },
    }

    impl Chain {
        fn of(len: usize) -> Self {
            (0..len).fold(Self::End, |next, link| match link % 3 {
                0 => Self::Newtype(Some(next.into())),
                1 => Self::Tuple(1, vec![next]),
                _ => Self::Struct { next: next.into() },
            })
        }
    }

    #[test]
    fn what_is_too_deep_is_refused_at_the_limit() {
        let at = |len| {
            let chain = Chain::of(len);
            let result = serde_json::to_string(&Bounded::new(&chain));
            // A destructor of so many levels is the application's care, not ours.
            std::mem::forget(chain);
            result.map_err(|error| error.to_string())
        };
        // Three links are five levels.
        let most = limits::VALUE_LEVELS / 5 * 3;
        assert!(at(most).is_ok());
        assert_eq!(at(most + 1), Err(too_deep()));
        assert_eq!(at(100_000), Err(too_deep()));
    }
}
