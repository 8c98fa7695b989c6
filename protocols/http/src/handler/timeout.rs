//! A handler that is given up after a time.

use std::time::Duration;

use grapeshot::with_timeout;

use super::Handler;
use crate::{HandlerError, Rejection, Request, Response, Status};

/// Leaves a handler that takes too long, wherever it waits, and answers 503. If it has begun its answer, the
/// connection ends instead: the client sees that the answer is not whole.
#[derive(Debug, Clone)]
pub struct TimeLimit<H> {
    limit: Duration,
    inner: H,
}

impl<H: Handler> TimeLimit<H> {
    /// Bounds `inner`; an upgraded connection it serves is bounded with it.
    pub fn new(limit: Duration, inner: H) -> Self {
        Self { limit, inner }
    }
}

impl<H: Handler> Handler for TimeLimit<H> {
    fn handle(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        match with_timeout(self.limit, || self.inner.handle(request, response)) {
            Ok(result) => result,
            Err(elapsed) if request.unanswered().is_none() => Err(elapsed.into()),
            Err(_) => {
                log::warn!(
                    "http {}: {} {} took longer than {:?}",
                    request.peer(),
                    request.method(),
                    request.path(),
                    self.limit
                );
                let text = "this takes too long; try again later";
                Err(Rejection::new(Status::SERVICE_UNAVAILABLE, text).into())
            }
        }
    }

    fn matches(&self, request: &Request<'_>) -> bool {
        self.inner.matches(request)
    }
}
