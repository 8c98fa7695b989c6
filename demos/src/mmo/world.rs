//! The world: who and what is where. Everything here is plain memory behind locks held for about a microsecond;
//! nothing in this file suspends.
//!
//! Three kinds of quadtree. The *background* never changes, so it needs no lock. The *movers* are NPCs and players;
//! their tree is cut into one shard a worker, because at 100,000 NPCs a million moves a second pass through it: a
//! coroutine never changes its worker, so an NPC's step meets nobody in its shard but a viewport that looks. The
//! *viewports* say who sees a place: a rename is told to those, and a player learns how many see it.
//!
//! **Lock order**: players, a seat, viewports, a shard. Whoever holds one takes only later ones.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::lateness::Histogram;
use super::names;
use super::seat::{Seat, VIEWPORT};
use super::wire::{Body, MoverId, Panel, quantise};
use crate::quadtree::{Key, Quadtree, Rect};

/// Radius of every mover, in units.
pub const RADIUS: f32 = 25.0;
/// Colours of panels.
pub const COLOURS: u8 = 7;
/// The minimap counts NPCs in a grid of this many cells a side.
pub const GRID: usize = 64;
/// The fastest that the console may make NPCs, as a factor.
pub const FASTEST: f64 = 20.0;

/// What a world is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Width and height, in units.
    pub field: f32,
    /// Rectangles in the background.
    pub rects: u32,
    /// Time between two steps of an NPC.
    pub step: Duration,
    /// Shards of the moving index; one a worker.
    pub shards: usize,
    /// What chance begins with.
    pub seed: u64,
    /// The most players at once.
    pub players: usize,
}

/// See the module's documentation.
pub struct World {
    /// What it is made of.
    pub settings: Settings,
    background: Quadtree<Panel>,
    shards: Box<[Shard]>,
    viewports: Mutex<Quadtree<MoverId>>,
    players: Mutex<Players>,
    next_mover: AtomicU32,
    npcs: AtomicUsize,
    /// Factor on NPCs' speed, as the bits of an `f32`.
    speed: AtomicU32,
    /// What is sent; written by every viewport.
    pub traffic: Traffic,
}

/// Alone on its cache lines, so that two workers do not take them from each other.
#[repr(align(128))]
#[derive(Default)]
struct Shard(Mutex<ShardState>);

struct ShardState {
    movers: Quadtree<MoverId>,
    /// NPCs by cell of the grid, row by row.
    density: Box<[u32]>,
    late: Histogram,
    steps: u64,
    missed: u64,
}

impl Default for ShardState {
    fn default() -> Self {
        let density = vec![0; GRID * GRID].into_boxed_slice();
        Self {
            movers: Quadtree::new(),
            density,
            late: Histogram::default(),
            steps: 0,
            missed: 0,
        }
    }
}

#[derive(Default)]
struct Players {
    seats: BTreeMap<MoverId, Arc<Seat>>,
    names: BTreeMap<MoverId, String>,
    /// Grows with every change of `names`.
    version: u64,
}

/// Counters of all viewports together, since the start. On cache lines of its own: what NPCs read at each step lies beside
/// it.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes of messages sent.
    pub bytes: AtomicU64,
    /// Messages sent.
    pub messages: AtomicU64,
    /// Browsers that did not take what they were sent, and were dropped.
    pub shed: AtomicU64,
}

/// What one sweep over the shards found; the counters start anew with each sweep.
#[derive(Debug, Default)]
pub struct Sweep {
    /// How late the steps since the last sweep were.
    pub late: Histogram,
    /// Steps since the last sweep.
    pub steps: u64,
    /// Steps left out since the last sweep, because the one before had not come in time.
    pub missed: u64,
}

/// Why a browser may not join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} players are here, which is the limit")]
pub struct Full(pub usize);

thread_local! {
    /// Which shard this thread's movers enter. Coroutines stay on their thread, so this is theirs as well.
    static HOME: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Threads take homes in turn.
static HOMES: AtomicUsize = AtomicUsize::new(0);

fn home() -> usize {
    HOME.with(|home| {
        let index = home
            .get()
            .unwrap_or_else(|| HOMES.fetch_add(1, Ordering::Relaxed));
        home.set(Some(index));
        index
    })
}

impl World {
    /// A world with its background and nobody in it.
    pub fn new(settings: Settings) -> Arc<Self> {
        let mut rng = fastrand::Rng::with_seed(settings.seed);
        let mut background = Quadtree::new();
        for id in 0..settings.rects {
            let (w, h) = (rng.u32(50..=300), rng.u32(50..=300));
            let within = |rng: &mut fastrand::Rng, size: u32| {
                rng.u32(0..=(settings.field as u32).saturating_sub(size))
            };
            let (x, y) = (within(&mut rng, w), within(&mut rng, h));
            let panel = Panel {
                id,
                colour: rng.u8(..COLOURS),
                x,
                y,
                w,
                h,
            };
            let rect = Rect::new(x as f32, y as f32, (x + w) as f32, (y + h) as f32)
                .expect("lies in the field");
            // The background never changes: nobody needs the key.
            let _ = background.insert(rect, panel);
        }
        Arc::new(Self {
            background,
            shards: (0..settings.shards.max(1))
                .map(|_| Shard::default())
                .collect(),
            viewports: Mutex::default(),
            players: Mutex::default(),
            next_mover: AtomicU32::new(1),
            npcs: AtomicUsize::new(0),
            speed: AtomicU32::new(1f32.to_bits()),
            traffic: Traffic::default(),
            settings,
        })
    }

    /// How many NPCs there are.
    pub fn npcs(&self) -> usize {
        self.npcs.load(Ordering::Relaxed)
    }

    /// The factor on NPCs' speed.
    pub fn speed(&self) -> f32 {
        f32::from_bits(self.speed.load(Ordering::Relaxed))
    }

    /// Sets the factor on NPCs' speed, clipped to 0 … [`FASTEST`]; their next step takes it into account.
    pub fn set_speed(&self, factor: f64) -> f32 {
        let factor = if factor.is_nan() {
            1.0
        } else {
            factor.clamp(0.0, FASTEST)
        } as f32;
        self.speed.store(factor.to_bits(), Ordering::Relaxed);
        factor
    }

    /// A number no mover has had.
    pub fn next_number(&self) -> u32 {
        self.next_mover.fetch_add(1, Ordering::Relaxed)
    }

    /// Finds the movers that touch `area`, but for one; sorted by id.
    pub fn movers_in(&self, area: &Rect, but: MoverId, found: &mut Vec<Body>) {
        found.clear();
        for shard in &self.shards {
            let shard = shard.0.lock();
            shard.movers.search(area, |rect, id| {
                if id != but {
                    let (x, y) = rect.centre();
                    found.push(Body {
                        id,
                        x: quantise(x),
                        y: quantise(y),
                    });
                }
            });
        }
        found.sort_unstable_by_key(|body| body.id);
    }

    /// Finds the background in `area`; sorted by id.
    pub fn panels_in(&self, area: &Rect, found: &mut Vec<Panel>) {
        found.clear();
        self.background.search(area, |_, panel| found.push(panel));
        found.sort_unstable_by_key(|panel| panel.id);
    }

    /// The players whose viewports touch `area`.
    pub fn watchers_of(&self, area: &Rect) -> Vec<MoverId> {
        let mut watchers = Vec::new();
        self.viewports
            .lock()
            .search(area, |_, id| watchers.push(id));
        watchers
    }

    /// Lateness and steps since the last sweep; begins a new count. `density` gets the NPCs in each cell of the grid.
    pub fn sweep(&self, density: &mut [u32]) -> Sweep {
        let mut sum = Sweep::default();
        density.fill(0);
        for shard in &self.shards {
            let fresh = Histogram::default();
            let mut shard = shard.0.lock();
            let late = std::mem::replace(&mut shard.late, fresh);
            sum.steps += std::mem::take(&mut shard.steps);
            sum.missed += std::mem::take(&mut shard.missed);
            for (cell, n) in density.iter_mut().zip(shard.density.iter()) {
                *cell += n;
            }
            drop(shard);
            sum.late.merge(&late);
        }
        sum
    }

    fn cell_of(&self, x: f32, y: f32) -> u16 {
        let place = |v: f32| ((v / self.settings.field * GRID as f32) as usize).min(GRID - 1);
        (place(y) * GRID + place(x)) as u16
    }
}

/// Players.
impl World {
    /// Seats a browser somewhere in the field; the name becomes unique, an unusable one is replaced.
    ///
    /// # Errors
    /// [`Full`] when there is no room.
    pub fn seat(self: &Arc<Self>, wanted: Option<&str>) -> Result<(Arc<Seat>, String), Full> {
        let id = MoverId::player(self.next_number());
        let mut rng = fastrand::Rng::with_seed(self.settings.seed ^ u64::from(id.0) << 32);
        // Not where half of what it sees lies outside.
        let border = (self.settings.field / 2.0).min(VIEWPORT);
        let place =
            |rng: &mut fastrand::Rng| border + rng.f32() * (self.settings.field - 2.0 * border);
        let (x, y) = (place(&mut rng), place(&mut rng));
        let wanted = wanted
            .and_then(names::sanitise)
            .unwrap_or_else(|| names::invent(&mut rng));

        let mut players = self.players.lock();
        if players.seats.len() >= self.settings.players {
            return Err(Full(self.settings.players));
        }
        let name = players.name(id, &wanted);
        let seat = Arc::new(Seat::new(self, id, x, y));
        players.seats.insert(id, Arc::clone(&seat));
        Ok((seat, name))
    }

    /// The player is gone. Called once, by the owner of the seat.
    pub(super) fn unseat(&self, id: MoverId) {
        let mut players = self.players.lock();
        players.names.remove(&id);
        players.version += 1;
        players.seats.remove(&id);
    }

    /// Gives a player another name, and tells whoever sees it. Gives the name it became.
    pub fn rename(&self, seat: &Seat, wanted: &str) -> Option<String> {
        let wanted = names::sanitise(wanted)?;
        let name = self.players.lock().name(seat.id, &wanted);
        for watcher in self.watchers_of(&seat.body_rect()) {
            let watcher = self.players.lock().seats.get(&watcher).cloned();
            if let Some(watcher) = watcher {
                watcher.tell_name_of(seat.id);
            }
        }
        Some(name)
    }

    /// Everybody who is here, with names.
    pub fn players(&self) -> Vec<(Arc<Seat>, String)> {
        let players = self.players.lock();
        let name = |id: &MoverId| players.names.get(id).cloned().unwrap_or_default();
        players
            .seats
            .iter()
            .map(|(id, seat)| (Arc::clone(seat), name(id)))
            .collect()
    }

    /// How many players there are.
    pub fn player_count(&self) -> usize {
        self.players.lock().seats.len()
    }

    /// Appends the names of those of `ids` that are here.
    pub fn names_of(&self, ids: impl Iterator<Item = MoverId>, found: &mut Vec<(MoverId, String)>) {
        let mut ids = ids.peekable();
        if ids.peek().is_none() {
            return;
        }
        let players = self.players.lock();
        found.extend(ids.filter_map(|id| Some((id, players.names.get(&id)?.clone()))));
    }

    /// All names, and a number that changes with them.
    pub fn roster(&self) -> (u64, Vec<(MoverId, String)>) {
        let players = self.players.lock();
        (
            players.version,
            players
                .names
                .iter()
                .map(|(&id, name)| (id, name.clone()))
                .collect(),
        )
    }

    /// The seat of the player with this name.
    pub fn player_named(&self, name: &str) -> Option<Arc<Seat>> {
        let players = self.players.lock();
        let (id, _) = players.names.iter().find(|(_, theirs)| *theirs == name)?;
        players.seats.get(id).cloned()
    }
}

impl Players {
    fn name(&mut self, id: MoverId, wanted: &str) -> String {
        let name = names::unique(wanted, |name| {
            self.names
                .iter()
                .any(|(&other, theirs)| other != id && theirs == name)
        });
        self.names.insert(id, name.clone());
        self.version += 1;
        name
    }
}

/// Its place in the viewports' tree; leaves it when dropped.
pub struct Outlook {
    world: Arc<World>,
    key: Option<Key>,
}

impl Outlook {
    /// Enters a viewport.
    pub fn new(world: &Arc<World>, area: Rect, id: MoverId) -> Self {
        let key = world.viewports.lock().insert(area, id);
        Self {
            world: Arc::clone(world),
            key: Some(key),
        }
    }

    /// Moves or resizes it.
    pub fn set(&self, area: Rect) {
        if let Some(key) = &self.key {
            self.world.viewports.lock().update(key, area);
        }
    }
}

impl Drop for Outlook {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.world.viewports.lock().delete(key);
        }
    }
}

/// A body in the moving index; leaves the world when dropped.
pub struct Mover {
    world: Arc<World>,
    shard: usize,
    key: Option<Key>,
    id: MoverId,
    /// Where an NPC is counted in the grid.
    cell: u16,
}

impl Mover {
    /// Puts a body into the world, into the shard of the calling worker.
    pub fn enter(world: &Arc<World>, id: MoverId, x: f32, y: f32) -> Self {
        let shard = home() % world.shards.len();
        let cell = world.cell_of(x, y);
        let mut state = world.shards[shard].0.lock();
        let key = state
            .movers
            .insert(Rect::around(x, y, 2.0 * RADIUS, 2.0 * RADIUS), id);
        if !id.is_player() {
            state.density[usize::from(cell)] += 1;
            world.npcs.fetch_add(1, Ordering::Relaxed);
        }
        drop(state);
        Self {
            world: Arc::clone(world),
            shard,
            key: Some(key),
            id,
            cell,
        }
    }

    /// Which world it is in.
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Moves a player's body.
    pub fn move_to(&mut self, x: f32, y: f32) {
        if let Some(key) = &self.key {
            let rect = Rect::around(x, y, 2.0 * RADIUS, 2.0 * RADIUS);
            self.world.shards[self.shard]
                .0
                .lock()
                .movers
                .update(key, rect);
        }
    }

    /// One step of an NPC: where to (`None`: it stays), how late it came, how many were left out before it. This is
    /// the path that runs a million times a second: one lock, one move, one count.
    pub fn step(&mut self, to: Option<(f32, f32)>, late: Duration, missed: u32) {
        let cell = to.map_or(self.cell, |(x, y)| self.world.cell_of(x, y));
        let mut state = self.world.shards[self.shard].0.lock();
        state.late.record(late);
        state.steps += 1;
        state.missed += u64::from(missed);
        if let (Some((x, y)), Some(key)) = (to, &self.key) {
            state
                .movers
                .update(key, Rect::around(x, y, 2.0 * RADIUS, 2.0 * RADIUS));
            if cell != self.cell {
                state.density[usize::from(self.cell)] -= 1;
                state.density[usize::from(cell)] += 1;
                self.cell = cell;
            }
        }
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        let mut state = self.world.shards[self.shard].0.lock();
        state.movers.delete(key);
        if !self.id.is_player() {
            state.density[usize::from(self.cell)] -= 1;
            self.world.npcs.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
