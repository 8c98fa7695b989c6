//! Writes UPDATE: the difference between two lists of movers, and between two lists of panels.

use super::{Body, MoverId, Panel, UPDATE, put_number, put_signed, put_text};

/// What one UPDATE is about.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    /// The last VIEW that it takes into account.
    pub seq: u32,
    /// The page does not know yet where it looks: it is told even if nothing else has changed.
    pub looks_elsewhere: bool,
    /// The viewport's middle, in quanta.
    pub middle: (i32, i32),
    /// What the page was told so far and what is there now, both sorted by id.
    pub movers: (&'a [Body], &'a [Body]),
    /// Players whose names the page is to learn.
    pub names: &'a [(MoverId, String)],
    /// As for the movers, sorted by id.
    pub panels: (&'a [Panel], &'a [Panel]),
}

/// Buffers for writing; kept, so that an update allocates nothing.
#[derive(Debug, Default)]
pub struct Difference {
    left: Part,
    moved: Part,
    entered: Part,
}

/// A counted list under construction.
#[derive(Debug, Default)]
struct Part {
    count: u32,
    bytes: Vec<u8>,
    /// The place, or the id, that the next gap starts from.
    from: u32,
}

impl Part {
    fn clear(&mut self) {
        self.count = 0;
        self.bytes.clear();
        self.from = 0;
    }

    /// Names the next place or id.
    fn name(&mut self, index: u32) -> &mut Vec<u8> {
        put_number(&mut self.bytes, index - self.from);
        self.from = index + 1;
        self.count += 1;
        &mut self.bytes
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_number(out, self.count);
        out.extend_from_slice(&self.bytes);
    }
}

impl Difference {
    /// Appends an UPDATE; appends nothing, and says `false`, if there is nothing to tell.
    pub fn write(&mut self, update: &Update<'_>, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        out.push(UPDATE);
        put_number(out, update.seq);
        put_signed(out, update.middle.0);
        put_signed(out, update.middle.1);
        let mut changed = update.looks_elsewhere | self.movers(update, out);
        put_number(out, update.names.len() as u32);
        for (id, name) in update.names {
            put_number(out, id.0);
            put_text(out, name);
        }
        changed |= !update.names.is_empty();
        changed |= self.panels(update.panels.0, update.panels.1, out);
        if !changed {
            out.truncate(start);
        }
        changed
    }

    fn clear(&mut self) {
        self.left.clear();
        self.moved.clear();
        self.entered.clear();
    }

    /// Merges the two sorted lists; the three kinds of change go to a buffer each.
    fn movers(&mut self, update: &Update<'_>, out: &mut Vec<u8>) -> bool {
        self.clear();
        let (told, now) = update.movers;
        let (mut place, mut staying) = (0, 0);
        let mut now = now.iter().peekable();
        let enter = |part: &mut Part, body: &Body| {
            let bytes = part.name(body.id.0);
            put_signed(bytes, body.x - update.middle.0);
            put_signed(bytes, body.y - update.middle.1);
        };
        for old in told {
            while let Some(body) = now.next_if(|body| body.id < old.id) {
                enter(&mut self.entered, body);
            }
            match now.next_if(|body| body.id == old.id) {
                Some(body) => {
                    if body != old {
                        let bytes = self.moved.name(staying);
                        put_signed(bytes, body.x - old.x);
                        put_signed(bytes, body.y - old.y);
                    }
                    staying += 1;
                }
                None => {
                    self.left.name(place);
                }
            }
            place += 1;
        }
        for body in now {
            enter(&mut self.entered, body);
        }
        self.left.write(out);
        self.moved.write(out);
        self.entered.write(out);
        self.left.count + self.moved.count + self.entered.count > 0
    }

    fn panels(&mut self, told: &[Panel], now: &[Panel], out: &mut Vec<u8>) -> bool {
        self.clear();
        let mut now = now.iter().peekable();
        let enter = |part: &mut Part, panel: &Panel| {
            let bytes = part.name(panel.id);
            bytes.push(panel.colour);
            for number in [panel.x, panel.y, panel.w, panel.h] {
                put_number(bytes, number);
            }
        };
        for (place, old) in told.iter().enumerate() {
            while let Some(panel) = now.next_if(|panel| panel.id < old.id) {
                enter(&mut self.entered, panel);
            }
            if now.next_if(|panel| panel.id == old.id).is_none() {
                self.left.name(place as u32);
            }
        }
        for panel in now {
            enter(&mut self.entered, panel);
        }
        self.left.write(out);
        self.entered.write(out);
        self.left.count + self.entered.count > 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::Picture;
    use super::*;

    fn bodies() -> impl Strategy<Value = Vec<Body>> {
        prop::collection::btree_map(0u32..60, (-9000i32..9000, 0i32..90_000), 0..40).prop_map(
            |map| {
                map.into_iter()
                    .map(|(id, (x, y))| Body {
                        id: MoverId(id),
                        x,
                        y,
                    })
                    .collect()
            },
        )
    }

    fn panels() -> impl Strategy<Value = Vec<Panel>> {
        prop::collection::btree_set(0u32..40, 0..20).prop_map(|set| {
            // A panel never changes, so everything about it follows from its id.
            set.into_iter()
                .map(|id| Panel {
                    id,
                    colour: (id % 7) as u8,
                    x: id * 31,
                    y: id * 977,
                    w: 50,
                    h: id + 50,
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn a_page_that_applies_every_update_sees_what_is_there(
            states in prop::collection::vec((bodies(), panels(), -9000i32..9000), 1..12)
        ) {
            let mut picture = Picture::default();
            let mut difference = Difference::default();
            let (mut old_movers, mut old_panels) = (Vec::new(), Vec::new());
            for (seq, (movers, panels, middle)) in states.into_iter().enumerate() {
                let names: Vec<_> = movers.iter().filter(|body| body.id.is_player())
                    .map(|body| (body.id, format!("player {}", body.id.0))).collect();
                let update = Update {
                    seq: seq as u32,
                    looks_elsewhere: false,
                    middle: (middle, -middle),
                    movers: (&old_movers, &movers),
                    names: &names,
                    panels: (&old_panels, &panels),
                };
                let mut message = Vec::new();
                if difference.write(&update, &mut message) {
                    for cut in 1..message.len() {
                        prop_assert!(picture.clone().apply(&message[..cut]).is_err(), "cut at {}", cut);
                    }
                    picture.apply(&message).expect("what the server writes is sound");
                    prop_assert_eq!(picture.seq, seq as u32);
                } else {
                    prop_assert!(message.is_empty());
                }
                prop_assert_eq!(&picture.movers, &movers);
                prop_assert_eq!(&picture.panels, &panels);
                prop_assert_eq!(&picture.names, &names.into_iter().collect::<BTreeMap<_, _>>());
                (old_movers, old_panels) = (movers, panels);
            }
        }

        #[test]
        fn a_picture_refuses_any_garbage_without_a_panic(message in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut message = message;
            if let Some(tag) = message.first_mut() {
                *tag = *tag % 6 + 1;
            }
            // The outcome is the decoder's to choose; that it returns is the test.
            let _ = Picture::default().apply(&message);
        }
    }

    #[test]
    fn a_step_costs_three_bytes() {
        let told: Vec<_> = (0..100)
            .map(|n| Body {
                id: MoverId::npc(n * 1000),
                x: 4000,
                y: 4000,
            })
            .collect();
        let now: Vec<_> = told
            .iter()
            .map(|body| Body {
                x: body.x + 52,
                y: body.y - 52,
                ..*body
            })
            .collect();
        let update = Update {
            seq: 0,
            looks_elsewhere: false,
            middle: (0, 0),
            movers: (&told, &now),
            names: &[],
            panels: (&[], &[]),
        };
        let mut message = Vec::new();
        assert!(Difference::default().write(&update, &mut message));
        assert_eq!(message.len(), 4 + 6 + 100 * 3);
    }
}
