//! A network in memory for a simulation: its hosts, and what goes wrong between them.

mod config;
mod faults;
pub(crate) mod socket;
mod trace;
mod wire;

#[cfg(test)]
mod tests;

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::io::NotOfThreads;
use crate::net::{ListenOptions, Resolve};
use crate::registry;
use crate::sched::join::{JoinError, JoinHandle};
use crate::sched::spawn::{Builder, CoroutineId};
use crate::sched::{self, current, interrupt, worker};
use faults::Call;
use socket::Simulated;
use wire::{HostId, State};

pub use config::NetworkConfig;
pub(super) use faults::Faults;

/// What is not on a host of its own: the program that [`Simulation::run`](super::Simulation::run) was given.
const MAIN: HostId = 0;
/// Entries of ended coroutines are looked for when there are more than this.
const FEW: usize = 256;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Wire>>> = const { RefCell::new(None) };
}

/// The network of the simulation that runs on this thread, if it has one.
pub(crate) fn current() -> Option<Arc<Wire>> {
    // None when the thread ends, too.
    CURRENT.try_with(|current| current.borrow().clone()).ok()?
}

/// A new coroutine belongs to the host of the one that spawned it.
pub(crate) fn born(parent: u64, child: u64) {
    if let Some(wire) = current() {
        wire.places.lock().inherit(parent, child);
    }
}

/// Is this coroutine on a host other than `main`?
pub(super) fn is_on_a_host(id: CoroutineId) -> bool {
    current().is_some_and(|wire| wire.places.lock().find(id.0).host != MAIN)
}

/// Does what is due on the network.
pub(crate) fn deliver() {
    if let Some(wire) = current() {
        wire.with_quietly(State::deliver);
    }
}

/// The network with what surrounds it.
pub(crate) struct Wire {
    state: Mutex<State>,
    places: Mutex<Places>,
    programs: Mutex<BTreeMap<HostId, Program>>,
    /// The simulation it belongs to.
    runtime: &'static sched::Shared,
    main: u64,
    /// Of the first host whose program panicked.
    failure: Mutex<Option<Box<dyn Any + Send>>>,
    /// Looks up names that no host has.
    resolver: Mutex<Option<Arc<dyn Resolve>>>,
}

/// Which coroutine runs on which host.
#[derive(Default)]
struct Places {
    of: BTreeMap<u64, Place>,
    limit: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    host: HostId,
    /// How often the host had been killed.
    life: u32,
}

struct Program {
    body: Arc<dyn Fn() + Send + Sync>,
    running: Option<JoinHandle<()>>,
    life: u32,
}

impl Wire {
    /// Lays it in the simulation that calls, whose main coroutine the caller is.
    pub(super) fn lay(config: NetworkConfig, seed: u64) -> io::Result<Arc<Self>> {
        // Sockets have no other descriptor to show.
        crate::io::dead()?;
        let mut state = State::new(config, seed);
        state.add_host("main");
        let wire = Arc::new(Self {
            state: Mutex::new(state),
            places: Mutex::default(),
            programs: Mutex::default(),
            runtime: sched::runtime::here(),
            main: current::with(|main| main.map_or(0, |main| main.head.id)),
            failure: Mutex::new(None),
            resolver: Mutex::new(None),
        });
        CURRENT.set(Some(wire.clone()));
        Ok(wire)
    }

    pub(super) fn take_failure(&self) -> Option<Box<dyn Any + Send>> {
        self.failure.lock().take()
    }

    fn is_here(&self) -> bool {
        worker::with(|worker| worker.is_some_and(|it| std::ptr::eq(it.shared(), self.runtime)))
    }

    /// Looks at the network, or changes it.
    ///
    /// # Errors
    /// [`NotOfThreads`], and those of `act`.
    fn with<R>(&self, act: impl FnOnce(&mut State) -> io::Result<R>) -> io::Result<R> {
        if !self.is_here() {
            return Err(NotOfThreads.into());
        }
        self.with_quietly(act)
    }

    /// As [`Wire::with`], where it is known that this is the simulation's worker.
    fn with_quietly<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock();
        state.now = worker::now();
        let result = act(&mut state);
        let events = std::mem::take(&mut state.events);
        let alarms = std::mem::take(&mut state.alarms);
        drop(state);
        worker::with(|worker| {
            let worker = worker.expect("the network is used on a worker");
            alarms.into_iter().for_each(|at| worker.arm_network(at));
        });
        let mut wakers = Vec::new();
        for (slot, way) in events {
            slot.event(way, &mut wakers);
        }
        wakers.into_iter().for_each(worker::call_waker);
        result
    }

    /// As [`Wire::with`], from anywhere: later, if this is another thread.
    fn on_its_worker(self: Arc<Self>, act: impl FnOnce(&mut State) + Send + 'static) {
        if self.is_here() {
            return self.with_quietly(act);
        }
        let runtime = self.runtime;
        runtime.workers[0].call(Box::new(move || self.with_quietly(act)));
    }

    fn place(&self) -> Place {
        let id = current::with(|current| current.map_or(0, |current| current.head.id));
        self.places.lock().find(id)
    }

    /// The host of whoever calls.
    ///
    /// # Errors
    /// `ENETDOWN`, if it has been killed, even if it was started again since.
    fn host_of_caller(&self) -> io::Result<HostId> {
        let place = self.place();
        let life = self
            .programs
            .lock()
            .get(&place.host)
            .map_or(0, |program| program.life);
        match place.life == life {
            true => Ok(place.host),
            false => Err(rustix::io::Errno::NETDOWN.into()),
        }
    }

    // ---- for `net` ----

    pub(crate) fn connect(self: &Arc<Self>, addr: SocketAddr) -> io::Result<Simulated> {
        let host = self.host_of_caller()?;
        let id = self.with(|state| {
            state.may_fail(Call::Connect, host)?;
            state.connect(host, addr)
        })?;
        Ok(Simulated::new(self.clone(), id))
    }

    pub(crate) fn listen(
        self: &Arc<Self>,
        addr: SocketAddr,
        options: &ListenOptions,
    ) -> io::Result<Simulated> {
        let host = self.host_of_caller()?;
        let backlog = options.backlog as usize;
        let id = self.with(|state| {
            state.may_fail(Call::Listen, host)?;
            state.listen(host, addr, backlog, options.reuse_port)
        })?;
        Ok(Simulated::new(self.clone(), id))
    }

    pub(crate) fn bind(
        self: &Arc<Self>,
        addr: SocketAddr,
        options: &ListenOptions,
    ) -> io::Result<Simulated> {
        let host = self.host_of_caller()?;
        let id = self.with(|state| {
            state.may_fail(Call::Bind, host)?;
            state.bind(host, addr, options.reuse_port)
        })?;
        Ok(Simulated::new(self.clone(), id))
    }

    /// The address of the host that is called so.
    pub(crate) fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if host == "localhost" {
            return Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]);
        }
        let state = self.state.lock();
        let Some(found) = state.host_named(host) else {
            let why = format!("the simulated network has no host {host:?}");
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        };
        Ok(vec![SocketAddr::from((state.hosts[found].ip, port))])
    }

    pub(crate) fn resolver(&self) -> Option<Arc<dyn Resolve>> {
        self.resolver.lock().clone()
    }

    pub(crate) fn set_resolver(
        &self,
        resolver: Option<Arc<dyn Resolve>>,
    ) -> Option<Arc<dyn Resolve>> {
        std::mem::replace(&mut self.resolver.lock(), resolver)
    }

    // ---- hosts ----

    fn start(self: &Arc<Self>, host: HostId) {
        let name = self.state.lock().hosts[host].name.clone();
        let mut programs = self.programs.lock();
        let Some(program) = programs.get_mut(&host) else {
            return;
        };
        let (wire, body, life) = (self.clone(), program.body.clone(), program.life);
        let running = Builder::new()
            .name(name)
            .spawn(move || wire.run_program(&*body));
        self.places
            .lock()
            .of
            .insert(running.id().0, Place { host, life });
        program.running = Some(running);
    }

    fn run_program(&self, body: &dyn Fn()) {
        if let Err(payload) = interrupt::catch_panic(body) {
            self.failure.lock().get_or_insert(payload);
            registry::interrupt(CoroutineId(self.main));
        }
    }

    fn kill(&self, host: HostId) {
        let life = {
            let mut programs = self.programs.lock();
            let Some(program) = programs.get_mut(&host) else {
                return;
            };
            program.running = None;
            program.life += 1;
            program.life - 1
        };
        let its: Vec<_> = {
            let mut places = self.places.lock();
            let records = registry::records(self.runtime);
            records
                .into_iter()
                .filter(|it| places.find(it.head.id) == Place { host, life })
                .collect()
        };
        // They go first, so that none sees its sockets fail and makes something of it.
        its.iter().for_each(worker::interrupt);
        self.with_quietly(|state| state.take_down(host));
    }
}

impl Places {
    fn find(&mut self, id: u64) -> Place {
        self.of.get(&id).copied().unwrap_or(Place {
            host: MAIN,
            life: 0,
        })
    }

    fn inherit(&mut self, parent: u64, child: u64) {
        let place = self.find(parent);
        if place.host == MAIN {
            return;
        }
        if self.of.len() >= self.limit.max(FEW) {
            let live = registry::records(sched::runtime::here());
            self.of
                .retain(|id, _| live.binary_search_by_key(id, |it| it.head.id).is_ok());
            self.limit = 2 * self.of.len();
        }
        self.of.insert(child, place);
    }
}

/// The network of the simulation that the caller runs in.
///
/// # Panics
/// If it has none: see [`Simulation::network`](super::Simulation::network).
#[track_caller]
pub fn network() -> Network {
    match current() {
        Some(wire) => Network { wire },
        None => panic!("there is no simulated network here: start one with Simulation::network"),
    }
}

/// Starts a host with an address of its own, on which `program` runs, and whatever that spawns. A panic of `program` fails
/// the whole simulation.
///
/// Its name can be connected to, in place of its address. `program` is called again if the host is
/// [restarted](Host::restart).
///
/// # Panics
/// If the simulation has no network, or has a host of this name.
#[track_caller]
pub fn host(name: &str, program: impl Fn() + Send + Sync + 'static) -> Host {
    let Network { wire } = network();
    let host = wire.with_quietly(|state| {
        let taken = state.host_named(name).is_some();
        (!taken).then(|| state.add_host(name))
    });
    let Some(host) = host else {
        panic!("the simulated network has a host {name:?} already");
    };
    wire.programs.lock().insert(
        host,
        Program {
            body: Arc::new(program),
            running: None,
            life: 0,
        },
    );
    wire.start(host);
    Host { wire, host }
}

/// The network of a simulation; see [`network()`].
#[derive(Clone)]
pub struct Network {
    wire: Arc<Wire>,
}

impl Network {
    /// The host that the caller runs on. The simulation's main coroutine has one too, called `main`.
    pub fn here(&self) -> Host {
        Host {
            wire: self.wire.clone(),
            host: self.wire.place().host,
        }
    }

    /// Cuts two hosts off from each other: nothing gets through, connections stay. Datagrams that are sent or under way
    /// meanwhile are lost. What is sent over a connection arrives after the healing; a peer that has not been reached for some 15 minutes is given up, with `TimedOut`, as on Linux. A new
    /// connection is tried for about a minute.
    pub fn partition(&self, one: &Host, other: &Host) {
        self.wire
            .with_quietly(|state| state.cut(one.host, other.host));
    }

    /// Ends a [`partition`](Self::partition).
    pub fn heal(&self, one: &Host, other: &Host) {
        self.wire
            .with_quietly(|state| state.heal(one.host, other.host));
    }

    /// Ends every partition.
    pub fn heal_all(&self) {
        self.wire.with_quietly(State::heal_all);
    }

    /// How long anything takes between these two, from now on.
    pub fn set_latency(&self, one: &Host, other: &Host, latency: RangeInclusive<Duration>) {
        self.wire
            .with_quietly(|state| state.set_latency(one.host, other.host, latency));
    }

    /// What has happened so far, a line each; empty unless [`NetworkConfig::trace`] asked for it. The same seed gives the
    /// same trace. The first million of lines is kept.
    pub fn trace(&self) -> String {
        self.wire.state.lock().trace.show()
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

/// A host of a simulated network; see [`host()`].
#[derive(Clone)]
pub struct Host {
    wire: Arc<Wire>,
    host: HostId,
}

impl Host {
    /// Its name, which can be connected to.
    pub fn name(&self) -> String {
        self.wire.state.lock().hosts[self.host].name.clone()
    }

    /// Its address. Binding to `0.0.0.0` is as good.
    pub fn ip(&self) -> IpAddr {
        self.wire.state.lock().hosts[self.host].ip.into()
    }

    /// Has it been killed, and not been restarted?
    pub fn is_down(&self) -> bool {
        !self.wire.state.lock().hosts[self.host].up
    }

    /// Kills the program: all its coroutines are interrupted, its connections are reset, and new ones are refused, as are
    /// datagrams; what its UDP sockets had received is gone. The host `main` cannot be killed. Never suspends.
    pub fn kill(&self) {
        if !self.is_down() {
            self.wire.kill(self.host);
        }
    }

    /// Starts the program anew, and kills it before if it still runs. What it keeps between its lives (its disk, say) is
    /// what its closure captured. Never suspends.
    pub fn restart(&self) {
        self.kill();
        if self.is_down() {
            self.wire.with_quietly(|state| state.bring_up(self.host));
            self.wire.start(self.host);
        }
    }

    /// Waits until the program returns; what it spawned may still run. **May suspend.** It is for one caller: another has
    /// `Ok` at once.
    ///
    /// # Errors
    /// It was killed.
    pub fn join(&self) -> Result<(), JoinError> {
        let running = {
            let mut programs = self.wire.programs.lock();
            programs
                .get_mut(&self.host)
                .and_then(|program| program.running.take())
        };
        running.map_or(Ok(()), JoinHandle::join)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("name", &self.name())
            .field("ip", &self.ip())
            .finish()
    }
}
