//! A recursion without end, in a coroutine that owns something with a destructor.

use std::hint::black_box;
use std::sync::mpsc;

struct Door(mpsc::Sender<&'static str>);

impl Drop for Door {
    fn drop(&mut self) {
        let _ = self.0.send("shut by its destructor");
    }
}

fn main() {
    why_not_may::choose(with_may, with_grapeshot);
}

fn with_may() {
    let (done, report) = mpsc::channel();
    let coroutine = may::go!(move || {
        let _door = Door(done);
        recurse(0)
    });
    let (ended, joined) = mpsc::channel();
    std::thread::spawn(move || {
        let how = if coroutine.join().is_ok() {
            "a value"
        } else {
            "an error"
        };
        let _ = ended.send(how);
    });
    why_not_may::report("joining gives", &joined);
    why_not_may::report("the door is", &report);
}

fn with_grapeshot() {
    let (done, report) = mpsc::channel();
    grapeshot::Builder::new().name("deep").spawn(move || {
        let _door = Door(done);
        recurse(0)
    });
    why_not_may::report("the door is", &report);
}

#[allow(unconditional_recursion)]
fn recurse(depth: usize) -> usize {
    let frame = black_box([depth; 32]);
    recurse(depth + 1) + frame[0]
}
