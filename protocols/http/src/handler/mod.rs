//! What answers requests: closures, values, and handlers made of handlers.

mod hosts;
mod list;
mod pattern;
mod reply;
mod router;
mod timeout;

pub use hosts::VirtualHosts;
pub use list::Handlers;
pub use reply::{Html, Json, Redirect, Rejection, Reply};
pub use router::{RouteError, Router};
pub use timeout::TimeLimit;

use std::sync::Arc;

use crate::{HandlerError, Request, Response, Status};

/// Answers requests. Closures that take a request and a response are handlers, and so are [`Router`], [`Handlers`],
/// [`VirtualHosts`], [`StaticFiles`](crate::StaticFiles), …, which can be put into each other:
///
/// ```no_run
/// use grapeshot_http::{Handler, Router, Server, StaticFiles, handler};
///
/// fn main() -> std::io::Result<()> {
///     let site = Router::new()
///         .get("/", |_| "Hello, world!\n")
///         .get("/users/{id}", |request| format!("user {}\n", request.text("id")))
///         .any("/files/{path...}", StaticFiles::new("/srv/files")?)
///         .wrap(|request, response, inner| {
///             println!("{} {}", request.method(), request.path());
///             inner.handle(request, response)
///         });
///     grapeshot::run(|| {
///         Server::with_handler(site).serve(grapeshot::net::TcpListener::bind("127.0.0.1:8080")?)
///     })
/// }
/// ```
///
/// It runs in the coroutine of the connection, one request at a time, and may block as it likes.
pub trait Handler: Send + Sync + 'static {
    /// Answers. What it fails with before it has answered becomes the answer: an error that is a [`Status`] or a
    /// [`Rejection`] with that status, any other with 500. **May suspend.**
    ///
    /// # Errors
    /// Whatever keeps it from answering.
    fn handle(&self, request: &mut Request<'_>, response: Response<'_>)
    -> Result<(), HandlerError>;

    /// Whether this request is for this handler: a list of [`Handlers`] gives it to the first that says so. It is not
    /// to wait, nor to read content. Everything is, if this is not said otherwise.
    fn matches(&self, request: &Request<'_>) -> bool {
        let _ = request;
        true
    }

    /// Puts `around` between the requests and this handler, which it is given to call or not to call.
    ///
    /// ```
    /// use grapeshot_http::{Handler, Router, Status};
    ///
    /// let site = Router::new().get("/", |_| "hello").wrap(|request, response, inner| {
    ///     if request.header("X-Key") == Some("sesame") {
    ///         inner.handle(request, response)
    ///     } else {
    ///         Err(Status::FORBIDDEN.into())
    ///     }
    /// });
    /// ```
    fn wrap<F>(self, around: F) -> Wrapped<Self, F>
    where
        Self: Sized,
        F: Fn(&mut Request<'_>, Response<'_>, &Self) -> Result<(), HandlerError>
            + Send
            + Sync
            + 'static,
    {
        Wrapped {
            inner: self,
            around,
        }
    }

    /// Answers 503 if this handler takes longer; see [`TimeLimit`].
    fn time_limit(self, limit: std::time::Duration) -> TimeLimit<Self>
    where
        Self: Sized,
    {
        TimeLimit::new(limit, self)
    }
}

impl<F, E> Handler for F
where
    F: Fn(&mut Request<'_>, Response<'_>) -> Result<(), E> + Send + Sync + 'static,
    E: Into<HandlerError>,
{
    fn handle(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        self(request, response).map_err(Into::into)
    }
}

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        impl Handler for $pointer<dyn Handler> {
            fn handle(
                &self,
                request: &mut Request<'_>,
                response: Response<'_>,
            ) -> Result<(), HandlerError> {
                (**self).handle(request, response)
            }
            fn matches(&self, request: &Request<'_>) -> bool {
                (**self).matches(request)
            }
        }
    )*};
}
pointer!(Box, Arc);

/// A closure as a [`Handler`], where the compiler has to be told that it is one.
///
/// ```
/// use grapeshot_http::{Router, handler};
///
/// let site = Router::new().any("/echo", handler(|request, response| {
///     let content = request.read_body()?;
///     response.send(content)
/// }));
/// ```
pub fn handler<F, E>(closure: F) -> F
where
    F: Fn(&mut Request<'_>, Response<'_>) -> Result<(), E> + Send + Sync + 'static,
    E: Into<HandlerError>,
{
    closure
}

/// A closure whose result is the answer, as a [`Handler`]. What can be an answer: see [`Reply`].
///
/// ```
/// use grapeshot_http::{Server, Status, answer};
///
/// let server = Server::with_handler(answer(|request| match request.path() {
///     "/" => Ok("hello"),
///     _ => Err(Status::NOT_FOUND),
/// }));
/// ```
pub fn answer<F, R>(closure: F) -> Answering<F>
where
    F: Fn(&mut Request<'_>) -> R + Send + Sync + 'static,
    R: Reply,
{
    Answering(closure)
}

/// What [`answer`] makes.
#[derive(Debug, Clone, Copy)]
pub struct Answering<F>(F);

impl<F, R> Handler for Answering<F>
where
    F: Fn(&mut Request<'_>) -> R + Send + Sync + 'static,
    R: Reply,
{
    fn handle(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        (self.0)(request).reply(response)
    }
}

/// What [`Handler::wrap`] makes.
#[derive(Debug, Clone, Copy)]
pub struct Wrapped<H, F> {
    inner: H,
    around: F,
}

impl<H, F> Handler for Wrapped<H, F>
where
    H: Handler,
    F: Fn(&mut Request<'_>, Response<'_>, &H) -> Result<(), HandlerError> + Send + Sync + 'static,
{
    fn handle(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        (self.around)(request, response, &self.inner)
    }

    fn matches(&self, request: &Request<'_>) -> bool {
        self.inner.matches(request)
    }
}

/// `404 Not Found`, in a line of text.
pub(crate) fn not_found(response: Response<'_>) -> Result<(), crate::Error> {
    response.status(Status::NOT_FOUND).send_text("not found\n")
}
