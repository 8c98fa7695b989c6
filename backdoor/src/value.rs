//! Values on their way between JSON and the console's language.
//!
//! The language's maps forget the order of their fields, and its numbers know no units. Both matter when a table is
//! shown, so they travel in the tag that every value of the language carries and every copy of it keeps:
//! a map's tag names the [`Shapes`] entry with its order of fields, a float's tag says that it is a duration, and an
//! integer's that it counts bytes.
//! Arithmetic drops tags, as it should.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rhai::{Array, Dynamic, Map};
use serde_json::{Number, Value};

use crate::limits;
use crate::pace::{Pace, Stop};

/// The key under which a duration travels in the protocol.
pub(crate) const DURATION_KEY: &str = "$duration";

/// The key under which an amount of memory travels in the protocol.
pub(crate) const BYTES_KEY: &str = "$bytes";

/// The tag of an integer that counts bytes.
const BYTES_TAG: rhai::INT = -2;

/// The tag of a float that counts the seconds of a duration.
const DURATION_TAG: rhai::INT = -1;

/// Values nested deeper than this are shown as `…`: whoever reads them recurses. What is not for people is refused beyond
/// [`limits::VALUE_LEVELS`].
const MAX_DEPTH: usize = 48;

/// More orders of fields than this are not remembered; tables beyond them are in alphabetical order.
const MAX_SHAPES: usize = 4096;

/// The orders of fields seen so far, shared by all sessions of a backdoor.
#[derive(Debug, Default)]
pub(crate) struct Shapes(Mutex<ShapeTable>);

#[derive(Debug, Default)]
struct ShapeTable {
    orders: Vec<Vec<String>>,
    numbers: HashMap<Vec<String>, usize>,
}

impl Shapes {
    /// The tag of maps with these fields; 0, which is "no shape", once there are too many.
    pub(crate) fn tag(&self, fields: Vec<String>) -> rhai::INT {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = match table.numbers.get(&fields) {
            Some(number) => *number,
            None if table.orders.len() >= MAX_SHAPES => return 0,
            None => {
                table.orders.push(fields.clone());
                let number = table.orders.len();
                table.numbers.insert(fields, number);
                number
            }
        };
        number as rhai::INT
    }

    /// The order that belongs to a tag, or else one that has all these fields.
    fn order(&self, tag: rhai::INT, map: &Map) -> Option<Vec<String>> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tagged = usize::try_from(tag)
            .ok()
            .and_then(|tag| tag.checked_sub(1))
            .and_then(|at| table.orders.get(at));
        tagged
            .or_else(|| {
                table.orders.iter().find(|order| {
                    map.keys()
                        .all(|key| order.iter().any(|f| f == key.as_str()))
                })
            })
            .cloned()
    }
}

/// A duration as the language sees it: a number of seconds that remembers what it is.
pub(crate) fn duration(duration: Duration) -> Dynamic {
    let mut value = Dynamic::from_float(duration.as_secs_f64());
    value.set_tag(DURATION_TAG as _);
    value
}

/// An amount of memory as the language sees it: a number of bytes that remembers what it is.
pub(crate) fn bytes(bytes: u64) -> Dynamic {
    let mut value = Dynamic::from_int(rhai::INT::try_from(bytes).unwrap_or(rhai::INT::MAX));
    value.set_tag(BYTES_TAG as _);
    value
}

/// A map that remembers the order of its fields.
pub(crate) fn record<const N: usize>(
    tag: rhai::INT,
    fields: [(&'static str, Dynamic); N],
) -> Dynamic {
    let mut map = Map::new();
    for (name, value) in fields {
        map.insert(name.into(), value);
    }
    let mut value = Dynamic::from_map(map);
    value.set_tag(tag as _);
    value
}

/// JSON into the language. May suspend: long arrays are converted in steps.
///
/// # Errors
/// If the evaluation was stopped meanwhile.
pub(crate) fn from_json(value: Value, shapes: &Shapes, pace: &Pace) -> Result<Dynamic, Stop> {
    pace.step()?;
    Ok(match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(flag) => flag.into(),
        Value::String(text) => text.into(),
        Value::Number(number) => from_number(&number),
        Value::Array(items) => {
            let items: Result<Array, Stop> = items
                .into_iter()
                .map(|item| from_json(item, shapes, pace))
                .collect();
            Dynamic::from_array(items?)
        }
        Value::Object(fields) => {
            if let Some(span) = as_std_duration(&fields) {
                return Ok(duration(span));
            }
            let tag = shapes.tag(fields.keys().cloned().collect());
            let mut map = Map::new();
            for (name, field) in fields {
                map.insert(name.into(), from_json(field, shapes, pace)?);
            }
            let mut value = Dynamic::from_map(map);
            value.set_tag(tag as _);
            value
        }
    })
}

fn from_number(number: &Number) -> Dynamic {
    if let Some(integer) = number.as_i64() {
        integer.into()
    } else if number.is_u64() {
        // Beyond the language's integers; a float would lose the digits that make it an identifier.
        number.to_string().into()
    } else {
        number.as_f64().unwrap_or(f64::NAN).into()
    }
}

/// serde writes a `std::time::Duration` as these two fields.
fn as_std_duration(fields: &serde_json::Map<String, Value>) -> Option<Duration> {
    let (secs, nanos) = (
        fields.get("secs")?.as_u64()?,
        fields.get("nanos")?.as_u64()?,
    );
    (fields.len() == 2).then(|| Duration::new(secs, 0).saturating_add(Duration::from_nanos(nanos)))
}

/// How durations and amounts of memory leave the language.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Units {
    /// Marked, for whoever shows them.
    Marked,
    /// As plain numbers, of seconds and of bytes, for the arguments of the application's functions.
    Plain,
}

/// The language into JSON. May suspend likewise.
///
/// # Errors
/// If the evaluation was stopped meanwhile.
pub(crate) fn to_json(
    value: &Dynamic,
    units: Units,
    shapes: &Shapes,
    pace: &Pace,
) -> Result<Value, Stop> {
    convert(value, units, shapes, pace, 0)
}

fn convert(
    value: &Dynamic,
    units: Units,
    shapes: &Shapes,
    pace: &Pace,
    depth: usize,
) -> Result<Value, Stop> {
    pace.step()?;
    if value.is_shared() {
        return convert(&value.flatten_clone(), units, shapes, pace, depth);
    }
    let has_parts = value.is_array() || value.is_map();
    match units {
        Units::Marked if depth > MAX_DEPTH => return Ok(Value::from("…")),
        // What is kept, or the application is given, is whole.
        Units::Plain if has_parts && depth >= limits::VALUE_LEVELS => return Err(Stop::TooDeep),
        _ => {}
    }
    if let Ok(items) = value.as_array_ref() {
        let items: Result<Vec<Value>, Stop> = items
            .iter()
            .map(|item| convert(item, units, shapes, pace, depth + 1))
            .collect();
        return Ok(Value::Array(items?));
    }
    if let Ok(map) = value.as_map_ref() {
        let mut fields = serde_json::Map::new();
        if let Some(order) = shapes.order(value.tag().into(), &map) {
            for name in order {
                if let Some(field) = map.get(name.as_str()) {
                    fields.insert(name, convert(field, units, shapes, pace, depth + 1)?);
                }
            }
        }
        for (name, field) in map.iter() {
            if !fields.contains_key(name.as_str()) {
                fields.insert(
                    name.to_string(),
                    convert(field, units, shapes, pace, depth + 1)?,
                );
            }
        }
        return Ok(Value::Object(fields));
    }
    Ok(scalar(value, units))
}

fn scalar(value: &Dynamic, units: Units) -> Value {
    if value.is_unit() {
        Value::Null
    } else if let Ok(flag) = value.as_bool() {
        flag.into()
    } else if let Ok(integer) = value.as_int() {
        let is_memory = rhai::INT::from(value.tag()) == BYTES_TAG;
        if is_memory && units == Units::Marked {
            serde_json::json!({ BYTES_KEY: integer })
        } else {
            integer.into()
        }
    } else if let Ok(float) = value.as_float() {
        let number =
            Number::from_f64(float).map_or_else(|| float.to_string().into(), Value::Number);
        let is_duration = rhai::INT::from(value.tag()) == DURATION_TAG;
        if is_duration && units == Units::Marked {
            serde_json::json!({ DURATION_KEY: number })
        } else {
            number
        }
    } else {
        // Strings, characters, ranges, time stamps, function pointers: all say what they are.
        value.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn through(value: Value, units: Units) -> Value {
        let (shapes, pace) = (Shapes::default(), Pace::unlimited());
        let inside = from_json(value, &shapes, &pace).unwrap();
        to_json(&inside, units, &shapes, &pace).unwrap()
    }

    #[test]
    fn json_comes_back_as_it_went() {
        let value =
            json!({"zebra": 1, "apple": [true, null, "x", -2.5], "mango": {"b": 1, "a": 2}});
        let back = through(value.clone(), Units::Marked);
        assert_eq!(back, value);
        assert_eq!(
            back.to_string(),
            value.to_string(),
            "the order of the fields"
        );
    }

    #[test]
    fn durations_remember_what_they_are() {
        let value = serde_json::to_value(Duration::from_millis(1500)).unwrap();
        assert_eq!(
            through(value.clone(), Units::Marked),
            json!({"$duration": 1.5})
        );
        assert_eq!(through(value, Units::Plain), json!(1.5));
    }

    #[test]
    fn amounts_of_memory_remember_what_they_are() {
        let (shapes, pace) = (Shapes::default(), Pace::unlimited());
        let through = |units| to_json(&bytes(4096), units, &shapes, &pace).unwrap();
        assert_eq!(through(Units::Marked), json!({"$bytes": 4096}));
        assert_eq!(through(Units::Plain), json!(4096));
    }

    #[test]
    fn numbers_beyond_the_languages_integers_keep_their_digits() {
        assert_eq!(
            through(json!(u64::MAX), Units::Plain),
            json!("18446744073709551615")
        );
        assert_eq!(through(json!(i64::MIN), Units::Plain), json!(i64::MIN));
    }

    #[test]
    fn deep_nesting_is_cut() {
        let mut value = json!(1);
        for _ in 0..limits::VALUE_LEVELS {
            value = json!([value]);
        }
        let text = through(value.clone(), Units::Marked).to_string();
        assert!(text.contains('…') && text.len() < 200, "{text}");
        // What is kept or given to the application has all, or is refused.
        assert_eq!(through(value.clone(), Units::Plain), value);
        let (shapes, pace) = (Shapes::default(), Pace::unlimited());
        let deeper = from_json(json!([value]), &shapes, &pace).unwrap();
        let refused = to_json(&deeper, Units::Plain, &shapes, &pace);
        assert_eq!(refused, Err(Stop::TooDeep));
    }

    #[test]
    fn a_map_without_shape_borrows_the_order_of_one_that_has_its_fields() {
        let (shapes, pace) = (Shapes::default(), Pace::unlimited());
        shapes.tag(vec!["name".into(), "id".into(), "age".into()]);
        let map = record(0, [("id", 1.into()), ("name", "x".into())]);
        let json = to_json(&map, Units::Plain, &shapes, &pace).unwrap();
        assert_eq!(json.to_string(), r#"{"name":"x","id":1}"#);
    }
}
