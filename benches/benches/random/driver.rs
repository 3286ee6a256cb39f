//! The lifecycle of one supervised process in three simulators.
//!
//! The process runs for a second, fails, and is started again after 100 ms, twenty times. Then a
//! user stops it in the middle of the wait.
//!
//! Equal: machine, policy, schedule, and the trace, which is compared once. Our simulator runs
//! alone, and with all oracles at each step.
//!
//! Not equal: ours runs the driver that ships over its virtual kernel. The peers run the shortest
//! possible supervisor: a task each for supervisor, process and user, one channel, their own clock
//! and timers. turmoil moves in ticks. It runs with its default of 1 ms, and with 50 ms, the
//! largest tick that keeps the order of this schedule.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use monitor_core::{
    Action, Backoff, Curve, Event, Exit, Millis, Policy, Remains, Restart, State, TimerToken,
};
use monitor_os::Core;
use monitor_sim::case::{Case, OnStop, Script, Start};
use monitor_sim::oracle::SafetyOracle;
use monitor_sim::world;
use tokio::sync::mpsc;

use crate::contest::{Contestant, contest};

const RUNS: u64 = 20;
const LIFE: Duration = Duration::from_secs(1);
const WAIT: Duration = Duration::from_millis(100);
const STEPS_MAX: usize = 1_000;

pub(crate) fn compare() {
    let case = case();
    let verdict = world::run(&case, Core, STEPS_MAX);
    let ours: Vec<StepSeen> =
        verdict.trace.iter().map(|line| (line.event, line.step.state)).collect();
    assert_eq!(verdict.violated(), None);
    for checked in [false, true] {
        assert_eq!(in_turmoil(Duration::from_millis(50), checked), ours, "the same in turmoil");
        #[cfg(madsim)]
        assert_eq!(in_madsim(0, checked), ours, "the same in madsim");
        #[cfg(madsim)]
        let mut seed = 0;
        let how = if checked { "checked by all oracles" } else { "simulated, and unchecked" };
        contest(
            &format!("a supervised life: {RUNS} runs of a process, {} steps, {how}", ours.len()),
            "lives",
            9,
            &mut [
                Contestant::new("monitor-sim, the driver that ships", || {
                    for _ in 0..1_000 {
                        let trace = if checked {
                            world::run(&case, Core, STEPS_MAX).trace
                        } else {
                            world::trace(&case, Core, STEPS_MAX)
                        };
                        assert_eq!(trace.len(), ours.len());
                    }
                    1_000
                }),
                #[cfg(madsim)]
                Contestant::new("madsim, one runtime per seed", || {
                    for _ in 0..100 {
                        seed += 1;
                        assert_eq!(in_madsim(seed, checked).len(), ours.len());
                    }
                    100
                }),
                Contestant::new("turmoil, ticks of 50 ms", || {
                    for _ in 0..20 {
                        let tick = Duration::from_millis(50);
                        assert_eq!(in_turmoil(tick, checked).len(), ours.len());
                    }
                    20
                }),
                Contestant::new("turmoil, ticks of 1 ms, its default", || {
                    let tick = Duration::from_millis(1);
                    assert_eq!(in_turmoil(tick, checked).len(), ours.len());
                    1
                }),
            ],
        );
    }
}

/// One step of a run: the event, and the state after it.
type StepSeen = (Event, State);

fn policy() -> Policy {
    let curve = Curve::Constant { delay: Millis::new(WAIT.as_millis() as u32) };
    Policy::builder()
        .restart(Restart::Always)
        .backoff(Backoff { curve, first: None, skip: 0, jitter_percent: 0 })
        .healthy(None)
        .build()
        .unwrap_or_default()
}

fn stop_at() -> Duration {
    (LIFE + WAIT) * RUNS as u32 - WAIT / 2
}

fn case() -> Case {
    let mut case = Case::new(policy());
    case.scripts = vec![Script {
        start: Start::After(Millis::ZERO),
        lives: Some(Millis::new(LIFE.as_millis() as u32)),
        exits: Exit::Code(1),
        on_stop: OnStop::Dies(Millis::ZERO),
        leaves: None,
        ready: None,
        pings: None,
        extends: None,
        unhealthy: None,
        ..Script::OBEDIENT
    }];
    case.with_event(0, Event::StartRequested)
        .with_event(stop_at().as_millis() as u32, Event::stop())
}

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The services that the lifecycle needs from a simulator.
trait Simulator: 'static {
    fn sleep(time: Duration) -> Sleep;
    fn spawn(task: impl Future<Output = ()> + Send + 'static);
}

struct Turmoil;

impl Simulator for Turmoil {
    fn sleep(time: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(time))
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(task));
    }
}

fn in_turmoil(tick: Duration, checked: bool) -> Vec<StepSeen> {
    let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let trace = std::rc::Rc::clone(&seen);
    let mut simulation = turmoil::Builder::new()
        .tick_duration(tick)
        .simulation_duration(Duration::from_secs(3_600))
        .build();
    simulation.client("supervisor", async move {
        *trace.borrow_mut() = live::<Turmoil>(checked).await;
        Ok(())
    });
    assert!(simulation.run().is_ok(), "the simulation ends");
    seen.take()
}

#[cfg(madsim)]
struct Madsim;

#[cfg(madsim)]
impl Simulator for Madsim {
    fn sleep(time: Duration) -> Sleep {
        Box::pin(madsim::time::sleep(time))
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        drop(madsim::task::spawn(task));
    }
}

#[cfg(madsim)]
fn in_madsim(seed: u64, checked: bool) -> Vec<StepSeen> {
    let runtime = madsim::runtime::Runtime::with_seed_and_config(seed, madsim::Config::default());
    runtime.block_on(live::<Madsim>(checked))
}

/// The supervisor with its process and its user, as tasks.
async fn live<S: Simulator>(checked: bool) -> Vec<StepSeen> {
    let policy = policy();
    let (sender, mut inbox) = mpsc::unbounded_channel();
    let (mut state, mut oracle, mut seen) = (State::INITIAL, SafetyOracle::default(), Vec::new());
    let mut timer: Option<(TimerToken, Sleep)> = None;
    let user = sender.clone();
    S::spawn(async move {
        let _the_supervisor_lives = user.send(Event::StartRequested);
        S::sleep(stop_at()).await;
        let _the_supervisor_lives = user.send(Event::stop());
    });
    loop {
        let event = poll_fn(|context| {
            if let Some((token, sleep)) = &mut timer
                && sleep.as_mut().poll(context).is_ready()
            {
                return Poll::Ready(Some(Event::TimerFired { timer: *token }));
            }
            inbox.poll_recv(context)
        });
        let Some(event) = event.await else { break };
        if matches!(event, Event::TimerFired { .. }) {
            timer = None;
        }
        let step = policy.step(state, event);
        if checked {
            assert_eq!(oracle.observe(&policy, state, event, step), Ok(()));
        }
        state = step.state;
        seen.push((event, state));
        step.for_each(|action| match action {
            Action::Spawn { run } => {
                let sender = sender.clone();
                S::spawn(async move {
                    let _the_supervisor_lives = sender.send(Event::Started { run });
                    S::sleep(LIFE).await;
                    let exit = Exit::Code(1);
                    let _the_supervisor_lives = sender.send(Event::Exited { run, exit });
                });
            }
            Action::Release { run, .. } => {
                let released = Event::Released { run, remains: Remains::Nothing };
                let _the_supervisor_lives = sender.send(released);
            }
            Action::Arm { timer: token, delay } => {
                let delay = Duration::from_millis(u64::from(delay.base.as_u32()));
                timer = Some((token, S::sleep(delay)));
            }
            Action::Disarm { .. } => timer = None,
            Action::Persist(_)
            | Action::Signal { .. }
            | Action::CancelSpawn { .. }
            | Action::Abandon { .. }
            | Action::AwaitReady { .. }
            | Action::BeginService { .. }
            | Action::EndService { .. }
            | Action::Shorten { .. }
            | Action::Lengthen { .. }
            | Action::Emit(_) => {}
        });
        if matches!(event, Event::StopRequested { .. }) {
            break;
        }
    }
    seen
}
