//! Where cases are played for real: many at once under one supervisor, each watched to its end.

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

use super::actor::Actor;
use super::lives::{Life, lives};
use crate::case::{Case, InputKind, Script};
use crate::hunt::STEPS_MAX;
use crate::replay::{self, Dispute};
use crate::world;

/// A folder for actors and records, and what starts them.
#[derive(Debug)]
pub struct Stage {
    folder: TempDir,
    launcher: Launcher,
    program: PathBuf,
    performances: u64,
}

/// What was seen of a case.
#[derive(Debug)]
pub struct Performance {
    /// The case.
    pub case: Case,
    /// Steps that were recorded and accepted.
    pub steps: usize,
    /// Runs whose process existed.
    pub runs: usize,
    /// How each run ended that was told to have ended.
    pub exits: Vec<Exit>,
    /// Runs of which something was left alone, as it was told.
    pub leaked: usize,
    /// Whether observers were told what the simulator tells them.
    pub likeness: Likeness,
    /// What was wrong.
    pub fault: Option<Fault>,
    /// The records of its units, in the order of their numbers.
    pub records: Vec<String>,
}

/// How the lives of a case compare with those that the simulator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// It is the life of the case as it is.
    Same,
    /// It is one that the simulator finds when things are a little late.
    Late,
    /// It is none of those. Where inputs meet within milliseconds that may be.
    Other,
}

/// What was wrong with a performance.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The record disagrees with the machine, or a property is violated.
    Disputed(Box<Dispute>),
    /// The record cannot be read.
    Unreadable(String),
    /// It did not come down within a minute of its kill.
    NotDown,
    /// A run is told to have ended in a way in which it cannot have ended.
    Lied {
        /// The run.
        run: u32,
        /// What was told.
        told: Exit,
    },
    /// Nobody knows how a run ended.
    Lost {
        /// The run.
        run: u32,
    },
    /// An actor complains: it was the second at a time, or could not play.
    Complaint(String),
    /// More runs have begun than were told.
    Unrecorded {
        /// Runs that have begun.
        begun: u32,
        /// Runs that were told.
        told: u32,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disputed(dispute) => dispute.fmt(f),
            Self::Unreadable(error) => write!(f, "the record cannot be read: {error}"),
            Self::NotDown => write!(f, "not down {} s after its kill", PATIENCE.as_u32() / 1_000),
            Self::Lied { run, told } => write!(f, "run #{run} cannot have ended with {told}"),
            Self::Lost { run } => write!(f, "the status of run #{run} was lost"),
            Self::Complaint(complaint) => write!(f, "an actor complains: {complaint}"),
            Self::Unrecorded { begun, told } => {
                write!(f, "{begun} runs have begun, and {told} were told")
            }
        }
    }
}

/// How long a case may take for what it has to do within milliseconds.
const PATIENCE: Millis = Millis::from_secs(60);

impl Stage {
    /// A stage on which `program` plays the parts: one that calls [`enter`](super::enter) first.
    ///
    /// # Errors
    /// No temporary folder can be made.
    pub fn new(launcher: Launcher, program: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = TempDir::with_prefix("monitor-sim-")?;
        Ok(Self { folder, launcher, program: program.into(), performances: 0 })
    }

    /// Where the files of the actors are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Plays cases that are [fit](super::fit()), up to `width` at once, until `next` has none any more. `done` is
    /// called as each ends.
    ///
    /// # Errors
    /// The supervisor cannot be started, or the folder cannot be used.
    pub fn perform(
        &mut self,
        width: usize,
        mut next: impl FnMut() -> Option<Case>,
        mut done: impl FnMut(Performance),
    ) -> io::Result<()> {
        let supervisor = Supervisor::with_launcher(&self.launcher).map_err(io::Error::other)?;
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut players: Vec<Player> = Vec::new();
        loop {
            while players.len() < width
                && let Some(case) = next()
            {
                players.push(self.begin(&supervisor, case)?);
            }
            if players.is_empty() {
                return Ok(());
            }
            let mut soonest = now().after(Millis::new(100));
            for player in &mut players {
                player.hear(&mut context);
                player.settle(&mut context);
                soonest = soonest.min(player.act(now()).unwrap_or(soonest));
            }
            let mut index = 0;
            while index < players.len() {
                if players[index].scene == Scene::Over {
                    done(players.swap_remove(index).check()?);
                } else {
                    index += 1;
                }
            }
            // Whoever has news meanwhile ends this.
            thread::park_timeout(Duration::from_nanos(soonest.nanos_since(now())));
        }
    }

    fn begin(&mut self, supervisor: &Supervisor, case: Case) -> io::Result<Player> {
        let name = self.performances.to_string();
        self.performances += 1;
        let parts = (0..case.units()).map(|number| {
            let actor = Actor::write(self.folder.path(), &name, &case, number)?;
            let command = actor.command(&self.program).map_err(io::Error::other)?;
            let record = self.folder.path().join(format!("{name}.{number}.record"));
            let (plain, known) = lives(&case, number);
            let unit = supervisor.add(format!("{name}.{number}"), command, *case.unit(number).0);
            Ok(Part {
                events: unit.events(),
                unit,
                actor,
                recorder: Recorder::new(File::create(&record)?),
                record,
                life: Life::default(),
                played: Life::default(),
                plain,
                known,
                signals: BTreeMap::new(),
                exits: Vec::new(),
                runs: 0,
                leaked: 0,
                fault: None,
                state: State::INITIAL,
                settling: None,
            })
        });
        let parts = parts.collect::<io::Result<Vec<_>>>()?;
        let trace = world::run(&case, Core, STEPS_MAX).trace;
        let length = trace.last().map_or(0, |line| line.at.as_nanos());
        let began = now();
        Ok(Player {
            case,
            parts,
            began,
            ends: Moment::from_nanos(began.as_nanos() + length),
            next_input: 0,
            deeds: BTreeSet::new(),
            scene: Scene::Playing,
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

/// A case that is being played.
struct Player {
    case: Case,
    parts: Vec<Part>,
    began: Moment,
    /// When it is over in the virtual world.
    ends: Moment,
    next_input: usize,
    /// What the actors say in their time, which nobody says for them.
    deeds: BTreeSet<(Moment, usize, u32, Deed)>,
    scene: Scene,
    /// When the scene ends at the latest.
    until: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    Playing,
    /// All was asked and the time is over; what was told is no whole life yet.
    Waiting,
    /// What is left is killed.
    Ending,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    Ready,
    Ping,
    Extend,
    Unhealthy,
}

/// One unit of it.
struct Part {
    unit: Unit,
    events: Events,
    actor: Actor,
    recorder: Recorder<File>,
    record: PathBuf,
    /// What was told so far, and what was when the case was over.
    life: Life,
    played: Life,
    plain: Life,
    known: BTreeSet<Life>,
    /// The signals that each run was sent.
    signals: BTreeMap<u32, Vec<Signal>>,
    exits: Vec<Exit>,
    runs: u32,
    leaked: usize,
    fault: Option<Fault>,
    /// The state that was told last.
    state: State,
    /// Waits until every request was heard.
    settling: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Player {
    /// Takes note of what has happened.
    fn hear(&mut self, context: &mut Context<'_>) {
        for number in 0..self.parts.len() {
            loop {
                let next = pin!(self.parts[number].events.next()).poll(context);
                let Poll::Ready(Some(notice)) = next else { break };
                self.note(number, &notice);
            }
        }
    }

    /// Looks who has heard every request.
    fn settle(&mut self, context: &mut Context<'_>) {
        for part in &mut self.parts {
            let settling = part.settling.as_mut();
            if settling.is_some_and(|settling| settling.as_mut().poll(context).is_ready()) {
                part.settling = None;
            }
        }
    }

    fn note(&mut self, number: usize, notice: &Notice) {
        let run = notice.step.state.run().as_u32();
        let script = *self.case.script(number, (run as usize).saturating_sub(1));
        // A run that was killed before its actor played is not counted by the actors, so that a later one may play
        // its part.
        let scripts: Vec<Script> =
            (0..run as usize).map(|nth| *self.case.script(number, nth)).collect();
        self.parts[number].note(notice, &scripts);
        if notice.lifecycle() == Some(Lifecycle::Started) {
            let mut plan = |after: Option<Millis>, deed| {
                let at = after.map(|after| notice.at.after(after));
                self.deeds.extend(at.map(|at| (at, number, run, deed)));
            };
            plan(script.ready, Deed::Ready);
            plan(script.pings, Deed::Ping);
            plan(script.extends, Deed::Extend);
            plan(script.unhealthy, Deed::Unhealthy);
        }
    }

    /// Does what is due; returns when something is due again.
    fn act(&mut self, at: Moment) -> Option<Moment> {
        while let Some(&deed) = self.deeds.first().filter(|deed| deed.0 <= at) {
            self.deeds.remove(&deed);
            self.say(deed);
        }
        while let Some(input) = self.case.inputs.get(self.next_input)
            && self.began.after(input.at) <= at
        {
            let (unit, kind) = (usize::from(input.unit), input.kind);
            self.next_input += 1;
            if let Some(part) = self.parts.get(unit) {
                ask(&part.unit, kind);
            }
        }
        self.go_on(at);
        let input = self.case.inputs.get(self.next_input).map(|input| self.began.after(input.at));
        let deed = self.deeds.first().map(|&(at, ..)| at);
        let scene = (self.scene == Scene::Playing).then_some(self.ends);
        [input, deed, scene].into_iter().flatten().min()
    }

    /// Says for an actor what its run has to say, if that run is still on.
    fn say(&mut self, (at, number, run, deed): (Moment, usize, u32, Deed)) {
        let unit = &self.parts[number].unit;
        let state = unit.state().state();
        if state.run().as_u32() != run || !state.phase().is_live() {
            return;
        }
        let script = *self.case.script(number, (run as usize).saturating_sub(1));
        match deed {
            Deed::Ready => unit.ready(),
            Deed::Unhealthy => unit.unhealthy(),
            Deed::Ping => {
                unit.ping();
                if let Some(beats) = script.pings {
                    self.deeds.insert((at.after(beats), number, run, deed));
                }
            }
            Deed::Extend => {
                if let Some(every) = script.extends {
                    unit.extend(every.saturating_add(every));
                    self.deeds.insert((at.after(every), number, run, deed));
                }
            }
        }
    }

    fn go_on(&mut self, at: Moment) {
        match self.scene {
            Scene::Playing if self.next_input == self.case.inputs.len() && at >= self.ends => {
                self.scene = Scene::Waiting;
                // Also a machine that does other things at the same time is given its time.
                self.until = at.after(PATIENCE);
                self.parts.iter_mut().for_each(Part::await_wishes);
            }
            Scene::Waiting => {
                // What went another way is over at the latest when it is down.
                let over = |part: &Part| part.known.contains(&part.life) || part.is_down();
                if self.parts.iter().all(over) || at >= self.until {
                    self.deeds.clear();
                    for part in &mut self.parts {
                        part.played = part.life.clone();
                        drop(part.unit.kill());
                        part.await_wishes();
                    }
                    self.scene = Scene::Ending;
                    self.until = at.after(PATIENCE);
                }
            }
            Scene::Ending => {
                let down = self.parts.iter().all(Part::is_down);
                if down || at >= self.until {
                    self.scene = Scene::Over;
                }
            }
            Scene::Playing | Scene::Over => {}
        }
    }

    fn check(self) -> io::Result<Performance> {
        let mut seen = Performance {
            case: self.case,
            steps: 0,
            runs: 0,
            exits: Vec::new(),
            leaked: 0,
            likeness: Likeness::Same,
            fault: None,
            records: Vec::new(),
        };
        for part in self.parts {
            let likeness = if part.played == part.plain {
                Likeness::Same
            } else if part.known.contains(&part.played) {
                Likeness::Late
            } else {
                Likeness::Other
            };
            seen.likeness = seen.likeness.max(likeness);
            seen.runs += part.runs as usize;
            seen.leaked += part.leaked;
            seen.exits.extend(&part.exits);
            let record = fs::read_to_string(&part.record)?;
            let (steps, fault) = part.check(&record)?;
            seen.records.push(record);
            seen.steps += steps;
            seen.fault = seen.fault.or(fault);
        }
        Ok(seen)
    }
}

impl Part {
    fn note(&mut self, notice: &Notice, scripts: &[Script]) {
        // A full disk is told by the record, which is then no whole one.
        self.recorder.record(&notice.name, &notice.report()).ok();
        self.life.tell(notice.step);
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
                Exit::Unknown => Some(Fault::Lost { run }),
                Exit::Signal(signal) if killed(signal) => None,
                Exit::Code(_) | Exit::Signal(_) if scripted(exit) => None,
                Exit::Code(_) | Exit::Signal(_) => Some(Fault::Lied { run, told: exit }),
            };
            self.fault = self.fault.take().or(fault);
        }
    }

    /// From now on it counts as down only when all that was requested so far was heard.
    fn await_wishes(&mut self) {
        let heard = self.unit.wait_until(|_| true);
        self.settling = Some(Box::pin(async { drop(heard.await) }));
    }

    /// Whether it is down, every request was heard, and all of it was told.
    fn is_down(&self) -> bool {
        let state = self.unit.state().state();
        self.settling.is_none() && state.phase().is_down() && state == self.state
    }

    /// Checks what was recorded; returns the steps that were accepted.
    fn check(self, record: &str) -> io::Result<(usize, Option<Fault>)> {
        let agreement = match Record::parse(record.lines()) {
            Ok(record) => replay::replay(&record),
            Err(error) => return Ok((0, Some(Fault::Unreadable(error.to_string())))),
        };
        let disputed = agreement.dispute.map(|dispute| Fault::Disputed(Box::new(dispute)));
        let not_down = (!self.is_down()).then_some(Fault::NotDown);
        let complaint = self.actor.complaint().map(Fault::Complaint);
        let begun = self.actor.begun()?;
        let unrecorded =
            (begun > self.runs).then_some(Fault::Unrecorded { begun, told: self.runs });
        let fault = disputed.or(self.fault).or(complaint).or(unrecorded).or(not_down);
        Ok((agreement.steps, fault))
    }
}

/// Asks a unit for what a case asks for.
fn ask(unit: &Unit, kind: InputKind) {
    match kind {
        InputKind::Event(event) => match event {
            Event::StartRequested => unit.start(),
            Event::StopRequested { mode, origin } => drop(unit.stop_with(mode, origin)),
            Event::RestartRequested { grace } => unit.restart_within(grace),
            Event::SignalRequested { signal } => unit.signal(signal),
            Event::ResetRequested => unit.reset(),
            Event::RetryRequested => unit.retry(),
            // Not for this engine: such cases are unfit.
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
