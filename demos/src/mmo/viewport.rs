//! What one browser is told: the difference between what it knows and what its viewport shows. Nothing in this file
//! suspends.

use std::sync::Arc;

use super::pulse::Pulses;
use super::seat::{Dismissal, Gaze, Seat};
use super::wire::{
    self, Body, Difference, MoverId, Panel, QUANTA, Update, put_number, put_text, quantise,
};
use super::world::{RADIUS, World};

/// The state behind one browser's picture. There is no queue: however long the last sending took, the next message is
/// the difference to what is there then.
pub struct Viewport {
    world: Arc<World>,
    pulses: Arc<Pulses>,
    seat: Arc<Seat>,
    told_gaze: Option<Gaze>,
    told_movers: Vec<Body>,
    told_panels: Vec<Panel>,
    told_pulse: u64,
    told_roster: Option<u64>,
    movers: Vec<Body>,
    panels: Vec<Panel>,
    names: Vec<(MoverId, String)>,
    difference: Difference,
}

impl Viewport {
    /// A browser that knows nothing yet.
    pub fn new(world: &Arc<World>, pulses: &Arc<Pulses>, seat: &Arc<Seat>) -> Self {
        Self {
            world: Arc::clone(world),
            pulses: Arc::clone(pulses),
            seat: Arc::clone(seat),
            told_gaze: None,
            told_movers: Vec::new(),
            told_panels: Vec::new(),
            told_pulse: 0,
            told_roster: None,
            movers: Vec::new(),
            panels: Vec::new(),
            names: Vec::new(),
            difference: Difference::default(),
        }
    }

    /// Appends WELCOME.
    pub fn welcome(&self, name: &str, out: &mut Vec<u8>) {
        let settings = &self.world.settings;
        out.extend([wire::WELCOME, wire::VERSION]);
        put_number(out, self.seat.id.0);
        put_number(out, settings.field as u32);
        put_number(out, settings.step.as_millis().max(1) as u32);
        put_number(out, RADIUS as u32);
        put_number(out, QUANTA as u32);
        put_text(out, name);
    }

    /// Appends what has changed since the last call; nothing, if nothing has.
    ///
    /// # Errors
    /// The browser has to go.
    pub fn compose(&mut self, out: &mut Vec<u8>) -> Result<(), Dismissal> {
        let (news, gaze) = self.seat.news();
        if let Some(dismissal) = news.dismissal {
            return Err(dismissal);
        }
        let area = gaze.area();
        self.world.movers_in(&area, self.seat.id, &mut self.movers);
        let moved = self.told_gaze != Some(gaze);
        if moved {
            self.world.panels_in(&area, &mut self.panels);
        }
        self.gather_names(&news.names);
        let update = Update {
            seq: gaze.seq,
            looks_elsewhere: moved,
            middle: (quantise(gaze.x), quantise(gaze.y)),
            movers: (&self.told_movers, &self.movers),
            names: &self.names,
            panels: (&self.told_panels, &self.panels),
        };
        self.difference.write(&update, out);
        std::mem::swap(&mut self.told_movers, &mut self.movers);
        if moved {
            self.told_panels.clone_from(&self.panels);
            self.told_gaze = Some(gaze);
        }
        if let Some(token) = news.ping {
            out.push(wire::PONG);
            put_number(out, token);
        }
        self.pulse(out);
        Ok(())
    }

    /// Players that come into view, and those in view whose names have changed.
    fn gather_names(&mut self, renamed: &[MoverId]) {
        self.names.clear();
        let known =
            |list: &[Body], id: MoverId| list.binary_search_by_key(&id, |body| body.id).is_ok();
        let (told, movers) = (&self.told_movers, &self.movers);
        let entering = movers
            .iter()
            .map(|body| body.id)
            .filter(|&id| id.is_player() && !known(told, id));
        let changed = renamed
            .iter()
            .copied()
            .filter(|&id| known(told, id) && known(movers, id));
        self.world
            .names_of(entering.chain(changed), &mut self.names);
    }

    /// Once a second: the heads-up display, the minimap, and the roster if it has changed.
    fn pulse(&mut self, out: &mut Vec<u8>) {
        let pulse = self.pulses.last();
        if pulse.number == self.told_pulse {
            return;
        }
        self.told_pulse = pulse.number;
        let seen_by = self
            .world
            .watchers_of(&self.seat.body_rect())
            .len()
            .saturating_sub(1);
        let hud = &pulse.hud;
        out.push(wire::HUD);
        for number in [
            hud.npcs,
            hud.players,
            seen_by as u32,
            hud.late_p50_us,
            hud.late_p99_us,
            hud.cpu_permille,
            hud.coroutines,
            hud.steps_per_second,
            hud.bytes_per_second,
            hud.speed_permille,
        ] {
            put_number(out, number);
        }
        out.extend_from_slice(&pulse.minimap);
        if self.told_roster != Some(pulse.roster_version) {
            self.told_roster = Some(pulse.roster_version);
            out.extend_from_slice(&pulse.roster);
        }
    }
}
