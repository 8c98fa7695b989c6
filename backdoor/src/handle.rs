//! Exposed values in the console's language: `world.players[3].name`.
//!
//! A name that was exposed stands for a [`Handle`]. A field or an element of it is another one, which knows the way down from
//! the value; at a scalar the way ends, and the value itself is had. So what is huge is never converted but for the part
//! that was asked for. What is shown, or meets a function of the language, is read then.
//!
//! Each look runs where exposed functions do, and does not wait for a lock longer than [`limits::VALUE_PATIENCE`].

use std::any::TypeId;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use rhai::{Array, Dynamic, Engine, EvalAltResult, FuncRegistration, INT, NativeCallContext};

use crate::builtin::{Answer, Console};
use crate::expose::ExposedValue;
use crate::language::failed;
use crate::limits;
use crate::look::{Found, Step, Want};
use crate::value::{self, Units};

/// The language's functions of arrays and maps, and the console's, that work on what a handle has as well: each with how
/// many arguments it takes beside.
const FORWARDED: &[(&str, usize)] = &[
    ("all", 1),
    ("contains", 1),
    ("count_by", 1),
    ("filter", 1),
    ("find", 1),
    ("find_map", 1),
    ("for_each", 1),
    ("index_of", 1),
    ("map", 1),
    ("order", 1),
    ("reduce", 1),
    ("reduce", 2),
    ("some", 1),
    ("to_string", 0),
    ("top", 2),
    ("values", 0),
];

/// A place in an exposed value.
#[derive(Clone)]
pub(crate) struct Handle {
    console: Arc<Console>,
    value: ExposedValue,
    path: Vec<Step>,
}

type Failure = Box<EvalAltResult>;

impl Handle {
    /// What the exposed name stands for: the value, if that is a scalar. May suspend.
    pub(crate) fn root(console: &Arc<Console>, value: &ExposedValue) -> Answer {
        let handle = Self {
            console: Arc::clone(console),
            value: value.clone(),
            path: Vec::new(),
        };
        handle.dynamic()
    }

    /// As the console writes it: `world.players[3]`.
    fn name(&self) -> String {
        let mut name = self.value.name.clone();
        for step in &self.path {
            name += &match step {
                Step::Field(field) => format!(".{field}"),
                Step::Index(index) => format!("[{index}]"),
            };
        }
        name
    }

    fn look(&self, want: Want) -> Result<Found, Failure> {
        let name = self.name();
        self.console.may(self.value.right, &self.value.name)?;
        let (read, path) = (Arc::clone(&self.value.read), self.path.clone());
        let found = self.console.elsewhere(&name, move || read(&path, want))?;
        found.map_err(|message| failed(&format!("{name}: {message}")))
    }

    /// The scalar that is there, or this handle. May suspend.
    fn dynamic(self) -> Answer {
        match self.look(Want::Shape)? {
            Found::Value(value) => self.converted(value),
            Found::Fields(names) if names == ["secs", "nanos"] => self.whole(),
            Found::List(_) | Found::Fields(_) => Ok(Dynamic::from(self)),
        }
    }

    /// All that is there. May suspend.
    pub(crate) fn whole(&self) -> Answer {
        match self.look(Want::Whole(limits::VALUE_BYTES))? {
            Found::Value(value) => self.converted(value),
            Found::List(_) | Found::Fields(_) => Ok(Dynamic::UNIT),
        }
    }

    fn slice(&self, from: INT, to: INT) -> Answer {
        let (from, to) = match (usize::try_from(from), usize::try_from(to)) {
            (Ok(from), Ok(to)) => (from, to),
            _ => {
                // From the end, as the language's arrays have it.
                let len = self.len()?;
                let place = |at: INT| usize::try_from(if at < 0 { at + len } else { at });
                (place(from).unwrap_or(0), place(to).unwrap_or(0))
            }
        };
        match self.look(Want::Slice(from, to, limits::VALUE_BYTES))? {
            Found::Value(value) => self.converted(value),
            Found::List(_) | Found::Fields(_) => Ok(Dynamic::UNIT),
        }
    }

    fn len(&self) -> Result<INT, Failure> {
        Ok(match self.look(Want::Shape)? {
            Found::List(len) => len as INT,
            Found::Fields(names) => names.len() as INT,
            Found::Value(_) => 0,
        })
    }

    fn keys(&self) -> Result<Array, Failure> {
        Ok(match self.look(Want::Shape)? {
            Found::Fields(names) => names.into_iter().map(Dynamic::from).collect(),
            Found::List(_) | Found::Value(_) => Array::new(),
        })
    }

    fn converted(&self, value: serde_json::Value) -> Answer {
        let (shapes, pace) = (&self.console.shared.shapes, &self.console.pace);
        value::from_json(value, shapes, pace)
            .map_err(|stop| crate::language::terminated(&stop.to_string()))
    }

    fn below(&self, step: Step) -> Self {
        let mut below = self.clone();
        below.path.push(step);
        below
    }

    fn element(&self, index: INT) -> Result<Self, Failure> {
        let index = match usize::try_from(index) {
            Ok(index) => Some(index),
            // From the end, as the language's arrays have it.
            Err(_) => usize::try_from(self.len()? + index).ok(),
        };
        let none = || failed(&format!("{}: there is no element {index:?}", self.name()));
        Ok(self.below(Step::Index(index.ok_or_else(none)?)))
    }

    /// Sets what is there. May suspend.
    fn set(&self, to: &Dynamic) -> Result<(), Failure> {
        if let Some(to) = to.read_lock::<Self>()
            && to.path == self.path
            && to.value.name == self.value.name
        {
            // The language writes back what it went through on its way down.
            return Ok(());
        }
        let name = self.name();
        let Some((right, write)) = &self.value.write else {
            return Err(failed(&format!("{name} can only be read")));
        };
        self.console
            .may_use(*right, &format!("{} = …", self.value.name))?;
        let (shapes, pace) = (&self.console.shared.shapes, &self.console.pace);
        let to = value::to_json(to, Units::Plain, shapes, pace)
            .map_err(|stop| crate::language::terminated(&stop.to_string()))?;
        let (write, path) = (Arc::clone(write), self.path.clone());
        let done = self.console.elsewhere(&name, move || write(&path, to))?;
        done.map_err(|message| failed(&format!("{name}: {message}")))
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

impl IntoIterator for Handle {
    type Item = Result<Dynamic, Failure>;
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        let all = self.whole().and_then(|all| {
            all.into_array()
                .map_err(|_| failed(&format!("{} is no list", self.name())))
        });
        let items: Vec<Self::Item> = match all {
            Ok(items) => items.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        items.into_iter()
    }
}

/// A value as it is shown: what a handle has, in place of the handle. May suspend.
pub(crate) fn read(value: Dynamic) -> Answer {
    let handle = value.read_lock::<Handle>().map(|handle| handle.clone());
    match handle {
        Some(handle) => handle.whole(),
        None => Ok(value),
    }
}

/// The names of the fields of what a line ends in, such as `2 * world.players[3]`, as far as that is a way into an exposed
/// value, and one that the session may read. May suspend, for a moment.
pub(crate) fn fields(console: &Arc<Console>, line: &str) -> Vec<String> {
    /// A value whose lock is not free by then has no fields.
    const PATIENCE: Duration = Duration::from_millis(200);
    let Some((name, path)) = way(line) else {
        return Vec::new();
    };
    let value = console.shared.values.iter().find(|it| it.name == name);
    let Some(value) = value.filter(|it| console.rights().contains(it.right)) else {
        return Vec::new();
    };
    let handle = Handle {
        console: Arc::clone(console),
        value: value.clone(),
        path,
    };
    match grapeshot::with_timeout(PATIENCE, || handle.look(Want::Shape)) {
        Ok(Ok(Found::Fields(names))) => names,
        _ => Vec::new(),
    }
}

/// The name and the steps that a line ends in.
fn way(line: &str) -> Option<(&str, Vec<Step>)> {
    let is_part = |c: char| c.is_alphanumeric() || "_.[]".contains(c);
    let text = line.rsplit(|c| !is_part(c)).next()?;
    let name = text.split(['.', '[']).next()?;
    let mut rest = &text[name.len()..];
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(index) = rest.strip_prefix('[') {
            let (index, behind) = index.split_once(']')?;
            steps.push(Step::Index(index.parse().ok()?));
            rest = behind;
        } else {
            let field = rest.strip_prefix('.')?;
            let end = field.find(['.', '[']).unwrap_or(field.len());
            steps.push(Step::Field(field[..end].to_owned()));
            rest = &field[end..];
        }
    }
    Some((name, steps))
}

/// Teaches the language what handles are.
pub(crate) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Handle>("exposed value");
    engine.register_iterator_result::<Handle, Dynamic>();
    engine.register_indexer_get(|handle: &mut Handle, field: &str| -> Answer {
        handle.below(Step::Field(field.to_owned())).dynamic()
    });
    engine.register_indexer_get(|handle: &mut Handle, index: INT| -> Answer {
        handle.element(index)?.dynamic()
    });
    engine.register_indexer_get(|handle: &mut Handle, range: Range<INT>| -> Answer {
        handle.slice(range.start, range.end)
    });
    engine.register_indexer_get(
        |handle: &mut Handle, range: RangeInclusive<INT>| -> Answer {
            handle.slice(*range.start(), range.end().saturating_add(1))
        },
    );
    // What is set is the application's; that the name is a constant says only that it cannot be another's.
    FuncRegistration::new_index_setter()
        .with_purity(true)
        .register_into_engine(
            engine,
            |handle: &mut Handle, field: &str, to: Dynamic| -> Result<(), Failure> {
                handle.below(Step::Field(field.to_owned())).set(&to)
            },
        );
    FuncRegistration::new_index_setter()
        .with_purity(true)
        .register_into_engine(
            engine,
            |handle: &mut Handle, index: INT, to: Dynamic| -> Result<(), Failure> {
                handle.element(index)?.set(&to)
            },
        );
    let pure = |name: &str| FuncRegistration::new(name).with_purity(true);
    pure("len").register_into_engine(engine, |handle: &mut Handle| handle.len());
    pure("is_empty").register_into_engine(engine, |handle: &mut Handle| {
        handle.len().map(|len| len == 0)
    });
    pure("keys").register_into_engine(engine, |handle: &mut Handle| handle.keys());
    for (name, arguments) in FORWARDED {
        let mut types = vec![TypeId::of::<Dynamic>(); *arguments];
        types.insert(0, TypeId::of::<Handle>());
        let forward = move |context: NativeCallContext<'_>, arguments: &mut [&mut Dynamic]| {
            let Some((first, others)) = arguments.split_first_mut() else {
                return Ok(Dynamic::UNIT);
            };
            let mut whole = read(first.clone())?;
            let mut all: Vec<&mut Dynamic> = vec![&mut whole];
            all.extend(others.iter_mut().map(|it| &mut **it));
            context.call_fn_raw(name, true, true, &mut all)
        };
        engine.register_raw_fn(*name, types, forward);
    }
}
