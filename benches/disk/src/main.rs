//! How files are best read and written without holding up a worker: by a thread of `unblock`, by [`fs`] (which first
//! reads in place what is in memory), or by io_uring. Beside them what a plain call takes, which holds up the worker.
//!
//! Called as `bench-disk [FOLDER]`, it prints a table: microseconds an operation, and processor time of that, for one
//! coroutine and for 16 at the same time, on one worker. Figures are medians of [`ROUNDS`].

#[cfg(not(target_os = "linux"))]
fn main() {
    measure::unsupported("there is no io_uring here");
}

#[cfg(target_os = "linux")]
mod uring;

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{File, OpenOptions};
    use std::io::Write;
    use std::os::unix::fs::FileExt;
    use std::path::{Path, PathBuf};
    use std::rc::Rc;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use grapeshot::{Runtime, fs, spawn_local, unblock};
    use rustix::fs::{Advice, fadvise};

    use crate::uring::Ring;

    const ROUNDS: usize = 5;
    const KIB: usize = 1 << 10;
    const MIB: usize = 1 << 20;
    /// Of the file that is read.
    const SIZE: usize = 512 * MIB;

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum What {
        Cached(usize),
        Cold(usize),
        /// With `fdatasync` after each.
        Write(usize),
    }

    #[derive(Clone, Copy)]
    enum How {
        Plain,
        Unblock,
        Fs,
        Uring,
    }

    const ALL: [(What, &str, usize); 5] = [
        (What::Cached(4 * KIB), "4 KiB read, in memory", 20_000),
        (What::Cached(MIB), "1 MiB read, in memory", 1_000),
        (What::Cold(4 * KIB), "4 KiB read, from disk", 2_000),
        (What::Cold(MIB), "1 MiB read, from disk", 160),
        (What::Write(4 * KIB), "4 KiB write and fdatasync", 640),
    ];
    const WAYS: [(How, &str); 4] = [
        (How::Plain, "plain call"),
        (How::Unblock, "unblock"),
        (How::Fs, "fs"),
        (How::Uring, "io_uring"),
    ];
    const CROWDS: [usize; 2] = [1, 16];

    /// What one way took, an operation.
    #[derive(Clone, Copy, PartialEq, PartialOrd)]
    struct Took {
        micros: f64,
        processor: f64,
    }

    pub(super) fn main() {
        let folder = std::env::args().nth(1);
        let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
        let path = folder.join(format!("grapeshot-bench-disk-{}", std::process::id()));
        make(&path);
        let runtime = Runtime::builder().workers(1).build().expect("a runtime");
        let table = runtime.run({
            let path = path.clone();
            move || measure_all(&path)
        });
        let _ = std::fs::remove_file(&path);
        print!("{table}");
    }

    fn make(path: &Path) {
        let mut file = File::create(path).expect("the file to be read");
        let bytes = vec![0x55; MIB];
        for _ in 0..SIZE / MIB {
            file.write_all(&bytes).expect("room on the disk");
        }
        file.sync_all().expect("the disk writes");
    }

    fn measure_all(path: &Path) -> String {
        let mut table = String::from("µs an operation (of the processor's)");
        for crowd in CROWDS {
            for (_, name) in WAYS {
                table += &format!(" | {name} ×{crowd}");
            }
        }
        table.push('\n');
        for (what, name, count) in ALL {
            table += name;
            for crowd in CROWDS {
                let mut rounds = [(); WAYS.len()].map(|()| Vec::new());
                for _ in 0..ROUNDS {
                    for ((how, _), took) in WAYS.iter().zip(&mut rounds) {
                        took.push(measure(path, what, *how, crowd, count));
                    }
                }
                for mut took in rounds {
                    took.sort_by(|one, other| one.micros.total_cmp(&other.micros));
                    let Took { micros, processor } = took[ROUNDS / 2];
                    table += &format!(" | {micros:.1} ({processor:.1})");
                }
            }
            table.push('\n');
        }
        table
    }

    /// `crowd` coroutines do `count` operations together.
    fn measure(path: &Path, what: What, how: How, crowd: usize, count: usize) -> Took {
        let open = || OpenOptions::new().read(true).write(true).open(path);
        let file = open().expect("it was made");
        let len = match what {
            What::Cached(len) | What::Cold(len) | What::Write(len) => len,
        };
        let places = match what {
            What::Cold(_) => {
                fadvise(&file, 0, None, Advice::DontNeed).expect("a usual file");
                SIZE / len
            }
            What::Cached(_) => 8 * MIB / len,
            What::Write(_) => 64,
        };
        if let What::Cached(_) = what {
            file.read_exact_at(&mut vec![0; 8 * MIB], 0)
                .expect("it is as long");
        }
        let ours = Rc::new(fs::File::from_std(open().expect("it was made")).expect("a usual file"));
        if let What::Cold(_) = what {
            // Nothing is read ahead.
            fadvise(&file, 0, None, Advice::Random).expect("a usual file");
            fadvise(&*ours, 0, None, Advice::Random).expect("a usual file");
        }
        let file = Arc::new(file);
        let ring = Rc::new(Ring::new().expect("a ring"));
        let (start, processor) = (Instant::now(), measure::processor_time());
        let crowd: Vec<_> = (0..crowd)
            .map(|number| {
                let (file, ours, ring) = (file.clone(), ours.clone(), ring.clone());
                spawn_local(move || {
                    let mut buf = vec![0; len];
                    for index in (number..count).step_by(crowd) {
                        // All over the file, and none twice while there are others.
                        let at = (index * 7_919 % places * len) as u64;
                        match what {
                            What::Write(_) => write(how, &file, &ours, &ring, &buf, at),
                            _ => read(how, &file, &ours, &ring, &mut buf, at),
                        }
                    }
                })
            })
            .collect();
        for one in crowd {
            one.join().expect("the disk works");
        }
        let each = |took: Duration| took.as_secs_f64() * 1e6 / count as f64;
        Took {
            micros: each(start.elapsed()),
            processor: each(measure::processor_time() - processor),
        }
    }

    /// Reads all of `buf`; what is in memory may come first.
    fn read(how: How, file: &Arc<File>, ours: &fs::File, ring: &Ring, buf: &mut [u8], at: u64) {
        let mut done = 0;
        while done < buf.len() {
            let (rest, at) = (&mut buf[done..], at + done as u64);
            let count = match how {
                How::Plain => file.read_at(rest, at),
                How::Unblock => {
                    // The thread may outlive the caller, so it has a buffer of its own.
                    let (file, len) = (file.clone(), rest.len());
                    let read = unblock(move || {
                        let mut bytes = vec![0; len];
                        file.read_at(&mut bytes, at).map(|count| (bytes, count))
                    });
                    let (bytes, count) = read.expect("a thread").expect("the disk reads");
                    rest[..count].copy_from_slice(&bytes[..count]);
                    Ok(count)
                }
                How::Fs => ours.read_at(rest, at),
                How::Uring => ring.read_at(file, rest, at),
            };
            done += count.expect("the disk reads");
        }
    }

    fn write(how: How, file: &Arc<File>, ours: &fs::File, ring: &Ring, bytes: &[u8], at: u64) {
        let written = match how {
            How::Plain => file.write_all_at(bytes, at).and_then(|()| file.sync_data()),
            How::Unblock => {
                let (file, bytes) = (file.clone(), bytes.to_vec());
                let write = move || {
                    file.write_all_at(&bytes, at)
                        .and_then(|()| file.sync_data())
                };
                unblock(write).expect("a thread")
            }
            How::Fs => ours.write_at(bytes, at).and_then(|_| ours.sync_data()),
            How::Uring => ring
                .write_at(file, bytes, at)
                .and_then(|_| ring.sync_data(file)),
        };
        written.expect("the disk writes");
    }
}
