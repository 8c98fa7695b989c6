//! How the primitives behave.
