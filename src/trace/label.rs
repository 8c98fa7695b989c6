//! Names for locks and other things that coroutines wait for.

use std::collections::BTreeMap;
use std::fmt;

use parking_lot::Mutex;

use super::stream::{self, Stream};

/// By address: what is there.
static LABELS: Mutex<Labels> = Mutex::new(Labels {
    by_start: BTreeMap::new(),
    slots: Vec::new(),
});

struct Labels {
    by_start: BTreeMap<usize, Labelled>,
    /// The places in the streams' tables that are taken.
    slots: Vec<bool>,
}

#[derive(Clone)]
struct Labelled {
    size: usize,
    slot: usize,
    name: String,
}

/// A name for a thing, as long as this lives; see [`label`].
#[must_use = "dropping it takes the name back"]
pub struct Label {
    start: usize,
    slot: usize,
}

/// Gives `thing` a name, which [`why`](super::why), the registry's tables and recordings show in place of its address, until what this returns is
/// dropped. The thing must stay where it is: label what is in an `Arc`, a `Box` or a `static`.
///
/// A lock is labelled itself, or the struct that it is in. Of a stream, the first 256 labels are kept.
///
/// ```
/// use grapeshot::sync::Mutex;
/// use std::sync::Arc;
///
/// let world = Arc::new(Mutex::new(0));
/// let _label = grapeshot::trace::label(&*world, "world");
/// ```
pub fn label<T: ?Sized>(thing: &T, name: &str) -> Label {
    let start = std::ptr::from_ref(thing).cast::<()>() as usize;
    let size = size_of_val(thing);
    let slot = {
        let mut labels = LABELS.lock();
        let free = labels.slots.iter().position(|taken| !taken);
        let slot = free.unwrap_or(labels.slots.len());
        if slot == labels.slots.len() {
            labels.slots.push(true);
        } else {
            labels.slots[slot] = true;
        }
        let labelled = Labelled {
            size,
            slot,
            name: name.to_owned(),
        };
        labels.by_start.insert(start, labelled);
        slot
    };
    stream::each(|stream| stream.label(slot, start, size, name));
    Label { start, slot }
}

impl Drop for Label {
    fn drop(&mut self) {
        {
            let mut labels = LABELS.lock();
            labels.slots[self.slot] = false;
            // Another label of the same thing may have come since.
            if labels
                .by_start
                .get(&self.start)
                .is_some_and(|it| it.slot == self.slot)
            {
                labels.by_start.remove(&self.start);
            }
        }
        stream::each(|stream| stream.label(self.slot, 0, 0, ""));
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Label").field(&of(self.start)).finish()
    }
}

/// What is called so at `address`.
pub(crate) fn of(address: usize) -> Option<String> {
    let labels = LABELS.lock();
    let (start, found) = labels.by_start.range(..=address).next_back()?;
    (address - start < found.size.max(1)).then(|| found.name.clone())
}

/// Tells a new stream of all there are.
pub(super) fn write_all(stream: &Stream) {
    let labels = LABELS.lock().by_start.clone();
    for (start, it) in labels {
        stream.label(it.slot, start, it.size, &it.name);
    }
}
