//! A stream that is on: its words, and who writes them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::event::{self, code};
use super::label;
use super::layout::{
    self, LABEL, LABELS, Layout, NOTE, NOTES, SEAT, SEAT_NAME, SITE, SITES, header,
};
use super::ring::Ring;
use crate::context::cycles;
use crate::io::Mapping;
use crate::sched::hooks::{self, Cause, Leaves};
use crate::sched::record::{CoroRef, EndedBy, Head};
use crate::sched::settings::Config;
use crate::sched::{Shared, current, worker};

/// Every stream that is on, of whichever runtime.
static ON: Mutex<Vec<Weak<Stream>>> = Mutex::new(Vec::new());

/// The words of one runtime's stream. Each of its workers writes a ring of its own; everybody else writes the last one.
pub(crate) struct Stream {
    pub(super) words: Mapping,
    pub(super) layout: Layout,
    pub(super) base: u64,
    is_virtual: bool,
    /// In a simulation, the time at its latest event: what others' events are dated by.
    virtual_now: AtomicU64,
    outside: Mutex<Ring>,
    sites: Mutex<HashMap<usize, u64>>,
    notes: Mutex<u64>,
    /// How many want it.
    pub(super) users: AtomicUsize,
    /// Locked as long as this is: nobody else writes to it.
    _file: Option<File>,
}

impl Stream {
    /// In memory, or in the words of a file, which are all zero.
    pub(super) fn new(
        layout: Layout,
        config: &Config,
        file: Option<File>,
    ) -> io::Result<Arc<Self>> {
        let words = match &file {
            Some(file) => Mapping::of_file(file, layout.words())?,
            None => Mapping::anonymous(layout.words())?,
        };
        let is_virtual = config.seed.is_some();
        let base = if is_virtual { 0 } else { cycles::now() };
        write_header(&words, layout, base, is_virtual);
        let outside = Ring::resume(&words, layout, layout.rings - 1, base);
        let stream = Arc::new(Self {
            words,
            layout,
            base,
            is_virtual,
            virtual_now: AtomicU64::new(0),
            outside: Mutex::new(outside),
            sites: Mutex::default(),
            notes: Mutex::new(0),
            users: AtomicUsize::new(0),
            _file: file,
        });
        {
            let mut on = ON.lock();
            on.retain(|stream| stream.strong_count() > 0);
            on.push(Arc::downgrade(&stream));
            hooks::turn_on(hooks::STREAM);
        }
        label::write_all(&stream);
        Ok(stream)
    }

    fn now(&self) -> u64 {
        if self.is_virtual {
            self.virtual_now.load(Ordering::Relaxed)
        } else {
            cycles::now()
        }
    }

    /// An event that no worker of the runtime writes.
    fn put_outside(&self, what: u8, operand: u64) {
        let mut ring = self.outside.lock();
        let stamp = self.now();
        ring.put(&self.words, what, stamp, operand);
    }

    fn store(&self, at: usize, text: &[u64]) {
        for (word, text) in self.words[at..].iter().zip(text) {
            word.store(*text, Ordering::Relaxed);
        }
    }

    /// The number of a place, from 1; 0: there is no room for it.
    fn site(&self, site: &'static Location<'static>) -> u64 {
        let mut sites = self.sites.lock();
        let next = sites.len();
        let address = std::ptr::from_ref(site) as usize;
        if let Some(number) = sites.get(&address) {
            return *number;
        }
        if next == SITES {
            return 0;
        }
        let mut text = [0; SITE];
        let len = layout::pack(site.file(), &mut text[1..]) as u64;
        text[0] = u64::from(site.line()) << 32 | len;
        self.store(self.layout.site(next), &text);
        sites.insert(address, next as u64 + 1);
        next as u64 + 1
    }

    /// Keeps what was noticed of a coroutine.
    fn note(&self, coroutine: u64, text: &str) {
        let mut number = self.notes.lock();
        let at = self.layout.note(*number as usize % NOTES);
        let mut words = [0; NOTE];
        let len = layout::pack(text, &mut words[4..]);
        words[1..4].copy_from_slice(&[self.now(), coroutine, len as u64]);
        self.words[at].store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        self.store(at + 1, &words[1..]);
        *number += 1;
        self.words[at].store(*number, Ordering::Release);
        self.words[header::NOTES].store(*number, Ordering::Release);
    }

    /// Gives a thing a name, in its place of the table; without a name, takes that back.
    pub(super) fn label(&self, slot: usize, start: usize, size: usize, name: &str) {
        if slot >= LABELS {
            return;
        }
        let at = self.layout.label(slot);
        let mut words = [0; LABEL];
        words[1] = size as u64;
        words[2] = layout::pack(name, &mut words[3..]) as u64;
        self.words[at].store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        self.store(at + 1, &words[1..]);
        self.words[at].store(start as u64, Ordering::Release);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut on = ON.lock();
        on.retain(|stream| stream.strong_count() > 0);
        if on.is_empty() {
            hooks::turn_off(hooks::STREAM);
        }
    }
}

/// Calls with every stream that is on.
pub(super) fn each(call: impl Fn(&Stream)) {
    let on: Vec<_> = ON.lock().iter().filter_map(Weak::upgrade).collect();
    on.iter().for_each(|stream| call(stream));
}

fn write_header(words: &Mapping, layout: Layout, base: u64, is_virtual: bool) {
    let mut text = [0; layout::HEADER];
    text[header::MAGIC] = layout::MAGIC;
    text[header::VERSION] = layout::VERSION;
    text[header::RINGS] = layout.rings as u64;
    text[header::EVENTS] = layout.events as u64;
    text[header::SEATS] = layout.seats as u64;
    text[header::SCALE] = if is_virtual {
        1 << 32
    } else {
        cycles::scale().nanos(1 << 32)
    };
    text[header::BASE] = base;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    text[header::STARTED] = since.unwrap_or(Duration::ZERO).as_nanos() as u64;
    text[header::PROCESS] = u64::from(std::process::id());
    text[header::VIRTUAL] = u64::from(is_virtual);
    text[header::CHECK] = layout::check(&text);
    text[header::BEAT] = base;
    let program = std::env::args_os().next().unwrap_or_default();
    let place = header::PROGRAM + 1..header::PROGRAM + header::PROGRAM_WORDS;
    text[header::PROGRAM] = layout::pack(&program.to_string_lossy(), &mut text[place]) as u64;
    for (word, text) in words.iter().zip(text) {
        word.store(text, Ordering::Relaxed);
    }
}

/// What a runtime knows of its stream.
#[derive(Default)]
pub(crate) struct Slot {
    /// Changes whenever the stream does.
    generation: AtomicU64,
    current: Mutex<Option<Arc<Stream>>>,
}

impl Slot {
    pub(super) fn current(&self) -> Option<Arc<Stream>> {
        self.current.lock().clone()
    }

    /// The stream that is on, or else a new one, with one more user.
    pub(crate) fn get_or(
        &self,
        make: impl FnOnce() -> io::Result<Arc<Stream>>,
    ) -> io::Result<Arc<Stream>> {
        let mut current = self.current.lock();
        let stream = match &*current {
            Some(stream) => stream.clone(),
            None => {
                let stream = current.insert(make()?).clone();
                self.generation.fetch_add(1, Ordering::Release);
                stream
            }
        };
        stream.users.fetch_add(1, Ordering::Relaxed);
        Ok(stream)
    }

    /// A user of `stream` goes. True: it was the last, and nobody writes it any more.
    pub(super) fn leave(&self, stream: &Arc<Stream>) -> bool {
        let mut current = self.current.lock();
        let is_last = stream.users.fetch_sub(1, Ordering::Relaxed) == 1
            && current.as_ref().is_some_and(|it| Arc::ptr_eq(it, stream));
        if is_last {
            *current = None;
            self.generation.fetch_add(1, Ordering::Release);
        }
        is_last
    }

    /// The runtime has ended.
    pub(crate) fn close(&self) {
        let stream = self.current.lock().take();
        if let Some(stream) = stream {
            stream.words[header::BEAT].store(stream.now(), Ordering::Relaxed);
            stream.words[header::ENDED].store(1, Ordering::Release);
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Somebody looks after the workers.
    pub(crate) fn beat(&self) {
        if let Some(stream) = self.current() {
            stream.words[header::BEAT].store(stream.now(), Ordering::Relaxed);
        }
    }

    /// Keeps what was noticed of a coroutine.
    pub(crate) fn note(&self, coroutine: u64, text: &str) {
        if let Some(stream) = self.current() {
            stream.note(coroutine, text);
        }
    }

    fn put_outside(&self, what: u8, operand: u64) {
        if let Some(stream) = self.current() {
            stream.put_outside(what, operand);
        }
    }
}

/// A worker's end of its runtime's stream.
#[derive(Default)]
pub(crate) struct Tape {
    /// That of the slot, when it was looked at last.
    generation: Cell<u64>,
    writer: RefCell<Option<Writer>>,
}

struct Writer {
    stream: Arc<Stream>,
    ring: Ring,
    /// Where its seats are, and their number less one.
    seats: usize,
    mask: usize,
}

impl Tape {
    /// Looks whether the stream is still the same, which it must when that is over: a tape holds on to it.
    pub(crate) fn refresh(&self, shared: &Shared, index: usize) {
        let generation = shared.stream.generation.load(Ordering::Acquire);
        let stream = shared.stream.current();
        let same = |writer: &Writer| {
            stream
                .as_ref()
                .is_some_and(|it| Arc::ptr_eq(it, &writer.stream))
        };
        let mut writer = self.writer.borrow_mut();
        if !writer.as_ref().is_some_and(same) {
            *writer = stream.map(|stream| Writer {
                ring: Ring::resume(&stream.words, stream.layout, index, stream.base),
                seats: stream.layout.seat(index, 0),
                mask: stream.layout.seats - 1,
                stream,
            });
        }
        self.generation.set(generation);
    }

    /// Calls with the writer, if there is one, and says whether it is new.
    #[inline]
    fn with(&self, shared: &Shared, index: usize, call: impl FnOnce(&mut Writer, bool)) {
        let is_new = shared.stream.generation.load(Ordering::Relaxed) != self.generation.get();
        if is_new {
            self.refresh(shared, index);
        }
        if let Some(writer) = self.writer.borrow_mut().as_mut() {
            call(writer, is_new);
        }
    }
}

impl Writer {
    #[inline]
    fn put(&mut self, what: u8, stamp: u64, operand: u64) {
        self.ring.put(&self.stream.words, what, stamp, operand);
    }

    #[inline]
    fn resumed(&mut self, coroutine: &CoroRef, stamp: u64) {
        let seat = self.seat(coroutine);
        if self.stream.words[seat].load(Ordering::Relaxed) != coroutine.head.id {
            self.sit_down(coroutine, seat);
        }
        self.note(coroutine, seat, code::RESUMED, stamp);
        self.put(code::RESUMED, stamp, coroutine.head.id);
    }

    #[inline]
    fn suspended(&mut self, coroutine: &CoroRef, leaves: Leaves, owner: Option<u64>, stamp: u64) {
        let (what, operand) = event::leaves(leaves);
        let seat = self.seat(coroutine);
        if self.note(coroutine, seat, what, stamp) {
            let words = &self.stream.words[seat..seat + SEAT];
            words[3].store(operand, Ordering::Relaxed);
            words[4].store(owner.unwrap_or_default(), Ordering::Relaxed);
        }
        self.put(what, stamp, operand);
        if let Some(owner) = owner {
            self.put(code::OWNED, stamp, owner);
        }
    }

    #[inline]
    fn ended(&mut self, coroutine: &CoroRef, by: EndedBy, stamp: u64) {
        let what = event::ended(by);
        self.note(coroutine, self.seat(coroutine), what, stamp);
        self.put(what, stamp, coroutine.head.id);
    }

    /// The place of a coroutine's seat.
    #[inline]
    fn seat(&self, coroutine: &CoroRef) -> usize {
        let slot = coroutine.head.own.get().slot.get();
        self.seats + SEAT * (slot & self.mask)
    }

    /// Keeps in a coroutine's seat what it does. False: it has none.
    #[inline]
    fn note(&self, coroutine: &CoroRef, seat: usize, what: u8, stamp: u64) -> bool {
        let words = &self.stream.words[seat..seat + SEAT];
        let is_own = words[0].load(Ordering::Relaxed) == coroutine.head.id;
        if is_own {
            let stamp = stamp.saturating_sub(self.stream.base);
            words[2].store(u64::from(what) << WHAT | stamp, Ordering::Relaxed);
        }
        is_own
    }

    /// Takes a seat for a coroutine, if it is free.
    #[cold]
    fn sit_down(&self, coroutine: &CoroRef, seat: usize) {
        let words = &self.stream.words;
        let what = (words[seat + 2].load(Ordering::Relaxed) >> WHAT) as u8;
        let is_free = words[seat].load(Ordering::Relaxed) == 0
            || (code::ENDED..=code::ENDED_LAST).contains(&what);
        if !is_free {
            return;
        }
        let name = &coroutine.head.name;
        let mut text = [0; SEAT];
        let given = name.given.as_deref().unwrap_or_default();
        let len = layout::pack(given, &mut text[SEAT_NAME..]) as u64;
        text[1] = self.stream.site(name.site) << 32 | len;
        words[seat].store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        self.stream.store(seat + 1, &text[1..]);
        words[seat].store(coroutine.head.id, Ordering::Release);
    }
}

/// Where in a seat's word what its coroutine does stands, above the stamp.
pub(super) const WHAT: u32 = 56;

/// Calls with the writer of this thread's worker, the stamp by its clock (or the one given), and whether the writer is new,
/// so that it has not heard yet of whoever runs. False: this is no worker of that runtime.
#[inline]
fn on_tape(shared: &Shared, stamp: Option<u64>, call: impl FnOnce(&mut Writer, u64, bool)) -> bool {
    worker::with(|worker| {
        let Some(worker) = worker.filter(|it| std::ptr::eq(it.shared(), shared)) else {
            return false;
        };
        worker
            .tape()
            .with(shared, worker.mine().index, |writer, is_new| {
                let virtual_now = writer.stream.is_virtual.then(|| worker.virtual_nanos());
                let stamp = match virtual_now.flatten() {
                    Some(now) => {
                        writer.stream.virtual_now.store(now, Ordering::Relaxed);
                        now
                    }
                    None => stamp.unwrap_or_else(cycles::now),
                };
                call(writer, stamp, is_new);
            });
        true
    })
}

pub(crate) fn resumed(coroutine: &CoroRef, stamp: u64) {
    on_tape(coroutine.head.runtime, Some(stamp), |writer, stamp, _| {
        writer.resumed(coroutine, stamp);
    });
}

pub(crate) fn suspended(coroutine: &CoroRef, leaves: Leaves, owner: Option<u64>, stamp: u64) {
    on_tape(
        coroutine.head.runtime,
        Some(stamp),
        |writer, stamp, is_new| {
            if is_new {
                writer.resumed(coroutine, stamp);
            }
            writer.suspended(coroutine, leaves, owner, stamp);
        },
    );
}

pub(crate) fn ended(coroutine: &CoroRef, by: EndedBy, stamp: u64) {
    on_tape(coroutine.head.runtime, Some(stamp), |writer, stamp, _| {
        writer.ended(coroutine, by, stamp);
    });
}

pub(crate) fn spawned(shared: &Shared, id: u64) {
    // It is dated as its record is: see `worker::stamp`.
    done_to(shared, code::SPAWNED, id, Some(0));
}

pub(crate) fn woken(whom: &Head, cause: Cause) {
    done_to(whom.runtime, event::woken(cause), whom.id, None);
}

pub(crate) fn interrupt_asked(whom: &Head) {
    done_to(whom.runtime, code::INTERRUPT_ASKED, whom.id, None);
}

/// What the caller does to a coroutine.
fn done_to(shared: &Shared, what: u8, id: u64, stamp: Option<u64>) {
    let on_worker = on_tape(shared, stamp, |writer, stamp, is_new| {
        if is_new {
            current::with(|caller| caller.map(|caller| writer.resumed(caller, stamp)));
        }
        writer.put(what, stamp, id);
    });
    if !on_worker {
        shared.stream.put_outside(what, id);
    }
}
