//! Recovery of the run that an earlier monitor left, by its journal.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use monitor_core::{Exit, Found, Phase, RunId, State};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::backend::run::adopted::{Adopted, AdoptedStatus};
use crate::backend::run::supervised_run::{Progress, scan_group};
use crate::backend::start::launcher::{self, is_launching};
use crate::backend::store::journal::UnitRecord;
use crate::backend::store::state_dir::{StateDir, StateError, read_all};
use crate::linux::cgroup::RunCgroup;
use crate::linux::containment::LeftoverProcess;
use crate::linux::group::{ReapedGroup, Remainder, doubtful_members};
use crate::linux::identity::{BootId, Identity};
use crate::linux::kernel_features::KernelFeatures;
use crate::linux::leader_pid::LeaderPid;
use crate::linux::procfs::has_ended;
use crate::output::log_file::LogFile;
use crate::telemetry;

/// Treatment of a process that outlived its monitor, when the next monitor finds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnCrash {
    /// The process continues under the new monitor. Its exit is known from Linux 6.15 on; before,
    /// it is *unknown*.
    #[default]
    Adopt,
    /// The process is killed with its group and counts as a run with an unknown exit.
    ///
    /// The policy decides the next action.
    Kill,
}

/// A unit in a state directory, with or without a running monitor; read by [`stored_units`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredUnit {
    /// The name of the unit.
    pub unit: String,
    /// The last saved state.
    pub state: State,
    /// The process id of the live main process, verified by its identity, for display only.
    ///
    /// It belongs to the run that the state names. Another process may have the number at the time
    /// of use.
    pub pid: Option<u32>,
    /// The log file of the last run's standard output.
    ///
    /// `None` without a log file.
    pub stdout: Option<LogFile>,
    /// The log file of the last run's standard error.
    pub stderr: Option<LogFile>,
}

/// Reads the units that are stored in a state directory, in the order of their names.
///
/// The call takes no lock and changes nothing. A missing directory stores no units.
///
/// # Errors
/// [`StateError::Unusable`]; [`StateError::Journal`] about the first invalid journal;
/// [`StateError::Leftover`] if a process could not be looked up.
pub fn stored_units(directory: &Path) -> Result<Vec<StoredUnit>, StateError> {
    let unusable = |source| StateError::Unusable { path: directory.into(), source };
    let boot = BootId::current().map_err(unusable)?;
    let features = KernelFeatures::probe();
    let records = read_all(directory, boot)?.into_iter().map(|record| {
        let state = record.state;
        let process = record.process.filter(|&(of, _)| of == state.run() && record.boot == boot);
        let number = process.and_then(|(_, identity)| u32::try_from(identity.pid.as_raw()).ok());
        let held = process.map_or(Ok(None), |(_, identity)| identity.find(features));
        let held = held
            .map_err(|source| StateError::Leftover { pid: number.unwrap_or_default(), source })?;
        let pid = number.filter(|_| held.is_some_and(|held| !has_ended(&held)));
        let [stdout, stderr] = record.log_files.files();
        Ok(StoredUnit { unit: record.unit.to_string(), state, pid, stdout, stderr })
    });
    records.collect()
}

/// The run of an earlier monitor.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) state: State,
    pub(crate) run: RunId,
    pub(crate) found: Found,
    pub(crate) remaining: Option<RemainingRun>,
    /// Processes of unproved origin, which were therefore not touched.
    pub(crate) doubtful: Vec<LeftoverProcess>,
}

/// The part of the run that still exists.
#[derive(Debug)]
pub(crate) struct RemainingRun {
    pub(crate) progress: Progress,
    /// The control group of the run.
    pub(crate) cgroup: Option<RunCgroup>,
    /// The number of the main process, if it lives.
    pub(crate) pid: Option<u32>,
}

/// Finds the rest of the run in a unit's journal; `None` if the unit was never started.
///
/// The call blocks for up to 3 s if the main process has ended and its new parent has not reaped it
/// yet. It blocks for up to 10 s for the death of killed processes.
///
/// # Errors
/// See [`StateError`].
pub(crate) fn recover(
    state: &StateDir,
    record: &UnitRecord,
    on_crash: OnCrash,
    features: KernelFeatures,
) -> Result<Option<Recovered>, StateError> {
    let run = record.state.run();
    if record.state.phase() == Phase::Idle {
        return Ok(None);
    }
    let mut recovered = Recovered {
        state: record.state,
        run,
        found: Found::Gone,
        remaining: None,
        doubtful: Vec::new(),
    };
    if record.boot != state.boot() {
        recovered.found = Found::Rebooted;
        return Ok(Some(recovered));
    }
    let process = record.process.filter(|&(of, _)| of == run).map(|(_, identity)| identity);
    if let Some(identity) = process {
        let pid = identity.pid;
        let cgroup =
            record.cgroup.as_ref().map_or(Ok(None), |location| RunCgroup::find(location, features));
        let sought = cgroup.and_then(|cgroup| seek(&identity, cgroup, record, on_crash, features));
        let (found, left) = sought.map_err(|source| StateError::Leftover {
            pid: u32::try_from(pid.as_raw()).unwrap_or_default(),
            source,
        })?;
        recovered.found = found;
        recovered.remaining = left;
        // An unproved number identifies no other members.
        let known = match recovered.remaining.as_ref().map(|left| &left.progress) {
            None => Some(None),
            Some(Progress::Leftover(known)) => Some(Some(known)),
            Some(_) => None,
        };
        if let Some(known) = known.filter(|_| record.state.phase().has_run()) {
            // The list is only for display, so an error leaves it empty.
            let doubtful = doubtful_members(pid, known).unwrap_or_default();
            recovered.doubtful = doubtful.into_iter().map(LeftoverProcess::of).collect();
            if !recovered.doubtful.is_empty() {
                telemetry::left_alone(&record.unit, &recovered.doubtful);
            }
        }
    }
    Ok(Some(recovered))
}

fn seek(
    identity: &Identity,
    mut cgroup: Option<RunCgroup>,
    record: &UnitRecord,
    on_crash: OnCrash,
    features: KernelFeatures,
) -> io::Result<(Found, Option<RemainingRun>)> {
    let (pid, state, mark) = (identity.pid, record.state, record.mark.as_deref().copied());
    let until = record.known_until();
    // A released run has numbers that other processes may have reused.
    let unreleased = state.phase().has_run();
    let Some(pidfd) = identity.find(features)? else {
        if !unreleased {
            return Ok((Found::Gone, None));
        }
        if let Some(mut cgroup) = cgroup {
            if on_crash == OnCrash::Kill {
                kill_contained(&mut cgroup)?;
            }
            let populated = cgroup.is_populated()?;
            let progress = Progress::Contained;
            let left =
                populated.then_some(RemainingRun { progress, cgroup: Some(cgroup), pid: None });
            return Ok((Found::Gone, left));
        }
        let mut left = scan_group(ReapedGroup::last_held(pid, until).marked(mark));
        if on_crash == OnCrash::Kill
            && let Some(Progress::Leftover(remainder)) = &mut left
        {
            kill(remainder)?;
            left = None;
        }
        return Ok((
            Found::Gone,
            left.map(|progress| RemainingRun { progress, cgroup: None, pid: None }),
        ));
    };
    let starting = matches!(state.phase(), Phase::Starting | Phase::Cancelling | Phase::Aborting);
    if starting {
        // The helper has the go-ahead, or it sees the end of its monitor.
        await_program(pid, &pidfd)?;
    }
    let lives = !has_ended(&pidfd);
    let mut adopted = Adopted::new(pid, pidfd.try_clone()?, mark, features)?;
    if lives && on_crash == OnCrash::Adopt {
        let number = u32::try_from(pid.as_raw()).ok();
        let progress = Progress::Adopted(Box::new(adopted));
        return Ok((Found::Alive, Some(RemainingRun { progress, cgroup, pid: number })));
    }
    if on_crash == OnCrash::Kill {
        let mut group = adopted.into_group();
        if let Some(cgroup) = &mut cgroup {
            kill_contained(cgroup)?;
        }
        kill(&mut group)?;
        return Ok((Found::Gone, None));
    }
    // No event is requested: the poll returns the hang-up alone, which comes at the reaping.
    poll(&mut [PollFd::new(&pidfd, PollFlags::empty())], Some(&REAP_LIMIT)).ok();
    let found = match adopted.poll() {
        AdoptedStatus::Ended(ended) => match Exit::from(ended) {
            Exit::Unknown => Found::Gone,
            // This code may be that of the helper, so it is no exit of the program.
            Exit::Code(code) if starting && i32::from(code) == launcher::NOT_LAUNCHED => {
                Found::Gone
            }
            exit @ (Exit::Code(_) | Exit::Signal(_)) => Found::Exited(exit),
        },
        AdoptedStatus::Alive | AdoptedStatus::Unreaped => Found::Gone,
    };
    let progress = Progress::Departed(adopted.into_group());
    // Nobody waits for what a released run left.
    Ok((found, unreleased.then_some(RemainingRun { progress, cgroup, pid: None })))
}

/// Waits until the helper has become the program or has ended.
fn await_program(pid: LeaderPid, pidfd: &OwnedFd) -> io::Result<()> {
    for _ in 0..POLLS {
        if has_ended(pidfd) || !is_launching(pid.as_raw()) {
            return Ok(());
        }
        poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&POLL_INTERVAL)).ok();
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Kills a group until no process is found in it.
fn kill(group: &mut Remainder) -> io::Result<()> {
    for _ in 0..POLLS {
        group.rescan()?;
        let Some(last) = group.pidfds().last() else {
            return Ok(());
        };
        group.stop(KILL).map_err(io::Error::other)?;
        poll(&mut [PollFd::new(&last, PollFlags::IN)], Some(&POLL_INTERVAL)).ok();
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Kills a control group until no process is in it.
fn kill_contained(cgroup: &mut RunCgroup) -> io::Result<()> {
    for _ in 0..POLLS {
        if !cgroup.is_populated()? {
            return Ok(());
        }
        cgroup.kill().map_err(io::Error::other)?;
        poll(&mut [PollFd::new(&cgroup.events(), PollFlags::PRI)], Some(&POLL_INTERVAL)).ok();
    }
    Err(io::ErrorKind::TimedOut.into())
}

const KILL: u8 = 9;
/// Polls for ten seconds.
const POLLS: u32 = 1_000;
const POLL_INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
const REAP_LIMIT: Timespec = Timespec { tv_sec: 3, tv_nsec: 0 };

#[cfg(test)]
mod tests {
    use monitor_core::{Event, Policy};
    use tempfile::{TempDir, tempdir};

    use super::*;
    use crate::backend::store::log_files::LogFiles;
    use crate::backend::store::state_dir::Durability;
    use crate::linux::mark::Mark;
    use crate::linux::process::Process;
    use crate::linux::procfs::start_time;
    use crate::linux::run_name::RunName;
    use crate::testing::{available_features, finish, sleeper, until, wait_readable};
    use rustix::process::Pid;

    struct Scene {
        state: StateDir,
        _directory: TempDir,
    }

    impl Scene {
        fn new() -> Self {
            let directory = tempdir().unwrap();
            Self { state: StateDir::open(directory.path()).unwrap(), _directory: directory }
        }

        /// The record of a monitor that died after these events.
        fn record(&self, process: &Process, events: &[&str]) -> UnitRecord {
            let step = |state, event: &&str| {
                Policy::DEFAULT.step(state, event.parse::<Event>().unwrap()).state
            };
            let state = events.iter().fold(State::INITIAL, step);
            let identity = Identity::of(process.pid(), process, available_features()).unwrap();
            let boot = self.state.boot();
            let mark = Mark { name: RunName::next().unwrap(), owner: None };
            UnitRecord {
                unit: "x".into(),
                boot,
                state,
                process: Some((state.run(), identity)),
                held: 0,
                cgroup: None,
                mark: Some(Box::new(mark)),
                log_files: LogFiles::default(),
            }
        }

        fn found(&self, record: &UnitRecord) -> Found {
            recover(&self.state, record, OnCrash::Adopt, available_features())
                .unwrap()
                .unwrap()
                .found
        }
    }

    const RUNNING: [&str; 2] = ["start", "started #1"];
    const BACKING_OFF: [&str; 4] = ["start", "started #1", "exited #1 code=1", "released #1"];

    #[test]
    fn never_started_is_nothing() {
        let scene = Scene::new();
        let process = sleeper();
        let record = UnitRecord { state: State::INITIAL, ..scene.record(&process, &[]) };
        assert!(
            recover(&scene.state, &record, OnCrash::Adopt, available_features()).unwrap().is_none()
        );
        process.stop_group(KILL).unwrap();
        finish(process);
    }

    #[test]
    fn identity_boot_and_run_must_all_match() {
        let scene = Scene::new();
        let process = sleeper();
        let record = scene.record(&process, &RUNNING);
        assert_eq!(scene.found(&record), Found::Alive);

        let boot = "00000000-0000-0000-0000-000000000000".parse().unwrap();
        assert_eq!(scene.found(&UnitRecord { boot, ..record.clone() }), Found::Rebooted);
        let other = Some((RunId::new(7), record.process.unwrap().1));
        assert_eq!(scene.found(&UnitRecord { process: other, ..record.clone() }), Found::Gone);
        assert_eq!(scene.found(&UnitRecord { process: None, ..record.clone() }), Found::Gone);
        let stranger = format!("pid={} start=1", process.pid().as_raw()).parse().unwrap();
        let stranger = UnitRecord { process: Some((RunId::new(1), stranger)), ..record };
        let recovered =
            recover(&scene.state, &stranger, OnCrash::Kill, available_features()).unwrap().unwrap();
        assert_eq!(recovered.found, Found::Gone);
        assert_eq!(process.peek(), None, "a stranger was killed");
        process.stop_group(KILL).unwrap();
        finish(process);
    }

    #[test]
    fn what_is_remembered_can_be_read_while_it_is_held() {
        let scene = Scene::new();
        let path = scene.state.path().to_owned();
        assert_eq!(stored_units(&path.join("none")).unwrap(), []);
        assert_eq!(stored_units(&path).unwrap(), []);
        let process = sleeper();
        let record = scene.record(&process, &RUNNING);
        scene.state.write(&record, Durability::Lasting).unwrap();
        let pid = u32::try_from(process.pid().as_raw()).ok();
        let told = |pid| {
            [StoredUnit { unit: "x".into(), state: record.state, pid, stdout: None, stderr: None }]
        };
        assert_eq!(stored_units(&path).unwrap(), told(pid));
        process.stop_group(KILL).unwrap();
        wait_readable(&process);
        assert_eq!(stored_units(&path).unwrap(), told(None));
        finish(process);
        std::fs::write(path.join("y.journal"), "no journal").unwrap();
        assert!(matches!(stored_units(&path).unwrap_err(), StateError::Journal { .. }));
    }

    #[test]
    fn killed_with_its_group() {
        let scene = Scene::new();
        let process = sleeper();
        let record = scene.record(&process, &RUNNING);
        let recovered =
            recover(&scene.state, &record, OnCrash::Kill, available_features()).unwrap().unwrap();
        assert!(recovered.remaining.is_none());
        assert_eq!(recovered.found, Found::Gone);
        wait_readable(&process);
        finish(process);
    }

    /// Reaps a shell that has ended, once its `sleep` runs as the program, not as a copy of the
    /// shell.
    fn remainder(process: Process) -> Remainder {
        let left = process.reap().unwrap().group.remainder().unwrap();
        let comm = |pid: Pid| format!("/proc/{}/comm", pid.as_raw_nonzero());
        until(|| left.pids().all(|pid| std::fs::read(comm(pid)).unwrap() == b"sleep\n"));
        left
    }

    /// The first tick after the starts of all remaining processes.
    fn after_starts(left: &Remainder) -> u64 {
        let starts = left.pids().map(|pid| start_time(pid.as_raw_nonzero().get()).unwrap());
        starts.max().unwrap() + 1
    }

    /// Goal: BB-82 for groups. A group with a recorded number is killed only if it is proved to be
    /// the run's; otherwise it is reported. Method: a group of this test, whose leader is gone,
    /// stands for a foreign group that reuses the number. Its members start before and after the
    /// last held tick.
    #[test]
    fn group_of_a_stranger_that_got_the_number_is_left_and_named() {
        let scene = Scene::new();
        let process = crate::testing::shell("sleep 1000 & exit 1");
        wait_readable(&process);
        let record = scene.record(&process, &RUNNING);
        let mut stranger = remainder(process);
        let after = after_starts(&stranger);
        let kill = |record: &UnitRecord| {
            let recovered = recover(&scene.state, record, OnCrash::Kill, available_features())
                .unwrap()
                .unwrap();
            assert_eq!(recovered.found, Found::Gone);
            assert!(recovered.remaining.is_none());
            recovered.doubtful
        };
        let foreign = Some(Box::new(Mark {
            name: "monitor-1-2-00112233445566778899aabbccddeeff-4".parse().unwrap(),
            owner: None,
        }));
        for doubtful in [
            UnitRecord { held: 0, ..record.clone() },
            UnitRecord { held: after - 1, ..record.clone() },
            // In another PID namespace the number means nothing.
            UnitRecord { held: after, mark: foreign, ..record.clone() },
        ] {
            let named: Vec<_> = kill(&doubtful).iter().map(|left| left.name.clone()).collect();
            assert_eq!(named, ["sleep"]);
            stranger.rescan().unwrap();
            assert!(!stranger.is_empty(), "a stranger was killed");
        }
        assert_eq!(kill(&UnitRecord { held: after, ..record }), []);
        stranger.pidfds().for_each(wait_readable);
    }

    /// Goal: the group of a released run is not searched, because another process may have its
    /// number.
    #[test]
    fn group_of_a_released_run_is_let_alone() {
        let scene = Scene::new();
        let process = crate::testing::shell("sleep 1000 & exit 1");
        wait_readable(&process);
        let over = scene.record(&process, &BACKING_OFF);
        let running = scene.record(&process, &RUNNING);
        let mut left = remainder(process);
        let running = UnitRecord { held: after_starts(&left), ..running };
        assert!(
            recover(&scene.state, &over, OnCrash::Kill, available_features())
                .unwrap()
                .unwrap()
                .remaining
                .is_none()
        );
        left.rescan().unwrap();
        assert!(!left.is_empty());
        let recovered =
            recover(&scene.state, &running, OnCrash::Adopt, available_features()).unwrap().unwrap();
        assert!(matches!(
            recovered.remaining,
            Some(RemainingRun { progress: Progress::Leftover(_), .. })
        ));
        left.stop(KILL).unwrap();
        left.pidfds().for_each(wait_readable);
    }
}
