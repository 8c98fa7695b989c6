//! Single situations, each in a few orders.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, Once};
use std::task::Poll;
use std::time::Duration;

use grapeshot::{
    JoinError, Observed, Observer, block_on, observe, sleep, spawn, spawn_local, testing, yield_now,
};
use tracing::span::{EnteredSpan, Id, Span};
use tracing::{Subscriber, dispatcher};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, fmt, registry};

use super::claims::{Compare, Findings};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// Runs `f` in some orders, with a subscriber that looks whether claims are true: at least `least` of them.
fn explore(least: usize, f: impl Fn(&Findings) + Send + Sync + 'static) {
    testing::explore(0..50, move |_| {
        let findings = Findings::default();
        let _default = dispatcher::set_default(&comparing(&findings).into());
        f(&findings);
        findings.assert_true(least);
    });
}

fn comparing(findings: &Findings) -> impl Subscriber + Send + Sync + 'static {
    registry()
        .with(Compare(findings.clone()))
        .with(grapeshot_tracing::layer())
}

fn entered(name: &'static str) -> (EnteredSpan, Id) {
    let span = tracing::info_span!("span", name).entered();
    let id = span.id().unwrap();
    (span, id)
}

#[test]
fn a_new_coroutine_is_in_no_span_unless_it_is_given_one() {
    explore(6, |findings| {
        let (_outer, outer) = entered("outer");
        let [first, second, third] = [findings.clone(), findings.clone(), findings.clone()];
        let alone = spawn(move || first.claim(&[]));
        let local = spawn_local(move || second.claim(&[]));
        findings.claim(std::slice::from_ref(&outer));
        let span = Span::current();
        let given = [outer.clone()];
        let inherits = spawn(move || {
            span.in_scope(|| {
                third.claim(&given);
                yield_now();
                third.claim(&given);
            });
        });
        alone.join().unwrap();
        local.join().unwrap();
        inherits.join().unwrap();
        findings.claim(&[outer]);
    });
}

#[test]
fn one_that_ends_in_spans_leaves_none_behind() {
    explore(8, |findings| {
        let theirs = findings.clone();
        let between = move || theirs.claim(&[]);
        between_coroutines(between, || {
            let forgets = spawn(|| {
                std::mem::forget(entered("forgotten"));
                yield_now();
            });
            let forgets_at_once = spawn(|| std::mem::forget(entered("forgotten as well")));
            let killed = spawn(|| {
                let _span = entered("killed");
                sleep(HOUR);
            });
            findings.claim(&[]);
            sleep(MS);
            findings.claim(&[]);
            killed.interrupt();
            assert!(matches!(killed.join(), Err(JoinError::Interrupted)));
            forgets.join().unwrap();
            forgets_at_once.join().unwrap();
            findings.claim(&[]);
            let later = findings.clone();
            spawn(move || later.claim(&[])).join().unwrap();
        });
    });
}

#[test]
fn a_guard_may_end_in_another_coroutine() {
    explore(3, |findings| {
        let place = Rc::new(RefCell::new(None));
        let (theirs, their_place) = (findings.clone(), place.clone());
        let owner = spawn_local(move || {
            let (kept, id) = entered("kept");
            let (handed_out, _) = entered("handed out");
            *their_place.borrow_mut() = Some(handed_out);
            sleep(2 * MS);
            theirs.claim(std::slice::from_ref(&id));
            drop(kept);
            theirs.claim(&[]);
        });
        sleep(MS);
        drop(place.borrow_mut().take().expect("it has started"));
        findings.claim(&[]);
        owner.join().unwrap();
    });
}

/// What the worker itself runs between coroutines.
struct Between;

thread_local! {
    static BETWEEN: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

impl Observer for Between {
    fn suspended(&self, _: Observed<'_>) {
        BETWEEN.with_borrow_mut(|call| call.iter_mut().for_each(|call| call()));
    }
}

/// Has the worker call `between` after each suspension, while `f` runs.
fn between_coroutines(between: impl FnMut() + 'static, f: impl FnOnce()) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // It hears after the layer does.
        drop(comparing(&Findings::default()));
        observe(&Between);
    });
    BETWEEN.set(Some(Box::new(between)));
    f();
    BETWEEN.set(None);
}

#[test]
fn between_coroutines_there_are_none() {
    explore(20, |findings| {
        let theirs = findings.clone();
        let between = move || theirs.claim(&[]);
        let (_outer, outer) = entered("outer");
        between_coroutines(between, || {
            for _ in 0..10 {
                yield_now();
                findings.claim(std::slice::from_ref(&outer));
            }
        });
    });
}

#[test]
fn those_of_the_thread_itself_come_back() {
    explore(29, |findings| {
        let theirs = findings.clone();
        let mut held: Option<(EnteredSpan, Id)> = None;
        let between = move || {
            let (_, id) = held.get_or_insert_with(|| entered("the thread's"));
            theirs.claim(std::slice::from_ref(id));
        };
        between_coroutines(between, || {
            for _ in 0..10 {
                yield_now();
                findings.claim(&[]);
            }
            let (_outer, outer) = entered("outer");
            for _ in 0..10 {
                yield_now();
                findings.claim(std::slice::from_ref(&outer));
            }
        });
    });
}

/// Writes down who is entered (`+`) and exited (`-`).
#[derive(Clone, Default)]
struct Order(Arc<Mutex<Vec<String>>>);

impl<S> Layer<S> for Order
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let name = context.span(id).unwrap().name();
        self.0.lock().unwrap().push(format!("+{name}"));
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        let name = context.span(id).unwrap().name();
        self.0.lock().unwrap().push(format!("-{name}"));
    }
}

#[test]
fn the_innermost_is_exited_first_and_entered_last() {
    testing::run(1, || {
        let order = Order::default();
        let subscriber = registry()
            .with(order.clone())
            .with(grapeshot_tracing::layer());
        let default = dispatcher::set_default(&subscriber.into());
        tracing::info_span!("a").in_scope(|| {
            tracing::info_span!("b").in_scope(|| tracing::info_span!("c").in_scope(yield_now));
        });
        // In none there is nothing to do.
        yield_now();
        drop(default);
        let order = order.0.lock().unwrap().join(" ");
        assert_eq!(order, "+a +b +c -c -b -a +a +b +c -c -b -a");
    });
}

#[test]
fn a_future_is_in_the_span_of_whoever_drives_it() {
    explore(3, |findings| {
        let (_outer, outer) = entered("outer");
        let other = spawn(|| {
            let _span = entered("other");
            (0..10).for_each(|_| yield_now());
        });
        let mut polls = 0;
        block_on(poll_fn(|context| {
            findings.claim(std::slice::from_ref(&outer));
            polls += 1;
            context.waker().wake_by_ref();
            if polls == 3 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));
        other.join().unwrap();
    });
}

#[test]
fn plain_threads_are_as_before() {
    let findings = Findings::default();
    let _default = dispatcher::set_default(&comparing(&findings).into());
    let (outer, outer_id) = entered("outer");
    let theirs = findings.clone();
    grapeshot::run(move || {
        let _default = dispatcher::set_default(&comparing(&theirs).into());
        let (_inside, id) = entered("inside");
        yield_now();
        theirs.claim(&[id]);
    });
    findings.claim(std::slice::from_ref(&outer_id));
    let (inner, inner_id) = entered("inner");
    findings.claim(&[outer_id, inner_id]);
    drop((outer, inner));
    findings.claim(&[]);
    findings.assert_true(4);
}

/// Collects what `fmt` writes.
#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Text {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap()
    }

    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.lock().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn fmt_names_the_right_spans() {
    testing::explore(0..50, |_| {
        let text = Text::default();
        let writer = text.clone();
        let lines = fmt::layer()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .with_target(false)
            .without_time();
        let subscriber = registry().with(grapeshot_tracing::layer()).with(lines);
        let default = dispatcher::set_default(&subscriber.into());
        let connections = [1, 2, 3].map(|number| {
            spawn(move || {
                let _span = tracing::info_span!("connection", number).entered();
                for request in 0..3 {
                    let _span = tracing::info_span!("request", request).entered();
                    yield_now();
                    tracing::info!("served {number}.{request}");
                }
            })
        });
        for connection in connections {
            connection.join().unwrap();
        }
        drop(default);
        let mut lines = text.lines();
        lines.sort();
        let expected = [1, 2, 3].map(|number| {
            [0, 1, 2].map(|request| {
                format!(
                    " INFO connection{{number={number}}}:request{{request={request}}}: served {number}.{request}"
                )
            })
        });
        assert_eq!(lines, expected.concat());
    });
}
