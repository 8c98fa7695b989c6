//! The layer changes nothing in what others want to see. What one subscriber wants shows in all others of the process, so these
//! tests are alone in theirs, and take turns.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{Event, Subscriber, dispatcher};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::{Layer, registry};

/// Counts events.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl<S: Subscriber> Layer<S> for Count {
    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What of one span and two events is there to see.
#[derive(Debug, PartialEq)]
struct Seen {
    level: Option<LevelFilter>,
    debug_span: bool,
    debug_event: bool,
    events: usize,
}

fn look(subscriber: impl Subscriber + Send + Sync + 'static, count: &Count) -> Seen {
    let level = subscriber.max_level_hint();
    let _default = dispatcher::set_default(&subscriber.into());
    tracing::debug!("a small thing");
    tracing::info!("something");
    Seen {
        level,
        debug_span: !tracing::debug_span!("small").is_disabled(),
        debug_event: tracing::event_enabled!(tracing::Level::DEBUG),
        events: count.0.load(Ordering::Relaxed),
    }
}

static TURN: Mutex<()> = Mutex::new(());

/// With the layer above, below, and not at all.
macro_rules! each_way {
    ($count:ident, $layer:expr) => {{
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let without = {
            let $count = Count::default();
            look(registry().with($layer), &$count)
        };
        let above = {
            let $count = Count::default();
            let subscriber = registry().with($layer).with(grapeshot_tracing::layer());
            look(subscriber, &$count)
        };
        let below = {
            let $count = Count::default();
            let subscriber = registry().with(grapeshot_tracing::layer()).with($layer);
            look(subscriber, &$count)
        };
        assert_eq!(above, without);
        assert_eq!(below, without);
        without
    }};
}

#[test]
fn where_all_is_wanted_all_is_seen() {
    let seen = each_way!(count, count.clone());
    assert_eq!((seen.level, seen.debug_span, seen.events), (None, true, 2));
}

#[test]
fn a_filter_of_another_layer_counts() {
    let seen = each_way!(count, count.clone().with_filter(LevelFilter::INFO));
    let info = Some(LevelFilter::INFO);
    assert_eq!((seen.level, seen.debug_span, seen.events), (info, false, 1));
}

#[test]
fn a_filter_by_target_counts() {
    let here = || Targets::new().with_target("filters", LevelFilter::INFO);
    let seen = each_way!(count, count.clone().with_filter(here()));
    assert_eq!((seen.debug_span, seen.events), (false, 1));
}

#[test]
fn a_filter_of_the_whole_counts() {
    let seen = each_way!(count, count.clone().and_then(LevelFilter::INFO));
    assert_eq!((seen.debug_span, seen.events), (false, 1));
}

#[test]
fn levels_that_are_wanted_elsewhere_bring_no_events() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let count = Count::default();
    let targets = Targets::new()
        .with_target("filters", LevelFilter::INFO)
        .with_target("elsewhere", LevelFilter::TRACE);
    let subscriber = registry()
        .with(count.clone().with_filter(targets))
        .with(grapeshot_tracing::layer());
    let seen = look(subscriber, &count);
    assert_eq!((seen.debug_event, seen.events), (false, 1));
    assert_eq!(seen.level, Some(LevelFilter::TRACE));
}
