//! Methods on tables: the few that a console wants and the language lacks.

use std::cmp::Ordering;

use rhai::{Array, Dynamic, EvalAltResult, INT, ImmutableString};

use super::{Answer, Console, Entry};
use crate::language::failed;
use crate::rights::Right;
use crate::value::record;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "top",
        call: "rows.top(field, n)",
        about: "the n rows with the largest field",
        more: "",
        right: Right::Observe,
        bind: |to| to.add(top),
    },
    Entry {
        name: "order",
        call: "rows.order(field)",
        about: "the rows in the order of a field",
        more: "",
        right: Right::Observe,
        bind: |to| to.add(order),
    },
    Entry {
        name: "count_by",
        call: "rows.count_by(field)",
        about: "how many rows have each value of a field",
        more: "",
        right: Right::Observe,
        bind: |to| to.add(count_by),
    },
];

fn order(_: &Console, rows: &mut Array, field: ImmutableString) -> Answer {
    let mut keyed = keyed(rows, &field)?;
    keyed.sort_by(|(a, _), (b, _)| compare(a, b));
    Ok(Dynamic::from_array(
        keyed.into_iter().map(|(_, row)| row.clone()).collect(),
    ))
}

fn top(_: &Console, rows: &mut Array, field: ImmutableString, n: INT) -> Answer {
    let mut keyed = keyed(rows, &field)?;
    // The other way round, so that equal rows stay in their order.
    keyed.sort_by(|(a, _), (b, _)| compare(b, a));
    keyed.truncate(usize::try_from(n).unwrap_or(0));
    Ok(Dynamic::from_array(
        keyed.into_iter().map(|(_, row)| row.clone()).collect(),
    ))
}

fn count_by(console: &Console, rows: &mut Array, field: ImmutableString) -> Answer {
    let mut keyed = keyed(rows, &field)?;
    keyed.sort_by(|(a, _), (b, _)| compare(a, b));
    let tag = console.columns(["value", "count"]);
    let mut counted: Vec<(Dynamic, INT)> = Vec::new();
    for (key, _) in keyed {
        match counted.last_mut() {
            Some((value, count)) if compare(value, &key) == Ordering::Equal => *count += 1,
            _ => counted.push((key, 1)),
        }
    }
    // The most frequent value first.
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let lines = counted
        .into_iter()
        .map(|(value, count)| record(tag, [("value", value), ("count", count.into())]));
    Ok(Dynamic::from_array(lines.collect()))
}

fn keyed<'a>(
    rows: &'a Array,
    field: &str,
) -> Result<Vec<(Dynamic, &'a Dynamic)>, Box<EvalAltResult>> {
    let key = |row: &'a Dynamic| {
        let map = row
            .as_map_ref()
            .map_err(|kind| failed(&format!("a row is not a map but {kind}")))?;
        let Some(value) = map.get(field) else {
            let fields: Vec<&str> = map.keys().map(rhai::Identifier::as_str).collect();
            return Err(failed(&format!(
                "there is no field `{field}`; there are {}",
                fields.join(", ")
            )));
        };
        Ok((value.clone(), row))
    };
    rows.iter().map(key).collect()
}

/// Nothing comes first, then numbers, then everything else by its text.
fn compare(a: &Dynamic, b: &Dynamic) -> Ordering {
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (None, None) => match (a.is_unit(), b.is_unit()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => a.to_string().cmp(&b.to_string()),
        },
        (Some(_), None) if b.is_unit() => Ordering::Greater,
        (None, Some(_)) if !a.is_unit() => Ordering::Greater,
        _ => Ordering::Less,
    }
}

fn number(value: &Dynamic) -> Option<f64> {
    value
        .as_float()
        .ok()
        .or_else(|| value.as_int().ok().map(|integer| integer as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_can_be_ordered() {
        let sorted: [Dynamic; 5] = [Dynamic::UNIT, (-2).into(), 1.5.into(), 3.into(), "a".into()];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a:?} against {b:?}");
            }
        }
    }
}
