//! The supervisor and its units, as handles of the reactor's thread.

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
/// Clones are handles of one supervisor. No method needs an async runtime. The futures work in any
/// runtime, and in [`block_on`](crate::block_on()) without one.
///
/// # Drop
/// Dropping the last clone stops all units by their policies, then ends and joins the thread. The
/// drop blocks as long as the stops take. With a policy that never kills, it may block for ever. In
/// async code, wait with [`Supervisor::shutdown`]. To skip the graces, call [`Unit::kill`] before.
/// A [`Unit`] does not keep its supervisor alive.
///
/// # Tracing
/// The thread reports its work to `tracing`, so a subscriber must not block. A subscriber that
/// writes to a pipe or a terminal needs a bounded queue, as the program `monitor` has.
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

/// The sending end of the reactor's queue of messages.
#[derive(Debug)]
struct Inbox {
    inbox: mpsc::Sender<Message>,
    notifier: Notifier,
}

impl Inbox {
    /// Sends a message without blocking; it is dropped if the reactor has ended.
    fn send(&self, message: Message) {
        if self.inbox.send(message).is_ok() {
            self.notifier.notify();
        }
    }
}

impl Supervisor {
    /// Starts a supervisor that starts its programs directly.
    ///
    /// # Errors
    /// See [`SupervisorError`]; nothing was started.
    pub fn new() -> Result<Self, SupervisorError> {
        Self::builder().start()
    }

    /// Starts a supervisor that starts its programs through the helper of a [`Launcher`].
    ///
    /// Each start has one more exec, that of the helper. A run of `/bin/true` takes some 3 ms from
    /// request to end on a busy machine with two cores. A direct start takes 0.7 ms there. The
    /// supervisor's thread does not wait for the helper.
    ///
    /// # Errors
    /// See [`SupervisorError`]; nothing was started.
    pub fn with_launcher(launcher: &Launcher) -> Result<Self, SupervisorError> {
        Self::builder().launcher(launcher).start()
    }

    /// Returns a builder with all settings; [`SupervisorBuilder::start`] starts the supervisor.
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
                // Signal handlers of the program must not run on this thread. Children start with
                // no signal blocked. The call fails only for a wrong argument; then the handlers
                // run on this thread too.
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

    /// Adds a unit: a command that is supervised by a policy. The unit is not started.
    ///
    /// With a [`Launcher`] its programs die with this process, because no later monitor would find
    /// them.
    ///
    /// The unit exists until the supervisor ends. The name is for people; two units may share a
    /// name. One `Arc` can hold a policy that many units share.
    #[must_use = "the unit is started by its handle"]
    pub fn add(
        &self,
        name: impl Into<Arc<str>>,
        command: Command,
        policy: impl Into<Arc<Policy>>,
    ) -> Unit {
        self.join(name.into(), command, policy.into(), None, None)
    }

    /// Adds a unit that is stored in a state directory, and recovers the run of an earlier monitor.
    ///
    /// The recovered run is not changed before [`Unit::resume`] or another request. Policy and
    /// command are those of this call. A live run continues unchanged, and the next run uses this
    /// command.
    ///
    /// The call blocks for up to 3 s if the recovered process has just ended. It blocks for up to
    /// 10 s for the death of processes that `OnCrash::Kill` kills.
    ///
    /// # Errors
    /// See [`StateError`]; no unit was added, and processes that `OnCrash::Kill` names may be
    /// killed.
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

    /// Subscribes to all events of all units from now on, in order; includes units that are added
    /// later.
    ///
    /// The stream is bounded. A reader that lags learns the number of missed events: see
    /// [`Events`].
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

    /// Stops all units by their policies; completes when the thread has no work left.
    ///
    /// From the call on, requests to start a unit are ignored.
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

/// The parent of processes whose own parent has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Parent {
    This,
    /// Init, or a subreaper between init and this process.
    Another,
}

impl SupervisorBuilder {
    /// Starts programs through a helper, as [`Supervisor::with_launcher`] does.
    pub fn launcher(mut self, launcher: &Launcher) -> Self {
        self.launcher = Some(launcher.clone());
        self
    }

    /// Limits the use of the kernel to these features; the default is [`KernelFeatures::probe`].
    pub const fn kernel_features(mut self, features: KernelFeatures) -> Self {
        self.features = Some(features);
        self
    }

    /// Makes this process the parent of all orphans among its descendants
    /// (`PR_SET_CHILD_SUBREAPER`).
    ///
    /// A stop of a run without a control group then reaches processes that left its process group.
    /// No zombie is left to another process. Orphans are identified by the variable `MONITOR_RUN`,
    /// and then by their session. A helper sets that variable for each program that it starts.
    ///
    /// The setting concerns the whole process and outlasts the supervisor. Every child that ends is
    /// reaped, even if this supervisor did not start it. It therefore suits a program that has one
    /// supervisor and starts no processes by other means. Call it before other threads start. From
    /// then on, all threads must block SIGCHLD, as this thread does.
    pub const fn with_orphans(mut self) -> Self {
        self.orphans = Parent::This;
        self
    }

    /// Starts the supervisor's thread.
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

/// Error of the start of a supervisor; nothing was started.
#[derive(Debug)]
#[non_exhaustive]
pub enum SupervisorError {
    /// The end of a child would go unnoticed; the source names the remedy.
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

/// Handle of one supervised process, for requests and status.
///
/// Requests never block and never fail. The supervisor's thread handles them in the order in which
/// they were made. A request sets the target of the unit in any state and is recorded. A stop
/// during a backoff ends the backoff; a start during a stop follows the stop.
///
/// If a request and the end of a process are observed at one moment, the end comes first. A stop
/// may then find no running process. [`Unit::wait_until`] waits until a request is handled.
#[derive(Clone, Debug)]
pub struct Unit {
    id: UnitId,
    inbox: Arc<Inbox>,
    status: Arc<StatusReader>,
}

impl Unit {
    /// The number of the unit among the units of its supervisor.
    #[must_use]
    pub const fn id(&self) -> UnitId {
        self.id
    }

    /// The name of the unit.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.status.name
    }

    /// Requests a start; clears the failure counts, unless the unit is up already.
    pub fn start(&self) {
        self.send_event(Event::StartRequested);
    }

    /// Requests to continue from the state that an earlier monitor left.
    ///
    /// A stop is finished, a wait restarts, a live run is watched, and a unit that was down for
    /// good stays down. A unit that was never started is started.
    pub fn resume(&self) {
        self.request(Request::Resume, None);
    }

    /// Requests a stop: the stop signal, the policy's grace, then the kill.
    ///
    /// The call makes the request, whether or not the result is awaited.
    #[expect(clippy::must_use_candidate, reason = "the request is made by the call")]
    pub fn stop(&self) -> Stopping {
        self.stop_with(StopMode::Graceful(Grace::Policy), Origin::User)
    }

    /// Requests a stop by an immediate kill.
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

    /// Requests a stop and a start as one restart; a stop in between cancels it.
    pub fn restart(&self) {
        self.restart_within(Grace::Policy);
    }

    /// Requests a restart with a grace of its own for the stop.
    pub fn restart_within(&self, grace: Grace) {
        self.send_event(Event::RestartRequested { grace });
    }

    /// Requests a signal for the main process, if there is one; does not change the target.
    ///
    /// Signals 1 to 31 are sent. A real-time signal is refused and logged.
    pub fn signal(&self, signal: Signal) {
        self.send_event(Event::SignalRequested { signal });
    }

    /// Requests another policy, which is in force from the next decision on.
    pub fn set_policy(&self, policy: impl Into<Arc<Policy>>) {
        self.request(Request::Policy(policy.into()), None);
    }

    /// Sets the command of the next run; a live run continues unchanged.
    pub fn set_command(&self, command: Command) {
        let command = Box::new(command);
        self.inbox.send(Message::Command { unit: self.id, command });
    }

    /// Requests to clear the failure counts: the delay's growth, the used retries, the counted
    /// starts.
    pub fn reset(&self) {
        self.send_event(Event::ResetRequested);
    }

    /// Requests the next attempt now, if the unit waits for it.
    pub fn retry(&self) {
        self.send_event(Event::RetryRequested);
    }

    /// Reports that the process in [`Unit::state`] serves, if the policy waits for readiness.
    ///
    /// A report about a run that is over changes nothing. This applies to all reports below.
    pub fn ready(&self) {
        self.ready_of(self.state().state().run());
    }

    /// Reports that the process of this run serves, for a caller whose check may outlast the run.
    pub fn ready_of(&self, run: RunId) {
        self.send_event(Event::Ready { run });
    }

    /// Reports that the process in [`Unit::state`] is alive; restarts the watchdog's period.
    pub fn ping(&self) {
        self.ping_of(self.state().state().run());
    }

    /// Reports that the process of this run is alive.
    pub fn ping_of(&self, run: RunId) {
        self.send_event(Event::Ping { run });
    }

    /// Requests more time for the start of the process in [`Unit::state`].
    ///
    /// The start times out no earlier than `by` from now. The request changes nothing once the
    /// process serves or is to stop.
    pub fn extend(&self, by: Millis) {
        self.extend_of(self.state().state().run(), by);
    }

    /// Requests more time for the start of the process of this run.
    pub fn extend_of(&self, run: RunId, by: Millis) {
        self.send_event(Event::Extended { run, by });
    }

    /// Reports a failed health check of the process in [`Unit::state`].
    ///
    /// The process is stopped, and the policy decides the next action.
    pub fn unhealthy(&self) {
        self.unhealthy_of(self.state().state().run());
    }

    /// Reports that the process of this run failed a health check.
    pub fn unhealthy_of(&self, run: RunId) {
        self.send_event(Event::Unhealthy { run });
    }

    /// The status; it may not reflect a request yet, which [`Unit::wait_until`] waits for.
    #[must_use]
    pub fn state(&self) -> Status {
        self.status.status()
    }

    /// Waits until all earlier requests by any clone of this handle are handled, and `condition`
    /// holds.
    ///
    /// The condition is evaluated on states, not on changes. It is enough that it holds already. A
    /// state that passes quickly may never be evaluated; [`Unit::events`] shows each one.
    ///
    /// # Errors
    /// [`SupervisorGone`] if the supervisor ended before; it carries the last status.
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

    /// Subscribes to all events of the unit from now on, in order.
    ///
    /// The stream is bounded. A reader that lags learns the number of missed events: see
    /// [`Events`].
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

/// Future of the result of a stop; dropping it does not change the stop.
///
/// Each caller gets its own result, about the run that was live when the stop was handled. A later
/// start does not change the result.
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

/// Error of a wait: the supervisor has ended, so no status will change any more.
#[derive(Clone, Debug)]
pub struct SupervisorGone {
    last: Box<Status>,
}

impl SupervisorGone {
    /// The last status of the unit.
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

/// A panic of another thread leaves these counters consistent.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
