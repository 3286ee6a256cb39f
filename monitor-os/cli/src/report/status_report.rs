//! The answer to `status`.

use monitor_core::{Exit, Explanation, Next};
use monitor_os::{LogRing, Moment, Status, Unit, now};
use serde::{Deserialize, Serialize};

use super::history::History;
use super::last_lines::failed;
use super::last_lines::last_of;
use super::process_tree::{Processes, Tree};

/// How a unit is, at one moment. As JSON it is what `monitor status --json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StatusReport {
    pub(crate) name: String,
    pub(crate) phase: String,
    pub(crate) run: u32,
    pub(crate) reason: String,
    /// The reason as a clause.
    pub(crate) why: String,
    /// What it waits for; `left_ms` says how long at most.
    pub(crate) next: String,
    pub(crate) left_ms: Option<u64>,
    /// Since when it is in its phase.
    pub(crate) since_ms: u64,
    /// Whether nothing runs and nothing is pending.
    pub(crate) down: bool,
    /// The main process.
    pub(crate) pid: Option<u32>,
    /// The containment of the run: `cgroup`, `group+subreaper` or `group`.
    pub(crate) containment: Option<String>,
    /// Who outlived the last run and was given up, each as `NAME (pid N)`.
    pub(crate) survivors: Vec<String>,
    /// What runs; absent if nothing does, or `/proc` cannot be read.
    pub(crate) tree: Option<Tree>,
    pub(crate) restarts: u32,
    pub(crate) retries_left: Option<u16>,
    pub(crate) starts_left: Option<u8>,
    /// Why the last start failed, if it did.
    pub(crate) start_error: Option<String>,
    /// The last ends, the newest first, at most [`EXITS`] of those that the monitor still keeps.
    pub(crate) exits: Vec<RunEnd>,
    /// What the last run printed in the end, at most [`LINES`] lines, if it failed and they are captured.
    #[serde(default)]
    pub(crate) last_lines: Vec<String>,
    /// The notify status of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) notify: Option<NotifyReport>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) health: Option<HealthReport>,
    /// In the text form.
    pub(crate) policy: String,
    /// Whether the last state is saved in the state directory.
    pub(crate) saved: bool,
    pub(crate) monitor: MonitorInfo,
}

/// The status that a program reported by `sd_notify(3)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NotifyReport {
    pub(crate) status: Option<String>,
    pub(crate) reloading: bool,
    pub(crate) stopping: bool,
    pub(crate) errno: Option<i32>,
    pub(crate) bus_error: Option<String>,
    /// The requests that the monitor does not honour.
    pub(crate) not_honoured: Vec<String>,
    /// Datagrams of strangers, and those that could not be read.
    pub(crate) ignored: u64,
    /// Whether another process has its address, so that its notifications are not received.
    #[serde(default)]
    pub(crate) unreachable: bool,
}

/// What health checks have shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HealthReport {
    /// Absent before the first check is over.
    pub(crate) last: Option<String>,
    pub(crate) ago_ms: Option<u64>,
    /// In a row.
    pub(crate) failures: u32,
    pub(crate) retries: u32,
}

/// One end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunEnd {
    pub(crate) run: u32,
    pub(crate) outcome: String,
    pub(crate) ago_ms: u64,
}

/// How all units of a monitor are, at one moment. As JSON it is what `monitor status --json` prints of a monitor
/// of many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Overview {
    /// In the order of their names.
    pub(crate) units: Vec<UnitSummary>,
    pub(crate) monitor: MonitorInfo,
}

/// A unit in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnitSummary {
    pub(crate) name: String,
    pub(crate) phase: String,
    pub(crate) run: u32,
    pub(crate) pid: Option<u32>,
    /// Since when it is in its phase; nobody knows without a monitor.
    pub(crate) since_ms: Option<u64>,
    pub(crate) down: bool,
    pub(crate) restarts: u32,
    /// How the last process ended, or why it could not be started.
    pub(crate) last: Option<String>,
    /// What it waits for; `left_ms` says how long at most.
    pub(crate) next: String,
    pub(crate) left_ms: Option<u64>,
    pub(crate) tree: Option<Tree>,
}

/// A report in short.
impl From<StatusReport> for UnitSummary {
    fn from(report: StatusReport) -> Self {
        let ended = report.exits.into_iter().next().map(|end| end.outcome);
        Self {
            name: report.name,
            phase: report.phase,
            run: report.run,
            pid: report.pid,
            since_ms: Some(report.since_ms),
            down: report.down,
            restarts: report.restarts,
            last: report.start_error.or(ended),
            next: report.next,
            left_ms: report.left_ms,
            tree: report.tree,
        }
    }
}

impl Overview {
    /// Looks at units.
    pub(crate) fn of(units: &[Unit], monitor: MonitorInfo) -> Self {
        let processes = Processes::scan().ok();
        let units = units.iter().map(|unit| UnitSummary::of(unit, processes.as_ref())).collect();
        Self { units, monitor }
    }
}

impl UnitSummary {
    fn of(unit: &Unit, processes: Option<&Processes>) -> Self {
        let status = unit.state();
        let at = now();
        let state = status.state();
        let ended = status.ended().map(|ended| Exit::from(ended).to_string());
        Self {
            name: unit.name().into(),
            phase: state.phase().name().into(),
            run: state.run().as_u32(),
            pid: status.pid(),
            since_ms: Some(at.nanos_since(status.since()) / NANOS_PER_MILLI),
            down: status.is_down(),
            restarts: state.restarts(),
            last: status.start_error().map(ToString::to_string).or(ended),
            next: next(&status.explain(), &status),
            left_ms: status.due().map(|due| due.nanos_since(at).div_ceil(NANOS_PER_MILLI)),
            tree: status.pid().zip(processes).and_then(|(pid, processes)| processes.tree(pid)),
        }
    }
}

/// The monitor that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MonitorInfo {
    pub(crate) pid: u32,
    pub(crate) up_ms: u64,
    /// The state directory.
    pub(crate) state: String,
    pub(crate) clients: ClientCounts,
}

/// Who is and was connected to the control socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClientCounts {
    /// At this moment, who asks included.
    pub(crate) connected: u32,
    /// Since the monitor began, those of other users and those for whom there was no room.
    pub(crate) turned_away: u64,
    /// Entries that clients have asked for and that were not kept any more.
    pub(crate) missed: u64,
}

/// How many ends a report has.
pub(crate) const EXITS: usize = 5;
/// How many lines a report has.
pub(crate) const LINES: usize = 5;

impl StatusReport {
    /// Looks at a unit.
    pub(crate) fn of(
        unit: &Unit,
        ring: Option<&LogRing>,
        history: &History,
        monitor: MonitorInfo,
    ) -> Self {
        let status = unit.state();
        let at = now();
        let state = status.state();
        let explanation = status.explain();
        let ago = |earlier| at.nanos_since(earlier) / NANOS_PER_MILLI;
        let ends = history
            .newest_first()
            .filter(|(_, entry)| entry.unit == unit.name())
            .filter(|(_, entry)| ["exited", "start-failed"].contains(&entry.event.as_str()));
        Self {
            name: unit.name().into(),
            phase: state.phase().name().into(),
            run: state.run().as_u32(),
            reason: state.reason().name().into(),
            why: explanation.why().to_string(),
            next: next(&explanation, &status),
            left_ms: status.due().map(|due| due.nanos_since(at).div_ceil(NANOS_PER_MILLI)),
            since_ms: ago(status.since()),
            down: status.is_down(),
            pid: status.pid(),
            containment: status.containment().map(|containment| containment.to_string()),
            survivors: status.survivors().iter().map(ToString::to_string).collect(),
            tree: status.pid().and_then(|pid| Processes::scan().ok()?.tree(pid)),
            restarts: state.restarts(),
            retries_left: explanation.retries_left,
            starts_left: explanation.starts_left,
            start_error: status.start_error().map(ToString::to_string),
            exits: ends
                .take(EXITS)
                .map(|(at, entry)| RunEnd {
                    run: entry.run,
                    outcome: entry.outcome.clone().unwrap_or_default(),
                    ago_ms: ago(*at),
                })
                .collect(),
            last_lines: ring
                .filter(|_| failed(state, status.policy()))
                .map(|ring| last_of(ring, state.run(), LINES))
                .unwrap_or_default()
                .into_iter()
                .map(|line| String::from_utf8_lossy(&line.text).into_owned())
                .collect(),
            notify: notify(status.notify_status()),
            health: status.health().map(|health| HealthReport {
                last: health.last.as_ref().map(|(_, checked)| checked.to_string()),
                ago_ms: health.last.as_ref().map(|(at, _)| ago(*at)),
                failures: health.failures,
                retries: health.retries,
            }),
            policy: status.policy().to_string(),
            saved: status.is_saved(),
            monitor,
        }
    }
}

impl MonitorInfo {
    pub(crate) fn new(state: String, began: Moment, clients: ClientCounts) -> Self {
        let up_ms = now().nanos_since(began) / NANOS_PER_MILLI;
        Self { pid: std::process::id(), up_ms, state, clients }
    }
}

/// `None` if nothing was said.
fn notify(notify: &monitor_os::NotifyStatus) -> Option<NotifyReport> {
    (*notify != monitor_os::NotifyStatus::default()).then(|| NotifyReport {
        status: notify.status.clone(),
        reloading: notify.is_reloading,
        stopping: notify.is_stopping,
        errno: notify.errno,
        bus_error: notify.bus_error.clone(),
        not_honoured: notify.not_honoured.iter().map(ToString::to_string).collect(),
        ignored: notify.ignored,
        unreachable: notify.is_unreachable,
    })
}

/// What is waited for, without the time, which is what is left of it and not what the policy gives.
fn next(explanation: &Explanation, status: &Status) -> String {
    let ends = status.policy().rules().start.timeout.is_some();
    match explanation.next {
        Next::Nothing => "nothing, until somebody starts it".into(),
        Next::Spawn(_) if ends => "the process is to exist, else the start has failed".into(),
        Next::Spawn(_) => "the process is to exist".into(),
        Next::SpawnToStop => "the process is to exist, to be stopped".into(),
        Next::Ready(_) if ends => "it is to be ready, else the start has failed".into(),
        Next::Ready(_) => "it is to be ready".into(),
        Next::Healthy(Some(_)) => "healthy".into(),
        Next::Healthy(None) => "runs on".into(),
        Next::LastExit => "its next exit is its last".into(),
        Next::Exit(Some(_)) => "killed, unless it ends before".into(),
        Next::Exit(None) => "it is to end, without a kill".into(),
        Next::Death(_) => "killed again".into(),
        Next::Release => "what it left is brought down".into(),
        Next::Attempt(_) | Next::WindowEnd(_) => {
            format!("attempt {}", explanation.state.run().next())
        }
    }
}

const NANOS_PER_MILLI: u64 = 1_000_000;
