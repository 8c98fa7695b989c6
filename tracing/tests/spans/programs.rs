//! Random programs of many coroutines that enter and exit spans across all kinds of waits: each event is in the spans that its
//! coroutine has entered, whatever the order.

use std::cell::RefCell;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::claims::{Compare, Findings};
use fastrand::Rng;
use grapeshot::sync::{Mutex, channel};
use grapeshot::{
    JoinError, catch_panic, join_all, sleep, spawn, spawn_local, testing, with_timeout, yield_now,
};
use tracing::span::{EnteredSpan, Id, Span};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;

const SEEDS: u64 = 100;
const COROUTINES: u64 = 8;
const STEPS: u64 = 32;

/// What all coroutines of a program share.
struct World {
    findings: Findings,
    sender: channel::Sender<u64>,
    receiver: channel::Receiver<u64>,
    lock: Mutex<()>,
}

/// What a coroutine has entered, by its own books: each with the chain from the root to it.
#[derive(Default)]
struct Books(RefCell<Vec<Vec<Id>>>);

impl Books {
    /// The chain of the innermost. One that was entered twice counts where that was first, as in the registry.
    fn innermost(&self) -> Vec<Id> {
        let entered = self.0.borrow();
        let is_first = |&at: &usize| {
            entered[..at]
                .iter()
                .all(|chain| chain.last() != entered[at].last())
        };
        let innermost = (0..entered.len()).rev().find(is_first);
        innermost.map_or_else(Vec::new, |at| entered[at].clone())
    }
}

/// An entered span, which is in the books.
struct Entered {
    span: EnteredSpan,
    chain: Vec<Id>,
    books: Rc<Books>,
}

impl Entered {
    fn new(span: Span, chain: Vec<Id>, books: &Rc<Books>) -> Self {
        let span = span.entered();
        books.0.borrow_mut().push(chain.clone());
        Self {
            span,
            chain,
            books: books.clone(),
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut entered = self.books.0.borrow_mut();
        let latest = entered
            .iter()
            .rposition(|chain| chain.last() == self.chain.last());
        entered.remove(latest.expect("it is in the books"));
    }
}

/// What one coroutine does.
struct Program {
    rng: RefCell<Rng>,
    world: Arc<World>,
    books: Rc<Books>,
    depth: u32,
}

/// A coroutine to be: it can be sent.
#[derive(Clone)]
struct Plan {
    seed: u64,
    world: Arc<World>,
    depth: u32,
    inherited: Option<(Span, Vec<Id>)>,
}

impl Plan {
    fn run(self) {
        let program = Program {
            rng: RefCell::new(Rng::with_seed(self.seed)),
            world: self.world,
            books: Rc::default(),
            depth: self.depth,
        };
        program.check();
        let inherited = self
            .inherited
            .map(|(span, chain)| Entered::new(span, chain, &program.books));
        program.run();
        drop(inherited);
        program.check();
    }
}

impl Program {
    fn below(&self, count: u64) -> u64 {
        self.rng.borrow_mut().u64(..count)
    }

    fn some_time(&self) -> Duration {
        Duration::from_millis(self.below(20))
    }

    fn check(&self) {
        self.world.findings.claim(&self.books.innermost());
    }

    fn enter(&self) -> Entered {
        let mut chain = self.books.innermost();
        let span = tracing::info_span!("span");
        chain.extend(span.id());
        Entered::new(span, chain, &self.books)
    }

    fn enter_again(&self, open: &Entered) -> Entered {
        Entered::new((*open.span).clone(), open.chain.clone(), &self.books)
    }

    fn child(&self) -> Plan {
        let chain = self.books.innermost();
        let inherits = self.below(2) == 0 && !chain.is_empty();
        Plan {
            seed: self.below(u64::MAX),
            world: self.world.clone(),
            depth: self.depth + 1,
            inherited: inherits.then(|| (Span::current(), chain)),
        }
    }

    fn run(&self) {
        let mut open = Vec::new();
        for _ in 0..STEPS >> (2 * self.depth) {
            self.step(&mut open);
            self.check();
        }
    }

    fn step(&self, open: &mut Vec<Entered>) {
        let some = || self.below(open.len() as u64) as usize;
        match self.below(16) {
            0..=2 => open.push(self.enter()),
            3 if !open.is_empty() => open.push(self.enter_again(&open[some()])),
            // Not always the latest.
            4..=5 if !open.is_empty() => drop(open.remove(some())),
            6..=7 => yield_now(),
            8 => sleep(self.some_time()),
            9 => _ = self.world.sender.try_send(7),
            10 => _ = with_timeout(self.some_time(), || self.world.receiver.recv()),
            11 => {
                let _held = self.world.lock.lock();
                sleep(self.some_time());
                self.check();
            }
            12 => _ = with_timeout(self.some_time(), || self.go_deeper()),
            13 => {
                let panicked = catch_panic(|| {
                    let _entered = self.enter();
                    self.go_deeper();
                    resume_unwind(Box::new("on purpose"))
                });
                assert!(panicked.is_err_and(|panic| panic.is::<&str>()));
            }
            14 => self.have_one_interrupted(),
            15 => self.have_children(),
            _ => {}
        }
    }

    /// In spans that only its end, or an unwinding, exits.
    fn go_deeper(&self) {
        let _first = self.enter();
        sleep(self.some_time());
        self.check();
        tracing::info_span!("only a closure").in_scope(|| sleep(self.some_time()));
        let _second = self.enter();
        sleep(self.some_time());
        self.check();
    }

    fn have_one_interrupted(&self) {
        let plan = self.child();
        if self.below(2) == 0 {
            let coroutine = spawn(|| plan.run());
            sleep(self.some_time());
            coroutine.interrupt();
            self.check();
            pass_on(coroutine.join());
        } else {
            let coroutine = spawn_local(|| plan.run());
            sleep(self.some_time());
            coroutine.interrupt();
            self.check();
            pass_on(coroutine.join());
        }
    }

    fn have_children(&self) {
        let plans = [(); 2].map(|()| self.child());
        for joined in join_all(plans.map(|plan| || plan.run())) {
            pass_on(joined);
        }
    }
}

/// A child may be interrupted; if it finds something wrong, so does its parent.
fn pass_on(joined: Result<(), JoinError>) {
    if let Err(JoinError::Panicked(panic)) = joined {
        resume_unwind(panic);
    }
}

/// A program, with the subscriber that is this thread's meanwhile.
fn program(seed: u64, findings: Findings, subscriber: impl Into<tracing::Dispatch>) {
    let _default = tracing::dispatcher::set_default(&subscriber.into());
    let (sender, receiver) = channel::bounded(4);
    let world = Arc::new(World {
        findings,
        sender,
        receiver,
        lock: Mutex::new(()),
    });
    let plan = |number| Plan {
        seed: seed * COROUTINES + number,
        world: world.clone(),
        depth: 0,
        inherited: None,
    };
    for joined in join_all((0..COROUTINES).map(plan).map(|plan| || plan.run())) {
        pass_on(joined);
    }
}

#[test]
fn every_event_is_in_the_spans_of_its_coroutine() {
    testing::explore(0..SEEDS, |seed| {
        let findings = Findings::default();
        let subscriber = registry()
            .with(Compare(findings.clone()))
            .with(grapeshot_tracing::layer());
        program(seed, findings.clone(), subscriber);
        findings.assert_true((COROUTINES * STEPS) as usize);
    });
}

/// The control: without the layer they are in others' spans, and the books find it.
#[test]
fn without_the_layer_they_are_not() {
    let bled = (0..20).filter(|&seed| {
        let findings = Findings::default();
        let seen = findings.clone();
        testing::run(seed, move || {
            let subscriber = registry().with(Compare(findings.clone()));
            program(seed, findings, subscriber);
        });
        !seen.wrong().is_empty()
    });
    assert_eq!(bled.count(), 20);
}
