//! A quadtree over rectangles that move: insert, delete, move, and search by rectangle.
//!
//! Performs no I/O, takes no lock, knows nothing of the demo.
//!
//! Every node covers a square *cell*, and holds rectangles that lie inside its *reach*: the cell, widened by half
//! its width on each side. Reaches of neighbours overlap, so a rectangle that straddles a border still sinks to a
//! small node, and one that wanders a little past its cell's border need not change its node:
//!
//! ```text
//!   +---------------------------+   reach: twice as wide as the cell
//!   |      +-------------+      |
//!   |      |    cell     |      |   a move that stays inside the reach
//!   |      |         [##]|      |   overwrites four numbers in place
//!   |      |             |      |
//!   |      +-------------+      |
//!   +---------------------------+
//! ```
//!
//! The one invariant that search relies on: *each rectangle lies inside its node's reach*, and a child's reach lies
//! inside its parent's. Touching counts as intersecting, on all four sides.
//!
//! The root starts as the square (0, 0)–(16, 16) and doubles outward, to whichever side something was put. A leaf
//! splits when it holds more than [`SPLIT_ABOVE`] rectangles, down to cells 16 wide; four leaves that have become
//! nearly empty fold back into their parent.

/// A leaf with more rectangles than this splits.
pub const SPLIT_ABOVE: usize = 16;
/// Cells are never narrower than this, in the units of the coordinates.
pub const SMALLEST_CELL: f32 = 16.0;
/// Four sibling leaves fold into their parent when all five together hold no more than this.
const FOLD_BELOW: usize = SPLIT_ABOVE / 2;

/// An axis-parallel rectangle, closed on all sides; it may have no width or height.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    left: f32,
    top: f32,
    right: f32,
    bottom: f32,
}

impl Rect {
    /// Coordinates lie within ± this, so that every cell's border is an exact `f32`.
    pub const LIMIT: f32 = 8_388_608.0;

    /// `None` if the sides are out of order, not finite, or beyond [`LIMIT`](Self::LIMIT).
    pub fn new(left: f32, top: f32, right: f32, bottom: f32) -> Option<Self> {
        let within = |v: f32| (-Self::LIMIT..=Self::LIMIT).contains(&v);
        let sound = within(left)
            && within(top)
            && within(right)
            && within(bottom)
            && left <= right
            && top <= bottom;
        sound.then_some(Self {
            left,
            top,
            right,
            bottom,
        })
    }

    /// The rectangle of this width and height around a point, clipped to [`LIMIT`](Self::LIMIT). A coordinate that
    /// is no number counts as 0.
    pub fn around(x: f32, y: f32, width: f32, height: f32) -> Self {
        let clip = |v: f32| {
            if v.is_nan() {
                0.0
            } else {
                v.clamp(-Self::LIMIT, Self::LIMIT)
            }
        };
        let (half_width, half_height) = (width.max(0.0) / 2.0, height.max(0.0) / 2.0);
        let (left, top) = (clip(x - half_width), clip(y - half_height));
        Self {
            left,
            top,
            right: clip(x + half_width).max(left),
            bottom: clip(y + half_height).max(top),
        }
    }

    /// Smallest x.
    pub fn left(&self) -> f32 {
        self.left
    }
    /// Smallest y.
    pub fn top(&self) -> f32 {
        self.top
    }
    /// Largest x.
    pub fn right(&self) -> f32 {
        self.right
    }
    /// Largest y.
    pub fn bottom(&self) -> f32 {
        self.bottom
    }
    /// The middle, x and y.
    pub fn centre(&self) -> (f32, f32) {
        (
            (self.left + self.right) * 0.5,
            (self.top + self.bottom) * 0.5,
        )
    }

    /// Whether they share at least one point; touching is enough.
    pub fn intersects(&self, other: &Self) -> bool {
        self.left <= other.right
            && other.left <= self.right
            && self.top <= other.bottom
            && other.top <= self.bottom
    }

    /// Whether `other` lies wholly inside, borders included.
    pub fn contains(&self, other: &Self) -> bool {
        self.left <= other.left
            && other.right <= self.right
            && self.top <= other.top
            && other.bottom <= self.bottom
    }
}

/// Names one rectangle of one tree. Not `Copy`, and [`Quadtree::delete`] consumes it: a stale key cannot be written.
#[derive(Debug, PartialEq, Eq, Hash)]
#[must_use = "without its key a rectangle can be neither moved nor deleted"]
pub struct Key(u32);

/// See the module's documentation.
#[derive(Debug)]
pub struct Quadtree<T> {
    nodes: Vec<Node<T>>,
    /// Blocks of four children, by the index of the first, that no parent uses at present.
    free_blocks: Vec<u32>,
    /// Where each key's rectangle is. Slots of deleted keys are in `free_slots`.
    slots: Vec<Slot>,
    free_slots: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    node: u32,
    /// Index in the node's entries.
    at: u32,
}

#[derive(Debug)]
struct Node<T> {
    reach: Rect,
    parent: u32,
    /// Index of the first of four children that lie side by side (bit 0: right, bit 1: below), or [`NONE`].
    children: u32,
    entries: Vec<Entry<T>>,
}

#[derive(Debug, Clone, Copy)]
struct Entry<T> {
    rect: Rect,
    key: u32,
    value: T,
}

const NONE: u32 = u32::MAX;
const ROOT: u32 = 0;

impl<T> Node<T> {
    fn new(reach: Rect, parent: u32) -> Self {
        Self {
            reach,
            parent,
            children: NONE,
            entries: Vec::new(),
        }
    }

    fn is_leaf(&self) -> bool {
        self.children == NONE
    }

    /// Width of the cell: half of the reach's.
    fn width(&self) -> f32 {
        (self.reach.right - self.reach.left) * 0.5
    }

    /// Left and top of the cell.
    fn origin(&self) -> (f32, f32) {
        let margin = self.width() * 0.5;
        (self.reach.left + margin, self.reach.top + margin)
    }

    /// Which of the four children's cells the middle of `rect` is in.
    fn quadrant(&self, rect: &Rect) -> u32 {
        let (x, y) = rect.centre();
        let (middle_x, middle_y) = self.reach.centre();
        u32::from(x >= middle_x) | u32::from(y >= middle_y) << 1
    }
}

/// The reach of the cell with this corner and width.
fn reach_of(left: f32, top: f32, width: f32) -> Rect {
    let margin = width * 0.5;
    Rect {
        left: left - margin,
        top: top - margin,
        right: left + width + margin,
        bottom: top + width + margin,
    }
}

/// The corner of a child's cell.
fn child_origin((left, top): (f32, f32), half: f32, quadrant: u32) -> (f32, f32) {
    let x = if quadrant & 1 == 0 { left } else { left + half };
    let y = if quadrant & 2 == 0 { top } else { top + half };
    (x, y)
}

impl<T: Copy> Default for Quadtree<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Copy> Quadtree<T> {
    /// An empty tree.
    pub fn new() -> Self {
        let root = Node::new(reach_of(0.0, 0.0, SMALLEST_CELL), NONE);
        Self {
            nodes: vec![root],
            free_blocks: Vec::new(),
            slots: Vec::new(),
            free_slots: Vec::new(),
        }
    }

    /// How many rectangles it holds.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free_slots.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a rectangle with a value of the caller's. The same rectangle may be there any number of times.
    ///
    /// # Panics
    /// With 2³² − 1 rectangles in the tree already.
    pub fn insert(&mut self, rect: Rect, value: T) -> Key {
        let key = self.free_slots.pop().unwrap_or_else(|| {
            self.slots.push(Slot { node: NONE, at: 0 });
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 rectangles")
        });
        self.place(ROOT, Entry { rect, key, value });
        Key(key)
    }

    /// Removes a rectangle; gives back where it was and its value.
    pub fn delete(&mut self, key: Key) -> (Rect, T) {
        let entry = self.take(key.0);
        self.free_slots.push(key.0);
        (entry.rect, entry.value)
    }

    /// Moves or resizes a rectangle. Mostly that is four numbers overwritten in place.
    pub fn update(&mut self, key: &Key, rect: Rect) {
        let Slot { node: at_node, at } = self.slots[key.0 as usize];
        let node = &mut self.nodes[at_node as usize];
        if node.is_leaf() && node.reach.contains(&rect) {
            node.entries[at as usize].rect = rect;
            return;
        }
        let mut entry = self.take(key.0);
        entry.rect = rect;
        // `take` may have folded the node away, so the way up starts afresh from the root's side.
        self.place(ROOT, entry);
    }

    /// Where a rectangle is now.
    pub fn rect(&self, key: &Key) -> Rect {
        let Slot { node, at } = self.slots[key.0 as usize];
        self.nodes[node as usize].entries[at as usize].rect
    }

    /// Shows every rectangle that intersects `area` (touching is enough), each once, in no particular order.
    pub fn search(&self, area: &Rect, mut visit: impl FnMut(&Rect, T)) {
        self.search_node(ROOT, area, &mut visit);
    }

    fn search_node(&self, index: u32, area: &Rect, visit: &mut impl FnMut(&Rect, T)) {
        let node = &self.nodes[index as usize];
        if !node.reach.intersects(area) {
            return;
        }
        for entry in &node.entries {
            if entry.rect.intersects(area) {
                visit(&entry.rect, entry.value);
            }
        }
        if !node.is_leaf() {
            for quadrant in 0..4 {
                self.search_node(node.children + quadrant, area, visit);
            }
        }
    }

    /// Lets an entry sink from `from` to the deepest node that may hold it.
    fn place(&mut self, from: u32, entry: Entry<T>) {
        while !self.nodes[ROOT as usize].reach.contains(&entry.rect) {
            self.grow(&entry.rect);
        }
        let mut index = if self.nodes[from as usize].reach.contains(&entry.rect) {
            from
        } else {
            ROOT
        };
        loop {
            let node = &self.nodes[index as usize];
            if node.is_leaf() {
                break;
            }
            let child = node.children + node.quadrant(&entry.rect);
            if !self.nodes[child as usize].reach.contains(&entry.rect) {
                break;
            }
            index = child;
        }
        self.push(index, entry);
        let node = &self.nodes[index as usize];
        if node.is_leaf() && node.entries.len() > SPLIT_ABOVE && node.width() > SMALLEST_CELL {
            self.split(index);
        }
    }

    fn push(&mut self, index: u32, entry: Entry<T>) {
        let entries = &mut self.nodes[index as usize].entries;
        self.slots[entry.key as usize] = Slot {
            node: index,
            at: entries.len() as u32,
        };
        entries.push(entry);
    }

    /// Takes an entry out of its node; its slot points nowhere until it is placed again.
    fn take(&mut self, key: u32) -> Entry<T> {
        let Slot { node: index, at } = self.slots[key as usize];
        let node = &mut self.nodes[index as usize];
        let entry = node.entries.swap_remove(at as usize);
        if let Some(moved) = node.entries.get(at as usize) {
            self.slots[moved.key as usize].at = at;
        }
        if node.entries.len() <= 1 && node.is_leaf() && node.parent != NONE {
            let parent = node.parent;
            self.fold(parent);
        }
        entry
    }

    /// Makes a leaf an inner node, and lets what can sink, sink.
    fn split(&mut self, index: u32) {
        let node = &self.nodes[index as usize];
        let (origin, half) = (node.origin(), node.width() * 0.5);
        let first = self.free_blocks.pop().unwrap_or_else(|| {
            let first = self.nodes.len() as u32;
            self.nodes
                .extend((0..4).map(|_| Node::new(reach_of(0.0, 0.0, half), NONE)));
            first
        });
        for quadrant in 0..4 {
            let (left, top) = child_origin(origin, half, quadrant);
            let child = &mut self.nodes[(first + quadrant) as usize];
            child.reach = reach_of(left, top, half);
            child.parent = index;
        }
        let node = &mut self.nodes[index as usize];
        node.children = first;
        for entry in std::mem::take(&mut node.entries) {
            self.place(index, entry);
        }
    }

    /// Folds the four children into `index` if they are leaves and little is left in all of them; and so on upwards.
    fn fold(&mut self, mut index: u32) {
        while index != NONE {
            let first = self.nodes[index as usize].children;
            let children = first as usize..first as usize + 4;
            if !self.nodes[children.clone()].iter().all(Node::is_leaf) {
                return;
            }
            let below: usize = self.nodes[children.clone()]
                .iter()
                .map(|child| child.entries.len())
                .sum();
            if below + self.nodes[index as usize].entries.len() > FOLD_BELOW {
                return;
            }
            self.nodes[index as usize].children = NONE;
            self.free_blocks.push(first);
            for child in children {
                // A child's reach lies inside its parent's, so the parent may hold whatever the child held.
                for entry in std::mem::take(&mut self.nodes[child].entries) {
                    self.push(index, entry);
                }
            }
            index = self.nodes[index as usize].parent;
        }
    }

    /// Doubles the root towards `rect`, to the right and down unless it lies the other way.
    fn grow(&mut self, rect: &Rect) {
        let old = &self.nodes[ROOT as usize];
        let ((left, top), width) = (old.origin(), old.width());
        let (x, y) = rect.centre();
        let (to_left, to_top) = (x < left, y < top);
        let origin = (
            if to_left { left - width } else { left },
            if to_top { top - width } else { top },
        );
        let reach = reach_of(origin.0, origin.1, width * 2.0);
        if old.is_leaf() {
            // What the root holds lies inside its reach, hence inside the wider one.
            self.nodes[ROOT as usize].reach = reach;
            return;
        }
        let quadrant = u32::from(to_left) | u32::from(to_top) << 1;
        let first = self.nodes.len() as u32;
        for sibling in 0..4 {
            let (left, top) = child_origin(origin, width, sibling);
            self.nodes.push(Node::new(reach_of(left, top, width), ROOT));
        }
        // The wider root takes the old one's place, and the old one becomes its child.
        let wider = Node {
            reach,
            parent: NONE,
            children: first,
            entries: Vec::new(),
        };
        let mut old = std::mem::replace(&mut self.nodes[ROOT as usize], wider);
        old.parent = ROOT;
        self.nodes[(first + quadrant) as usize] = old;
        self.adopt(first + quadrant);
    }

    /// After a node has moved to `index`: its entries' slots and its children's parent follow.
    fn adopt(&mut self, index: u32) {
        let node = &self.nodes[index as usize];
        for entry in &node.entries {
            self.slots[entry.key as usize].node = index;
        }
        if !node.is_leaf() {
            let first = node.children;
            for child in first..first + 4 {
                self.nodes[child as usize].parent = index;
            }
        }
    }
}
