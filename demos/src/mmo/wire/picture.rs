//! The page's half of the conversation, for the load client and the tests: what a browser knows after each message.

use std::collections::BTreeMap;

use super::{Body, Cursor, HUD, MINIMAP, MoverId, PONG, Panel, ROSTER, UPDATE, WELCOME, WireError};

/// What a page knows.
#[derive(Debug, Clone, Default)]
pub struct Picture {
    /// Its own mover, once it was welcomed.
    pub me: Option<MoverId>,
    /// Its own name, as it was when it was welcomed.
    pub name: String,
    /// Width and height of the field, in units.
    pub field: u32,
    /// The last VIEW that an UPDATE took into account.
    pub seq: u32,
    /// Middle of the viewport, in quanta.
    pub middle: (i32, i32),
    /// Movers in view, by id.
    pub movers: Vec<Body>,
    /// Panels in view, by id.
    pub panels: Vec<Panel>,
    /// Names of the players in view.
    pub names: BTreeMap<MoverId, String>,
    /// Every player.
    pub roster: BTreeMap<MoverId, String>,
    /// The last HUD.
    pub hud: Hud,
    /// The minimap's levels, 0–15, row by row.
    pub minimap: Vec<u8>,
    /// The token of the last PONG.
    pub pong: Option<u32>,
    /// How many UPDATEs were applied.
    pub updates: u64,
    /// How many movers were told in them: entered, moved or left.
    pub changes: u64,
}

/// The numbers of the heads-up display.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hud {
    /// NPCs in the world.
    pub npcs: u32,
    /// Players in the world.
    pub players: u32,
    /// Viewports of others that this player is in.
    pub seen_by: u32,
    /// Median lateness of a step, in microseconds.
    pub late_p50_us: u32,
    /// The same, 99th percentile.
    pub late_p99_us: u32,
    /// Processor time of the server, thousandths of one core.
    pub cpu_permille: u32,
    /// Coroutines alive.
    pub coroutines: u32,
    /// Steps of NPCs in the last second.
    pub steps_per_second: u32,
    /// Bytes sent to all browsers in the last second.
    pub bytes_per_second: u32,
    /// The factor on every NPC's speed, in thousandths.
    pub speed_permille: u32,
}

impl Picture {
    /// Takes in one message.
    ///
    /// # Errors
    /// The server's fault: the message is not what [`wire`](super) describes, or does not fit what was told before.
    /// The picture is of no use after that.
    pub fn apply(&mut self, message: &[u8]) -> Result<(), WireError> {
        let mut from = Cursor(message);
        while !from.0.is_empty() {
            match from.byte()? {
                WELCOME => self.welcome(&mut from)?,
                UPDATE => self.update(&mut from)?,
                HUD => self.hud = hud(&mut from)?,
                MINIMAP => self.minimap(&mut from)?,
                ROSTER => {
                    self.roster.clear();
                    names(&mut from, &mut self.roster)?;
                }
                PONG => self.pong = Some(from.number()?),
                other => return Err(WireError::UnknownTag(other)),
            }
        }
        Ok(())
    }

    fn welcome(&mut self, from: &mut Cursor<'_>) -> Result<(), WireError> {
        let _version = from.byte()?;
        self.me = Some(MoverId(from.number()?));
        self.field = from.number()?;
        let (_step_ms, _radius, _quanta) = (from.number()?, from.number()?, from.number()?);
        self.name = from.text()?.to_owned();
        Ok(())
    }

    fn update(&mut self, from: &mut Cursor<'_>) -> Result<(), WireError> {
        self.seq = from.number()?;
        self.middle = (from.signed()?, from.signed()?);
        let gone = take_out(from, &mut self.movers)?;
        for body in &gone {
            self.names.remove(&body.id);
        }
        let moved = self.moves(from)?;
        let entered = self.enters(from)?;
        names(from, &mut self.names)?;
        take_out(from, &mut self.panels)?;
        self.panels_enter(from)?;
        self.updates += 1;
        self.changes += gone.len() as u64 + u64::from(moved) + u64::from(entered);
        Ok(())
    }

    fn moves(&mut self, from: &mut Cursor<'_>) -> Result<u32, WireError> {
        let count = from.number()?;
        let mut place = 0;
        for _ in 0..count {
            place += from.number()? as usize;
            let known = self.movers.len();
            let body = self
                .movers
                .get_mut(place)
                .ok_or(WireError::NoSuchEntry(place, known))?;
            body.x = body.x.wrapping_add(from.signed()?);
            body.y = body.y.wrapping_add(from.signed()?);
            place += 1;
        }
        Ok(count)
    }

    fn enters(&mut self, from: &mut Cursor<'_>) -> Result<u32, WireError> {
        let count = from.number()?;
        let mut next_id = 0u32;
        for _ in 0..count {
            let id = next_id
                .checked_add(from.number()?)
                .ok_or(WireError::TooLong)?;
            next_id = id.checked_add(1).ok_or(WireError::TooLong)?;
            let x = self.middle.0.wrapping_add(from.signed()?);
            let y = self.middle.1.wrapping_add(from.signed()?);
            self.movers.push(Body {
                id: MoverId(id),
                x,
                y,
            });
        }
        self.movers.sort_by_key(|body| body.id);
        Ok(count)
    }

    fn panels_enter(&mut self, from: &mut Cursor<'_>) -> Result<(), WireError> {
        let mut next_id = 0u32;
        for _ in 0..from.number()? {
            let id = next_id
                .checked_add(from.number()?)
                .ok_or(WireError::TooLong)?;
            next_id = id.checked_add(1).ok_or(WireError::TooLong)?;
            let colour = from.byte()?;
            let (x, y, w, h) = (
                from.number()?,
                from.number()?,
                from.number()?,
                from.number()?,
            );
            self.panels.push(Panel {
                id,
                colour,
                x,
                y,
                w,
                h,
            });
        }
        self.panels.sort_by_key(|panel| panel.id);
        Ok(())
    }

    fn minimap(&mut self, from: &mut Cursor<'_>) -> Result<(), WireError> {
        let side = usize::from(from.byte()?);
        let cells = from.bytes(side * side / 2)?;
        self.minimap = cells
            .iter()
            .flat_map(|pair| [pair & 15, pair >> 4])
            .collect();
        for _ in 0..from.number()? {
            let (_id, _x, _y) = (from.number()?, from.number()?, from.number()?);
        }
        Ok(())
    }
}

/// Takes the places that a message names out of a list.
fn take_out<T>(from: &mut Cursor<'_>, list: &mut Vec<T>) -> Result<Vec<T>, WireError> {
    let mut gone = Vec::new();
    let mut place = 0;
    for _ in 0..from.number()? {
        place += from.number()? as usize;
        if place >= list.len() {
            return Err(WireError::NoSuchEntry(place, list.len()));
        }
        // What was taken out before makes the list shorter by one each; so `place` already points at the next one.
        gone.push(list.remove(place));
    }
    Ok(gone)
}

fn names(from: &mut Cursor<'_>, names: &mut BTreeMap<MoverId, String>) -> Result<(), WireError> {
    for _ in 0..from.number()? {
        let id = MoverId(from.number()?);
        names.insert(id, from.text()?.to_owned());
    }
    Ok(())
}

fn hud(from: &mut Cursor<'_>) -> Result<Hud, WireError> {
    Ok(Hud {
        npcs: from.number()?,
        players: from.number()?,
        seen_by: from.number()?,
        late_p50_us: from.number()?,
        late_p99_us: from.number()?,
        cpu_permille: from.number()?,
        coroutines: from.number()?,
        steps_per_second: from.number()?,
        bytes_per_second: from.number()?,
        speed_permille: from.number()?,
    })
}
