//! A player's seat: what the coroutine that reads a browser and the one that writes to it share. Nothing in this file
//! suspends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::wire::{MoverId, QUANTA, View};
use super::world::{Mover, Outlook, RADIUS, World};
use crate::quadtree::Rect;

/// A viewport as it begins, in units; as the original's.
pub const VIEWPORT: f32 = 1024.0;
/// The smallest and largest side of a viewport, in units. A page with a larger window shows the field smaller.
pub const SIDES: (u32, u32) = (64, 4096);
/// Changed names a seat remembers between two updates; beyond that, the ones further on are learnt when seen anew.
const MOST_NAMES: usize = 256;

/// Where a player looks, in units; its body is in the middle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gaze {
    /// The last VIEW of the page.
    pub seq: u32,
    /// The middle.
    pub x: f32,
    /// The middle.
    pub y: f32,
    /// Width.
    pub w: f32,
    /// Height.
    pub h: f32,
}

impl Gaze {
    /// What is in view.
    pub fn area(&self) -> Rect {
        Rect::around(self.x, self.y, self.w, self.h)
    }
}

/// Why a browser has to go: a WebSocket close code and a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dismissal {
    /// 1001, 1008, 1013 or 4001 (kicked).
    pub code: u16,
    /// For the page to show.
    pub reason: String,
}

/// What has come up since the last update.
#[derive(Debug, Default)]
pub struct News {
    /// Players whose names changed while in view.
    pub names: Vec<MoverId>,
    /// The page's last PING.
    pub ping: Option<u32>,
    /// It is to leave.
    pub dismissal: Option<Dismissal>,
}

/// See the module's documentation.
pub struct Seat {
    /// The player's mover.
    pub id: MoverId,
    /// Since when.
    pub since: Instant,
    /// Bytes sent to it.
    pub bytes: AtomicU64,
    state: Mutex<State>,
}

struct State {
    gaze: Gaze,
    news: News,
    /// `None` once the player has left, even if somebody still looks at the seat.
    present: Option<(Mover, Outlook)>,
}

impl Seat {
    pub(super) fn new(world: &Arc<World>, id: MoverId, x: f32, y: f32) -> Self {
        let gaze = Gaze {
            seq: 0,
            x,
            y,
            w: VIEWPORT,
            h: VIEWPORT,
        };
        let present = Some((
            Mover::enter(world, id, x, y),
            Outlook::new(world, gaze.area(), id),
        ));
        let state = Mutex::new(State {
            gaze,
            news: News::default(),
            present,
        });
        Self {
            id,
            since: grapeshot::time::now(),
            bytes: AtomicU64::new(0),
            state,
        }
    }

    /// Where it looks.
    pub fn gaze(&self) -> Gaze {
        self.state.lock().gaze
    }

    /// The place its body takes.
    pub fn body_rect(&self) -> Rect {
        let gaze = self.gaze();
        Rect::around(gaze.x, gaze.y, 2.0 * RADIUS, 2.0 * RADIUS)
    }

    /// Looks elsewhere; the middle is clipped to the field, the size to [`SIDES`].
    pub fn look(&self, view: &View) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some((mover, outlook)) = &mut state.present else {
            return;
        };
        let field = mover.world().settings.field;
        let side = |v: u32| v.clamp(SIDES.0, SIDES.1) as f32;
        let middle = |v: i32| (v as f32 / QUANTA).clamp(0.0, field);
        state.gaze = Gaze {
            seq: view.seq,
            x: middle(view.x),
            y: middle(view.y),
            w: side(view.w),
            h: side(view.h),
        };
        mover.move_to(state.gaze.x, state.gaze.y);
        outlook.set(state.gaze.area());
    }

    /// A player that it sees has another name.
    pub fn tell_name_of(&self, id: MoverId) {
        let names = &mut self.state.lock().news.names;
        if names.len() < MOST_NAMES && !names.contains(&id) {
            names.push(id);
        }
    }

    /// The page wants this token back; of several the last.
    pub fn ping(&self, token: u32) {
        self.state.lock().news.ping = Some(token);
    }

    /// Asks it to leave; its next update says so. The first reason stands.
    pub fn dismiss(&self, code: u16, reason: impl Into<String>) {
        let reason = reason.into();
        self.state
            .lock()
            .news
            .dismissal
            .get_or_insert(Dismissal { code, reason });
    }

    /// What came up since the last call, and where it looks.
    pub fn news(&self) -> (News, Gaze) {
        let mut state = self.state.lock();
        (std::mem::take(&mut state.news), state.gaze)
    }

    /// Takes body and viewport out of the world.
    pub(super) fn leave(&self) {
        // They drop outside the lock.
        let _present = self.state.lock().present.take();
    }

    /// Counts what was sent.
    pub fn sent(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Owns a seat for as long as a browser is there.
pub struct Player {
    world: Arc<World>,
    /// Shared with the coroutine that writes.
    pub seat: Arc<Seat>,
}

impl Player {
    /// Seats a browser; gives its name as well.
    ///
    /// # Errors
    /// When the world is full.
    pub fn join(
        world: &Arc<World>,
        wanted: Option<&str>,
    ) -> Result<(Self, String), super::world::Full> {
        let (seat, name) = world.seat(wanted)?;
        Ok((
            Self {
                world: Arc::clone(world),
                seat,
            },
            name,
        ))
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.world.unseat(self.seat.id);
        self.seat.leave();
    }
}
