//! Black boxes: what is in them, and what is said of files that are none.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use proptest::prelude::*;

use super::super::{BlackBoxError, Recording, What, label};
use super::{MS, named};
use crate::sync::Mutex;
use crate::{Runtime, RuntimeHandle, sleep, yield_now};

/// A path of a test's own, which is removed at its end.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("grapeshot-black-box-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("black.box")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs something with a black box.
fn fill(path: &Path) {
    let runtime = Runtime::builder()
        .workers(2)
        .black_box(path, 1 << 20)
        .build()
        .unwrap();
    runtime.run(|| {
        let lock = Arc::new(Mutex::new(()));
        let _label = label(&*lock, "the wheel");
        let all: Vec<_> = (0..20)
            .map(|number| {
                let lock = lock.clone();
                named(&format!("sailor {number}"), move || {
                    let _held = lock.lock();
                    yield_now();
                    sleep(MS);
                })
            })
            .collect();
        all.into_iter().for_each(|it| it.join().unwrap());
    });
}

#[test]
fn a_black_box_is_there_when_its_runtime_is_not() {
    let place = Place::new();
    fill(&place.file());
    let recording = Recording::open(place.file()).unwrap();
    assert!(recording.ended);
    assert_eq!(recording.workers, 2);
    assert_eq!(recording.process, std::process::id());
    assert!(recording.running().is_empty());
    assert_eq!(recording.losses.torn, 0);
    let sailor = recording.named("sailor 7");
    assert_eq!(sailor.len(), 1);
    let (file, _) = recording.site(sailor[0]).unwrap();
    assert!(file.ends_with("trace/tests.rs"), "{file}");
    let waits = recording.events.iter().find_map(|event| match event.what {
        What::Suspended(wait) if wait.operation() == "mutex" => Some(recording.show(wait)),
        _ => None,
    });
    // The label is gone by now, since what it named is.
    assert!(waits.unwrap().starts_with("mutex 0x"));
}

#[test]
fn the_box_of_the_run_before_is_kept() {
    let place = Place::new();
    fill(&place.file());
    let first = Recording::open(place.file()).unwrap();
    fill(&place.file());
    let kept = Recording::open(place.0.join("black.box.previous")).unwrap();
    assert_eq!(kept.started, first.started);
    assert_eq!(kept.events, first.events);
}

#[test]
fn what_cannot_be_made_says_why() {
    let place = Place::new();
    let refused = |path: &Path, bytes: usize| {
        let built = Runtime::builder().workers(1).black_box(path, bytes).build();
        built.expect_err("it cannot be made").to_string()
    };
    let small = refused(&place.file(), 1_000);
    assert!(small.contains("too small for 1 workers"), "{small}");
    assert!(!place.file().exists());
    let nowhere = refused(&place.0.join("no/such/folder"), 1 << 20);
    assert!(nowhere.contains("cannot create the black box"), "{nowhere}");
    let other = place.0.join("letter");
    fs::write(&other, "Dear Captain,").unwrap();
    let taken = refused(&other, 1 << 20);
    assert!(taken.contains("is something else"), "{taken}");
    assert_eq!(fs::read(&other).unwrap(), b"Dear Captain,");
    let runtime = Runtime::builder()
        .workers(1)
        .black_box(place.file(), 1 << 20)
        .build()
        .unwrap();
    let twice = refused(&place.file(), 1 << 20);
    assert!(twice.contains("another runtime"), "{twice}");
    runtime.run(|| ());
}

#[test]
fn a_black_box_can_be_asked_while_it_is_written() {
    let place = Place::new();
    let runtime = Runtime::builder()
        .workers(1)
        .black_box(place.file(), 1 << 20)
        .build()
        .unwrap();
    let path = place.file();
    runtime.run(move || {
        let tracing = RuntimeHandle::current().unwrap().trace(256).unwrap();
        yield_now();
        let (open, here) = (Recording::open(&path).unwrap(), tracing.stop());
        assert!(!open.ended && !here.ended);
        assert_eq!(here.events[..open.events.len()], open.events);
        // It does not stop because another one did.
        yield_now();
        assert!(Recording::open(&path).unwrap().events.len() > open.events.len());
    });
}

/// The bytes of a good one.
fn good() -> &'static [u8] {
    static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
    GOOD.get_or_init(|| {
        let place = Place::new();
        let runtime = Runtime::builder()
            .workers(2)
            .black_box(place.file(), 300_000)
            .build()
            .unwrap();
        runtime.run(|| {
            let all: Vec<_> = (0..20).map(|_| named("sailor", || sleep(MS))).collect();
            all.into_iter().for_each(|it| it.join().unwrap());
        });
        fs::read(place.file()).unwrap()
    })
}

/// Asks everything that can be asked.
fn ask(bytes: &[u8]) -> Result<(), BlackBoxError> {
    let recording = Recording::of_bytes(Path::new("a.box"), bytes)?;
    recording.running();
    recording.longest_runs(5);
    for (id, wait, from, to) in recording.longest_waits(5) {
        recording.show(wait);
        let why = recording.why(id, from, to);
        let sum: std::time::Duration = why.parts.iter().map(|part| part.lasted).sum();
        assert_eq!(sum, why.lasted);
        _ = why.to_string();
    }
    recording.write_perfetto(std::io::sink()).unwrap();
    Ok(())
}

#[test]
fn a_truncated_box_is_refused_and_a_whole_one_is_read() {
    assert!(ask(good()).is_ok());
    let text = |bytes: &[u8]| ask(bytes).unwrap_err().to_string();
    assert!(text(&[]).contains("is no black box"));
    assert!(text(b"#!/bin/sh and so on").contains("is no black box"));
    assert!(text(&good()[..100]).contains("shorter than its header"));
    assert!(text(&good()[..good().len() - 8]).contains("its end is missing"));
    let mut other = good().to_vec();
    other[8] += 1;
    assert!(text(&other).contains("format"), "{}", text(&other));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_is_an_error_or_a_loss_and_never_a_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..200),
        header in any::<bool>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = good().to_vec();
        for (place, byte) in changes {
            // Most of what is behind the header is in use at its beginning.
            let from = if header { 0 } else { 512 };
            let at = from + place.index(bytes.len() - from);
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = ask(&bytes);
    }

    #[test]
    fn a_ring_of_nonsense_is_read_as_losses(head in any::<u64>(), words in prop::collection::vec(any::<u64>(), 512)) {
        let mut bytes = good().to_vec();
        let layout = super::super::layout::Layout::of_bytes(2, 300_000).unwrap();
        let mut put = |at: usize, word: u64| bytes[8 * at..8 * at + 8].copy_from_slice(&word.to_ne_bytes());
        put(layout.ring(0), head);
        for (offset, word) in words.iter().enumerate() {
            put(layout.events_of(0) + offset, *word);
        }
        prop_assert!(ask(&bytes).is_ok());
    }
}
