//! Commits the memory error that its argument names, inside a coroutine, so that `cargo xtask test` can see that the
//! sanitizer reports it there. With `clean` it commits none and must not be reported.

use std::hint::black_box;

fn main() {
    let which = std::env::args().nth(1).unwrap_or_default();
    grapeshot::run(move || grapeshot::spawn(move || commit(&which)).join().expect("it does not panic"));
}

fn commit(which: &str) {
    match which {
        "clean" => clean(),
        "heap-use-after-free" => heap_use_after_free(),
        "stack-buffer-overflow" => stack_buffer_overflow(),
        other => panic!("no error is called {other:?}"),
    }
}

/// Suspends with live locals and heap, as everything in the runtime does.
fn clean() {
    let heap: Vec<u8> = (0..64).collect();
    let local = black_box([7_u8; 64]);
    grapeshot::yield_now();
    assert_eq!(heap[black_box(63)] + local[black_box(0)], 70);
}

fn heap_use_after_free() {
    let freed = {
        let block = Box::new([1_u8; 64]);
        black_box(block.as_ptr())
    };
    grapeshot::yield_now();
    // SAFETY: there is none, this read is the bug that must be reported.
    black_box(unsafe { freed.add(8).read() });
}

fn stack_buffer_overflow() {
    let local = black_box([1_u8; 64]);
    grapeshot::yield_now();
    // SAFETY: there is none, this read past the array is the bug that must be reported.
    black_box(unsafe { black_box(local.as_ptr()).add(black_box(64)).read() });
}
