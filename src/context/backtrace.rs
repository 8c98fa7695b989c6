//! Backtraces along frame pointers, and the names of what they pass.

use std::fmt;
use std::ops::Range;

/// A place in the program's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The return address, or the instruction's own for the innermost.
    pub address: usize,
    /// The function's demangled name, if symbols are there.
    pub function: Option<String>,
    /// The source file, if line tables are there.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
}

impl fmt::Display for Frame {
    /// `main at src/main.rs:7`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            Some(function) => f.write_str(function)?,
            None => write!(f, "{:#x}", self.address)?,
        }
        if let (Some(file), Some(line)) = (&self.file, self.line) {
            write!(f, " at {file}:{line}")?;
        }
        Ok(())
    }
}

/// Follows saved frame pointers from `frame` and returns the return addresses, at most `most`.
///
/// ```text
///   frame ──▶ │ caller's frame pointer │ ──▶ the next, at a higher address
///             │ return address         │
/// ```
///
/// # Safety
/// All of `stack` must stay mapped and unwritten meanwhile. Nothing outside it is read.
pub(crate) unsafe fn walk(frame: usize, stack: Range<usize>, most: usize) -> Vec<usize> {
    let mut addresses = Vec::new();
    if most > 0 {
        let keep = |address| {
            addresses.push(address);
            addresses.len() < most
        };
        // SAFETY: by the caller's promise.
        unsafe { follow(frame, stack, keep) };
    }
    addresses
}

/// As [`walk`], but calls `visit` with each return address, for as long as that returns true. True: this came to the base
/// of a coroutine's stack. Allocates nothing.
///
/// # Safety
/// As for [`walk`].
pub(super) unsafe fn follow(
    mut frame: usize,
    stack: Range<usize>,
    mut visit: impl FnMut(usize) -> bool,
) -> bool {
    const WORD: usize = size_of::<usize>();
    while frame.is_multiple_of(WORD)
        && frame >= stack.start
        && frame.saturating_add(2 * WORD) <= stack.end
    {
        // SAFETY: both words were found to be inside the stack, which the caller keeps.
        let (next, address) =
            unsafe { (*(frame as *const usize), *((frame + WORD) as *const usize)) };
        if address == 0 {
            return frame.saturating_add(8 * WORD) >= stack.end;
        }
        // Stacks grow downwards, so callers are above; anything else is code without frame pointers.
        if !visit(address) || next <= frame {
            break;
        }
        frame = next;
    }
    false
}

/// The functions at a return address, innermost first: more than one where calls were inlined.
pub(crate) fn resolve(address: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    // A return address is the instruction after the call, which may belong to the next line or function: this looks at the
    // byte before it.
    backtrace::resolve(address as *mut std::ffi::c_void, |symbol| {
        frames.push(Frame {
            address,
            function: symbol.name().map(|name| format!("{name:#}")),
            file: symbol.filename().map(|file| file.display().to_string()),
            line: symbol.lineno(),
        });
    });
    if frames.is_empty() {
        frames.push(Frame {
            address,
            function: None,
            file: None,
            line: None,
        });
    }
    frames
}
