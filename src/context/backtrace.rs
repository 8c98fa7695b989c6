//! Backtraces along frame pointers, and the names of what they pass.

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

/// Follows saved frame pointers from `frame` and returns the return addresses, at most `most`.
///
/// ```text
///   frame ──▶ │ caller's frame pointer │ ──▶ the next, at a higher address
///             │ return address         │
/// ```
///
/// # Safety
/// All of `stack` must stay mapped and unwritten meanwhile. Nothing outside it is read.
pub(crate) unsafe fn walk(mut frame: usize, stack: Range<usize>, most: usize) -> Vec<usize> {
    const WORD: usize = size_of::<usize>();
    let mut addresses = Vec::new();
    while addresses.len() < most
        && frame.is_multiple_of(WORD)
        && frame >= stack.start
        && frame + 2 * WORD <= stack.end
    {
        // SAFETY: both words were found to be inside the stack, which the caller keeps.
        let (next, address) =
            unsafe { (*(frame as *const usize), *((frame + WORD) as *const usize)) };
        if address == 0 {
            break;
        }
        addresses.push(address);
        // Stacks grow downwards, so callers are above; anything else is code without frame pointers.
        if next <= frame {
            break;
        }
        frame = next;
    }
    addresses
}

/// The functions at a return address, innermost first: more than one where calls were inlined.
pub(crate) fn resolve(address: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    // A return address is the instruction after the call, which may belong to the next line or function.
    let call = address.saturating_sub(1);
    backtrace::resolve(call as *mut std::ffi::c_void, |symbol| {
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
