//! The quadtree against a list that is searched from end to end.

use std::collections::BTreeMap;

use grapeshot_demos::quadtree::{Key, Quadtree, Rect};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    Insert(Rect),
    /// The index picks among what is there, modulo its number.
    Delete(usize),
    Move(usize, Rect),
    /// A small step, as an NPC takes one: mostly stays in its node.
    Nudge(usize, f32, f32),
    Search(Rect),
}

/// Whole coordinates in a small range make touching borders and equal rectangles common; the others are scattered.
fn rects() -> impl Strategy<Value = Rect> {
    let near = (-40i32..200, -40i32..200, 0i32..60, 0i32..60);
    let far = (
        -30_000f32..30_000.0,
        -30_000f32..30_000.0,
        0f32..5_000.0,
        0f32..5_000.0,
    );
    prop_oneof![
        4 => near.prop_map(|(x, y, w, h)| rect(x as f32, y as f32, (x + w) as f32, (y + h) as f32)),
        1 => far.prop_map(|(x, y, w, h)| rect(x, y, x + w, y + h)),
    ]
}

fn rect(left: f32, top: f32, right: f32, bottom: f32) -> Rect {
    Rect::new(left, top, right, bottom).expect("in order and in range")
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        5 => rects().prop_map(Op::Insert),
        3 => any::<usize>().prop_map(Op::Delete),
        2 => (any::<usize>(), rects()).prop_map(|(i, r)| Op::Move(i, r)),
        4 => (any::<usize>(), -13f32..13.0, -13f32..13.0).prop_map(|(i, x, y)| Op::Nudge(i, x, y)),
        2 => rects().prop_map(Op::Search),
    ];
    prop::collection::vec(op, 1..400)
}

#[derive(Default)]
struct Pair {
    tree: Quadtree<u32>,
    naive: BTreeMap<u32, Rect>,
    keys: Vec<(u32, Key)>,
    next: u32,
}

impl Pair {
    fn insert(&mut self, rect: Rect) {
        let value = self.next;
        self.next += 1;
        self.keys.push((value, self.tree.insert(rect, value)));
        self.naive.insert(value, rect);
    }

    fn move_to(&mut self, index: usize, rect: Rect) {
        let (value, key) = &self.keys[index];
        self.tree.update(key, rect);
        assert_eq!(self.tree.rect(key), rect);
        self.naive.insert(*value, rect);
    }

    fn apply(&mut self, op: Op) {
        let live = self.keys.len();
        match op {
            Op::Insert(rect) => self.insert(rect),
            Op::Search(area) => self.compare(&area),
            _ if live == 0 => {}
            Op::Delete(index) => {
                let (value, key) = self.keys.swap_remove(index % live);
                assert_eq!(
                    self.naive.remove(&value).map(|rect| (rect, value)),
                    Some(self.tree.delete(key))
                );
            }
            Op::Move(index, rect) => self.move_to(index % live, rect),
            Op::Nudge(index, x, y) => {
                let old = self.tree.rect(&self.keys[index % live].1);
                self.move_to(
                    index % live,
                    rect(
                        old.left() + x,
                        old.top() + y,
                        old.right() + x,
                        old.bottom() + y,
                    ),
                );
            }
        }
        assert_eq!(self.tree.len(), self.naive.len());
    }

    fn compare(&self, area: &Rect) {
        let mut found = Vec::new();
        self.tree
            .search(area, |rect, value| found.push((value, *rect)));
        found.sort_by_key(|&(value, _)| value);
        let expected: Vec<_> = self
            .naive
            .iter()
            .filter(|(_, r)| r.intersects(area))
            .map(|(&v, &r)| (v, r))
            .collect();
        assert_eq!(found, expected, "in {area:?}");
    }
}

fn everything() -> Rect {
    rect(-Rect::LIMIT, -Rect::LIMIT, Rect::LIMIT, Rect::LIMIT)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn agrees_with_a_naive_search(ops in ops()) {
        let mut pair = Pair::default();
        for op in ops {
            pair.apply(op);
        }
        pair.compare(&everything());
    }

    #[test]
    fn empties_and_fills_again(first in prop::collection::vec(rects(), 1..200), second in prop::collection::vec(rects(), 1..200)) {
        let mut pair = Pair::default();
        for rect in first {
            pair.insert(rect);
        }
        while !pair.keys.is_empty() {
            pair.apply(Op::Delete(0));
        }
        pair.compare(&everything());
        for rect in second {
            pair.insert(rect);
            pair.compare(&rect);
        }
        pair.compare(&everything());
    }
}

#[test]
fn touching_is_intersecting_on_all_sides_and_corners() {
    let mut tree = Quadtree::new();
    let _key = tree.insert(rect(100.0, 100.0, 200.0, 200.0), ());
    let hits = |area: Rect| {
        let mut n = 0;
        tree.search(&area, |_, ()| n += 1);
        n
    };
    for (dx, dy) in [
        (-1.0, 0.0),
        (1.0, 0.0),
        (0.0, -1.0),
        (0.0, 1.0),
        (1.0, 1.0),
        (-1.0, -1.0),
    ] {
        let beside = |gap: f32| {
            let (x, y) = (100.0 + dx * (100.0 + gap), 100.0 + dy * (100.0 + gap));
            rect(x, y, x + 100.0, y + 100.0)
        };
        assert_eq!(hits(beside(0.0)), 1, "touches at {dx}, {dy}");
        assert_eq!(hits(beside(0.1)), 0, "apart at {dx}, {dy}");
    }
}

#[test]
fn grows_outward_to_every_side() {
    for (sx, sy) in [
        (1.0, 1.0),
        (-1.0, 1.0),
        (1.0, -1.0),
        (-1.0, -1.0),
        (0.0, -1.0),
        (-1.0, 0.0),
    ] {
        let mut pair = Pair::default();
        for step in 0..23 {
            let far = (1u32 << step) as f32;
            for offset in 0..20 {
                let (x, y) = (sx * far - offset as f32, sy * far + offset as f32);
                pair.insert(Rect::around(x, y, 3.0, 3.0));
            }
            pair.compare(&Rect::around(sx * far, sy * far, 100.0, 100.0));
        }
        pair.compare(&everything());
    }
}

#[test]
fn a_thousand_in_one_spot_and_a_thousand_as_wide_as_the_field() {
    let mut pair = Pair::default();
    for _ in 0..1000 {
        pair.insert(rect(77.0, 77.0, 77.0, 77.0));
        pair.insert(rect(0.0, 0.0, 20_480.0, 20_480.0));
    }
    pair.compare(&rect(77.0, 77.0, 77.0, 77.0));
    pair.compare(&rect(20_480.0, 20_480.0, 20_481.0, 20_481.0));
}

#[test]
fn unsound_rectangles_are_refused() {
    assert_eq!(Rect::new(1.0, 0.0, 0.0, 1.0), None, "right before left");
    assert_eq!(Rect::new(0.0, 1.0, 1.0, 0.0), None, "bottom above top");
    assert_eq!(Rect::new(f32::NAN, 0.0, 1.0, 1.0), None);
    assert_eq!(Rect::new(0.0, 0.0, f32::INFINITY, 1.0), None);
    assert_eq!(Rect::new(0.0, 0.0, Rect::LIMIT * 1.01, 1.0), None);
    let clipped = Rect::around(f32::INFINITY, f32::NAN, 10.0, 10.0);
    assert_eq!(
        (clipped.left(), clipped.top()),
        (Rect::LIMIT, 0.0),
        "{clipped:?}"
    );
    assert!(
        Rect::new(
            clipped.left(),
            clipped.top(),
            clipped.right(),
            clipped.bottom()
        )
        .is_some()
    );
}
