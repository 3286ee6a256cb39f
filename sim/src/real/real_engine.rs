//! Runs cases on real processes: many at once under one supervisor, each to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::task::Context;
use std::time::Duration;
use std::{io, thread};

use monitor_core::{Millis, State};
use monitor_os::record::Recorder;
use monitor_os::{Core, Launcher, Moment, Supervisor, now};
use tempfile::TempDir;

use super::live_runs::{LiveRuns, live_runs};
use super::result::RealResult;
use super::running_case::{CasePhase, RunningCase};
use super::running_unit::RunningUnit;
use super::scripted_child::ScriptedChild;
use super::waker::thread_waker;
use crate::case::definition::Case;
use crate::world::simulation::{self, STEPS_MAX};

/// A folder for scripted children and records, and the launcher that starts them.
#[derive(Debug)]
pub struct RealEngine {
    folder: TempDir,
    launcher: Launcher,
    program: PathBuf,
    cases_run: u64,
}

impl RealEngine {
    /// An engine on which `program` follows the scripts: one that calls [`enter`](super::enter)
    /// first.
    ///
    /// # Errors
    /// No temporary folder can be made.
    pub fn new(launcher: Launcher, program: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = TempDir::with_prefix("monitor-sim-")?;
        Ok(Self { folder, launcher, program: program.into(), cases_run: 0 })
    }

    /// The folder of the files of the children.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs cases that are [playable](super::playable()), up to `width` at once, until `next` has
    /// none any more. `done` is called as each ends.
    ///
    /// # Errors
    /// The supervisor cannot be started, or the folder cannot be used.
    pub fn run(
        &mut self,
        width: usize,
        mut next: impl FnMut() -> Option<Case>,
        mut done: impl FnMut(RealResult),
    ) -> io::Result<()> {
        let supervisor = Supervisor::with_launcher(&self.launcher).map_err(io::Error::other)?;
        let waker = thread_waker();
        let mut context = Context::from_waker(&waker);
        let mut running: Vec<RunningCase> = Vec::new();
        loop {
            while running.len() < width
                && let Some(case) = next()
            {
                running.push(self.begin(&supervisor, case)?);
            }
            if running.is_empty() {
                return Ok(());
            }
            let mut soonest = now().after(Millis::new(100));
            for case in &mut running {
                case.receive_events(&mut context);
                case.poll_replies(&mut context);
                soonest = soonest.min(case.advance(now()).unwrap_or(soonest));
            }
            let mut index = 0;
            while index < running.len() {
                if running[index].phase == CasePhase::Over {
                    done(running.swap_remove(index).check()?);
                } else {
                    index += 1;
                }
            }
            // An event ends this wait.
            thread::park_timeout(Duration::from_nanos(soonest.nanos_since(now())));
        }
    }

    fn begin(&mut self, supervisor: &Supervisor, case: Case) -> io::Result<RunningCase> {
        let name = self.cases_run.to_string();
        self.cases_run += 1;
        let units = (0..case.units()).map(|number| {
            let child = ScriptedChild::write(self.folder.path(), &name, &case, number)?;
            let command = child.command(&self.program).map_err(io::Error::other)?;
            let record = self.folder.path().join(format!("{name}.{number}.record"));
            let (plain, known) = live_runs(&case, number);
            let unit = supervisor.add(format!("{name}.{number}"), command, *case.unit(number).0);
            Ok(RunningUnit {
                events: unit.events(),
                handle: unit,
                child,
                recorder: Recorder::new(File::create(&record)?),
                record,
                runs_seen: LiveRuns::default(),
                final_runs: LiveRuns::default(),
                plain,
                known,
                signals: BTreeMap::new(),
                exits: Vec::new(),
                runs: 0,
                leaked: 0,
                fault: None,
                state: State::INITIAL,
                pending_reply: None,
            })
        });
        let units = units.collect::<io::Result<Vec<_>>>()?;
        let trace = simulation::run(&case, Core, STEPS_MAX).trace;
        let length = trace.last().map_or(0, |line| line.at.as_nanos());
        let began = now();
        Ok(RunningCase {
            case,
            units,
            began,
            ends: Moment::from_nanos(began.as_nanos() + length),
            next_input: 0,
            scripted_events: BTreeSet::new(),
            phase: CasePhase::Running,
            until: began,
        })
    }
}
