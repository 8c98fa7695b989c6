//! What layers that time spans see: a suspended coroutine's are idle.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use grapeshot::{sleep, spawn, testing, time};
use tracing::Subscriber;
use tracing::span::{Attributes, Id};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::{self, LookupSpan};

const SECOND: Duration = Duration::from_secs(1);

/// Counts as `fmt` does for its `time.busy` and `time.idle`, by the virtual clock.
#[derive(Clone, Default)]
struct Times(Arc<Mutex<Vec<Timing>>>);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Timing {
    name: &'static str,
    busy: Duration,
    idle: Duration,
    since: Instant,
}

impl<S> Layer<S> for Times
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        context.span(id).unwrap().extensions_mut().insert(Timing {
            name: attributes.metadata().name(),
            busy: Duration::ZERO,
            idle: Duration::ZERO,
            since: time::now(),
        });
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        count(id, &context, |timing| &mut timing.idle);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        count(id, &context, |timing| &mut timing.busy);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        count(&id, &context, |timing| &mut timing.idle);
        let timing = *context.span(&id).unwrap().extensions().get().unwrap();
        self.0.lock().unwrap().push(timing);
    }
}

/// Adds the time since the latest change to one of the sums.
fn count<S>(id: &Id, context: &Context<'_, S>, sum: impl Fn(&mut Timing) -> &mut Duration)
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let span = context.span(id).unwrap();
    let mut extensions = span.extensions_mut();
    let timing: &mut Timing = extensions.get_mut().unwrap();
    let now = time::now();
    let passed = now - timing.since;
    *sum(timing) += passed;
    timing.since = now;
}

/// Two coroutines that wait in spans; gives the busy and idle times of `outer`, `inner` and `other`.
fn measure(subscriber: impl Into<tracing::Dispatch>, times: &Times) -> Vec<(Duration, Duration)> {
    let default = tracing::dispatcher::set_default(&subscriber.into());
    let one = spawn(|| {
        let _outer = tracing::info_span!("outer").entered();
        sleep(SECOND);
        tracing::info_span!("inner").in_scope(|| sleep(3 * SECOND));
    });
    let other = spawn(|| {
        let _other = tracing::info_span!("other").entered();
        (0..10).for_each(|_| sleep(SECOND));
    });
    one.join().unwrap();
    other.join().unwrap();
    drop(default);
    let times = times.0.lock().unwrap();
    let of = |name| times.iter().find(|timing| timing.name == name).unwrap();
    let both = |name| (of(name).busy, of(name).idle);
    ["outer", "inner", "other"].map(both).to_vec()
}

#[test]
fn a_suspended_coroutine_is_idle_in_its_spans() {
    testing::explore(0..50, |_| {
        let times = Times::default();
        let subscriber = registry::Registry::default()
            .with(times.clone())
            .with(grapeshot_tracing::layer());
        let expected = [4, 3, 10].map(|idle| (Duration::ZERO, idle * SECOND));
        assert_eq!(measure(subscriber, &times), expected);
    });
}

/// The control.
#[test]
fn without_the_layer_it_is_busy() {
    testing::run(1, || {
        let times = Times::default();
        let subscriber = registry::Registry::default().with(times.clone());
        let expected = [4, 3, 10].map(|busy| (busy * SECOND, Duration::ZERO));
        assert_eq!(measure(subscriber, &times), expected);
    });
}
