//! What could stand at the cursor.

use std::sync::Arc;

use rhai::{AST, Scope};

use crate::builtin::{self, Console};
use crate::expose::Function;
use crate::handle;
use crate::protocol::Completion;
use crate::rights::{Right, Rights};

/// More candidates than this help nobody.
const MAX_CANDIDATES: usize = 200;

/// The language's words that begin something.
const KEYWORDS: &[&str] = &[
    "const", "do", "else", "false", "fn", "for", "if", "in", "let", "loop", "print", "return",
    "switch", "throw", "true", "try", "while",
];

/// The language's methods that a console is used with most; it has more.
const METHODS: &[&str] = &[
    "all",
    "chunks",
    "contains",
    "dedup",
    "drain",
    "ends_with",
    "extract",
    "filter",
    "find",
    "index_of",
    "insert",
    "is_empty",
    "keys",
    "len",
    "map",
    "pop",
    "push",
    "reduce",
    "remove",
    "retain",
    "reverse",
    "some",
    "sort",
    "split",
    "starts_with",
    "sub_string",
    "to_float",
    "to_int",
    "to_lower",
    "to_string",
    "to_upper",
    "trim",
    "values",
];

/// Where the word before `cursor` begins, and what could replace it.
pub(crate) fn at(
    line: &str,
    cursor: usize,
    console: &Arc<Console>,
    scope: &Scope<'_>,
    defined: &AST,
) -> (usize, Vec<Completion>) {
    let (exposed, rights) = (&*console.shared.functions, console.rights());
    let before = line.get(..cursor).unwrap_or(line);
    let word = last_word(before);
    let start = before.len() - word.len();
    let mut names = if before[..start].ends_with('.') {
        let receiver = last_word(&before[..start - 1]);
        methods(receiver, rights)
            .chain(fields(&before[..start - 1], scope))
            .chain(
                handle::fields(console, &before[..start - 1])
                    .iter()
                    .map(|it| same(it)),
            )
            .collect()
    } else {
        everything(exposed, rights, scope, defined)
    };
    names.retain(|name| name.text.starts_with(word));
    names.sort_by(|a, b| a.text.cmp(&b.text).then_with(|| a.label.cmp(&b.label)));
    // One candidate for a name with several numbers of arguments, which shows them all.
    names.dedup_by(|later, first| {
        let same = later.text == first.text;
        if same && later.label != first.label {
            first.label = format!("{} or {}", first.label, later.label);
        }
        same
    });
    names.truncate(MAX_CANDIDATES);
    (start, names)
}

fn everything(
    exposed: &[Function],
    rights: Rights,
    scope: &Scope<'_>,
    defined: &AST,
) -> Vec<Completion> {
    let calls = builtin::entries()
        .filter(|entry| entry.receiver().is_none() && rights.contains(entry.right))
        .map(|entry| (entry.name.to_owned(), entry.call.to_owned()))
        .chain(
            exposed
                .iter()
                .filter(|function| rights.contains(function.right))
                .map(|function| (function.name.clone(), function.signature())),
        )
        .chain(
            defined
                .iter_functions()
                .map(|function| (function.name.to_owned(), function.to_string())),
        );
    let calls: Vec<(String, String)> = calls.collect();
    let mut names: Vec<Completion> = calls
        .iter()
        .map(|(name, label)| {
            // A name that is only ever called without arguments is completed to the whole call.
            let bare = calls
                .iter()
                .filter(|(other, _)| other == name)
                .all(|(_, label)| label.ends_with("()"));
            Completion {
                text: format!("{name}({}", if bare { ")" } else { "" }),
                label: label.clone(),
            }
        })
        .collect();
    names.extend(
        scope
            .iter_raw()
            .filter(|(name, ..)| *name != "_")
            .map(|(name, ..)| same(name)),
    );
    if rights.contains(Right::Evaluate) {
        names.extend(KEYWORDS.iter().map(|keyword| same(keyword)));
    }
    names
}

/// The console's own methods of `receiver`, or else the language's and those of tables.
fn methods(receiver: &str, rights: Rights) -> impl Iterator<Item = Completion> {
    let is_own = builtin::entries().any(|entry| entry.receiver() == Some(receiver));
    let wanted = if is_own { receiver } else { "rows" };
    let own = builtin::entries()
        .filter(move |entry| entry.receiver() == Some(wanted) && rights.contains(entry.right));
    let of_language = if is_own { &[] } else { METHODS };
    own.map(|entry| entry.name)
        .chain(of_language.iter().copied())
        .map(|method| same(&format!("{method}(")))
}

/// The word at the end of a text.
fn last_word(text: &str) -> &str {
    text.rsplit(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
        .unwrap_or_default()
}

/// The fields of the variable that stands before the point, or of the first row of its table.
fn fields(before: &str, scope: &Scope<'_>) -> Vec<Completion> {
    let name = last_word(before);
    let Some((.., value)) = scope.iter_raw().find(|(variable, ..)| *variable == name) else {
        return Vec::new();
    };
    value
        .as_map_ref()
        .map(|map| map.keys().map(|key| same(key)).collect())
        .unwrap_or_default()
}

fn same(text: &str) -> Completion {
    Completion {
        text: text.to_owned(),
        label: text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Backdoor;

    #[derive(serde::Serialize)]
    struct Place {
        name: &'static str,
        players: u32,
    }

    fn texts(line: &str) -> (usize, Vec<String>) {
        let world = Arc::new(std::sync::Mutex::new(vec![Place {
            name: "harbour",
            players: 3,
        }]));
        let backdoor = Backdoor::new("test")
            .expose("players", "", Right::Observe, || 1)
            .expose("speed", "", Right::Observe, |_: f64| ())
            .expose_value("world", "", Right::Observe, &world);
        let console = Console::of(backdoor, Rights::all());
        let mut scope = Scope::new();
        scope.push("spare", 1_i64);
        scope.push_dynamic("row", rhai::Map::from([("state".into(), 1.into())]).into());
        let (start, names) = at(line, line.len(), &console, &scope, &AST::empty());
        (start, names.into_iter().map(|name| name.text).collect())
    }

    #[test]
    fn names_of_every_kind_are_offered() {
        assert_eq!(
            texts("let x = sp"),
            (8, vec!["spare".to_owned(), "speed(".to_owned()])
        );
        assert_eq!(texts("pl"), (0, vec!["players()".to_owned()]));
        assert_eq!(texts("work"), (0, vec!["workers()".to_owned()]));
        assert_eq!(texts("whi"), (0, vec!["while".to_owned()]));
        assert_eq!(texts("zzz"), (0, vec![]));
    }

    #[test]
    fn all_ways_to_call_a_name_are_one_candidate() {
        let backdoor = Backdoor::new("test")
            .expose("pause", "", Right::Observe, || 1)
            .expose("pause", "", Right::Observe, |_: u8| ());
        let console = Console::of(backdoor, Rights::all());
        let (_, names) = at("pau", 3, &console, &Scope::new(), &AST::empty());
        let want = Completion {
            text: "pause(".into(),
            label: "pause() or pause(integer)".into(),
        };
        assert_eq!(names, [want]);
    }

    #[test]
    fn after_a_point_come_methods_and_fields() {
        assert_eq!(texts("ps().fil"), (5, vec!["filter(".to_owned()]));
        assert_eq!(
            texts("row.sta"),
            (4, vec!["starts_with(".to_owned(), "state".to_owned()])
        );
    }

    #[test]
    fn fields_of_exposed_values_are_offered_where_they_are() {
        for (line, offered) in [
            ("world[0].pl", vec!["players"]),
            ("2 * world[0].na", vec!["name"]),
            ("world[7].na", vec![]),
            ("other[0].na", vec![]),
        ] {
            let (_, mut names) = texts(line);
            names.retain(|name| !name.ends_with('('));
            assert_eq!(names, offered, "{line}");
        }
    }

    #[test]
    fn a_cursor_inside_a_character_is_harmless() {
        let console = Console::of(Backdoor::new("test"), Rights::all());
        let (start, _) = at("ü", 1, &console, &Scope::new(), &AST::empty());
        assert_eq!(start, 0);
    }
}
