//! How results look: tables that fit a terminal, backtraces, plain JSON.
