//! The public items of the feature `linux`.

pub use crate::backend::health::{CheckResult, Health};
pub use crate::backend::readiness::notifications::NotifyStatus;
pub use crate::backend::run::recovery::{OnCrash, StoredUnit, stored_units};
pub use crate::backend::start::launcher::Launcher;
pub use crate::backend::status::events::Events;
pub use crate::backend::status::unit_status::{Status, StopResult, UnitEvent};
pub use crate::backend::store::journal::JournalError;
pub use crate::backend::store::state_dir::{StateDir, StateError};
pub use crate::block_on::block_on;
pub use crate::command::Command;
pub use crate::command::command_error::CommandError;
pub use crate::command::health_check::HealthCheck;
pub use crate::command::ready_by::ReadyBy;
pub use crate::command::setup_stage::SetupStage;
pub use crate::command::spawn_error::SpawnError;
pub use crate::command::streams::{Input, InputSource, Output};
pub use crate::handle::supervisor::{
    Stopping, Supervisor, SupervisorBuilder, SupervisorError, SupervisorGone, Unit,
};
pub use crate::linux::clock::now;
pub use crate::linux::containment::{Containment, ContainmentMode, LeftoverProcess};
pub use crate::linux::kernel_features::KernelFeatures;
pub use crate::linux::limit::{Limit, LimitError};
pub use crate::linux::path_error::{PathError, PathFault, Writer};
pub use crate::linux::path_trust::PathTrust;
pub use crate::linux::process::WaitStatus;
pub use crate::linux::pty::{Terminal, TerminalSize};
pub use crate::linux::signal::SignalError;
pub use crate::linux::signals::ChildrenUnwaitable;
pub use crate::linux::stop_signals::{SignalAnswer, StopSignals};
pub use crate::linux::sys::trim_memory;
pub use crate::output::capture::Capture;
pub use crate::output::line::{Line, Stream};
pub use crate::output::log_file::LogFile;
pub use crate::output::log_format::LogFormat;
pub use crate::output::pattern::{LinePattern, PatternError};
pub use crate::output::ring::LogRing;
pub use crate::output::rotation::Rotation;
pub use crate::output::sink::{LogSink, SinkCounts};
pub use crate::output::slow_sink::SlowSink;
