//! Requests by method and path.
//!
//! Routes make a tree, a level for each segment. Where several lead to a path, literal segments come before parameters,
//! and parameters before what takes all the rest; of those, the first that has the method.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use super::pattern::{self, Piece};
use super::{Handler, Reply, answer, not_found};
use crate::body::is_token;
use crate::{HandlerError, Request, Response, Status};

/// Hands each request to the handler of its method and path.
///
/// ```
/// use grapeshot_http::{Json, Router, Status};
///
/// let site = Router::new()
///     .get("/users/{id}", |request| match request.param::<u64>("id") {
///         Ok(id) if id < 100 => Ok(Json(id)),
///         Ok(_) => Err(Status::NOT_FOUND),
///         Err(_) => Err(Status::BAD_REQUEST),
///     })
///     .post("/users", |request| {
///         let name = String::from_utf8(request.read_body()?)?;
///         Ok::<_, grapeshot_http::HandlerError>((Status::CREATED, format!("{name} is welcome\n")))
///     });
/// ```
///
/// `{name}` matches one segment that is not empty, `{name...}` at the end all that is left, be it nothing; a handler finds
/// them, percent-decoded, with [`Request::param`], and what is left as [`Request::subpath`]. A literal segment outweighs a
/// parameter, and a parameter what takes the rest.
///
/// A path without a route is answered with 404 (or by the [`fallback`](Router::fallback)), one that has routes for
/// other methods only with 405 and `Allow`. HEAD is answered by the handler of GET, OPTIONS with the methods that
/// there are, unless they have routes of their own.
#[derive(Default)]
pub struct Router {
    root: Node,
    fallback: Option<Box<dyn Handler>>,
}

#[derive(Default)]
struct Node {
    literals: BTreeMap<String, Node>,
    one: Option<(Arc<str>, Box<Node>)>,
    rest: Option<(Arc<str>, Methods)>,
    methods: Methods,
}

/// The handlers of a path.
#[derive(Default)]
struct Methods {
    /// The first pattern that led here, for messages.
    pattern: String,
    named: BTreeMap<String, Box<dyn Handler>>,
    any: Option<Box<dyn Handler>>,
}

impl Methods {
    fn is_empty(&self) -> bool {
        self.named.is_empty() && self.any.is_none()
    }

    fn find(&self, method: &str) -> Option<&dyn Handler> {
        let named = |method: &str| self.named.get(method).map(|handler| &**handler);
        named(method)
            .or_else(|| (method == "HEAD").then(|| named("GET")).flatten())
            .or(self.any.as_deref())
    }
}

/// Why a route cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The pattern is malformed.
    #[error("the route {pattern:?} is malformed: {why}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The method is no token.
    #[error("{0:?} is no method")]
    Method(String),
    /// There is such a route already.
    #[error("{method} {pattern} has a handler already, added as {other}")]
    Duplicate {
        /// The method, `any` for a route of all methods.
        method: String,
        /// The pattern.
        pattern: String,
        /// The pattern that was there.
        other: String,
    },
    /// The same segment has another name in a route that is there already, so that the two would match the same paths.
    #[error("{pattern} calls a parameter {name:?} which other routes call {other:?}; use one name")]
    Ambiguous {
        /// The pattern.
        pattern: String,
        /// The name in it.
        name: String,
        /// The name that was there.
        other: String,
    },
}

macro_rules! methods {
    ($($function:ident $method:literal,)*) => {$(
        #[doc = concat!("Answers `", $method, "` with what the closure returns: see [`Reply`].")]
        ///
        /// # Panics
        /// With a [`RouteError`] in words.
        #[must_use]
        pub fn $function<F, R>(self, pattern: &str, closure: F) -> Self
        where
            F: Fn(&mut Request<'_>) -> R + Send + Sync + 'static,
            R: Reply + 'static,
        {
            self.on($method, pattern, answer(closure))
        }
    )*};
}

impl Router {
    /// A router without routes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    methods! {
        get "GET",
        post "POST",
        put "PUT",
        patch "PATCH",
        delete "DELETE",
    }

    /// Gives requests of this method for this pattern to a handler.
    ///
    /// # Panics
    /// With a [`RouteError`] in words; [`try_on`](Router::try_on) gives it.
    #[must_use]
    pub fn on(mut self, method: &str, pattern: &str, handler: impl Handler) -> Self {
        if let Err(error) = self.try_on(method, pattern, handler) {
            panic!("{error}");
        }
        self
    }

    /// Gives requests of all methods that have no route of their own to a handler.
    ///
    /// # Panics
    /// With a [`RouteError`] in words; [`try_any`](Router::try_any) gives it.
    #[must_use]
    pub fn any(mut self, pattern: &str, handler: impl Handler) -> Self {
        if let Err(error) = self.try_any(pattern, handler) {
            panic!("{error}");
        }
        self
    }

    /// What answers for paths without a route, in place of a 404.
    #[must_use]
    pub fn fallback(mut self, handler: impl Handler) -> Self {
        self.fallback = Some(Box::new(handler));
        self
    }

    /// As [`on`](Router::on), for patterns that the program does not know beforehand.
    ///
    /// # Errors
    /// If the pattern is malformed, or matches what a route matches that is there.
    pub fn try_on(
        &mut self,
        method: &str,
        pattern: &str,
        handler: impl Handler,
    ) -> Result<(), RouteError> {
        if method.is_empty() || !method.bytes().all(is_token) {
            return Err(RouteError::Method(method.to_owned()));
        }
        let methods = self.root.place(pattern)?;
        match methods.named.entry(method.to_owned()) {
            Entry::Vacant(entry) => {
                entry.insert(Box::new(handler));
                Ok(())
            }
            Entry::Occupied(_) => Err(duplicate(method, pattern, &methods.pattern)),
        }
    }

    /// As [`any`](Router::any), for patterns that the program does not know beforehand.
    ///
    /// # Errors
    /// As those of [`try_on`](Router::try_on).
    pub fn try_any(&mut self, pattern: &str, handler: impl Handler) -> Result<(), RouteError> {
        let methods = self.root.place(pattern)?;
        if methods.any.is_some() {
            return Err(duplicate("any", pattern, &methods.pattern));
        }
        methods.any = Some(Box::new(handler));
        Ok(())
    }
}

fn duplicate(method: &str, pattern: &str, other: &str) -> RouteError {
    RouteError::Duplicate {
        method: method.to_owned(),
        pattern: pattern.to_owned(),
        other: other.to_owned(),
    }
}

impl Node {
    /// The handlers of a pattern, to add to.
    fn place(&mut self, pattern: &str) -> Result<&mut Methods, RouteError> {
        let pieces = pattern::parse(pattern).map_err(|why| RouteError::Pattern {
            pattern: pattern.to_owned(),
            why,
        })?;
        let same = |name: &str, other: &Arc<str>| {
            if **other == *name {
                return Ok(());
            }
            Err(RouteError::Ambiguous {
                pattern: pattern.to_owned(),
                name: name.to_owned(),
                other: other.to_string(),
            })
        };
        let mut node = self;
        for piece in pieces {
            node = match piece {
                Piece::Literal(text) => node.literals.entry(text.to_owned()).or_default(),
                Piece::One(name) => {
                    let (other, next) = node
                        .one
                        .get_or_insert_with(|| (name.into(), Box::default()));
                    same(name, other)?;
                    next
                }
                Piece::Rest(name) => {
                    let (other, methods) = node
                        .rest
                        .get_or_insert_with(|| (name.into(), Methods::default()));
                    same(name, other)?;
                    return Ok(methods.of(pattern));
                }
            };
        }
        Ok(node.methods.of(pattern))
    }

    /// Shows `visit` the handlers of each pattern that the rest of a path matches, the most literal first, until it
    /// says that this is it.
    fn visit<'n, 'p>(
        &'n self,
        rest: Option<&'p str>,
        found: &mut Captures<'n, 'p>,
        visit: &mut dyn FnMut(&'n Methods) -> bool,
    ) -> bool {
        let Some(rest) = rest else {
            return !self.methods.is_empty() && visit(&self.methods);
        };
        let (segment, tail) = match rest.split_once('/') {
            Some((segment, tail)) => (segment, Some(tail)),
            None => (rest, None),
        };
        if let Some(text) = decode(segment)
            && let Some(next) = self.literals.get(&*text)
            && next.visit(tail, found, visit)
        {
            return true;
        }
        if let Some((name, next)) = &self.one
            && !segment.is_empty()
        {
            found.named.push((name, segment));
            if next.visit(tail, found, visit) {
                return true;
            }
            found.named.pop();
        }
        if let Some((name, methods)) = &self.rest {
            found.named.push((name, rest));
            found.rest = Some(rest);
            if visit(methods) {
                return true;
            }
            found.named.pop();
            found.rest = None;
        }
        false
    }
}

impl Methods {
    fn of(&mut self, pattern: &str) -> &mut Self {
        if self.pattern.is_empty() {
            pattern.clone_into(&mut self.pattern);
        }
        self
    }
}

/// What the parameters of a pattern stand for.
#[derive(Default)]
struct Captures<'n, 'p> {
    named: Vec<(&'n Arc<str>, &'p str)>,
    rest: Option<&'p str>,
}

/// `None` if it is not UTF-8, which no route can match.
fn decode(segment: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(segment).decode_utf8().ok()
}

impl Handler for Router {
    fn handle(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        let (method, path) = (request.method(), request.subpath());
        let mut captures = Captures::default();
        let mut allowed: Vec<&str> = Vec::new();
        let mut chosen = None;
        self.root
            .visit(path.strip_prefix('/'), &mut captures, &mut |methods| {
                chosen = methods.find(method);
                if chosen.is_none() {
                    allowed.extend(methods.named.keys().map(String::as_str));
                }
                chosen.is_some()
            });
        if let Some(handler) = chosen {
            for (name, raw) in captures.named {
                let Some(value) = decode(raw) else {
                    return Err(Status::BAD_REQUEST.into());
                };
                request.add_param(Arc::clone(name), value.into_owned());
            }
            if let Some(rest) = captures.rest {
                request.descend(path.len() - rest.len() - 1);
            }
            return handler.handle(request, response);
        }
        if path == "*" && method == "OPTIONS" {
            return Status::NO_CONTENT.reply(response);
        }
        if allowed.is_empty() {
            return match &self.fallback {
                Some(handler) => handler.handle(request, response),
                None => Ok(not_found(response)?),
            };
        }
        answer_otherwise(method, allowed, response)
    }

    fn matches(&self, request: &Request<'_>) -> bool {
        self.fallback.is_some()
            || self.root.visit(
                request.subpath().strip_prefix('/'),
                &mut Captures::default(),
                &mut |_| true,
            )
    }
}

/// The path has routes, but none for this method.
fn answer_otherwise(
    method: &str,
    mut allowed: Vec<&str>,
    response: Response<'_>,
) -> Result<(), HandlerError> {
    allowed.push("OPTIONS");
    if allowed.contains(&"GET") {
        allowed.push("HEAD");
    }
    allowed.sort_unstable();
    allowed.dedup();
    let response = response.header("Allow", allowed.join(", "));
    if method == "OPTIONS" {
        Status::NO_CONTENT.reply(response)
    } else {
        Status::METHOD_NOT_ALLOWED.reply(response)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").finish_non_exhaustive()
    }
}
