//! Runs cases on real processes: many at once under one supervisor, each to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use monitor_core::{Action, Event, Exit, Lifecycle, Millis, Note, Phase, Remains, Signal, State};
use monitor_os::record::{Record, Recorder};
use monitor_os::{Core, Events, Launcher, Moment, Notice, Supervisor, Unit, now};
use tempfile::TempDir;

use super::live_runs::{LiveRuns, live_runs};
use super::scripted_child::ScriptedChild;
use crate::case::{Case, InputKind, Script};
use crate::hunt::STEPS_MAX;
use crate::replay::{self, Dispute};
use crate::world;

/// A folder for scripted children and records, and the launcher that starts them.
#[derive(Debug)]
pub struct RealEngine {
    folder: TempDir,
    launcher: Launcher,
    program: PathBuf,
    cases_run: u64,
}

/// The result of a case on real processes.
#[derive(Debug)]
pub struct RealResult {
    /// The case.
    pub case: Case,
    /// Steps that were recorded and accepted.
    pub steps: usize,
    /// Runs whose process existed.
    pub runs: usize,
    /// How each run ended whose end was reported.
    pub exits: Vec<Exit>,
    /// Runs that left something behind, as it was reported.
    pub leaked: usize,
    /// Whether observers saw the runs that the simulator shows.
    pub simulator_match: SimulatorMatch,
    /// What was wrong.
    pub fault: Option<RealFault>,
    /// The records of its units, in the order of their numbers.
    pub records: Vec<String>,
}

/// How the lives of a case compare with those that the simulator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SimulatorMatch {
    /// It is the life of the case as it is.
    Same,
    /// It is one that the simulator finds when things are a little late.
    Late,
    /// It is none of those. Where inputs meet within milliseconds that may be.
    Other,
}

/// What was wrong with a case on real processes.
#[derive(Clone, Debug)]
pub enum RealFault {
    /// The record disagrees with the machine, or a property is violated.
    Disputed(Box<Dispute>),
    /// The record cannot be read.
    Unreadable(String),
    /// It did not come down within a minute of its kill.
    NotDown,
    /// The reported status of a run is one that it cannot have ended with.
    WrongStatus {
        /// The run.
        run: u32,
        /// The reported status.
        reported: Exit,
    },
    /// How a run ended is not known.
    Lost {
        /// The run.
        run: u32,
    },
    /// A scripted child complains: it was the second at a time, or could not follow its script.
    Complaint(String),
    /// More runs have begun than were reported.
    Unrecorded {
        /// Runs that have begun.
        begun: u32,
        /// Runs that were reported.
        reported: u32,
    },
}

impl fmt::Display for RealFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disputed(dispute) => dispute.fmt(f),
            Self::Unreadable(error) => write!(f, "the record cannot be read: {error}"),
            Self::NotDown => write!(f, "not down {} s after its kill", PATIENCE.as_u32() / 1_000),
            Self::WrongStatus { run, reported } => {
                write!(f, "run #{run} cannot have ended with {reported}")
            }
            Self::Lost { run } => write!(f, "the status of run #{run} was lost"),
            Self::Complaint(complaint) => write!(f, "a scripted child complains: {complaint}"),
            Self::Unrecorded { begun, reported } => {
                write!(f, "{begun} runs have begun, and {reported} were reported")
            }
        }
    }
}

/// How long a case may take for what it has to do within milliseconds.
const PATIENCE: Millis = Millis::from_secs(60);

impl RealEngine {
    /// An engine on which `program` follows the scripts: one that calls [`enter`](super::enter) first.
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

    /// Runs cases that are [playable](super::playable()), up to `width` at once, until `next` has none any more. `done` is
    /// called as each ends.
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
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
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
        let trace = world::run(&case, Core, STEPS_MAX).trace;
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

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A case that is running.
struct RunningCase {
    case: Case,
    units: Vec<RunningUnit>,
    began: Moment,
    /// When it is over in the virtual world.
    ends: Moment,
    next_input: usize,
    /// The events that the scripts ask for, which the engine reports in the place of the children.
    scripted_events: BTreeSet<(Moment, usize, u32, ScriptedEvent)>,
    phase: CasePhase,
    /// When the phase ends at the latest.
    until: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CasePhase {
    Running,
    /// All inputs are given and the time is over; some runs are not reported to their end.
    Waiting,
    /// What is left is killed.
    Ending,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ScriptedEvent {
    Ready,
    Ping,
    Extend,
    Unhealthy,
}

/// One unit of a running case.
struct RunningUnit {
    handle: Unit,
    events: Events,
    child: ScriptedChild,
    recorder: Recorder<File>,
    record: PathBuf,
    /// What was reported so far, and what was reported when the case was over.
    runs_seen: LiveRuns,
    final_runs: LiveRuns,
    plain: LiveRuns,
    known: BTreeSet<LiveRuns>,
    /// The signals that each run was sent.
    signals: BTreeMap<u32, Vec<Signal>>,
    exits: Vec<Exit>,
    runs: u32,
    leaked: usize,
    fault: Option<RealFault>,
    /// The state that was reported last.
    state: State,
    /// Waits until every request was handled.
    pending_reply: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl RunningCase {
    /// Receives the events of all units.
    fn receive_events(&mut self, context: &mut Context<'_>) {
        for number in 0..self.units.len() {
            loop {
                let next = pin!(self.units[number].events.next()).poll(context);
                let Poll::Ready(Some(notice)) = next else { break };
                self.note(number, &notice);
            }
        }
    }

    /// Finds out which units have handled every request.
    fn poll_replies(&mut self, context: &mut Context<'_>) {
        for unit in &mut self.units {
            let pending_reply = unit.pending_reply.as_mut();
            if pending_reply
                .is_some_and(|pending_reply| pending_reply.as_mut().poll(context).is_ready())
            {
                unit.pending_reply = None;
            }
        }
    }

    fn note(&mut self, number: usize, notice: &Notice) {
        let run = notice.step.state.run().as_u32();
        let script = *self.case.script(number, (run as usize).saturating_sub(1));
        // A run that was killed before its child began is not counted by the children, so that a later one may follow
        // its script.
        let scripts: Vec<Script> =
            (0..run as usize).map(|nth| *self.case.script(number, nth)).collect();
        self.units[number].note(notice, &scripts);
        if notice.lifecycle() == Some(Lifecycle::Started) {
            let mut plan = |after: Option<Millis>, event| {
                let at = after.map(|after| notice.at.after(after));
                self.scripted_events.extend(at.map(|at| (at, number, run, event)));
            };
            plan(script.ready, ScriptedEvent::Ready);
            plan(script.pings, ScriptedEvent::Ping);
            plan(script.extends, ScriptedEvent::Extend);
            plan(script.unhealthy, ScriptedEvent::Unhealthy);
        }
    }

    /// Does what is due; returns when something is due again.
    fn advance(&mut self, at: Moment) -> Option<Moment> {
        while let Some(&event) = self.scripted_events.first().filter(|event| event.0 <= at) {
            self.scripted_events.remove(&event);
            self.send(event);
        }
        while let Some(input) = self.case.inputs.get(self.next_input)
            && self.began.after(input.at) <= at
        {
            let (unit, kind) = (usize::from(input.unit), input.kind);
            self.next_input += 1;
            if let Some(unit) = self.units.get(unit) {
                send_input(&unit.handle, kind);
            }
        }
        self.advance_phase(at);
        let input = self.case.inputs.get(self.next_input).map(|input| self.began.after(input.at));
        let event = self.scripted_events.first().map(|&(at, ..)| at);
        let phase = (self.phase == CasePhase::Running).then_some(self.ends);
        [input, event, phase].into_iter().flatten().min()
    }

    /// Reports an event in the place of a scripted child, if its run goes on.
    fn send(&mut self, (at, number, run, event): (Moment, usize, u32, ScriptedEvent)) {
        let unit = &self.units[number].handle;
        let state = unit.state().state();
        if state.run().as_u32() != run || !state.phase().is_live() {
            return;
        }
        let script = *self.case.script(number, (run as usize).saturating_sub(1));
        match event {
            ScriptedEvent::Ready => unit.ready(),
            ScriptedEvent::Unhealthy => unit.unhealthy(),
            ScriptedEvent::Ping => {
                unit.ping();
                if let Some(beats) = script.pings {
                    self.scripted_events.insert((at.after(beats), number, run, event));
                }
            }
            ScriptedEvent::Extend => {
                if let Some(every) = script.extends {
                    unit.extend(every.saturating_add(every));
                    self.scripted_events.insert((at.after(every), number, run, event));
                }
            }
        }
    }

    fn advance_phase(&mut self, at: Moment) {
        match self.phase {
            CasePhase::Running if self.next_input == self.case.inputs.len() && at >= self.ends => {
                self.phase = CasePhase::Waiting;
                // Also a machine that does other things at the same time is given its time.
                self.until = at.after(PATIENCE);
                self.units.iter_mut().for_each(RunningUnit::await_replies);
            }
            CasePhase::Waiting => {
                // What went another way is over at the latest when it is down.
                let over =
                    |unit: &RunningUnit| unit.known.contains(&unit.runs_seen) || unit.is_down();
                if self.units.iter().all(over) || at >= self.until {
                    self.scripted_events.clear();
                    for unit in &mut self.units {
                        unit.final_runs = unit.runs_seen.clone();
                        drop(unit.handle.kill());
                        unit.await_replies();
                    }
                    self.phase = CasePhase::Ending;
                    self.until = at.after(PATIENCE);
                }
            }
            CasePhase::Ending => {
                let down = self.units.iter().all(RunningUnit::is_down);
                if down || at >= self.until {
                    self.phase = CasePhase::Over;
                }
            }
            CasePhase::Running | CasePhase::Over => {}
        }
    }

    fn check(self) -> io::Result<RealResult> {
        let mut seen = RealResult {
            case: self.case,
            steps: 0,
            runs: 0,
            exits: Vec::new(),
            leaked: 0,
            simulator_match: SimulatorMatch::Same,
            fault: None,
            records: Vec::new(),
        };
        for unit in self.units {
            let simulator_match = if unit.final_runs == unit.plain {
                SimulatorMatch::Same
            } else if unit.known.contains(&unit.final_runs) {
                SimulatorMatch::Late
            } else {
                SimulatorMatch::Other
            };
            seen.simulator_match = seen.simulator_match.max(simulator_match);
            seen.runs += unit.runs as usize;
            seen.leaked += unit.leaked;
            seen.exits.extend(&unit.exits);
            let record = fs::read_to_string(&unit.record)?;
            let (steps, fault) = unit.check(&record)?;
            seen.records.push(record);
            seen.steps += steps;
            seen.fault = seen.fault.or(fault);
        }
        Ok(seen)
    }
}

impl RunningUnit {
    fn note(&mut self, notice: &Notice, scripts: &[Script]) {
        // If the disk is full, the record is incomplete, which its check reports.
        self.recorder.record(&notice.name, &notice.report()).ok();
        self.runs_seen.add(notice.step);
        self.state = notice.step.state;
        let run = notice.step.state.run().as_u32();
        notice.step.for_each(|action| match action {
            Action::Signal { run, signal, .. }
            | Action::Release { run, signal: Some(signal), .. } => {
                self.signals.entry(run.as_u32()).or_default().push(signal);
            }
            Action::Persist(_)
            | Action::Spawn { .. }
            | Action::Release { signal: None, .. }
            | Action::Arm { .. }
            | Action::Shorten { .. }
            | Action::Lengthen { .. }
            | Action::Disarm { .. }
            | Action::Emit(_) => {}
        });
        // Of a start that is unwanted the supervisor may end the helper by itself.
        let phase = notice.step.state.phase();
        let stop = notice.status.policy().rules().stop.signal;
        let ends = if phase == Phase::Cancelling {
            Some(stop)
        } else {
            (phase == Phase::Aborting).then_some(Signal::KILL)
        };
        self.signals.entry(run).or_default().extend(ends);
        let applied = notice.step.note == Note::Applied;
        let released = |phase| matches!(phase, Phase::Releasing | Phase::Purging);
        let given_up = released(notice.before.phase())
            && matches!(notice.event, Event::TimerFired { .. })
            && !released(notice.step.state.phase());
        if given_up || matches!(notice.event, Event::Released { remains: Remains::Leaked, .. }) {
            self.leaked += 1;
        } else if let Event::Started { .. } = notice.event
            && applied
        {
            self.runs += 1;
        } else if let Event::Exited { exit, .. } = notice.event
            && applied
        {
            self.exits.push(exit);
            let sent = self.signals.get(&run);
            let scripted =
                |exit| scripts.iter().any(|script| script.lives.is_some() && script.exits == exit);
            let killed = |signal| sent.is_some_and(|sent| sent.contains(&signal));
            let fault = match exit {
                Exit::Unknown => Some(RealFault::Lost { run }),
                Exit::Signal(signal) if killed(signal) => None,
                Exit::Code(_) | Exit::Signal(_) if scripted(exit) => None,
                Exit::Code(_) | Exit::Signal(_) => {
                    Some(RealFault::WrongStatus { run, reported: exit })
                }
            };
            self.fault = self.fault.take().or(fault);
        }
    }

    /// Makes it count as down only when all requests so far are handled.
    fn await_replies(&mut self) {
        let handled = self.handle.wait_until(|_| true);
        self.pending_reply = Some(Box::pin(async { drop(handled.await) }));
    }

    /// Whether it is down, every request was handled, and all of it was reported.
    fn is_down(&self) -> bool {
        let state = self.handle.state().state();
        self.pending_reply.is_none() && state.phase().is_down() && state == self.state
    }

    /// Checks what was recorded; returns the steps that were accepted.
    fn check(self, record: &str) -> io::Result<(usize, Option<RealFault>)> {
        let agreement = match Record::parse(record.lines()) {
            Ok(record) => replay::replay(&record),
            Err(error) => return Ok((0, Some(RealFault::Unreadable(error.to_string())))),
        };
        let disputed = agreement.dispute.map(|dispute| RealFault::Disputed(Box::new(dispute)));
        let not_down = (!self.is_down()).then_some(RealFault::NotDown);
        let complaint = self.child.complaint().map(RealFault::Complaint);
        let begun = self.child.begun()?;
        let unrecorded =
            (begun > self.runs).then_some(RealFault::Unrecorded { begun, reported: self.runs });
        let fault = disputed.or(self.fault).or(complaint).or(unrecorded).or(not_down);
        Ok((agreement.steps, fault))
    }
}

/// Asks a unit for what a case asks for.
fn send_input(unit: &Unit, kind: InputKind) {
    match kind {
        InputKind::Event(event) => match event {
            Event::StartRequested => unit.start(),
            Event::StopRequested { mode, origin } => drop(unit.stop_with(mode, origin)),
            Event::RestartRequested { grace } => unit.restart_within(grace),
            Event::SignalRequested { signal } => unit.signal(signal),
            Event::ResetRequested => unit.reset(),
            Event::RetryRequested => unit.retry(),
            // Not for this engine: such cases are not playable.
            Event::PolicyChanged
            | Event::Started { .. }
            | Event::StartFailed { .. }
            | Event::Ready { .. }
            | Event::Ping { .. }
            | Event::Extended { .. }
            | Event::Unhealthy { .. }
            | Event::Exited { .. }
            | Event::Released { .. }
            | Event::TimerFired { .. }
            | Event::Recovered { .. } => {}
        },
        InputKind::Policy(policy) => unit.set_policy(policy),
        InputKind::Crash { .. }
        | InputKind::Reboot { .. }
        | InputKind::StopFaults
        | InputKind::Wall(_)
        | InputKind::Suspend(_) => {}
    }
}
