//! A session's side of the console's language: its engine, its variables, and what its errors say.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rhai::{
    AST, Dynamic, Engine, EvalAltResult, OptimizationLevel, ParseErrorType, Position, Scope, Token,
};

use crate::backdoor::Shared;
use crate::builtin::{self, Console};
use crate::captured::Captured;
use crate::complaint::{Complaint, Names};
use crate::complete;
use crate::expose::Function;
use crate::handle::{self, Handle};
use crate::limits;
use crate::pace::Pace;
use crate::protocol::Completion;
use crate::rights::{Right, Rights};
use crate::transport::Visitor;
use crate::value::{self, Units};
use crate::weight::{Unbearable, Weights};

/// The variable that holds the last result.
const LAST: &str = "_";

/// What a script is told whose variables take too much memory.
const TOO_HEAVY: &str = "the variables of this session take more memory than a console may hold; let x = () gives up what x has";

/// What a script is told whose variables are nested too deep.
fn too_deep() -> String {
    format!(
        "a variable of this session is nested deeper than {} levels; let x = () gives up what x has",
        limits::VARIABLE_LEVELS
    )
}

/// What a session without the right to evaluate is told of what it cannot parse.
const ONE_EXPRESSION: &str =
    "without the right `evaluate` a line is one expression: no variables, loops and closures";

/// Takes what an evaluation prints. May suspend.
pub(crate) type Printer = Arc<dyn Fn(&str) + Send + Sync>;

/// How an evaluation ended.
pub(crate) enum Outcome {
    /// Well; [`Interpreter::result`] has the value, which may be large and is not copied.
    Value,
    Incomplete,
    Failed(Complaint),
}

/// One session's variables and functions.
pub(crate) struct Interpreter {
    engine: Engine,
    scope: Scope<'static>,
    rights: Rights,
    /// The functions that the session's statements have defined so far.
    functions: AST,
    /// The statement that is being parsed; the token hook looks behind a `_` in it.
    source: Arc<Mutex<String>>,
    pace: Arc<Pace>,
    weights: Arc<Weights>,
    captured: Arc<Captured>,
    console: Arc<Console>,
    names: Names,
    shared: Arc<Shared>,
    /// Whether the last evaluation had a value.
    has_result: bool,
}

impl Interpreter {
    /// For a session of this visitor.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        pace: &Arc<Pace>,
        printer: &Printer,
        visitor: &Visitor,
    ) -> Self {
        let rights = visitor.rights;
        let mut engine = Engine::new();
        set_limits(&mut engine);
        let source = Arc::default();
        make_underscore_a_variable(&mut engine, &source);
        connect(&mut engine, pace, printer);
        handle::register(&mut engine);
        let console = Arc::new(Console {
            shared: Arc::clone(shared),
            pace: Arc::clone(pace),
            printer: Arc::clone(printer),
            visitor: visitor.clone(),
            constants: OnceLock::new(),
            lost: AtomicU64::new(0),
            looked: builtin::Looked::default(),
        });
        let mut scope = Scope::new();
        builtin::register(&mut engine, &mut scope, &console);
        for function in &shared.functions {
            register(&mut engine, function, &console);
        }
        let (weights, captured) = (Arc::default(), Arc::default());
        resolve_variables(&mut engine, &console, &weights, &captured);
        // What `watch` evaluates sees the constants as well.
        let _ = console.constants.set(scope.clone());
        if !rights.contains(Right::Evaluate) {
            // A closure is a program, and `eval` runs one.
            engine
                .set_allow_anonymous_fn(false)
                .set_allow_if_expression(false)
                .set_allow_switch_expression(false)
                .disable_symbol("eval");
        }
        Self {
            engine,
            scope,
            rights,
            functions: AST::empty(),
            source,
            pace: Arc::clone(pace),
            weights,
            captured,
            console: Arc::clone(&console),
            names: Names::new(&shared.functions),
            shared: Arc::clone(shared),
            has_result: false,
        }
    }

    /// Evaluates one statement. May suspend, in the application's functions and every few thousand steps.
    ///
    /// Whatever unwinds out of here, the session's variables are whole afterwards once [`Interpreter::rewind`] was called
    /// with what [`Interpreter::mark`] gave before.
    pub(crate) fn evaluate(&mut self, source: &str) -> Outcome {
        let ast = match self.parse(source) {
            Ok(ast) => ast,
            Err(error) if continues(&error, source) => return Outcome::Incomplete,
            Err(error) => {
                let complaint = self.names.explain_parse(&error);
                return Outcome::Failed(if self.rights.contains(Right::Evaluate) {
                    complaint
                } else {
                    complaint.hint(ONE_EXPRESSION)
                });
            }
        };
        let whole = self.functions.merge(&ast);
        let mark = self.mark();
        self.weights.start();
        let result = self
            .engine
            .eval_ast_with_scope::<Dynamic>(&mut self.scope, &whole)
            .and_then(|value| handle::read(value.flatten()));
        self.functions = whole.clone_functions_only();
        match result {
            Ok(value) => {
                self.forget_hidden();
                self.remember(value);
                self.captured.sweep(&self.scope);
                Outcome::Value
            }
            Err(error) => {
                self.rewind(mark);
                Outcome::Failed(self.names.explain(*error, &self.variables()))
            }
        }
    }

    /// The value of the evaluation that has just ended well.
    pub(crate) fn result(&self) -> &Dynamic {
        if self.has_result {
            self.scope.get(LAST).unwrap_or(&Dynamic::UNIT)
        } else {
            &Dynamic::UNIT
        }
    }

    /// Drops the variables that a later one of the same name hides: nobody can reach them any more.
    fn forget_hidden(&mut self) {
        let mut names = HashSet::new();
        // The latest stands first.
        let mut latest: Vec<bool> = self
            .scope
            .iter_raw()
            .map(|(name, ..)| names.insert(name.to_owned()))
            .collect();
        if names.len() == latest.len() {
            return;
        }
        latest.reverse();
        let all = std::mem::take(&mut self.scope).into_iter();
        for ((name, value, _), is_latest) in all.zip(latest) {
            if !is_latest {
                release(value);
            } else if value.is_read_only() {
                self.scope.push_constant_dynamic(name, value);
            } else {
                self.scope.push_dynamic(name, value);
            }
        }
    }

    /// Makes a value the last result, unless it is nothing. May suspend.
    fn remember(&mut self, value: Dynamic) {
        self.has_result = !value.is_unit();
        if !self.has_result {
            return;
        }
        match self.scope.get_mut(LAST) {
            Some(last) => release(std::mem::replace(last, value)),
            None => {
                self.scope.push_dynamic(LAST, value);
            }
        }
    }

    /// Whether more lines would make this a whole statement.
    pub(crate) fn is_incomplete(&self, source: &str) -> bool {
        self.parse(source)
            .is_err_and(|error| continues(&error, source))
    }

    /// What could stand at the cursor, and where the word there begins.
    pub(crate) fn complete(&self, line: &str, cursor: usize) -> (usize, Vec<Completion>) {
        complete::at(line, cursor, &self.console, &self.scope, &self.functions)
    }

    /// How many variables there are now.
    pub(crate) fn mark(&self) -> usize {
        self.scope.len()
    }

    /// Drops the variables that a statement left behind which did not end well: those of its inner blocks are among them.
    pub(crate) fn rewind(&mut self, mark: usize) {
        self.scope.rewind(mark.min(self.scope.len()));
        self.captured.sweep(&self.scope);
    }

    pub(crate) fn pace(&self) -> &Pace {
        &self.pace
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn parse(&self, source: &str) -> Result<AST, rhai::ParseError> {
        source.clone_into(&mut self.source.lock().unwrap_or_else(PoisonError::into_inner));
        if self.rights.contains(Right::Evaluate) {
            self.engine.compile(source)
        } else {
            self.engine.compile_expression(source)
        }
    }

    fn variables(&self) -> Vec<String> {
        let own = |name: &&str| !builtin::entries().any(|entry| entry.receiver() == Some(*name));
        let names = self.scope.iter_raw().map(|(name, ..)| name);
        names.filter(own).map(str::to_owned).collect()
    }
}

impl Drop for Interpreter {
    fn drop(&mut self) {
        self.scope.clear();
        self.captured.sweep(&self.scope);
    }
}

/// Drops a value, and lets others run meanwhile: a table of 100,000 rows is a million pieces of memory.
fn release(value: Dynamic) {
    const ROWS: usize = 512;
    let Ok(mut rows) = value.into_array() else {
        return;
    };
    while !rows.is_empty() {
        rows.truncate(rows.len().saturating_sub(ROWS));
        grapeshot::shield(grapeshot::yield_now);
    }
}

fn set_limits(engine: &mut Engine) {
    engine
        .set_optimization_level(OptimizationLevel::None)
        .set_max_call_levels(limits::CALL_LEVELS)
        .set_max_expr_depths(limits::EXPRESSION_DEPTH.0, limits::EXPRESSION_DEPTH.1)
        .set_max_variables(limits::VARIABLES)
        .set_max_functions(limits::FUNCTIONS)
        .set_max_modules(0)
        .set_max_string_size(limits::STRING_BYTES)
        .set_max_array_size(limits::ARRAY_ELEMENTS)
        .set_max_map_size(limits::MAP_FIELDS)
        // Operations are not counted: the time limit bounds them.
        .set_max_operations(0)
        .set_fail_on_invalid_map_property(true)
        // `import` would read the server's files.
        .set_module_resolver(rhai::module_resolvers::DummyModuleResolver::new());
}

/// The language keeps `_` for the default of a `switch`; everywhere else it is the last result here.
fn make_underscore_a_variable(engine: &mut Engine, source: &Arc<Mutex<String>>) {
    let source = Arc::clone(source);
    // Marked as volatile in rhai, not as deprecated; the tests of this module hold it.
    #[allow(deprecated)]
    engine.on_parse_token(move |token, position, _| match token {
        Token::Underscore
            if !is_switch_default(
                &source.lock().unwrap_or_else(PoisonError::into_inner),
                position,
            ) =>
        {
            Token::Identifier(Box::new(LAST.into()))
        }
        token => token,
    });
}

fn is_switch_default(source: &str, position: Position) -> bool {
    let (Some(line), Some(column)) = (position.line(), position.position()) else {
        return false;
    };
    let rest_of_line = source
        .split('\n')
        .nth(line - 1)
        .unwrap_or_default()
        .chars()
        .skip(column);
    let later_lines = source.split('\n').skip(line).flat_map(str::chars);
    let mut behind = rest_of_line
        .chain(later_lines)
        .skip_while(|c| c.is_whitespace());
    behind.next() == Some('=') && behind.next() == Some('>')
}

fn connect(engine: &mut Engine, pace: &Arc<Pace>, printer: &Printer) {
    let progress = Arc::clone(pace);
    engine.on_progress(move |_| progress.step().err().map(|stop| stop.to_string().into()));
    let print = Arc::clone(printer);
    engine.on_print(move |text| print(text));
    let debug = Arc::clone(printer);
    engine.on_debug(move |text, _, position| match position.line() {
        Some(line) if line > 1 => debug(&format!("[line {line}] {text}")),
        _ => debug(text),
    });
}

/// Makes one function of the application callable.
fn register(engine: &mut Engine, function: &Function, console: &Arc<Console>) {
    let (body, name) = (Arc::clone(&function.body), function.name.clone());
    let (right, signature) = (function.right, function.signature());
    let console = Arc::clone(console);
    let any = vec![std::any::TypeId::of::<Dynamic>(); function.parameters.len()];
    engine.register_raw_fn(&function.name, any, move |_context, arguments| {
        console.may_use(right, &signature)?;
        let (shapes, pace) = (&console.shared.shapes, &console.pace);
        let stopped = |stop: crate::pace::Stop| terminated(&stop.to_string());
        let mut converted = Vec::with_capacity(arguments.len());
        for argument in arguments.iter() {
            converted.push(value::to_json(argument, Units::Plain, shapes, pace).map_err(stopped)?);
        }
        pace.check().map_err(stopped)?;
        let body = Arc::clone(&body);
        let result = console.elsewhere(&name, move || body(converted))?;
        let result = result.map_err(|message| failed(&format!("{name}: {message}")))?;
        value::from_json(result, shapes, pace).map_err(stopped)
    });
}

/// Finds exposed values by their names, unless a variable hides them, notes what closures capture, and weighs the variables
/// now and then.
fn resolve_variables(
    engine: &mut Engine,
    console: &Arc<Console>,
    weights: &Arc<Weights>,
    captured: &Arc<Captured>,
) {
    let (console, weights) = (Arc::clone(console), Arc::clone(weights));
    let captured = Arc::clone(captured);
    // Marked as volatile in rhai, not as deprecated; the tests of this module hold it.
    #[allow(deprecated)]
    engine.on_var(move |name, _, context| {
        // A closure that is made reads what it captures.
        if let Some(variable) = context.scope().get(name) {
            captured.note(variable);
        }
        weights
            .touch(context.call_level(), context.scope(), &captured)
            // No `try` of the language goes on with them.
            .map_err(|unbearable| match unbearable {
                Unbearable::TooHeavy => terminated(TOO_HEAVY),
                Unbearable::TooDeep => terminated(&too_deep()),
            })?;
        let mut exposed = console.shared.values.iter();
        match exposed.find(|value| value.name == name) {
            Some(value) if !context.scope().contains(name) => {
                Handle::root(&console, value).map(Some)
            }
            _ => Ok(None),
        }
    });
}

/// An error with a message for the person at the console.
pub(crate) fn failed(message: &str) -> Box<EvalAltResult> {
    EvalAltResult::ErrorRuntime(message.into(), Position::NONE).into()
}

/// The end of an evaluation that no `try` of the language can catch.
pub(crate) fn terminated(message: &str) -> Box<EvalAltResult> {
    EvalAltResult::ErrorTerminated(message.into(), Position::NONE).into()
}

/// A statement goes on if the parser stumbled over its end, and not before.
fn continues(error: &rhai::ParseError, source: &str) -> bool {
    if let ParseErrorType::BadInput(rhai::LexError::UnterminatedString) = error.err_type() {
        // Only back-quoted strings, and others whose line ends in a backslash, may span lines.
        let opening = character_at(source, error.position());
        return opening == Some('`')
            || (opening == Some('"') && source.trim_end_matches('\n').ends_with('\\'));
    }
    let written = source.trim_end();
    let end = (
        written.split('\n').count(),
        written
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count(),
    );
    let position = error.position();
    match (position.line(), position.position()) {
        (Some(line), Some(column)) => (line, column) > end,
        (Some(line), None) => line > end.0,
        // The end of the text has no position.
        (None, _) => matches!(error.err_type(), ParseErrorType::UnexpectedEOF),
    }
}

fn character_at(source: &str, position: Position) -> Option<char> {
    let (line, column) = (position.line()?, position.position()?);
    source.split('\n').nth(line - 1)?.chars().nth(column - 1)
}

#[cfg(test)]
mod tests;
