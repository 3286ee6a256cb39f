//! The Linux backend.

#[cfg(feature = "linux")]
pub mod linux;
