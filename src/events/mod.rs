//! What happens outside of the runtime and is waited for: calls on threads.

pub(crate) mod pool;
pub(crate) mod unblock;

#[cfg(test)]
mod tests;
