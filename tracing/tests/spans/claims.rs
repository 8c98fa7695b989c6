//! A layer that compares: each event says in which spans its coroutine is, by its own books.

use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Id, Span};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// What was found so far; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Findings(Arc<Mutex<Found>>);

#[derive(Default)]
struct Found {
    claims: usize,
    wrong: Vec<String>,
}

impl Findings {
    /// The caller is in these spans, it says; the outermost comes first.
    pub(crate) fn claim(&self, spans: &[Id]) {
        tracing::info!(claimed = %in_words(spans));
        // What a program sees of it.
        let current = Vec::from_iter(Span::current().id());
        let innermost = &spans[spans.len().saturating_sub(1)..];
        self.compare("current", &in_words(innermost), &in_words(&current));
    }

    fn compare(&self, what: &str, claimed: &str, seen: &str) {
        let mut found = self.0.lock().unwrap();
        found.claims += 1;
        if seen != claimed {
            let wrong = format!("{what}: claimed to be in '{claimed}', was in '{seen}'");
            found.wrong.push(wrong);
        }
    }

    /// Each claim that was not true.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.0.lock().unwrap().wrong.clone()
    }

    /// There were `least` claims or more, and all were true.
    #[track_caller]
    pub(crate) fn assert_true(&self, least: usize) {
        assert_eq!(self.wrong(), [""; 0]);
        // A claim is looked at twice: in the event, and by the program.
        assert!(self.0.lock().unwrap().claims >= 2 * least);
    }
}

fn in_words(ids: &[Id]) -> String {
    let ids: Vec<_> = ids.iter().map(|id| id.into_u64().to_string()).collect();
    ids.join(">")
}

/// Looks whether claims are true.
pub(crate) struct Compare(pub(crate) Findings);

#[derive(Default)]
struct Claimed(Option<String>);

impl Visit for Claimed {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "claimed" {
            self.0 = Some(format!("{value:?}"));
        }
    }
}

impl<S> Layer<S> for Compare
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut claimed = Claimed::default();
        event.record(&mut claimed);
        let Some(claimed) = claimed.0 else { return };
        let scope = context.event_scope(event).into_iter();
        let scope = scope.flat_map(|scope| scope.from_root());
        let seen: Vec<_> = scope.map(|span| span.id()).collect();
        self.0.compare("event", &claimed, &in_words(&seen));
    }
}
