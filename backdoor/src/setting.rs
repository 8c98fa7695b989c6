//! Putting something at a place in a value of the application, while secrets beside it stay what they are.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::depth::Bounded;
use crate::expose::{is_other_kind, type_label};
use crate::look::Step;
use crate::secret::{REDACTED, REFUSED, has_secret, revealed};

/// Why something was not set.
pub(crate) enum Unset {
    /// In words of our own.
    Ours(String),
    /// In words that may quote what it was to be set to.
    Quoting(String),
}

/// Replaces what stands at a place in `stored`, or all of it. Secrets that nobody named stay as they are.
pub(crate) fn set_at<T: Serialize + DeserializeOwned>(
    stored: &mut T,
    steps: &[Step],
    to: Value,
) -> Result<(), Unset> {
    let quoting = |error: serde_json::Error| Unset::Quoting(error.to_string());
    if steps.is_empty() && !has_secret(&to) {
        let given = to.clone();
        *stored = serde_json::from_value(to)
            .map_err(|error| Unset::Quoting(wrong_type::<T>(&given, &error)))?;
        return Ok(());
    }
    // The whole is taken apart and put together again.
    let taken_apart = || serde_json::to_value(Bounded::new(&*stored)).map_err(quoting);
    let mut shown = taken_apart()?;
    let secret = has_secret(&shown);
    // Nobody sees this one.
    let mut whole = if secret {
        revealed(taken_apart).map_err(|_| Unset::Ours(REFUSED.to_owned()))?
    } else {
        shown.clone()
    };
    let nowhere = || Unset::Ours("there is nothing of that name or number to be set".to_owned());
    let (mut place, mut seen) = (&mut whole, &mut shown);
    for step in steps {
        seen = below(seen, step).ok_or_else(nowhere)?;
        place = below(place, step).ok_or_else(nowhere)?;
    }
    let told = told_of(&to, seen);
    *place = filled_in(to, seen, place)?;
    *stored = serde_json::from_value(whole).map_err(|error| match secret {
        true if steps.is_empty() => Unset::Ours(REFUSED.to_owned()),
        // What the type says may quote a secret that stands beside it.
        true => Unset::Ours(told),
        false => quoting(error),
    })?;
    Ok(())
}

fn below<'a>(value: &'a mut Value, step: &Step) -> Option<&'a mut Value> {
    match step {
        Step::Field(name) => value.get_mut(name.as_str()),
        Step::Index(index) => value.get_mut(*index),
    }
}

/// What is to be set, with the present secrets where `‹secret›` stands for them. In a list it stands for none: which of them would
/// be a guess.
fn filled_in(to: Value, seen: &Value, present: &Value) -> Result<Value, Unset> {
    match (to, seen, present) {
        (Value::String(text), Value::String(shown), _) if text == REDACTED && shown == REDACTED => {
            Ok(present.clone())
        }
        (Value::Object(fields), Value::Object(seen), Value::Object(present)) => {
            let fill = |(name, to): (String, Value)| {
                let filled = match (seen.get(&name), present.get(&name)) {
                    (Some(seen), Some(present)) => filled_in(to, seen, present)?,
                    _ => filled_in(to, &Value::Null, &Value::Null)?,
                };
                Ok((name, filled))
            };
            fields
                .into_iter()
                .map(fill)
                .collect::<Result<_, _>>()
                .map(Value::Object)
        }
        (to, ..) if has_secret(&to) => Err(Unset::Ours(format!(
            "{REDACTED} stands for no secret there: give what is to be it, or set its other parts alone"
        ))),
        (to, ..) => Ok(to),
    }
}

/// What is said of something that was refused, by its kind alone.
fn told_of(to: &Value, present: &Value) -> String {
    if has_secret(present) {
        return REFUSED.to_owned();
    }
    let (wanted, given) = (kind(present), kind(to));
    if wanted == given || present.is_null() {
        format!("this {given} was refused; why is not told, because there is a secret beside it")
    } else {
        format!("{wanted} wanted, not {given}")
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "array",
        Value::Object(_) => "map",
    }
}

fn wrong_type<T>(given: &Value, error: &serde_json::Error) -> String {
    let wanted = type_label(std::any::type_name::<T>());
    if is_other_kind(wanted, given) {
        format!("{wanted} wanted, not {given}")
    } else {
        error.to_string()
    }
}
