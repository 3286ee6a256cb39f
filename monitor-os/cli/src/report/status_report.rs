//! The reports that answer a request for the status.

use monitor_core::{Exit, Explanation, Next, StartsCounted};
use monitor_os::{LogRing, Moment, Status, Unit, now};
use serde::{Deserialize, Serialize};

use super::history::History;
use super::last_lines::failed;
use super::last_lines::last_of;
use super::process_tree::{Processes, Tree};

/// The status of a unit at one moment. `monitor status --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StatusReport {
    pub(crate) name: String,
    pub(crate) phase: String,
    pub(crate) run: u32,
    pub(crate) reason: String,
    /// The reason as a clause.
    pub(crate) why: String,
    /// The next step; `left_ms` is the longest time until then.
    pub(crate) next: String,
    pub(crate) left_ms: Option<u64>,
    /// The time that the unit has been in its phase.
    pub(crate) since_ms: u64,
    /// Whether nothing runs and nothing is pending.
    pub(crate) down: bool,
    /// The main process.
    pub(crate) pid: Option<u32>,
    /// The containment of the run: `cgroup`, `group+subreaper` or `group`.
    pub(crate) containment: Option<String>,
    /// The processes that outlived the last run, each as `NAME (pid N)`.
    pub(crate) leftover: Vec<String>,
    /// The running processes; absent if there are none, or `/proc` cannot be read.
    pub(crate) tree: Option<Tree>,
    pub(crate) restarts: u32,
    pub(crate) retries_left: Option<u16>,
    pub(crate) starts_left: Option<u8>,
    /// The starts that `starts_left` counts: `automatic` or `all`.
    #[serde(default)]
    pub(crate) starts_counted: Option<String>,
    /// The reason for which the last start failed, if it did.
    pub(crate) start_error: Option<String>,
    /// The last ends that the monitor still keeps, the newest first, at most [`EXITS`].
    pub(crate) exits: Vec<RunEnd>,
    /// The last lines of the last run, at most [`LINES`], if it failed and they are captured.
    #[serde(default)]
    pub(crate) last_lines: Vec<String>,
    /// The notify status of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) notify: Option<NotifyReport>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) health: Option<HealthReport>,
    /// The policy in force, in the text form.
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
    /// The number of datagrams from other processes, and of unreadable ones.
    pub(crate) ignored: u64,
    /// Whether another process has the notify address, so that notifications do not arrive.
    #[serde(default)]
    pub(crate) unreachable: bool,
}

/// The results of health checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HealthReport {
    /// The last result; absent before the first check is over.
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

/// The status of all units of a monitor at one moment. `monitor status --json` prints it for a
/// monitor of many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Overview {
    /// In the order of their names.
    pub(crate) units: Vec<UnitSummary>,
    pub(crate) monitor: MonitorInfo,
}

/// The status of a unit in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnitSummary {
    pub(crate) name: String,
    pub(crate) phase: String,
    pub(crate) run: u32,
    pub(crate) pid: Option<u32>,
    /// The time that the unit has been in its phase; unknown without a running monitor.
    pub(crate) since_ms: Option<u64>,
    pub(crate) down: bool,
    pub(crate) restarts: u32,
    /// The end of the last process, or the reason for which it could not be started.
    pub(crate) last: Option<String>,
    /// The next step; `left_ms` is the longest time until then.
    pub(crate) next: String,
    pub(crate) left_ms: Option<u64>,
    pub(crate) tree: Option<Tree>,
}

/// Shortens a report.
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
    /// Reports the status of some units.
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

/// The clients of the control socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClientCounts {
    /// The clients at this moment, with the one that asks.
    pub(crate) connected: u32,
    /// The refused clients since the monitor began: those of other users, and those beyond the
    /// limit.
    pub(crate) turned_away: u64,
    /// The entries that clients requested and that were not kept any more.
    pub(crate) missed: u64,
}

/// How many ends a report has.
pub(crate) const EXITS: usize = 5;
/// How many lines a report has.
pub(crate) const LINES: usize = 5;
/// The value of `starts_counted` for a limit that counts the starts by the monitor itself.
pub(crate) const AUTOMATIC: &str = "automatic";

impl StatusReport {
    /// Reports the status of a unit.
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
            leftover: status.leftover_processes().iter().map(ToString::to_string).collect(),
            tree: status.pid().and_then(|pid| Processes::scan().ok()?.tree(pid)),
            restarts: state.restarts(),
            retries_left: explanation.retries_left,
            starts_left: explanation.starts_left,
            starts_counted: status.policy().rules().limit.map(|limit| {
                match limit.counts {
                    StartsCounted::Automatic => AUTOMATIC,
                    StartsCounted::All => "all",
                }
                .into()
            }),
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

/// The notify status; `None` if the program sent nothing.
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

/// The next step, without a time. The report has the time that is left, not the one of the policy.
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
