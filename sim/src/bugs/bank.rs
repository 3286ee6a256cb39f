//! The bug bank: bugs that real supervisors shipped, each injected as one wrong answer of the
//! machine.
//!
//! Every [`Bug`] wraps `step` and is right everywhere else. Its number is that of the collection it
//! comes from; the letter b marks a second form of one bug. `sim/docs/BUGS.md` lists the bugs that
//! cannot be injected.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a bug is wrong in one place and honest everywhere else"
)]

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use monitor_core::{
    Actions, Counts, Curve, Delay, Event, Exit, Found, Lifecycle, Millis, Note, Origin, Outcome,
    Phase, Policy, ProcessCommand, Reason, Remains, Restart, RunId, Scope, Signal, StartFailure,
    StartsCounted, Step, StopMode, TimerCommand, TimerKind, TimerToken,
};

use super::bug::{Bug, Layer};
use super::edits::{
    UP, bent, delayed, edit, exited_here, fired, in_phase, is_restart, is_stop, nothing, reasoned,
    recovered_here, rephased, resaved, restate, scoped, set_reason, stopped, with, with_exit,
};
use crate::generate::race::Race;
use crate::machine::injected_bug::InjectedBug;

/// The bank as a page, for `sim/docs/BUGS.md`.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(PAGE_HEAD);
    for Bug { id, source, symptom, cause, layer, race, .. } in ALL {
        let (layer, race) = (layer.name(), race.map_or("anything", Race::name));
        page.push_str(&format!("| {id} | {layer} | {source} | {symptom} | {cause} | {race} |\n"));
    }
    page.push_str(PAGE_TAIL);
    page
}

const PAGE_HEAD: &str = "\
# The bug bank

Bugs that real supervisors shipped, each put back outside production code: as one wrong answer of the machine,
or as one wrong habit of the backend in the virtual world. `monitor-sim bugs` hunts all of them. Printed from
`sim/src/bugs/bank.rs`; a test keeps it current (`UPDATE_BUGS=1 cargo test -p monitor-sim --test bank`). A race is
what the hunt aims at first.

| bug | layer | source | symptom | cause, as put back | race |
| --- | --- | --- | --- | --- | --- |
";

const PAGE_TAIL: &str = "
## What is not here

| bugs | why |
| --- | --- |
| BB-60, BB-87 | the types cannot say it: a live run has no outcome, a target is a run and not a number |
| BB-12, BB-27 | there is no second watcher that acts on a copy of the state |
| BB-45, BB-100, BB-161 | there are no locks, no channel that blocks, and no handle that can be missing |
| BB-90 | no process tells the monitor which process is the main one |
| BB-98 | the monitor adopts no orphans: they are those of init |
| BB-126 | a unit has one process whose end is told |
| BB-141 | a world has one monitor |
| BB-79, BB-80, BB-168, BB-169 | a matter of one backend; its tests are in `monitor-os` |
| BB-121 | the state is one value, read at once |
| BB-173 | a consequence of a rule and no bug: the rule is documented |
";

impl FromStr for Bug {
    type Err = UnknownBug;

    /// The bug of an id, in upper or lower case.
    fn from_str(id: &str) -> Result<Self, UnknownBug> {
        let found = ALL.iter().find(|bug| bug.id.eq_ignore_ascii_case(id));
        found.copied().ok_or_else(|| UnknownBug::new(id))
    }
}

/// An id that no bug of the bank has.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownBug {
    /// The text.
    pub id: String,
    /// Ids that begin most like it, at most three; none if all begin otherwise.
    pub near: Vec<&'static str>,
}

impl UnknownBug {
    fn new(id: &str) -> Self {
        let shared = |bug: &Bug| {
            let pairs = bug.id.bytes().zip(id.bytes());
            pairs.take_while(|(known, given)| known.eq_ignore_ascii_case(given)).count()
        };
        let mut near: Vec<&Bug> = ALL.iter().filter(|bug| shared(bug) > 0).collect();
        near.sort_by_key(|bug| (Reverse(shared(bug)), bug.id.len().abs_diff(id.len())));
        Self { id: id.to_owned(), near: near.into_iter().take(3).map(|bug| bug.id).collect() }
    }
}

impl fmt::Display for UnknownBug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the bank has no bug {:?}: give ", self.id)?;
        for near in &self.near {
            write!(f, "{near}, ")?;
        }
        f.write_str(if self.near.is_empty() { "an id" } else { "or another id" })?;
        f.write_str(" that `monitor-sim bugs --list` prints")
    }
}

/// Prints as `Display` does, so that `unwrap` shows the text.
impl fmt::Debug for UnknownBug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for UnknownBug {}

/// The bugs of the self-test: the classic races of stops, exits, timers and restarts, and one bug
/// of each layer below the machine.
pub(crate) const SELF_TEST: [&str; 15] = [
    "BB-5", "BB-5b", "BB-16", "BB-18", "BB-31", "BB-36", "BB-36b", "BB-46", "BB-118", "BB-120",
    "BB-122", "BB-138", "BB-83", "BB-156", "BB-36c",
];

/// The few bugs with which `monitor-sim check` tests itself, in the order of the bank.
pub fn self_test() -> impl Iterator<Item = Bug> {
    ALL.iter().copied().filter(|bug| SELF_TEST.contains(&bug.id))
}

const BACKOFF: Option<Race> = Some(Race::StopDuringBackoff);
const STARTING: Option<Race> = Some(Race::StopWhileStarting);
const DOUBLE: Option<Race> = Some(Race::DoubleStop);
const EARLY: Option<Race> = Some(Race::ExitBeforeStarted);
const RESTART: Option<Race> = Some(Race::RestartDuringBackoff);
pub(super) const STALE: Option<Race> = Some(Race::StaleTimers);
const HALVES: Option<Race> = Some(Race::StopBetweenHalves);
const NOTICE: Option<Race> = Some(Race::StopAgainstNotice);
const NUMBER: Option<Race> = Some(Race::PidReuse);
const CRASH: Option<Race> = Some(Race::CrashInAStep);
const CLOCK: Option<Race> = Some(Race::ClockJump);
const CROWD: Option<Race> = Some(Race::Crowd);

macro_rules! bank {
    (
        $($id:literal, $source:literal, $race:expr, $symptom:literal, $cause:literal, $step:expr;)*
        below the machine
        $($below:literal, $layer:ident, $injected_bug:ident, $from:literal, $aim:expr, $shows:literal,
            $does:literal;)*
    ) => {
        /// All bugs.
        pub const ALL: &[Bug] = &[
            $(Bug {
                id: $id,
                source: $source,
                symptom: $symptom,
                cause: $cause,
                layer: Layer::Core,
                race: $race,
                injected_bug: None,
                step: $step,
            },)*
            $(Bug {
                id: $below,
                source: $from,
                symptom: $shows,
                cause: $does,
                layer: Layer::$layer,
                race: $aim,
                injected_bug: Some(InjectedBug::$injected_bug),
                step: Policy::step,
            },)*
        ];
    };
}

bank! {
    // Stops against the wait and its timer.
    "BB-1", "pm2 #1966", BACKOFF,
    "a stop in the wait is ignored, the process comes back",
    "the stop leaves the timer armed, and the timer does not look at the intent",
    |p, s, e| match e {
        Event::TimerFired { timer }
            if timer.kind == TimerKind::Backoff && in_phase(s, &[Phase::Stopped]) =>
        {
            p.step(s, Event::StartRequested)
        }
        _ if is_stop(e) && in_phase(s, &[Phase::BackingOff]) => with(p.step(s, e), |a| a.timer = TimerCommand::Keep),
        _ => p.step(s, e),
    };
    "BB-4", "process-compose 673850d", HALVES,
    "a restart under way overrides a later stop",
    "between the halves of a restart a stop finds nothing to stop",
    |p, s, e| if is_stop(e) && in_phase(s, &[Phase::Releasing, Phase::Purging]) && s.reason() == Reason::RestartRequested {
        nothing(s)
    } else { p.step(s, e) };
    "BB-5", "the seed, lines 161-168; moby", STARTING,
    "a stop between the timer and the start is lost",
    "a stop is accepted while the spawn is in flight, and marks nothing",
    |p, s, e| if is_stop(e) && in_phase(s, &[Phase::Starting]) { nothing(s) } else { p.step(s, e) };
    "BB-5b", "the seed, D12", STARTING,
    "a process that is wanted down lives on",
    "what appears after the stop is not signalled",
    |p, s, e| {
        let step = p.step(s, e);
        let unwanted = matches!(e, Event::Started { .. }) && in_phase(s, &[Phase::Cancelling, Phase::Aborting]);
        if unwanted { with(step, |a| a.process = ProcessCommand::Leave) } else { step }
    };
    "BB-7", "systemd #13667", BACKOFF,
    "with no delay and a queued stop the manager spins",
    "a stop in the wait starts the wait anew, with a delay of zero",
    |p, s, e| if is_stop(e) && in_phase(s, &[Phase::BackingOff]) {
        with(Step { note: Note::Applied, ..nothing(s) }, |a| a.timer = TimerCommand::Arm(Delay::exact(Millis::ZERO)))
    } else { p.step(s, e) };
    "BB-8", "systemd fdo #45511", BACKOFF,
    "a stop in the wait skips the end, its hooks do not run",
    "the state is set directly, and nobody is told",
    |p, s, e| {
        let step = p.step(s, e);
        if in_phase(s, &[Phase::BackingOff]) && in_phase(step.state, &[Phase::Stopped]) { with(step, |a| a.emit = None) } else { step }
    };
    "BB-9", "systemd RHBZ #832039", None,
    "start never returns: the restart waits for a job that waits for the restart",
    "the wait after a failed first start ends in nothing",
    |p, s, e| if fired(e, TimerKind::Backoff) && s.restarts() == 0 && matches!(s.outcome(), Outcome::StartFailed(_)) {
        Step { note: Note::Applied, ..nothing(s) }
    } else { p.step(s, e) };
    "BB-10", "moby 8c0ecb6387", BACKOFF,
    "a stopped container is listed as restarting",
    "the cancel path changes the state without a save",
    |p, s, e| {
        let step = p.step(s, e);
        if is_stop(e) && in_phase(s, &[Phase::BackingOff]) { with(step, |a| a.persist = false) } else { step }
    };
    "BB-13", "watchexec-supervisor", HALVES,
    "a stop after a restart ends in a new run",
    "the stop does not clear the mark that asks for the start",
    |p, s, e| {
        let step = p.step(s, e);
        if is_stop(e) && s.reason() == Reason::RestartRequested && !in_phase(s, &[Phase::Throttled]) {
            set_reason(s, step, Reason::RestartRequested)
        } else { step }
    };
    "BB-15", "podman #17069", None,
    "stop of an always-restarted container restarts it",
    "the mark of the stop is set at its end, after the exit was judged",
    |p, s, e| {
        let step = p.step(s, e);
        if is_stop(e) && in_phase(s, &UP) && in_phase(step.state, &[Phase::Stopping]) { set_reason(s, step, Reason::Wanted) } else { step }
    };
    "BB-16", "podman #18259", BACKOFF,
    "stop of a short-lived container works one time in twenty",
    "a stop is a no-op when nothing runs at that instant",
    |p, s, e| if is_stop(e) && in_phase(s, &[Phase::BackingOff, Phase::Throttled, Phase::Releasing]) { nothing(s) } else { p.step(s, e) };
    "BB-17", "podman 589867d716", DOUBLE,
    "a kill is followed by a restart",
    "only a graceful stop sets the mark",
    |p, s, e| {
        let step = p.step(s, e);
        let kill = matches!(e, Event::StopRequested { mode: StopMode::Kill, .. });
        if kill && in_phase(s, &[Phase::Activating, Phase::Running, Phase::Healthy]) { set_reason(s, step, s.reason()) } else { step }
    };

    // Intents lost.
    "BB-18", "moby a705e166cf", RESTART,
    "a restart in the wait ends stopped",
    "the entry of the dead run collides with the manual start",
    |p, s, e| if is_restart(e) && in_phase(s, &[Phase::BackingOff]) { p.step(s, Event::stop()) } else { p.step(s, e) };
    "BB-19", "systemd fdo #69800", None,
    "stop, then reload before it is down: it restarts",
    "the request to be down is not part of the saved state",
    |p, s, e| if matches!(e, Event::Recovered { .. }) && s.reason().is_stop() && in_phase(s, &[Phase::Stopping, Phase::Killing, Phase::Releasing]) {
        let step = p.step(reasoned(s, Reason::Wanted), e);
        resaved(s, step)
    } else { p.step(s, e) };
    "BB-20", "systemd #6504", HALVES,
    "the restart rule undoes a queued stop",
    "the decision made at the exit does not look at a stop that comes after it",
    |p, s, e| if is_stop(e) && in_phase(s, &[Phase::Releasing]) { nothing(s) } else { p.step(s, e) };
    "BB-21", "systemd 90527fbb2c", None,
    "a late ping while stopping revives the watchdog, which restarts the service",
    "a ping arms the watchdog in every state",
    |p, s, e| match (e, p.rules().watchdog) {
        (Event::Ping { run }, Some(watchdog)) if run == s.run() && in_phase(s, &[Phase::Stopping]) => {
            with(Step { note: Note::Applied, ..nothing(s) }, |a| a.watchdog = TimerCommand::Arm(Delay::exact(watchdog.period)))
        }
        _ => p.step(s, e),
    };
    "BB-22", "moby #35304", None,
    "stopped containers come back after a boot",
    "the mark of a user's stop is cleared on recovery",
    |p, s, e| if matches!(e, Event::Recovered { .. }) && s.reason() == Reason::StopRequested && in_phase(s, &[Phase::Stopped]) {
        let step = p.step(reasoned(s, Reason::ShutdownRequested), e);
        resaved(s, step)
    } else { p.step(s, e) };
    "BB-23", "podman #28152", None,
    "after a shutdown unless-stopped does not come back",
    "one mark for the stop of a user and of the shutdown",
    |p, s, e| match e {
        Event::StopRequested { mode, origin: Origin::Shutdown } => p.step(s, Event::StopRequested { mode, origin: Origin::User }),
        _ => p.step(s, e),
    };
    "BB-24", "nomad e7042b674b", None,
    "after a restart of the agent finished work is started again",
    "what is down on recovery is started without a look at why",
    |p, s, e| if recovered_here(s, e) && s.reason() == Reason::Completed && in_phase(s, &[Phase::Stopped]) {
        p.step(s, Event::StartRequested)
    } else { p.step(s, e) };
    "BB-25", "moby aeb8972281", None,
    "a container that asks for its own restart is stopped and never started",
    "the caller goes away between the halves, and its request with it",
    |p, s, e| {
        let step = p.step(s, e);
        let ends = matches!(e, Event::Exited { .. }) && step.note == Note::Applied;
        if ends && s.reason() == Reason::RestartRequested { set_reason(s, step, Reason::StopRequested) } else { step }
    };
    "BB-26", "moby 20390f65c4", None,
    "after a manual restart later crashes are not restarted",
    "the cancelled mark of the run before is kept",
    |p, s, e| {
        let step = p.step(s, e);
        let begun = in_phase(step.state, &[Phase::Starting]) && in_phase(s, &[Phase::Releasing, Phase::Purging]);
        if begun { set_reason(s, step, Reason::StopRequested) } else { step }
    };
    "BB-28", "pm2 PR #750", None,
    "a process that takes its time to die is judged as crashed, and spawned twice",
    "the stop forgets the run after its timeout",
    |p, s, e| if fired(e, TimerKind::StopGrace) && in_phase(s, &[Phase::Stopping]) {
        p.step(s, Event::Exited { run: s.run(), exit: Exit::Unknown })
    } else { p.step(s, e) };
    "BB-29", "supervisord 3.3.5", None,
    "a signal during the shutdown cancels it",
    "the last intent wins",
    |p, s, e| {
        let step = p.step(s, e);
        if matches!(e, Event::SignalRequested { .. }) && s.reason() == Reason::ShutdownRequested && in_phase(s, &[Phase::Stopping, Phase::Killing]) {
            set_reason(s, step, Reason::RestartRequested)
        } else { step }
    };
    "BB-30", "nomad 362690ddd1", None,
    "completed tasks get an event when their group is killed",
    "observers are told before the state is looked at",
    |p, s, e| {
        let step = p.step(s, e);
        if is_stop(e) && in_phase(s, &[Phase::Stopped]) { with(step, |a| a.emit = Some(Lifecycle::Stopping)) } else { step }
    };
    "BB-31", "moby #11065", STALE,
    "a HUP for log rotation turns the restart policy off",
    "every signal is treated as a stop",
    |p, s, e| {
        let step = p.step(s, e);
        if matches!(e, Event::SignalRequested { .. }) {
            let stop = Event::StopRequested { mode: StopMode::OnNextExit, origin: Origin::User };
            with(p.step(s, stop), |a| a.process = step.actions.process)
        } else { step }
    };

    // Stops that repeat or never end.
    "BB-33", "moby #41579", None,
    "stop hangs for ever if the signal does not work",
    "the wait for the exit has no deadline",
    |p, s, e| {
        let step = p.step(s, e);
        let armed = matches!(step.actions.timer, TimerCommand::Arm(_));
        if is_stop(e) && armed && in_phase(step.state, &[Phase::Stopping]) { with(step, |a| a.timer = TimerCommand::Disarm) } else { step }
    };
    "BB-35", "dinit 2bf3e7d", None,
    "the second stop of a service sends nothing",
    "the mark of the stop is not reset for a run that follows another",
    |p, s, e| {
        let step = p.step(s, e);
        if is_stop(e) && s.restarts() > 0 && in_phase(step.state, &[Phase::Stopping]) { with(step, |a| a.process = ProcessCommand::Leave) } else { step }
    };
    "BB-36", "watchexec-supervisor", DOUBLE,
    "a second stop begins the grace anew",
    "the timer is replaced",
    |p, s, e| with(p.step(s, e), |a| if let TimerCommand::Shorten(grace) = a.timer { a.timer = TimerCommand::Arm(Delay::exact(grace)); });
    "BB-36b", "docker stop", DOUBLE,
    "a second stop sends the signal again",
    "the escalation is not looked at",
    |p, s, e| {
        let (step, rule) = (p.step(s, e), p.rules().stop);
        let again = is_stop(e) && step.note == Note::Applied && in_phase(s, &[Phase::Stopping]);
        if again { with(step, |a| a.process = ProcessCommand::Signal { signal: rule.signal, scope: rule.scope }) } else { step }
    };
    "BB-39", "podman #14859", None,
    "stuck in stopping",
    "an exit while stopping may be closed by the stopper alone, who has not seen it",
    |p, s, e| if exited_here(s, e) && in_phase(s, &[Phase::Stopping]) { nothing(s) } else { p.step(s, e) };
    "BB-43", "supervisord #734", None,
    "a stopping process can no longer be signalled",
    "the signal is refused in that state",
    |p, s, e| if matches!(e, Event::SignalRequested { .. }) && in_phase(s, &[Phase::Stopping]) { nothing(s) } else { p.step(s, e) };
    "BB-44", "systemd bbe19f6884", None,
    "a death while activating is noticed when the start timeout ends",
    "the exit is deferred in a sub-state",
    |p, s, e| if exited_here(s, e) && in_phase(s, &[Phase::Activating]) { nothing(s) } else { p.step(s, e) };

    // Status lost or wrong.
    "BB-46", "containerd #4769", EARLY,
    "exit 0 becomes 137",
    "the last status wins",
    |p, s, e| match e {
        Event::Exited { run, .. } if run == s.run() && in_phase(s, &[Phase::Releasing]) => {
            let ended = p.step(rephased(s, Phase::Running, Reason::Wanted), e);
            Step { actions: Actions { persist: true, ..Actions::NONE }, ..ended }
        }
        _ => p.step(s, e),
    };
    "BB-47", "containerd #6429", None,
    "command not found is shown as killed",
    "an exit is made up for a run that never started",
    |p, s, e| match e {
        Event::StartFailed { run, .. } => p.step(s, Event::Exited { run, exit: Exit::Signal(Signal::KILL) }),
        _ => p.step(s, e),
    };
    "BB-51", "nomad cb8f4ea452", None,
    "a job whose executor died counts as done",
    "unknown becomes 0",
    |p, s, e| p.step(s, with_exit(e, |exit| if exit == Exit::Unknown { Exit::Code(0) } else { exit }));
    "BB-52", "pm2 #5994", None,
    "a death by signal is shown as 0",
    "the code of a death by signal is taken for its status",
    |p, s, e| p.step(s, with_exit(e, |exit| if matches!(exit, Exit::Signal(_)) { Exit::Code(0) } else { exit }));
    "BB-54", "systemd a0fef983ab", None,
    "an abort by the watchdog is reported as a core dump",
    "the last failure overwrites the first",
    |p, s, e| {
        let step = p.step(s, e);
        if exited_here(s, e) && s.reason().is_fault() { set_reason(s, step, Reason::Wanted) } else { step }
    };
    "BB-57", "moby #8379", None,
    "a failed start leaves exit code 0",
    "the old code is kept",
    |p, s, e| match e {
        Event::StartFailed { run, .. } if in_phase(s, &[Phase::Starting, Phase::Cancelling, Phase::Aborting]) => {
            p.step(s, Event::Exited { run, exit: Exit::Code(0) })
        }
        _ => p.step(s, e),
    };
    "BB-58", "s6 f84f150", None,
    "the finish script gets 1 instead of the signal's number",
    "the wrong macro",
    |p, s, e| p.step(s, with_exit(e, |exit| if matches!(exit, Exit::Signal(_)) { Exit::Code(1) } else { exit }));
    "BB-59", "supervisord", None,
    "an exit soon after the start has no status",
    "the status is dropped for early exits",
    |p, s, e| if in_phase(s, &[Phase::Starting, Phase::Activating, Phase::Running]) { p.step(s, with_exit(e, |_| Exit::Unknown)) } else { p.step(s, e) };

    // Counters and budgets.
    "BB-61", "moby #9923", None,
    "on-failure:N restarts N-1 times",
    "counted before it is compared",
    |p, s, e| bent(p, |r| if let Some(retries) = &mut r.retries { retries.counts = Counts::Runs; }).step(s, e);
    "BB-62", "moby 51e42e6ee0", None,
    "a daemon restart gives exhausted containers new tries",
    "the counter is 0 on recovery",
    |p, s, e| if recovered_here(s, e) { let step = p.step(edit(s, |b| (b[16], b[17]) = (0, 0)), e); resaved(s, step) } else { p.step(s, e) };
    "BB-63", "nomad e2d793cfd9", None,
    "from the second interval on, one restart too many",
    "the first start of a new window is not counted",
    |p, s, e| {
        let step = p.step(s, e);
        if fired(e, TimerKind::Window) && in_phase(s, &[Phase::Throttled]) { restate(s, step, |b| b[4] = 0) } else { step }
    };
    "BB-64", "kubernetes #12485", None,
    "the count of restarts is stuck at 2",
    "derived from the corpses that were not collected yet",
    |p, s, e| {
        let step = p.step(s, e);
        if step.state.restarts() > 2 { restate(s, step, |b| (b[12], b[13], b[14], b[15]) = (2, 0, 0, 0)) } else { step }
    };
    "BB-65", "systemd 7f92388482", None,
    "the count of restarts is lost at a reload",
    "it is not saved",
    |p, s, e| if recovered_here(s, e) { let step = p.step(edit(s, |b| (b[12], b[13], b[14], b[15]) = (0, 0, 0, 0)), e); resaved(s, step) } else { p.step(s, e) };
    "BB-66", "pm2 #4433", None,
    "the bound on restarts has no effect when there is a delay",
    "the window that it is counted in includes the waits",
    |p, s, e| if p.rules().backoff.curve.initial() > Millis::ZERO { bent(p, |r| r.retries = None).step(s, e) } else { p.step(s, e) };
    "BB-69", "supervisord #1285", None,
    "without a minimal uptime it never gives up",
    "a spawn counts as success and resets the counter",
    |p, s, e| {
        let step = p.step(s, e);
        if step.actions.process == ProcessCommand::Spawn { restate(s, step, |b| (b[16], b[17]) = (0, 0)) } else { step }
    };
    "BB-70", "Horust", None,
    "a process that always dies after its start never runs out of attempts",
    "the attempts are reset when it has started",
    |p, s, e| {
        let step = p.step(s, e);
        if matches!(e, Event::Started { .. }) && step.note == Note::Applied { restate(s, step, |b| (b[16], b[17]) = (0, 0)) } else { step }
    };
    "BB-71", "systemd #7139", None,
    "the start limit is forgotten",
    "the counter is dropped with the idle object",
    |p, s, e| {
        let step = p.step(s, e);
        if in_phase(step.state, &[Phase::Stopped]) && !in_phase(s, &[Phase::Stopped]) { restate(s, step, |b| b[4] = 0) } else { step }
    };
    "BB-72", "systemd #17433", None,
    "busy loop of failing starts",
    "a start that fails early is not counted by the limit",
    |p, s, e| {
        let step = p.step(s, e);
        let failed = matches!(e, Event::StartFailed { .. }) && step.note == Note::Applied && s.starts() > 0;
        if failed { restate(s, step, |b| b[4] -= 1) } else { step }
    };
    "BB-172", "owntone-server #968", None,
    "manual restarts eat the budget of automatic ones",
    "every spawn is counted",
    |p, s, e| bent(p, |r| if let Some(limit) = &mut r.limit { limit.counts = StartsCounted::All; }).step(s, e);

    // Delays.
    "BB-73", "nomad #18199", None,
    "after 24 tries the delay is gone: a tight loop for ever",
    "shifted, then compared with the cap, on 64 bits",
    |p, s, e| delayed(p, s, e, |_, level, delay| if level >= 24 { Delay::exact(Millis::ZERO) } else { delay });
    "BB-74", "the seed, lines 182-187", None,
    "the delay has no cap, and wraps to zero",
    "doubled without a bound",
    |p, s, e| delayed(p, s, e, |rules, level, delay| match rules.backoff.curve {
        Curve::Exponential { initial, .. } => {
            Delay { base: Millis::new(initial.as_u32().wrapping_shl(u32::from(level).min(31))), ..delay }
        }
        _ => delay,
    });
    "BB-76", "moby #22159", None,
    "the delay is never reset",
    "a healthy run forgives nothing",
    |p, s, e| {
        let step = p.step(s, e);
        if fired(e, TimerKind::Healthy) && step.note == Note::Applied { restate(s, step, |b| b[3] = s.level()) } else { step }
    };
    "BB-78", "supervisord PR #1626", None,
    "1, 11, 21, 31, 31 with a cap of 25",
    "the cap is tested before the addition",
    |p, s, e| delayed(p, s, e, |rules, level, delay| match rules.backoff.curve {
        Curve::Linear { initial, increment, cap } if level > 0 => {
            let before = u64::from(initial.as_u32()) + u64::from(increment.as_u32()) * u64::from(level - 1);
            if before < u64::from(cap.as_u32()) && rules.backoff.first.is_none() {
                Delay { base: Millis::new((before + u64::from(increment.as_u32())) as u32), ..delay }
            } else { delay }
        }
        _ => delay,
    });
    "BB-81", "moby ac8b4e3e75", None,
    "a start that cannot work is tried again in a loop",
    "the class of the start error is ignored",
    |p, s, e| match e {
        Event::StartFailed { run, .. } => p.step(s, Event::StartFailed { run, failure: StartFailure::Transient }),
        _ => p.step(s, e),
    };

    // Targets and what a run leaves.
    "BB-84", "ponyc #5765", None,
    "a signal reaches whoever has the number now",
    "the process is still a target after it was reaped",
    |p, s, e| match e {
        Event::SignalRequested { signal } if in_phase(s, &[Phase::BackingOff, Phase::Stopped]) && s.run() != RunId::NONE => {
            with(Step { note: Note::Applied, ..nothing(s) }, |a| a.process = ProcessCommand::Signal { signal, scope: Scope::Process })
        }
        _ => p.step(s, e),
    };
    "BB-105", "supervisord #1101", None,
    "the stop ends the shell, the real program lives on",
    "the process is signalled, not its group",
    |p, s, e| scoped(p, s, e, |_| true);
    "BB-106", "watchexec 662433b3", None,
    "the new instance races the end of the old one",
    "a run is over when its leader has ended",
    |p, s, e| if exited_here(s, e) {
        let ended = p.step(s, e);
        let run = s.run();
        let step = p.step(ended.state, Event::Released { run, remains: Remains::Nothing });
        resaved(s, step)
    } else { p.step(s, e) };
    "BB-107", "conmon ba14d9c", None,
    "the kill after the timeout reaches the leader alone",
    "the kill goes to one process",
    |p, s, e| scoped(p, s, e, |signal| signal == Signal::KILL);
    "BB-110", "pitchfork #606", None,
    "down is said while members live",
    "the leak is not marked",
    |p, s, e| {
        let step = p.step(s, e);
        match step.actions.emit {
            Some(Lifecycle::Stopped { remains: Remains::Leaked }) => with(step, |a| a.emit = Some(Lifecycle::Stopped { remains: Remains::Nothing })),
            _ => step,
        }
    };
    "BB-111", "watchexec #981", None,
    "the handle is dropped during a graceful stop, the child is left",
    "dropping it cancels the escalation",
    |p, s, e| if fired(e, TimerKind::StopGrace) && in_phase(s, &[Phase::Stopping]) { Step { note: Note::Applied, ..nothing(s) } } else { p.step(s, e) };
    "BB-170", "podman 909ab59419", None,
    "the next start fails, the old helper still holds the port",
    "a restart begins before the old run is released",
    |p, s, e| if exited_here(s, e) && s.reason() == Reason::RestartRequested {
        let run = s.run();
        let step = p.step(p.step(s, e).state, Event::Released { run, remains: Remains::Nothing });
        resaved(s, step)
    } else { p.step(s, e) };

    // Stale timers, exits before their start, start failures.
    "BB-118", "dinit 26cb0a7", STALE,
    "a start timer fires in a started service",
    "a timer of another run or phase is believed",
    |p, s, e| match (e, p.step(s, e)) {
        (Event::TimerFired { timer }, step) if step.note == Note::Stale => {
            let kind = s.phase().timer().unwrap_or(timer.kind);
            p.step(s, Event::TimerFired { timer: TimerToken { run: s.run(), kind } })
        }
        (_, step) => step,
    };
    "BB-120", "moby eaad3ee3cf", BACKOFF,
    "timers are left running after the wait was cancelled",
    "nothing is disarmed",
    |p, s, e| {
        let step = p.step(s, e);
        if step.actions.timer == TimerCommand::Disarm { with(step, |a| a.timer = TimerCommand::Keep) } else { step }
    };
    "BB-122", "containerd 5cd6210ad", EARLY,
    "a process that dies before its start is published never ends",
    "an exit while starting is ignored",
    |p, s, e| if matches!(e, Event::Exited { .. }) && in_phase(s, &[Phase::Starting]) { nothing(s) } else { p.step(s, e) };
    "BB-103", "Horust b4adea6", EARLY,
    "the exit of a process that is not registered yet is dropped",
    "an unknown process is nobody's",
    |p, s, e| if exited_here(s, e) && in_phase(s, &[Phase::Cancelling, Phase::Aborting]) { nothing(s) } else { p.step(s, e) };
    "BB-124", "containerd ead5c1ee6", None,
    "after a restart of the manager an exit comes before the container is known",
    "an exit found on recovery is ignored while starting",
    |p, s, e| match e {
        Event::Recovered { found: Found::Exited(_), .. } if in_phase(s, &[Phase::Starting]) => nothing(s),
        _ => p.step(s, e),
    };
    "BB-125", "systemd #28304", EARLY,
    "started and failed at once is taken for a failure to start",
    "an exit before the acknowledgement is a start failure",
    |p, s, e| match e {
        Event::Exited { run, .. } if in_phase(s, &[Phase::Starting]) => p.step(s, Event::StartFailed { run, failure: StartFailure::Transient }),
        _ => p.step(s, e),
    };
    "BB-129", "moby fdfaaeb9aa", None,
    "no start event on an automatic restart",
    "observers are told on the manual path only",
    |p, s, e| {
        let step = p.step(s, e);
        if fired(e, TimerKind::Backoff) && in_phase(step.state, &[Phase::Starting]) { with(step, |a| a.emit = None) } else { step }
    };
    "BB-132", "the seed, lines 137-144", None,
    "running with a dead process for ever",
    "an error of the first attempt is taken for never started, after it had",
    |p, s, e| if matches!(e, Event::StartFailed { .. }) && in_phase(s, &[Phase::Activating, Phase::Running, Phase::Healthy]) { nothing(s) } else { p.step(s, e) };
    "BB-135", "podman #23246", None,
    "two starters, two processes",
    "checked, unlocked, locked again, acted",
    |p, s, e| if e == Event::StartRequested && in_phase(s, &[Phase::Starting]) { resaved(s, p.step(stopped(s), e)) } else { p.step(s, e) };
    "BB-136", "runit", None,
    "up forks a second process beside the killed one",
    "a kill marks it as down while it lives",
    |p, s, e| {
        let step = p.step(s, e);
        let kill = matches!(e, Event::StopRequested { mode: StopMode::Kill, .. });
        if kill && in_phase(s, &UP) && in_phase(step.state, &[Phase::Killing]) {
            let down = Step { state: stopped(step.state), ..step };
            with(resaved(s, down), |a| a.timer = TimerCommand::Disarm)
        } else { step }
    };
    "BB-138", "process-compose #347", None,
    "restart pressed twice starts two",
    "a spawn for each request",
    |p, s, e| if is_restart(e) && in_phase(s, &[Phase::Running, Phase::Healthy]) { p.step(stopped(s), Event::StartRequested) } else { p.step(s, e) };
    "BB-140", "kubernetes #104471", None,
    "two instances of one container",
    "decided on a stale picture: what is being released is gone",
    |p, s, e| if e == Event::StartRequested && in_phase(s, &[Phase::Releasing]) { resaved(s, p.step(stopped(s), e)) } else { p.step(s, e) };

    // The manager's own restarts, policies, saves, cells.
    "BB-147", "moby 267422e4d0", None,
    "after a power loss it runs on disk and nowhere else",
    "the saved state is believed",
    |p, s, e| match e {
        Event::Recovered { run, found: Found::Gone | Found::Rebooted } if s.phase().is_live() => p.step(s, Event::Recovered { run, found: Found::Alive }),
        _ => p.step(s, e),
    };
    "BB-148", "pitchfork #657", None,
    "deaths while the manager was down are not tried again",
    "an exit found on recovery ends the supervision",
    |p, s, e| {
        let step = p.step(s, e);
        let died = matches!(e, Event::Recovered { found: Found::Exited(_) | Found::Gone, .. }) && s.phase().is_live();
        if died && s.reason() == Reason::Wanted { set_reason(s, step, Reason::StopRequested) } else { step }
    };
    "BB-150", "nomad baea4716b7", None,
    "a failed recovery is reported as recovered",
    "the error is shadowed",
    |p, s, e| if matches!(e, Event::Recovered { found: Found::Gone, .. }) && s.phase().is_live() { nothing(s) } else { p.step(s, e) };
    "BB-151", "moby PR #29441", None,
    "any update clears the restart policy",
    "what is absent in the update is written as its default",
    |p, s, e| if e == Event::PolicyChanged { bent(p, |r| r.restart = Restart::No).step(s, e) } else { p.step(s, e) };
    "BB-152", "moby PR #19913", None,
    "an update to no in the wait does not end it",
    "the policy was copied when the timer was armed",
    |p, s, e| if e == Event::PolicyChanged && in_phase(s, &[Phase::BackingOff]) { Step { note: Note::Applied, ..nothing(s) } } else { p.step(s, e) };
    "BB-155", "moby #19025", None,
    "an update has no effect on what waits or serves",
    "the policy is a snapshot",
    |p, s, e| if e == Event::PolicyChanged { Step { note: Note::Applied, ..nothing(s) } } else { p.step(s, e) };
    "BB-159", "the seed", BACKOFF,
    "a crash in the wait leaves a running process on disk",
    "nothing is saved when the wait begins",
    |p, s, e| {
        let step = p.step(s, e);
        if in_phase(step.state, &[Phase::BackingOff]) { with(step, |a| a.persist = false) } else { step }
    };
    "BB-166", "nomad 760bb970c3", None,
    "the restart on a failed health check works once",
    "the check is registered at the first start only",
    |p, s, e| if matches!(e, Event::Unhealthy { .. }) && s.restarts() > 0 { nothing(s) } else { p.step(s, e) };
    "BB-167", "s6 89b2bc9", None,
    "a command is missed in one of five states",
    "one cell of the table is empty",
    |p, s, e| if is_stop(e) && in_phase(s, &[Phase::Throttled]) { nothing(s) } else { p.step(s, e) };

    // Generic mutations: one command, one counter or one note lost.
    "M-1", "generic", None, "no release", "the command is dropped",
    |p, s, e| {
        let step = p.step(s, e);
        if matches!(step.actions.process, ProcessCommand::Release { .. }) { with(step, |a| a.process = ProcessCommand::Leave) } else { step }
    };
    "M-2", "generic", None, "no kill", "the signal of the escalation is dropped",
    |p, s, e| {
        let step = p.step(s, e);
        let kill = matches!(step.actions.process, ProcessCommand::Signal { signal: Signal::KILL, .. });
        if kill { with(step, |a| a.process = ProcessCommand::Leave) } else { step }
    };
    "M-3", "generic", None, "the kill has no deadline", "its timer is not armed",
    |p, s, e| {
        let step = p.step(s, e);
        if in_phase(step.state, &[Phase::Killing, Phase::Purging]) { with(step, |a| a.timer = TimerCommand::Keep) } else { step }
    };
    "M-4", "generic", None, "the watchdog does not bite", "its timer is not armed",
    |p, s, e| with(p.step(s, e), |a| if matches!(a.watchdog, TimerCommand::Arm(_)) { a.watchdog = TimerCommand::Keep; });
    "M-5", "generic", None, "no run is held against the budget", "the strike is not counted",
    |p, s, e| { let step = p.step(s, e); restate(s, step, |b| { let [low, high] = s.strikes().to_le_bytes(); if step.state.strikes() > s.strikes() { (b[16], b[17]) = (low, high); } }) };
    "M-6", "generic", None, "the delay does not grow", "the level is not counted",
    |p, s, e| { let step = p.step(s, e); if in_phase(step.state, &[Phase::BackingOff]) { restate(s, step, |b| b[3] = s.level()) } else { step } };
    "M-7", "generic", None, "the window never closes", "its timer is not armed",
    |p, s, e| with(p.step(s, e), |a| if matches!(a.window, TimerCommand::Arm(_)) { a.window = TimerCommand::Keep; });
    "M-8", "generic", None, "no change is saved", "the save is dropped",
    |p, s, e| with(p.step(s, e), |a| a.persist = false);
    "M-9", "generic", None, "a run is a run twice", "the number of the run is not raised",
    |p, s, e| {
        let step = p.step(s, e);
        let same = s.run().as_u32().to_le_bytes();
        if step.actions.process == ProcessCommand::Spawn && s.run() != RunId::NONE { restate(s, step, |b| b[8..12].copy_from_slice(&same)) } else { step }
    };
    "M-10", "generic", STALE, "an ignored event is said to count", "the note is wrong",
    |p, s, e| { let step = p.step(s, e); Step { note: Note::Applied, ..step } };
    "M-11", "generic", None, "a reset ends the wait", "forgiven is taken for wanted now",
    |p, s, e| if e == Event::ResetRequested && in_phase(s, &[Phase::BackingOff]) { p.step(s, Event::TimerFired { timer: TimerToken { run: s.run(), kind: TimerKind::Backoff } }) } else { p.step(s, e) };
    "M-12", "generic", None, "another policy forgets failures", "what is counted is cleared with the update",
    |p, s, e| { let step = p.step(s, e); if e == Event::PolicyChanged { restate(s, step, |b| (b[16], b[17]) = (0, 0)) } else { step } };
    "M-18", "generic", None, "a program that asks for more time again and again is never killed", "what lengthens a start lengthens a stop",
    |p, s, e| match e {
        Event::Extended { run, by } if run == s.run() && in_phase(s, &[Phase::Stopping]) => {
            with(Step { note: Note::Applied, ..nothing(s) }, |a| a.timer = TimerCommand::Lengthen(by))
        }
        _ => p.step(s, e),
    };
    "M-19", "generic", None, "a start that asks for more time is stopped too soon", "its timer is replaced",
    |p, s, e| with(p.step(s, e), |a| if let TimerCommand::Lengthen(by) = a.timer { a.timer = TimerCommand::Arm(Delay::exact(by)); });
    "M-20", "generic", None, "a reload that brings a watchdog kills what runs", "it is armed for a run that was not told of it",
    |p, s, e| match (e, p.rules().watchdog) {
        (Event::PolicyChanged, Some(watchdog)) if in_phase(s, &[Phase::Running, Phase::Healthy]) => {
            with(p.step(s, e), |a| a.watchdog = TimerCommand::Shorten(watchdog.period))
        }
        _ => p.step(s, e),
    };

    below the machine

    // Targets of signals.
    "BB-83", Os, ReapsBeforeSignal, "pitchfork PR #878", NUMBER,
    "a stranger is killed", "asked by the handle, reaped, and signalled by the number";
    "BB-85", Os, ForwardsByNumber, "conmon 8596fc6", NUMBER,
    "a signal kills a stranger", "the number is kept after the wait, and signals are passed on by it";
    "BB-91", Os, KeepsFirstNumber, "dinit 79f9c04", NUMBER,
    "the wrong process is signalled", "the number of an earlier run is stored";
    "BB-93", Os, ReapsAtNotice, "the seed", NUMBER,
    "a kill after the end hits whoever has the number", "reaped before the end is told, signalled by the number";

    // Notices of ends.
    "BB-34", Os, TrustsNotices, "moby c458bca6dc", NOTICE,
    "stop never succeeds after a missed notice", "notices are believed, nobody asks";
    "BB-33b", Os, NobodyIsSent, "moby #41579", NOTICE,
    "stop waits for ever for a process that is gone", "a signal that finds nobody counts as sent";
    "BB-38", Os, DiesOfNobody, "supervisord #536", NOTICE,
    "the whole daemon dies", "a signal that finds nobody leads to a state that asserts";
    "BB-53", Os, EmptyGroupIsTheEnd, "systemd #6608", None,
    "a failed unit is judged clean", "the empty group is handled before the status";
    "BB-86", Os, TwoReapers, "containerd #5890", None,
    "the status is taken by the other", "a reaper for all children beside one for each";
    "BB-94", Os, OneWaitPerNotice, "catatonit #4; eventcore #116", CROWD,
    "one of several deaths is never noticed", "one wait a notice";
    "BB-95", Os, AnyChildEndsTheRun, "bubblewrap #146", CROWD,
    "another child is taken for the main process", "the end of any child ends the run";
    "BB-96", Os, MissesEarlyEnds, "moby 27087eacbf", EARLY,
    "a child that dies at once is never noticed", "an error path returns before the wait begins";
    "BB-97", Os, KeepsFailedStarts, "podman c726cf8106", None,
    "zombies of failed starts", "returned without a wait";
    "BB-99", Driver, KeepsOneEnd, "containerd #2709", CROWD,
    "ends are dropped when a buffer is full", "there is room for one end";
    "BB-102", Os, NobodyIsAnEnd, "circus f1d1e6a4", CROWD,
    "a living process counts as dead", "a wait that answers 0 is read as a status";
    "BB-104", Os, NeverReaps, "process-compose 49c6975", None,
    "dropped children stay zombies", "nothing is reaped";
    "BB-108", Os, EndIsEndOfOutput, "tinyexec #138", NOTICE,
    "the wait never ends", "the end of the output is taken for the end of the process";
    "BB-130", Os, StartsAtFork, "conmon 05eff51", None,
    "an exec that never ran is reported as a success", "the start is told at the fork";
    "M-13", Driver, ForgetsAnswers, "generic", None,
    "a started process is starting for ever", "what a spawn answers is not heard";

    // Waits.
    "M-21", Os, WatchesTheUntold, "generic", None,
    "after a reload a program is killed for want of pings of which it was never told", "the watchdog is that of the policy";

    // Group members that a run leaves.
    "BB-92", Os, KillsASnapshot, "pm2 #6084", None,
    "processes of the tree are missed", "the tree is read before, and killed by what was read";
    "BB-109", Os, ForgetsTheGroup, "systemd #8630", None,
    "two instances of a database", "a run is over when its leader is, whoever is left";

    // The monitor's own restarts.
    "BB-55", Os, UnknownIsZero, "conmon 90d6038", CRASH,
    "a lost status is reported as 0", "0 is the default of a status that nobody knows";
    "BB-82", Os, AdoptsByNumber, "pitchfork #631", NUMBER,
    "after a crash another program is taken over and killed", "the identity of the saved number is not checked";
    "BB-89", Os, AdoptsBlindly, "nomad 4e2d9675e7", CRASH,
    "attached to whatever is at the saved address", "no check at all";
    "BB-101", Os, AdoptsZombies, "moby #40735", CRASH,
    "a zombie counts as alive", "asked by signal 0";
    "BB-146", Driver, ServesUnread, "moby #32808", CRASH,
    "an event during the start-up meets parts that are not there", "served before the state is read";

    // The disk.
    "BB-156", Store, SavesInPlace, "moby #17618", CRASH,
    "an empty state file after a hard reboot", "truncated, then written";
    "BB-157", Store, SavesWithoutOutcome, "pitchfork #231", CRASH,
    "a state that the format cannot say is lost", "the form has no word for how it ended";
    "BB-158", Store, SharesTemporary, "pm2 #3865", CRASH,
    "two exits at once leave a corrupt dump", "two writers, one file";
    "BB-160", Store, HidesSaveErrors, "the seed", CRASH,
    "a state that could not be saved is gone", "the error is logged and dropped";
    "M-14", Store, SavesWithoutSync, "generic", CRASH,
    "an empty state file after a loss of power", "renamed before the content has reached the disk";
    "M-15", Store, SavesLate, "generic", CRASH,
    "what was done is not on disk", "saved after the commands and the telling";
    "M-22", Store, AnswersSavesEarly, "generic", CRASH,
    "a program runs that no record names", "a save is answered before it is carried out";
    "M-23", Driver, DeadlinesFirst, "generic", CLOCK,
    "a monitor that was suspended kills a program whose ping is waiting", "deadlines are judged before what is readable is read";

    // Clocks.
    "BB-112", Os, WallClock, "supervisord PR #1047", CLOCK,
    "after the clock was set back it waits for years", "delays are counted on the wall clock";
    "BB-113", Os, EventsByStamp, "kubernetes #134153", CLOCK,
    "newer news looks old", "ordered by wall stamps";
    "BB-114", Os, SleepingClock, "systemd #20284", CLOCK,
    "after a sleep the watchdog kills what was well", "the clock runs while nobody could";
    "BB-115", Os, PingsByStamp, "systemd #5014", CLOCK,
    "the clock is set back, pings no longer count", "pings are compared by wall stamps";
    "BB-117", Os, EndsByStamp, "moby #51925", CLOCK,
    "a real exit is dropped", "an exit before its start, by the wall clock, is ignored";

    // Callers.
    "BB-11", Driver, EndsWhenIdle, "pm2 #3206", None,
    "the manager ends while a restart is pending", "idle is when no process lives";
    "BB-36c", Driver, OneCaller, "watchexec-supervisor", DOUBLE,
    "the first of two stops never returns", "there is room for one caller";
    "BB-127", Driver, WakesByEdge, "moby c498d4700d", None,
    "a waiter hangs after a very quick exit and restart", "woken by a change, not by what is";
    "BB-137", Driver, CollapsesRequests, "runit #33", None,
    "the order of commands is lost", "the last of the queued requests is kept";
    "BB-165", Driver, RegistersLate, "nomad 079cfb437d", None,
    "not found: the wait begins after the kill", "subscribed after acting";
    "M-16", Driver, WakesByAnything, "the seed, D13", STARTING,
    "stop returns with the process running", "all waiters share one wake-up";
    "M-17", Driver, AnswersTwice, "generic", DOUBLE,
    "a caller is answered again", "who was answered is kept";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_in_any_case_and_another_is_refused_with_those_near_to_it() {
        assert_eq!("bb-36B".parse::<Bug>().map(|bug| bug.id), Ok("BB-36b"));
        let unknown = "BB-1680".parse::<Bug>().unwrap_err();
        assert_eq!(unknown.near, ["BB-166", "BB-167", "BB-160"]);
        assert_eq!(
            "stop".parse::<Bug>().unwrap_err().to_string(),
            "the bank has no bug \"stop\": give an id that `monitor-sim bugs --list` prints"
        );
    }

    #[test]
    fn the_self_test_is_in_the_bank_and_has_every_layer() {
        assert_eq!(self_test().count(), SELF_TEST.len());
        for layer in [Layer::Core, Layer::Os, Layer::Store, Layer::Driver] {
            assert!(self_test().any(|bug| bug.layer == layer), "{}", layer.name());
        }
    }
}
