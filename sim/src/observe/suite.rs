//! The suite: all scenarios, in the order of the table.

use monitor_core::{Exit, Millis};

use super::feature::Feature::{
    CrashSafe, Delay, Kill, Limit, NoKill, RemainsAfterExit, RemainsAfterStop, Request as Takes,
    ShutdownEndsRuns,
};
use super::rules;
use super::scenario::Step::{
    Answers, Ask, BeforeRestart, Begun, Crash, Down, EndSupervisor, Gone, Pause, Quiet, Send,
    Signalled, Still,
};
use super::scenario::{Class, KILLED, QUICK, STEADY, STUBBORN, Scenario, Step, settled, then};
use super::supervisor::PolicyName::{Always, Limited, Never, OnFailure};
use super::supervisor::Request::{Restart, Start, Status, Stop};
use super::supervisor::{Remains, StopGrace, Supervisor};
use crate::case::script::{OnStop, Script};

/// All scenarios.
pub static SUITE: [Scenario; 40] = [
    Scenario {
        id: "starts-once",
        class: Class::Start,
        rule: "A program that lives is started once.",
        policy: Always,
        needs: &[],
        scripts: |_| vec![STEADY],
        steps: |_| vec![Begun(1), Quiet],
        judge: rules::one_run,
    },
    Scenario {
        id: "restarts-after-exit-0",
        class: Class::Restart,
        rule: "Under `always`, one run follows a run that ended with code 0.",
        policy: Always,
        needs: &[],
        scripts: |it| vec![settled(it, Exit::Code(0)), STEADY],
        steps: |_| vec![Begun(2), Quiet],
        judge: rules::two_runs,
    },
    Scenario {
        id: "restarts-after-exit-1",
        class: Class::Restart,
        rule: "Under `always`, one run follows a run that ended with code 1.",
        policy: Always,
        needs: &[],
        scripts: |it| vec![settled(it, Exit::Code(1)), STEADY],
        steps: |_| vec![Begun(2), Quiet],
        judge: rules::two_runs,
    },
    Scenario {
        id: "restarts-after-signal",
        class: Class::Restart,
        rule: "Under `always`, one run follows a run that a signal ended.",
        policy: Always,
        needs: &[],
        scripts: |it| vec![settled(it, KILLED), STEADY],
        steps: |_| vec![Begun(2), Quiet],
        judge: rules::two_runs,
    },
    Scenario {
        id: "restarts-after-quick-end",
        class: Class::Restart,
        rule: "Under `always`, one run follows a run that ended at once.",
        policy: Always,
        needs: &[],
        scripts: |_| vec![QUICK, STEADY],
        steps: |_| vec![Begun(2), Quiet],
        judge: rules::two_runs,
    },
    Scenario {
        id: "on-failure-accepts-exit-0",
        class: Class::Restart,
        rule: "Under `on-failure`, no run follows a run that ended with code 0.",
        policy: OnFailure,
        needs: &[],
        scripts: |it| vec![settled(it, Exit::Code(0)), STEADY],
        steps: |_| vec![Gone(1), Quiet],
        judge: rules::one_ended_run,
    },
    Scenario {
        id: "on-failure-restarts-exit-1",
        class: Class::Restart,
        rule: "Under `on-failure`, one run follows a run that ended with code 1.",
        policy: OnFailure,
        needs: &[],
        scripts: |it| vec![settled(it, Exit::Code(1)), STEADY],
        steps: |_| vec![Begun(2), Quiet],
        judge: rules::two_runs,
    },
    Scenario {
        id: "on-failure-restarts-signal",
        class: Class::Restart,
        rule: "Under `on-failure`, one run follows a run that a signal ended.",
        policy: OnFailure,
        needs: &[],
        scripts: |it| vec![settled(it, KILLED), STEADY],
        steps: |_| vec![Begun(2), Quiet],
        judge: rules::two_runs,
    },
    Scenario {
        id: "never-restarts",
        class: Class::Restart,
        rule: "Under `never`, no run follows a run.",
        policy: Never,
        needs: &[],
        scripts: |it| vec![settled(it, Exit::Code(1)), STEADY],
        steps: |_| vec![Gone(1), Quiet],
        judge: rules::one_ended_run,
    },
    Scenario {
        id: "delay-between-runs",
        class: Class::Restart,
        rule: "After quick ends, at least the declared delays pass before the next runs.",
        policy: Always,
        needs: &[Delay],
        scripts: |_| vec![QUICK],
        steps: |it| vec![Begun(measured_delays(it) + 1)],
        judge: rules::delays_pass,
    },
    Scenario {
        id: "limit-gives-up",
        class: Class::Restart,
        rule: "After the declared number of restarts, no run follows.",
        policy: Limited,
        needs: &[Limit],
        scripts: |_| vec![QUICK],
        steps: |it| vec![Gone(rules::runs_to_limit(it)), Quiet],
        judge: rules::gives_up,
    },
    Scenario {
        id: "start-after-limit",
        class: Class::Restart,
        rule: "A start after the limit was reached begins one run.",
        policy: Limited,
        needs: &[Limit, Takes(Start)],
        scripts: |it| then(rules::runs_to_limit(it), QUICK, STEADY),
        steps: |it| {
            let runs = rules::runs_to_limit(it);
            vec![Gone(runs), Quiet, Ask(Start), Begun(runs + 1), Quiet]
        },
        judge: rules::starts_after_limit,
    },
    Scenario {
        id: "stop-ends-run",
        class: Class::Stop,
        rule: "A stop ends the run, and no run begins afterwards.",
        policy: Always,
        needs: &[],
        scripts: |_| vec![STEADY],
        steps: |_| vec![Begun(1), Ask(Stop), Down],
        judge: rules::one_run_stays_down,
    },
    Scenario {
        id: "stop-sends-signal",
        class: Class::Stop,
        rule: "The first signal of a stop is the declared one.",
        policy: Always,
        needs: &[],
        scripts: |_| vec![Script { on_stop: OnStop::Dies(Millis::new(300)), ..STEADY }],
        steps: |_| vec![Begun(1), Ask(Stop), Down],
        judge: rules::stop_signal,
    },
    Scenario {
        id: "stop-beats-restart",
        class: Class::Stop,
        rule: "No run follows a run that fails by itself after the stop signal.",
        policy: Always,
        needs: &[],
        scripts: |_| {
            vec![Script { lives: Some(Millis::new(2_500)), exits: Exit::Code(1), ..STUBBORN }]
        },
        steps: |_| vec![Begun(1), Send(Stop), Answers, Down],
        judge: rules::one_run_stays_down,
    },
    Scenario {
        id: "stop-in-backoff",
        class: Class::Stop,
        rule: "A stop in the delay before a restart begins no run.",
        policy: Always,
        needs: &[Delay],
        scripts: |it| then(it.restarts.delays.len(), QUICK, STEADY),
        steps: |it| vec![Gone(it.restarts.delays.len()), Ask(Stop), Down],
        judge: rules::stop_in_delay,
    },
    Scenario {
        id: "stop-when-delay-ends",
        class: Class::Stop,
        rule: "A stop at the moment of a restart ends all runs.",
        policy: Always,
        needs: &[Delay, Takes(Start)],
        scripts: |_| vec![QUICK],
        steps: |_| rounds(),
        judge: rules::stays_down,
    },
    Scenario {
        id: "stop-after-start",
        class: Class::Stop,
        rule: "A stop right after a start ends the run.",
        policy: Always,
        needs: &[Takes(Start)],
        scripts: |_| vec![STEADY],
        steps: |_| vec![Begun(1), Ask(Stop), Down, Ask(Start), Ask(Stop), Down],
        judge: rules::stays_down,
    },
    Scenario {
        id: "stop-after-restart",
        class: Class::Stop,
        rule: "A stop right after a restart ends the run that follows.",
        policy: Always,
        needs: &[Takes(Restart)],
        scripts: |_| vec![STEADY],
        steps: |_| vec![Begun(1), Ask(Restart), Ask(Stop), Down],
        judge: rules::stays_down,
    },
    Scenario {
        id: "stop-twice",
        class: Class::Stop,
        rule: "Two stops at once end the run once, and no run begins afterwards.",
        policy: Always,
        needs: &[],
        scripts: |_| vec![STEADY],
        steps: |_| vec![Begun(1), Send(Stop), Send(Stop), Answers, Down],
        judge: rules::one_run_stays_down,
    },
    Scenario {
        id: "stop-when-down",
        class: Class::Stop,
        rule: "A stop of a unit that is down begins no run.",
        policy: Always,
        needs: &[],
        scripts: |_| vec![STEADY],
        steps: |_| vec![Begun(1), Ask(Stop), Down, Ask(Stop), Quiet],
        judge: rules::one_run_stays_down,
    },
    Scenario {
        id: "kill-after-grace",
        class: Class::Stop,
        rule: "A run that ignores the stop signal is killed, and not before the declared grace.",
        policy: Always,
        needs: &[Kill],
        scripts: |_| vec![STUBBORN],
        steps: |_| vec![Begun(1), Send(Stop), Gone(1), Answers, Down],
        judge: rules::killed_after_grace,
    },
    Scenario {
        id: "second-stop-keeps-grace",
        class: Class::Stop,
        rule: "A second stop does not kill before the grace of the first has passed.",
        policy: Always,
        needs: &[Kill],
        scripts: |_| vec![STUBBORN],
        steps: |it| {
            let half = Pause(half_the_grace(it));
            vec![Begun(1), Send(Stop), half, Send(Stop), Gone(1), Answers, Down]
        },
        judge: rules::killed_after_grace,
    },
    Scenario {
        id: "stop-never-kills",
        class: Class::Stop,
        rule: "Where no kill is declared, a run that ignores the stop signal lives on.",
        policy: Always,
        needs: &[NoKill],
        scripts: |_| vec![STUBBORN],
        steps: |_| vec![Begun(1), Send(Stop), Signalled, Pause(Millis::from_secs(12))],
        judge: rules::never_killed,
    },
    Scenario {
        id: "status-is-true",
        class: Class::Stop,
        rule: "The status says up or down only when it is so, also during a stop.",
        policy: Always,
        needs: &[Takes(Status)],
        scripts: |_| vec![Script { on_stop: OnStop::Dies(Millis::new(2_000)), ..STEADY }],
        steps: |it| {
            let look = [Ask(Status), Pause(Millis::new(200))];
            let settles = Pause(it.restarts.settles.0.saturating_add(Millis::new(500)));
            [&[Begun(1), settles, Ask(Status), Send(Stop), Signalled][..], &look, &look, &look]
                .concat()
                .into_iter()
                .chain([Answers, Down, Ask(Status)])
                .collect()
        },
        judge: rules::status_is_true,
    },
    Scenario {
        id: "start-when-running",
        class: Class::Request,
        rule: "A start of a unit that runs begins no second run.",
        policy: Always,
        needs: &[Takes(Start)],
        scripts: |_| vec![STEADY],
        steps: |_| vec![Begun(1), Ask(Start), Quiet],
        judge: rules::one_run,
    },
    Scenario {
        id: "start-after-stop",
        class: Class::Request,
        rule: "A start after a stop begins one run.",
        policy: Always,
        needs: &[Takes(Start)],
        scripts: |_| vec![STEADY],
        steps: |_| vec![Begun(1), Ask(Stop), Down, Ask(Start), Begun(2), Quiet],
        judge: rules::two_runs,
    },
    Scenario {
        id: "start-twice",
        class: Class::Request,
        rule: "Two starts at once begin one run.",
        policy: Always,
        needs: &[Takes(Start)],
        scripts: |_| vec![STEADY],
        steps: |_| {
            vec![Begun(1), Ask(Stop), Down, Send(Start), Send(Start), Begun(2), Answers, Quiet]
        },
        judge: rules::two_runs,
    },
    Scenario {
        id: "restart-runs-once",
        class: Class::Request,
        rule: "A restart ends the run, and begins one after it.",
        policy: Always,
        needs: &[Takes(Restart)],
        scripts: |_| vec![STEADY],
        steps: |_| vec![Begun(1), Ask(Restart), Begun(2), Quiet],
        judge: rules::two_runs,
    },
    Scenario {
        id: "restart-in-backoff",
        class: Class::Request,
        rule: "A restart in the delay before a restart begins one run.",
        policy: Always,
        needs: &[Delay, Takes(Restart)],
        scripts: |it| then(it.restarts.delays.len(), QUICK, STEADY),
        steps: |it| {
            let quick = it.restarts.delays.len();
            vec![Gone(quick), Ask(Restart), Begun(quick + 1), Quiet]
        },
        judge: rules::one_run_after_delays,
    },
    Scenario {
        id: "burst-never-overlaps",
        class: Class::Request,
        rule: "No two runs live at a time, whatever is asked in a burst.",
        policy: Always,
        needs: &[Takes(Start), Takes(Restart)],
        scripts: |_| vec![STEADY],
        steps: |_| burst(&[Send(Restart), Send(Start), Answers, Still]),
        judge: rules::never_overlap,
    },
    Scenario {
        id: "burst-ends-down",
        class: Class::Request,
        rule: "After a burst of requests, a stop as the last one ends all runs.",
        policy: Always,
        needs: &[Takes(Start), Takes(Restart)],
        scripts: |_| vec![STEADY],
        steps: |_| burst(&[Ask(Stop), Down]),
        judge: rules::all_ended,
    },
    Scenario {
        id: "burst-ends-up",
        class: Class::Request,
        rule: "After a burst of requests, a start as the last one leaves one run.",
        policy: Always,
        needs: &[Takes(Start), Takes(Restart)],
        scripts: |_| vec![STEADY],
        steps: |_| burst(&[Ask(Start), Still]),
        judge: rules::one_lives,
    },
    Scenario {
        id: "remains-end-after-stop",
        class: Class::Remains,
        rule: "After a stop, what the run left is gone if it obeys the stop signal.",
        policy: Always,
        needs: &[RemainsAfterStop(Remains::Ended)],
        scripts: |_| vec![leaving(OnStop::Dies(Millis::ZERO), STEADY)],
        steps: |_| vec![Begun(1), Pause(Millis::from_secs(1)), Ask(Stop), Down],
        judge: rules::nothing_remains,
    },
    Scenario {
        id: "remains-killed-after-stop",
        class: Class::Remains,
        rule: "After a stop, what the run left is gone even if it ignores the stop signal.",
        policy: Always,
        needs: &[RemainsAfterStop(Remains::Killed)],
        scripts: |_| vec![leaving(OnStop::Ignores, STEADY)],
        steps: |_| vec![Begun(1), Pause(Millis::from_secs(1)), Ask(Stop), Down],
        judge: rules::nothing_remains,
    },
    Scenario {
        id: "remains-end-before-next-run",
        class: Class::Remains,
        rule: "After an end without a stop, what the run left is gone when the next run begins.",
        policy: Always,
        needs: &[RemainsAfterExit(Remains::Ended)],
        scripts: |it| vec![leaving(OnStop::Dies(Millis::ZERO), settled(it, Exit::Code(1))), STEADY],
        steps: |_| vec![Begun(2), Quiet],
        judge: rules::nothing_remains_for_next,
    },
    Scenario {
        id: "remains-killed-before-next-run",
        class: Class::Remains,
        rule: "What a run left is gone when the next begins, even if it ignores the stop signal.",
        policy: Always,
        needs: &[RemainsAfterExit(Remains::Killed)],
        scripts: |it| vec![leaving(OnStop::Ignores, settled(it, Exit::Code(1))), STEADY],
        steps: |_| vec![Begun(2), Quiet],
        judge: rules::nothing_remains_for_next,
    },
    Scenario {
        id: "shutdown-ends-runs",
        class: Class::Supervisor,
        rule: "The end of the supervisor ends the run, and no run begins afterwards.",
        policy: Always,
        needs: &[ShutdownEndsRuns],
        scripts: |_| vec![STEADY],
        steps: |_| vec![Begun(1), EndSupervisor, Down],
        judge: rules::one_ended_run,
    },
    Scenario {
        id: "shutdown-in-backoff",
        class: Class::Supervisor,
        rule: "The end of the supervisor in the delay before a restart leaves no run.",
        policy: Always,
        needs: &[Delay, ShutdownEndsRuns],
        scripts: |it| then(it.restarts.delays.len(), QUICK, STEADY),
        steps: |it| vec![Gone(it.restarts.delays.len()), EndSupervisor, Down],
        judge: rules::all_ended,
    },
    Scenario {
        id: "crash-never-doubles",
        class: Class::Supervisor,
        rule: "After a crash of the supervisor, the next one has one run, and never two at a time.",
        policy: Always,
        needs: &[CrashSafe],
        scripts: |_| vec![STEADY],
        steps: |_| vec![Begun(1), Quiet, Crash, Quiet, Quiet],
        judge: rules::one_lives,
    },
];

/// Returns the scenario of this name.
#[must_use]
pub fn scenario(id: &str) -> Option<&'static Scenario> {
    SUITE.iter().find(|scenario| scenario.id == id)
}

/// The number of delays to measure: all that are declared, at least three, and none that the limit
/// forbids.
fn measured_delays(supervisor: &Supervisor) -> usize {
    let declared = supervisor.restarts.delays.len().max(3);
    match &supervisor.limit {
        Some(_) => declared.min(rules::runs_to_limit(supervisor) - 1),
        None => declared,
    }
}

const fn half_the_grace(supervisor: &Supervisor) -> Millis {
    match supervisor.stop.grace {
        StopGrace::After(grace) => Millis::new(grace.as_u32() / 2),
        StopGrace::Never => Millis::ZERO,
    }
}

/// A run that leaves a member of its group.
const fn leaving(member: OnStop, script: Script) -> Script {
    Script { leaves: Some(member), ..script }
}

/// Rounds of a quick end and a stop, each a little closer to the restart.
fn rounds() -> Vec<Step> {
    let leads = [150, 60, 20, 0];
    let mut steps = Vec::new();
    for (nth, lead) in leads.into_iter().enumerate() {
        if nth > 0 {
            steps.push(Ask(Start));
        }
        steps.extend([BeforeRestart(Millis::new(lead)), Ask(Stop), Down]);
    }
    steps
}

/// A burst of requests, all answered, then others.
fn burst(last: &[Step]) -> Vec<Step> {
    let gap = Pause(Millis::new(30));
    let requests = [Restart, Stop, Start, Restart, Restart, Stop, Start];
    let sent = requests.into_iter().flat_map(|request| [Send(request), gap]);
    std::iter::once(Begun(1)).chain(sent).chain([Answers]).chain(last.iter().copied()).collect()
}
