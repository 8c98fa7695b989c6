#[cfg(feature = "futures-io")]
mod async_io;
mod block_on;
mod sleep;
