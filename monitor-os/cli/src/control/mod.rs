//! Control of a running monitor: a Unix socket in its state directory.
//!
//! A client connects, writes one request as one line of JSON, and reads replies, one a line, until
//! the monitor closes the connection.

pub(crate) mod client;
mod handler;
mod listener;
pub(crate) mod protocol;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod server;
mod session;
mod socket;
