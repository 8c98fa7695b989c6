//! Futures that need no runtime: driving them from blocking code.

pub(crate) mod block_on;

#[cfg(test)]
mod tests;
