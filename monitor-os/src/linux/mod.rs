//! The Linux backend: safe and typed primitives that decide nothing, the kernel that the driver runs on,
//! and the handles.
//!
//! A child is started by `posix_spawn(3)` as the leader of a session and a process group of its
//! own, is waited for and signalled through a pidfd, and is reaped last: as long as it is unreaped its
//! numbers cannot be given to a stranger. Linux 5.4 is the oldest kernel that has all of it
//! (`waitid(2)` on a pidfd).
//!
//! A run is held together by a control group where one may be made, else by its process group and, if the process
//! takes that upon itself, its orphans: `containment` says which, `cgroup`, `group` and `orphans` are the three.
//! What the kernel has beyond that is a value, [`KernelFeatures`].
//!
//! With a [`Launcher`] the child is a helper first, which waits for the go-ahead before it becomes the program. So a
//! run of a unit in a [`StateDir`] is recorded before its program runs, and a monitor that
//! dies at any moment leaves nothing that the next one does not find. Its files: `launcher` is the helper,
//! `setup` what it sets, with `environment`, `account` and `limit`; `descriptors` what is kept from a program; `launch` its other end, `journal` the record,
//! `identity` the proof, `recovery` the finding, `adopted` what was found.
//!
//! What programs print and read: `stdio` is what a run is given, `file_streams` what the helper opens
//! for it by `guarded` paths, `output` the thread that reads, `log_files` the files for a
//! later reader, `stdin_pump` the thread that copies the input, `pty` the terminal.

mod account;
mod adopted;
mod block_on;
mod cgroup;
mod clock;
mod command;
mod containment;
mod descriptors;
mod environment;
mod epoll;
mod events;
mod file_streams;
mod group;
mod guarded;
mod health;
mod identity;
mod inbox;
mod journal;
mod kernel_features;
mod launch;
mod launcher;
mod limit;
mod log_files;
mod notifications;
mod notify;
mod oom;
mod orphans;
mod output;
mod process;
mod pty;
mod published;
mod reactor;
mod readiness;
mod recovery;
mod run;
mod run_name;
mod setup;
mod signals;
mod spawn;
mod state_dir;
mod status;
mod stdin_pump;
mod stdio;
mod stop_signals;
mod supervisor;
mod sys;
#[cfg(test)]
mod testing;
mod timer;
mod unit;
mod unit_store;
mod wake;

pub use block_on::block_on;
pub use clock::now;
pub use command::{Command, CommandError};
pub use containment::{Contain, Containment, Survivor};
pub use events::Events;
pub use guarded::{PathError, PathFault, PathTrust, Writer};
pub use health::{CheckResult, Health, HealthCheck};
pub use journal::JournalError;
pub use kernel_features::KernelFeatures;
pub use launcher::Launcher;
pub use limit::{Limit, LimitError};
pub use log_files::LogFile;
pub use notifications::NotifyStatus;
pub use output::{
    Capture, Input, InputSource, Line, LinePattern, LogFormat, LogRing, LogSink, Output,
    PatternError, Rotation, SinkCounts, Slow, Stream,
};
pub use process::{Ended, SignalError};
pub use pty::{Terminal, TerminalSize};
pub use readiness::ReadyBy;
pub use recovery::{OnCrash, StoredUnit, stored_units};
pub use setup::SetupStage;
pub use signals::ChildrenUnwaitable;
pub use spawn::SpawnError;
pub use state_dir::{StateDir, StateError};
pub use status::{Notice, Status, StopResult};
pub use stop_signals::{SignalAnswer, StopSignals};
pub use supervisor::{
    Stopping, Supervisor, SupervisorBuilder, SupervisorError, SupervisorGone, Unit,
};
pub use sys::trim_memory;
