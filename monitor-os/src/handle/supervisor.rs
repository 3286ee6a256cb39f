//! The handles: what a program holds of the reactor's thread.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};

use monitor_core::{Event, Grace, Millis, Origin, Policy, RunId, Signal, State, StopMode};
use nix::sys::signal::SigSet;
use tokio::sync::{oneshot, watch};

use crate::backend::reactor::LinuxKernel;
use crate::backend::reactor::inbox::{Message, NewUnit, Request};
use crate::backend::run::recovery::{OnCrash, Recovered, recover};
use crate::backend::start::launcher::Launcher;
use crate::backend::status::events::{Events, events};
use crate::backend::status::published::{StatusReader, StatusWriter};
use crate::backend::status::unit_status::{Status, StopResult};
use crate::backend::store::state_dir::{StateDir, StateError};
use crate::backend::store::unit_store::UnitStore;
use crate::command::Command;
use crate::driver::Driver;
use crate::driver::kernel::UnitId;
use crate::linux::clock::now;
use crate::linux::kernel_features::KernelFeatures;
use crate::linux::orphans::Orphans;
use crate::linux::signals::{ChildrenUnwaitable, ensure_children_waitable};
use crate::linux::wake::{Notifier, Wake};

/// Supervises any number of processes from one thread of its own.
///
/// Clones are handles of the same supervisor. None of its methods needs an async runtime; the futures
/// work in any of them, and in [`block_on`](crate::block_on()) without one.
///
/// # Drop
/// Dropping the last clone brings all units down as their policies say, then ends and joins the thread.
/// That blocks for as long as the stops take; with a policy that never kills, maybe for ever. Use
/// [`Supervisor::shutdown`] to wait in async code, and [`Unit::kill`] before it not to wait for graces.
/// A [`Unit`] does not keep its supervisor alive.
///
/// # Tracing
/// The thread tells `tracing` what it does, so a subscriber must not block: one that writes to a pipe or a
/// terminal needs a bounded queue in between, as the program `monitor` has.
///
/// # Examples
/// See the [front page](crate).
#[derive(Clone, Debug)]
pub struct Supervisor {
    thread: Arc<ReactorThread>,
}

/// The reactor's thread, which ends with this value.
#[derive(Debug)]
struct ReactorThread {
    inbox: Arc<Inbox>,
    next_unit: Mutex<u32>,
    handle: Mutex<Option<JoinHandle<()>>>,
    /// Closed when the thread has ended.
    ended: watch::Receiver<()>,
    has_launcher: bool,
    features: KernelFeatures,
}

/// Where messages for the reactor go in.
#[derive(Debug)]
struct Inbox {
    inbox: mpsc::Sender<Message>,
    notifier: Notifier,
}

impl Inbox {
    /// Never blocks. A reactor that has ended needs no messages.
    fn send(&self, message: Message) {
        if self.inbox.send(message).is_ok() {
            self.notifier.notify();
        }
    }
}

impl Supervisor {
    /// Starts the thread. Its programs are started directly.
    ///
    /// # Errors
    /// See [`SupervisorError`]; nothing was started.
    pub fn new() -> Result<Self, SupervisorError> {
        Self::builder().start()
    }

    /// Starts the thread. Its programs are started through a helper, for which see [`Launcher`].
    ///
    /// A start costs one more exec, of the helper: some 3 ms from request to end of `/bin/true` on a busy machine
    /// with two cores, where a direct start takes 0.7 ms. The supervisor's thread does not wait for it.
    ///
    /// # Errors
    /// See [`SupervisorError`]; nothing was started.
    pub fn with_launcher(launcher: &Launcher) -> Result<Self, SupervisorError> {
        Self::builder().launcher(launcher).start()
    }

    /// A supervisor with more settings, which is there when it is started.
    pub const fn builder() -> SupervisorBuilder {
        SupervisorBuilder { launcher: None, features: None, orphans: Parent::Another }
    }

    fn begin(settings: SupervisorBuilder) -> Result<Self, SupervisorError> {
        let SupervisorBuilder { launcher, features, orphans } = settings;
        let features = features.unwrap_or_else(KernelFeatures::probe);
        let has_launcher = launcher.is_some();
        ensure_children_waitable().map_err(SupervisorError::ChildrenUnwaitable)?;
        let orphans = match orphans {
            Parent::This if features.subreaper => {
                Some(Orphans::begin().map_err(SupervisorError::NoResources)?)
            }
            Parent::This | Parent::Another => None,
        };
        let (wake, notifier) = Wake::new().map_err(SupervisorError::NoResources)?;
        let (inbox, messages) = mpsc::channel();
        let mut kernel =
            LinuxKernel::new(launcher, features, orphans, messages, wake, notifier.clone())
                .map_err(SupervisorError::NoResources)?;
        let (ends, ended) = watch::channel(());
        let handle = thread::Builder::new()
            .name("monitor-reactor".into())
            .spawn(move || {
                // Handlers of the program must not run here; children start with nothing blocked. The
                // call fails for a wrong argument only, and then the handlers run here too.
                SigSet::all().thread_block().ok();
                Driver::new().run(&mut kernel);
                drop(kernel);
                drop(ends);
            })
            .map_err(SupervisorError::NoResources)?;
        Ok(Self {
            thread: Arc::new(ReactorThread {
                inbox: Arc::new(Inbox { inbox, notifier }),
                next_unit: Mutex::new(0),
                handle: Mutex::new(Some(handle)),
                ended,
                has_launcher,
                features,
            }),
        })
    }

    /// Adds a unit: a command that is supervised by a policy, and that nobody has started yet.
    ///
    /// With a [`Launcher`] its programs die with this process, since no other monitor would find them.
    ///
    /// It is there until the supervisor ends. The name is for people; two units may have the same. A policy that many
    /// have in common can be given as one `Arc`.
    #[must_use = "the unit is started by its handle"]
    pub fn add(
        &self,
        name: impl Into<Arc<str>>,
        command: Command,
        policy: impl Into<Arc<Policy>>,
    ) -> Unit {
        self.join(name.into(), command, policy.into(), None, None)
    }

    /// Adds a unit that is stored in a state directory, and finds what an earlier monitor left of it.
    ///
    /// Nothing happens to what was found before [`Unit::resume`], or any other request. The policy and the
    /// command are those given here: what runs goes on as it is, and the next run is of this command.
    ///
    /// Blocks for up to 3 s where the process that was left has just ended, and up to 10 s for the death of
    /// what is to be killed.
    ///
    /// # Errors
    /// See [`StateError`]; no unit was added, and what `OnCrash::Kill` names may be killed.
    pub fn restore(
        &self,
        state: &StateDir,
        on_crash: OnCrash,
        name: impl Into<Arc<str>>,
        command: Command,
        policy: impl Into<Arc<Policy>>,
    ) -> Result<Unit, StateError> {
        if !self.thread.has_launcher {
            return Err(StateError::NoLauncher);
        }
        let name = name.into();
        let store = UnitStore::open(state, Arc::clone(&name), &command)?;
        let recovered = recover(state, store.record(), on_crash, self.thread.features)?;
        Ok(self.join(name, command, policy.into(), Some(store), recovered))
    }

    /// Everything that happens to any of its units from now on, those that are added later included, in order.
    ///
    /// The stream is bounded; a reader that lags learns how much it missed, see [`Events`].
    #[must_use]
    pub fn events(&self) -> Events {
        let (subscriber, events) = events();
        self.thread.inbox.send(Message::SubscribeToAll { subscriber });
        events
    }

    fn join(
        &self,
        name: Arc<str>,
        command: Command,
        policy: Arc<Policy>,
        store: Option<UnitStore>,
        recovered: Option<Recovered>,
    ) -> Unit {
        let mut next = locked(&self.thread.next_unit);
        let id = UnitId::new(*next);
        *next = next.wrapping_add(1);
        drop(next);
        let state = recovered.as_ref().map_or(State::INITIAL, |recovered| recovered.state);
        let status = Status::new(state, Arc::clone(&policy), now());
        let status = Arc::new(StatusReader::new(name, status));
        let inbox = Arc::clone(&self.thread.inbox);
        inbox.send(Message::AddUnit(NewUnit {
            unit: id,
            command,
            policy,
            status: StatusWriter::new(Arc::clone(&status)),
            store: store.map(Box::new),
            recovered: recovered.map(Box::new),
        }));
        Unit { id, inbox, status }
    }

    /// Brings all units down as their policies say, and completes when the thread has nothing to do any
    /// more. From the call on, requests to start a unit are ignored.
    pub fn shutdown(&self) -> impl Future<Output = ()> + Send + 'static {
        self.thread.inbox.send(Message::ShutDown);
        let mut ended = self.thread.ended.clone();
        async move { while ended.changed().await.is_ok() {} }
    }
}

/// The settings of a supervisor that is not started; made by [`Supervisor::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing is there before `start`"]
pub struct SupervisorBuilder {
    launcher: Option<Launcher>,
    features: Option<KernelFeatures>,
    orphans: Parent,
}

/// Who gets the children of those that have ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Parent {
    This,
    /// Init, or another that stands between.
    Another,
}

impl SupervisorBuilder {
    /// Starts programs through a helper, as [`Supervisor::with_launcher`] does.
    pub fn launcher(mut self, launcher: &Launcher) -> Self {
        self.launcher = Some(launcher.clone());
        self
    }

    /// Uses no more of the kernel than this, instead of all that [`KernelFeatures::probe`] finds.
    pub const fn kernel_features(mut self, features: KernelFeatures) -> Self {
        self.features = Some(features);
        self
    }

    /// Makes this process the parent of all orphans among its descendants (`PR_SET_CHILD_SUBREAPER`), so that a run
    /// without a control group is stopped with what left its process group, and no zombie is left to others. Orphans
    /// are known by the variable `MONITOR_RUN`, which each program is given that a helper starts, then by their session.
    ///
    /// It concerns the whole process, and outlasts the supervisor: every child that ends and that this supervisor did
    /// not start is reaped. So it is for a program that starts processes by no other means, with one supervisor, and
    /// that calls it before it starts other threads, all of which must block SIGCHLD as this one does from then on.
    pub const fn with_orphans(mut self) -> Self {
        self.orphans = Parent::This;
        self
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// See [`SupervisorError`]; nothing was started.
    pub fn start(self) -> Result<Supervisor, SupervisorError> {
        Supervisor::begin(self)
    }
}

impl Drop for ReactorThread {
    fn drop(&mut self) {
        self.inbox.send(Message::ShutDown);
        if let Some(handle) = locked(&self.handle).take() {
            // An error is a panic of the thread, which has been printed.
            drop(handle.join());
        }
    }
}

/// Why a supervisor could not be started. Nothing was started.
#[derive(Debug)]
#[non_exhaustive]
pub enum SupervisorError {
    /// The end of a child would go unseen; see the source for what to do.
    ChildrenUnwaitable(ChildrenUnwaitable),
    /// No descriptor, thread or memory is left; raise the limit, or close some.
    NoResources(io::Error),
}

impl fmt::Display for SupervisorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ChildrenUnwaitable(error) => error.fmt(f),
            Self::NoResources(error) => write!(
                f,
                "cannot start the supervisor: {error}; raise the limits on descriptors, threads or memory"
            ),
        }
    }
}

impl std::error::Error for SupervisorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::ChildrenUnwaitable(error) => std::error::Error::source(error),
            Self::NoResources(error) => Some(error),
        }
    }
}

/// One supervised process: a handle to request something of it and to see how it is.
///
/// Requests never block and never fail: the supervisor's thread handles them in the order in which they were
/// made. They set what is wanted, in any state, and are recorded as such: a stop during a backoff ends the
/// backoff, a start during a stop follows the stop. Of a request and the end of a process that are seen in the same moment the
/// end comes first: a stop may then find nothing that runs. [`Unit::wait_until`] waits until a request is handled.
#[derive(Clone, Debug)]
pub struct Unit {
    id: UnitId,
    inbox: Arc<Inbox>,
    status: Arc<StatusReader>,
}

impl Unit {
    /// Its number among the units of its supervisor.
    #[must_use]
    pub const fn id(&self) -> UnitId {
        self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.status.name
    }

    /// Requests a start. Forgets earlier failures, unless it is up already.
    pub fn start(&self) {
        self.send_event(Event::StartRequested);
    }

    /// Requests to go on from where an earlier monitor left it: a stop is finished, a wait begins anew, what
    /// runs is watched, and what was to stay down stays down. One that was never started is started.
    pub fn resume(&self) {
        self.request(Request::Resume, None);
    }

    /// Requests a stop: the stop signal, the policy's grace, then the kill.
    ///
    /// The request is made by the call. Await the answer, or do not.
    #[expect(clippy::must_use_candidate, reason = "the request is made by the call")]
    pub fn stop(&self) -> Stopping {
        self.stop_with(StopMode::Graceful(Grace::Policy), Origin::User)
    }

    /// Requests a stop by the kill.
    #[expect(clippy::must_use_candidate, reason = "the request is made by the call")]
    pub fn kill(&self) -> Stopping {
        self.stop_with(StopMode::Kill, Origin::User)
    }

    /// Requests a stop in the given way.
    #[expect(clippy::must_use_candidate, reason = "the request is made by the call")]
    pub fn stop_with(&self, mode: StopMode, origin: Origin) -> Stopping {
        let (reply, answer) = oneshot::channel();
        self.request(Request::Event(Event::StopRequested { mode, origin }), Some(reply));
        Stopping { answer }
    }

    /// Requests a stop and a start as one restart: a stop in between cancels it.
    pub fn restart(&self) {
        self.restart_within(Grace::Policy);
    }

    /// The same with a grace of its own for the half that brings it down.
    pub fn restart_within(&self, grace: Grace) {
        self.send_event(Event::RestartRequested { grace });
    }

    /// Requests a signal for its main process, if there is one. Changes no intent.
    ///
    /// Signals 1 to 31; a real-time signal is refused and logged.
    pub fn signal(&self, signal: Signal) {
        self.send_event(Event::SignalRequested { signal });
    }

    /// Puts another policy in force, from the next decision on.
    pub fn set_policy(&self, policy: impl Into<Arc<Policy>>) {
        self.request(Request::Policy(policy.into()), None);
    }

    /// Gives it another command, from its next run on. What runs goes on as it is.
    pub fn set_command(&self, command: Command) {
        let command = Box::new(command);
        self.inbox.send(Message::Command { unit: self.id, command });
    }

    /// Requests to forget earlier failures: the growth of the delay, the retries used, the starts counted.
    pub fn reset(&self) {
        self.send_event(Event::ResetRequested);
    }

    /// Requests the next attempt now, if the unit waits for it.
    pub fn retry(&self) {
        self.send_event(Event::RetryRequested);
    }

    /// Reports that the process in [`Unit::state`] serves, where the policy waits for that.
    ///
    /// For a run that is over by then it changes nothing; the reports below do not, either.
    pub fn ready(&self) {
        self.ready_of(self.state().state().run());
    }

    /// Reports that the process of this run serves: for a caller whose check ends later, maybe in the next run.
    pub fn ready_of(&self, run: RunId) {
        self.send_event(Event::Ready { run });
    }

    /// Reports that the process in [`Unit::state`] is alive: begins the watchdog's period anew.
    pub fn ping(&self) {
        self.ping_of(self.state().state().run());
    }

    /// Reports that the process of this run is alive.
    pub fn ping_of(&self, run: RunId) {
        self.send_event(Event::Ping { run });
    }

    /// Asks for more time to start for the process in [`Unit::state`]: it is not to be found late before this is over.
    /// Once it serves, or is to stop, that changes nothing.
    pub fn extend(&self, by: Millis) {
        self.extend_of(self.state().state().run(), by);
    }

    /// Asks for more time to start for the process of this run.
    pub fn extend_of(&self, run: RunId, by: Millis) {
        self.send_event(Event::Extended { run, by });
    }

    /// Reports that the process in [`Unit::state`] failed a health check: it is stopped, and the policy
    /// decides what follows.
    pub fn unhealthy(&self) {
        self.unhealthy_of(self.state().state().run());
    }

    /// Reports that the process of this run failed a health check.
    pub fn unhealthy_of(&self, run: RunId) {
        self.send_event(Event::Unhealthy { run });
    }

    /// The status. A request that was just made may not show yet; [`Unit::wait_until`] waits for that too.
    #[must_use]
    pub fn state(&self) -> Status {
        self.status.status()
    }

    /// Waits until all requests made so far by any clone of this handle were handled, and `condition` holds.
    ///
    /// The condition is asked of states, not of changes: one that holds already is enough, and a state
    /// that has passed by meanwhile may go unseen. Use [`Unit::events`] to see each of them.
    ///
    /// # Errors
    /// [`SupervisorGone`] if the supervisor ended before; with it comes the last status.
    pub fn wait_until<C>(
        &self,
        mut condition: C,
    ) -> impl Future<Output = Result<Status, SupervisorGone>> + Send + use<C>
    where
        C: FnMut(&Status) -> bool + Send,
    {
        let requests = *locked(&self.status.requests);
        let status = Arc::clone(&self.status);
        async move {
            let met =
                status.wait_for(|status| status.requests >= requests && condition(status)).await;
            met.map_err(|last| SupervisorGone { last: Box::new(last) })
        }
    }

    /// Everything that happens to it from now on, in order.
    ///
    /// The stream is bounded; a reader that lags learns how much it missed, see [`Events`].
    #[must_use]
    pub fn events(&self) -> Events {
        let (subscriber, events) = events();
        self.inbox.send(Message::Subscribe { unit: self.id, subscriber });
        events
    }

    fn send_event(&self, event: Event) {
        self.request(Request::Event(event), None);
    }

    fn request(&self, request: Request, reply: Option<oneshot::Sender<StopResult>>) {
        let mut requests = locked(&self.status.requests);
        *requests += 1;
        self.inbox.send(Message::Request { unit: self.id, request, reply });
    }
}

/// The answer to a stop, when it is there. Dropping it changes nothing about the stop.
///
/// Each caller gets an own answer about the run that was going on when the stop was handled, also if it is
/// followed by another run, because somebody has requested a start meanwhile.
#[derive(Debug)]
pub struct Stopping {
    answer: oneshot::Receiver<StopResult>,
}

impl Future for Stopping {
    type Output = StopResult;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<StopResult> {
        Pin::new(&mut self.answer)
            .poll(context)
            .map(|answer| answer.unwrap_or(StopResult::SupervisorGone))
    }
}

/// The supervisor has ended, so that nothing will change any more.
#[derive(Clone, Debug)]
pub struct SupervisorGone {
    last: Box<Status>,
}

impl SupervisorGone {
    /// The unit as it was at the end.
    #[must_use]
    pub fn last(&self) -> &Status {
        &self.last
    }
}

impl fmt::Display for SupervisorGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the supervisor has ended; keep it for as long as its units are waited for")
    }
}

impl std::error::Error for SupervisorGone {}

/// A panic elsewhere leaves these counters whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
