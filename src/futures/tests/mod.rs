#[cfg(feature = "futures-io")]
mod async_io;
mod block_on;
#[cfg(all(feature = "futures-io", target_os = "linux"))]
mod descriptors;
mod sleep;
