//! What an error says to the person who typed the statement, and what to do about it.

use rhai::{EvalAltResult, ParseError, ParseErrorType, Position};

use crate::builtin;
use crate::expose::Function;
use crate::limits;

/// An error, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Complaint {
    pub(crate) message: String,
    pub(crate) line: Option<u64>,
    pub(crate) column: Option<u64>,
    pub(crate) hint: Option<String>,
}

impl Complaint {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            ..Self::default()
        }
    }

    fn at(mut self, position: Position) -> Self {
        // An error of an inner call keeps its own place only if it has one.
        if let Some(line) = position.line() {
            self.line = Some(line as u64);
            self.column = position.position().map(|column| column as u64);
        }
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What can be called, for hints.
pub(crate) struct Names {
    /// Each name with its signature; one entry per number of arguments.
    functions: Vec<(String, String)>,
}

impl Names {
    pub(crate) fn new(exposed: &[Function]) -> Self {
        let built_in =
            builtin::entries().map(|entry| (entry.name.to_owned(), entry.call.to_owned()));
        let exposed = exposed
            .iter()
            .map(|function| (function.name.clone(), function.signature()));
        Self {
            functions: built_in.chain(exposed).collect(),
        }
    }

    pub(crate) fn explain_parse(&self, error: &ParseError) -> Complaint {
        let message = match error.err_type() {
            ParseErrorType::BadInput(rhai::LexError::UnterminatedString) => {
                "the string is not closed; one that spans lines stands between back-quotes"
                    .to_owned()
            }
            ParseErrorType::ExprTooDeep => "expressions are nested too deep".to_owned(),
            kind => lower_first(&kind.to_string()),
        };
        Complaint::new(message).at(error.position())
    }

    /// Turns an error of the language into one for a person; `variables` are the session's.
    pub(crate) fn explain(&self, mut error: EvalAltResult, variables: &[String]) -> Complaint {
        let position = error.take_position();
        let complaint = match error {
            EvalAltResult::ErrorInFunctionCall(_, _, inner, _) => {
                return self.explain(*inner, variables).or_at(position);
            }
            EvalAltResult::ErrorRuntime(thrown, _) => Complaint::new(thrown.to_string()),
            // Where a loop happened to be when it was stopped is no news.
            EvalAltResult::ErrorTerminated(reason, _) => return Complaint::new(reason.to_string()),
            EvalAltResult::ErrorFunctionNotFound(signature, _) => self.no_function(&signature),
            EvalAltResult::ErrorVariableNotFound(name, _) => self.no_variable(&name, variables),
            EvalAltResult::ErrorPropertyNotFound(name, _) => {
                Complaint::new(format!("there is no field `{name}`"))
                    .hint("show the value to see its fields")
            }
            EvalAltResult::ErrorDotExpr(text, _) => no_property(&text),
            EvalAltResult::ErrorAssignmentToConstant(name, _) => {
                Complaint::new(format!("`{name}` cannot be another value")).hint(format!(
                    "{name}(value) sets it, if the application lets it be set"
                ))
            }
            EvalAltResult::ErrorStackOverflow(_) => Complaint::new(format!(
                "calls are nested deeper than {}",
                limits::CALL_LEVELS
            )),
            EvalAltResult::ErrorDataTooLarge(what, _) => Complaint::new(format!(
                "{} is more than a console may hold",
                lower_first(&what)
            ))
            .hint("narrow it down first, for instance with filter or with ps(\"name\")"),
            other => Complaint::new(lower_first(&other.to_string())),
        };
        complaint.at(position)
    }

    fn no_function(&self, signature: &str) -> Complaint {
        let name = signature.split([' ', '(']).next().unwrap_or_default();
        let calls: Vec<&str> = self
            .functions
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, call)| call.as_str())
            .collect();
        if calls.is_empty() {
            let names = self.functions.iter().map(|(name, _)| name.as_str());
            let complaint = Complaint::new(format!("there is no function {}", readable(signature)));
            return match nearest(name, names) {
                _ if is_farewell(name) => complaint.hint(LEAVES),
                Some(near) => complaint.hint(format!("did you mean {near}?")),
                None => complaint.hint("help() lists the functions"),
            };
        }
        Complaint::new(format!(
            "{name} cannot be called like this: {}",
            readable(signature)
        ))
        .hint(self.how(name, &calls, signature))
    }

    /// How a function is called, and where more is said of it.
    fn how(&self, name: &str, calls: &[&str], signature: &str) -> String {
        let mut how = format!("it is {}", calls.join(" or "));
        let takes_id = calls.iter().any(|call| call.contains("(id"));
        if takes_id && readable(signature).contains("text") {
            how.push_str("; ps(\"name\") tells the ids of those that have it in their name");
        } else if builtin::entries().any(|entry| entry.name == name) {
            how.push_str(&format!("; help({name:?}) says more"));
        }
        how
    }

    fn no_variable(&self, name: &str, variables: &[String]) -> Complaint {
        if name == "_" {
            return Complaint::new("there is no last result yet");
        }
        let complaint = Complaint::new(format!("there is no variable `{name}`"));
        if let Some((_, call)) = self.functions.iter().find(|(function, _)| function == name) {
            return complaint.hint(format!("it is a function: {call}"));
        }
        if is_farewell(name) {
            return complaint.hint(LEAVES);
        }
        let known = variables
            .iter()
            .map(String::as_str)
            .chain(self.functions.iter().map(|(name, _)| name.as_str()));
        match nearest(name, known) {
            Some(near) => complaint.hint(format!("did you mean {near}?")),
            None => complaint.hint(format!("`let {name} = …` makes one")),
        }
    }
}

/// What the language says of a property that a value has not: `Unknown property 'x' - a getter is not registered for type 'array'`.
fn no_property(text: &str) -> Complaint {
    let mut quoted = text.split('\'').skip(1).step_by(2);
    match (quoted.next(), quoted.next()) {
        (Some(name), Some("array")) => Complaint::new(format!("a list has no field `{name}`"))
            .hint(format!(
                "its elements may: x[0].{name} is that of the first, x.map(|it| it.{name}) those of all"
            )),
        (Some(name), Some(kind)) => {
            let kind = readable(kind);
            let article = if kind.starts_with('i') { "an" } else { "a" };
            Complaint::new(format!("there is no field `{name}`: it is {article} {kind}"))
        }
        _ => Complaint::new(lower_first(text)),
    }
}

/// What is said to whoever wants to leave in the language. A prompt takes these words itself.
const LEAVES: &str = "Ctrl-D leaves the console; what comes by -c or through a pipe ends by itself";

fn is_farewell(name: &str) -> bool {
    matches!(name, "exit" | "quit")
}

impl Complaint {
    fn or_at(self, position: Position) -> Self {
        if self.line.is_some() {
            self
        } else {
            self.at(position)
        }
    }
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters
        .next()
        .map(|c| c.to_lowercase().to_string())
        .unwrap_or_default();
    first + characters.as_str()
}

/// The language's names of types, as `speed (&str | ImmutableString | String)`, in the words of `help()`.
fn readable(signature: &str) -> String {
    signature
        .replace("&str | ImmutableString | String", "text")
        .replace(" (", "(")
        .replace("i64", "integer")
        .replace("f64", "number")
}

/// The name that differs least, if it differs by little.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (name.chars().count() / 3).clamp(1, 3);
    names
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, in which two neighbours that changed places are one mistake; names are short.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(64).collect(), b.chars().take(64).collect());
    // Row `i` has the distances of the first `i` characters of `a` to each beginning of `b`.
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["npcs", "players", "ps", "workers"];
        assert_eq!(nearest("playres", names.into_iter()), Some("players"));
        assert_eq!(nearest("npc", names.into_iter()), Some("npcs"));
        assert_eq!(nearest("zebra", names.into_iter()), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("whree", "where"), 1);
        assert_eq!(distance("tpo", "top"), 1);
    }
}
