//! Once a second: the figures for the heads-up display and `/stats.json`, the minimap, the roster. Made once for all
//! viewports, which copy the bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use super::lateness::Histogram;
use super::wire::{self, Hud, put_number, put_text};
use super::world::{GRID, World};

/// Time between two pulses.
pub const EVERY: Duration = Duration::from_secs(1);
/// Lateness is told over so many pulses.
const WINDOW: usize = 5;
/// The most names in a roster and dots on a minimap.
const MOST_LISTED: usize = 500;

/// What one pulse found.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Counts pulses.
    pub number: u64,
    /// Without what differs between players.
    pub hud: Hud,
    /// A MINIMAP section.
    pub minimap: Vec<u8>,
    /// A ROSTER section.
    pub roster: Vec<u8>,
    /// Changes with the roster.
    pub roster_version: u64,
    /// For `/stats.json`.
    pub figures: Figures,
}

/// The answer to `/stats.json`. Rates are of the last second; totals are since the start.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// Seconds since the start.
    pub uptime_seconds: f64,
    /// NPCs in the world.
    pub npcs: usize,
    /// Players, each with a viewport.
    pub players: usize,
    /// The factor on NPCs' speed.
    pub speed: f32,
    /// How late steps were, over the last five seconds.
    pub lateness_us: Lateness,
    /// Steps taken.
    pub steps_per_second: f64,
    /// Steps taken since the start.
    pub steps_total: u64,
    /// Steps left out since the start, because the one before came too late.
    pub steps_missed_total: u64,
    /// Bytes of messages to all browsers.
    pub bytes_per_second: f64,
    /// The same since the start.
    pub bytes_total: u64,
    /// Messages to all browsers.
    pub messages_per_second: f64,
    /// The same since the start.
    pub messages_total: u64,
    /// Browsers dropped because they did not take what they were sent.
    pub shed_total: u64,
    /// Processor time of the process, in cores: 1.0 is one core all the time.
    pub cpu_cores: f64,
    /// Processor time of the process since it started.
    pub cpu_seconds: f64,
    /// Coroutines alive.
    pub coroutines: usize,
    /// Workers of the runtime.
    pub workers: usize,
    /// Memory of the process, if the system tells.
    pub resident_bytes: Option<u64>,
}

/// Quantiles of lateness, in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Lateness {
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// The longest.
    pub max: u64,
    /// How many steps were counted.
    pub count: u64,
}

/// Takes the pulses and keeps the last.
pub struct Pulses {
    world: Arc<World>,
    last: Mutex<Arc<Pulse>>,
}

impl Pulses {
    /// No pulse yet.
    pub fn new(world: Arc<World>) -> Arc<Self> {
        Arc::new(Self {
            world,
            last: Mutex::default(),
        })
    }

    /// The last pulse.
    pub fn last(&self) -> Arc<Pulse> {
        Arc::clone(&self.last.lock())
    }

    /// Takes a pulse every second, until it is interrupted. **May suspend.**
    pub fn run(&self) {
        let mut meter = Meter::new();
        let mut due = meter.started;
        loop {
            let pulse = meter.take(&self.world);
            *self.last.lock() = Arc::new(pulse);
            due += EVERY;
            grapeshot::sleep_until(due);
        }
    }
}

/// What the next pulse is measured against.
struct Meter {
    started: Instant,
    at: Instant,
    number: u64,
    bytes: u64,
    messages: u64,
    steps: u64,
    missed: u64,
    cpu: Duration,
    window: VecDeque<Histogram>,
    density: Vec<u32>,
}

impl Meter {
    fn new() -> Self {
        let now = grapeshot::time::now();
        Self {
            started: now,
            at: now,
            number: 0,
            bytes: 0,
            messages: 0,
            steps: 0,
            missed: 0,
            cpu: processor_time(),
            window: VecDeque::new(),
            density: vec![0; GRID * GRID],
        }
    }

    fn take(&mut self, world: &World) -> Pulse {
        let now = grapeshot::time::now();
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        let rate = |amount: f64| if elapsed > 0.0 { amount / elapsed } else { 0.0 };
        let sweep = world.sweep(&mut self.density);
        self.steps += sweep.steps;
        self.missed += sweep.missed;
        self.window.push_back(sweep.late);
        if self.window.len() > WINDOW {
            self.window.pop_front();
        }
        let (bytes, messages) = (
            world.traffic.bytes.load(Ordering::Relaxed),
            world.traffic.messages.load(Ordering::Relaxed),
        );
        let cpu = processor_time();
        let runtime = grapeshot::registry::stats();
        let figures = Figures {
            uptime_seconds: now.saturating_duration_since(self.started).as_secs_f64(),
            npcs: world.npcs(),
            players: world.player_count(),
            speed: world.speed(),
            lateness_us: quantiles(&self.window),
            steps_per_second: rate(sweep.steps as f64),
            steps_total: self.steps,
            steps_missed_total: self.missed,
            bytes_per_second: rate((bytes - self.bytes) as f64),
            bytes_total: bytes,
            messages_per_second: rate((messages - self.messages) as f64),
            messages_total: messages,
            shed_total: world.traffic.shed.load(Ordering::Relaxed),
            cpu_cores: rate(cpu.saturating_sub(self.cpu).as_secs_f64()),
            cpu_seconds: cpu.as_secs_f64(),
            coroutines: runtime.as_ref().map_or(0, |stats| stats.live),
            workers: runtime.as_ref().map_or(0, |stats| stats.workers),
            resident_bytes: runtime.and_then(|stats| stats.resident_bytes),
        };
        (self.at, self.bytes, self.messages, self.cpu) = (now, bytes, messages, cpu);
        self.number += 1;
        let (roster_version, roster) = roster(world);
        Pulse {
            number: self.number,
            hud: hud(&figures),
            minimap: minimap(world, &self.density),
            roster,
            roster_version,
            figures,
        }
    }
}

fn processor_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        spent.tv_sec.try_into().unwrap_or(0),
        spent.tv_nsec.try_into().unwrap_or(0),
    )
}

fn quantiles(window: &VecDeque<Histogram>) -> Lateness {
    let mut sum = Histogram::default();
    for histogram in window {
        sum.merge(histogram);
    }
    let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
    Lateness {
        p50: micros(sum.quantile(0.5)),
        p99: micros(sum.quantile(0.99)),
        p999: micros(sum.quantile(0.999)),
        max: micros(sum.longest()),
        count: sum.count(),
    }
}

fn hud(figures: &Figures) -> Hud {
    let clip = |v: u64| u32::try_from(v).unwrap_or(u32::MAX);
    Hud {
        npcs: clip(figures.npcs as u64),
        players: clip(figures.players as u64),
        seen_by: 0,
        late_p50_us: clip(figures.lateness_us.p50),
        late_p99_us: clip(figures.lateness_us.p99),
        cpu_permille: (figures.cpu_cores * 1000.0) as u32,
        coroutines: clip(figures.coroutines as u64),
        steps_per_second: figures.steps_per_second as u32,
        bytes_per_second: figures.bytes_per_second as u32,
        speed_permille: (figures.speed * 1000.0) as u32,
    }
}

/// Two cells a byte; the fullest cell becomes 15, and no cell with an NPC becomes 0.
fn minimap(world: &World, density: &[u32]) -> Vec<u8> {
    let fullest = density.iter().copied().max().unwrap_or(0).max(1);
    let level = |n: u32| (u64::from(n) * 15).div_ceil(u64::from(fullest)) as u8;
    let mut out = vec![wire::MINIMAP, GRID as u8];
    out.extend(
        density
            .chunks_exact(2)
            .map(|pair| level(pair[0]) | level(pair[1]) << 4),
    );
    let players = world.players();
    let shown = players.len().min(MOST_LISTED);
    put_number(&mut out, shown as u32);
    for (seat, _) in &players[..shown] {
        let gaze = seat.gaze();
        let place = |v: f32| (v / world.settings.field * 65_535.0) as u32;
        put_number(&mut out, seat.id.0);
        put_number(&mut out, place(gaze.x));
        put_number(&mut out, place(gaze.y));
    }
    out
}

fn roster(world: &World) -> (u64, Vec<u8>) {
    let (version, names) = world.roster();
    let shown = names.len().min(MOST_LISTED);
    let mut out = vec![wire::ROSTER];
    put_number(&mut out, shown as u32);
    for (id, name) in &names[..shown] {
        put_number(&mut out, id.0);
        put_text(&mut out, name);
    }
    (version, out)
}
