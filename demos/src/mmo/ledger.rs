//! A ledger of all steps, with a fault: its lock is *held across I/O*. Only `--fault ledger` keeps one; the book's chapter
//! `profiler.md` finds out why the world is slow then.

use std::io;
use std::sync::Arc;

use grapeshot::fs::{self, File};
use grapeshot::sync::Mutex;

/// The latest 1,024 steps, in a file that ends with the process.
pub struct Ledger(Mutex<Page>);

struct Page {
    file: File,
    /// Records of 16 bytes: who, where, and the page's checksum.
    records: Vec<[u32; 4]>,
    /// Where the next record goes.
    next: usize,
}

/// Records in a page.
const RECORDS: usize = 1024;

impl Ledger {
    /// An empty one, in the folder for temporary files. **May suspend.**
    ///
    /// # Errors
    /// Those of creating and removing a file.
    pub fn create() -> io::Result<Arc<Self>> {
        let path = std::env::temp_dir().join(format!("mmo-{}.ledger", std::process::id()));
        let file = File::create(&path)?;
        // Open, but nobody has to clean up after it.
        fs::remove_file(&path)?;
        Ok(Arc::new(Self(Mutex::new(Page {
            file,
            records: vec![[0; 4]; RECORDS],
            next: 0,
        }))))
    }

    /// Notes that somebody went there; returns when that is on the disk. **May suspend.**
    pub fn note(&self, who: u32, x: f32, y: f32) {
        // The fault: all wait for the lock while whoever has it waits for the disk.
        let mut page = self.0.lock();
        page.add(who, x, y);
        if let Err(error) = page.write() {
            log::warn!("the ledger is not written: {error}");
        }
    }
}

impl Page {
    fn add(&mut self, who: u32, x: f32, y: f32) {
        let seal = checksum(&self.records);
        self.records[self.next] = [who, x.to_bits(), y.to_bits(), seal];
        self.next = (self.next + 1) % RECORDS;
    }

    fn write(&self) -> io::Result<()> {
        let words = self.records.iter().flatten();
        let bytes: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
        self.file.write_all_at(&bytes, 0)?;
        self.file.sync_data()
    }
}

/// FNV-1a, a byte after the other.
#[inline(never)]
fn checksum(records: &[[u32; 4]]) -> u32 {
    let bytes = records.iter().flatten().flat_map(|word| word.to_le_bytes());
    bytes.fold(0x811c_9dc5, |sum, byte| {
        (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_sealed_with_what_was_noted_before() {
        grapeshot::run(|| {
            let ledger = Ledger::create().expect("a folder for temporary files");
            let empty = checksum(&ledger.0.lock().records);
            ledger.note(7, 1.5, 2.5);
            ledger.note(8, 0.0, 0.0);
            let page = ledger.0.lock();
            assert_eq!(
                page.records[0],
                [7, 1.5f32.to_bits(), 2.5f32.to_bits(), empty]
            );
            let mut before = page.records.clone();
            before[1] = [0; 4];
            assert_eq!(page.records[1], [8, 0, 0, checksum(&before)]);
            assert_ne!(page.records[1][3], empty);
        });
    }

    #[test]
    fn checksums_are_fnv_1a() {
        // Of sixteen zero bytes: the offset basis, multiplied sixteen times.
        let expected = (0..16).fold(0x811c_9dc5_u32, |sum, _| sum.wrapping_mul(0x0100_0193));
        assert_eq!(checksum(&[[0; 4]]), expected);
        assert_ne!(checksum(&[[1, 2, 3, 4]]), checksum(&[[4, 3, 2, 1]]));
    }
}
