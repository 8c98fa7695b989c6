//! DNS in blocking style.
//!
//! [`Resolver`] finds addresses and other records; a look-up suspends its coroutine, and never a worker.
#![forbid(unsafe_code)]

mod answer;
mod cache;
mod carrier;
mod config;
mod connect;
mod error;
mod exchange;
mod files;
mod hosts;
#[cfg(feature = "https")]
mod https;
mod limits;
pub mod message;
mod recursive;
mod resolver;
pub mod server;
mod skim;
mod statistics;
mod stub;

pub use answer::{Answer, Kind};
pub use carrier::{Carrier, Carry};
pub use config::Config;
pub use connect::{connect, install, system};
pub use error::{Attempt, Error, Failure, Transport};
pub use hickory_proto::op::ResponseCode;
pub use hickory_proto::rr::{Name, RData, Record, RecordType, rdata};
pub use hosts::Hosts;
#[cfg(feature = "https")]
pub use https::Https;
pub use limits::{Limits, MAX_NAME, MAX_POINTERS, MAX_QUESTIONS, MAX_RECORDS};
pub use message::Question;
pub use recursive::Recursion;
pub use resolver::Resolver;
pub use statistics::Statistics;
