//! A recording in the format of Chrome's traces, which Perfetto opens.
//!
//! <https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMh4h6I0nSsKchNAySU>: an array of objects, of which `ph` says
//! the kind. Workers are the threads of the first process, what coroutines wait for is in the second.

use std::collections::HashSet;
use std::io::{self, Write};
use std::time::Duration;

use super::history::{History, State};
use super::recording::Recording;

/// The processes of the trace.
const WORKERS: u32 = 1;
const WAITS: u32 = 2;

impl Recording {
    /// Writes it as a trace that <https://ui.perfetto.dev> and `chrome://tracing` open: who ran on each worker from when to
    /// when, and for what each coroutine waited. **May suspend**, if `out` does.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_perfetto(&self, mut out: impl Write) -> io::Result<()> {
        let history = History::of(self);
        write!(out, "{{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
        let program = json(&self.program);
        write!(
            out,
            "{{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":{WORKERS},\"args\":{{\"name\":{program}}}}}"
        )?;
        write!(
            out,
            ",\n{{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":{WAITS},\"args\":{{\"name\":\"waits\"}}}}"
        )?;
        for worker in 0..self.workers {
            write!(
                out,
                ",\n{{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":{WORKERS},\"tid\":{worker},\
                 \"args\":{{\"name\":\"worker {worker}\"}}}}"
            )?;
        }
        let mut coroutines: Vec<_> = history.coroutines().collect();
        coroutines.sort_unstable();
        let mut waited = HashSet::new();
        for id in coroutines {
            let name = json(&self.name(id));
            for segment in history.all(id) {
                let (from, lasted) = (micros(segment.from), micros(segment.to - segment.from));
                match segment.state {
                    State::Runs { worker } => {
                        let worker = worker.unwrap_or(self.workers);
                        write!(
                            out,
                            ",\n{{\"ph\":\"X\",\"name\":{name},\"pid\":{WORKERS},\"tid\":{worker},\"ts\":{from},\
                             \"dur\":{lasted},\"args\":{{\"coroutine\":{id}}}}}"
                        )?;
                    }
                    State::Waits { wait, .. } => {
                        if waited.insert(id) {
                            write!(
                                out,
                                ",\n{{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":{WAITS},\"tid\":{id},\
                                 \"args\":{{\"name\":{name}}}}}"
                            )?;
                        }
                        let what = json(&self.show(wait));
                        write!(
                            out,
                            ",\n{{\"ph\":\"X\",\"name\":{what},\"pid\":{WAITS},\"tid\":{id},\"ts\":{from},\"dur\":{lasted}}}"
                        )?;
                    }
                    State::Ready { .. } => {}
                }
            }
        }
        writeln!(out, "]}}")
    }
}

/// Microseconds, to the nanosecond.
fn micros(time: Duration) -> String {
    let nanos = time.as_nanos();
    format!("{}.{:03}", nanos / 1_000, nanos % 1_000)
}

/// Text as JSON has it.
fn json(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control < ' ' => quoted.push_str(&format!("\\u{:04x}", control as u32)),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
