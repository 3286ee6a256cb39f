//! The case: a policy, scripts of processes, faults and timed inputs.

use monitor_core::{Event, Millis, Policy};

use super::expected::Expected;
use super::input::{InputKind, TimedInput};
use super::script::Script;

/// A test case: all inputs of a run of the driver in the virtual world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The policy in force at the beginning.
    pub policy: Policy,
    /// The scripts of the processes, by run. The last script serves all later runs. Never empty.
    pub scripts: Vec<Script>,
    /// The delay with which every timer fires.
    pub timers_late: Millis,
    /// The time that the driver takes for each input.
    pub handling_takes: Millis,
    /// The time until which every save fails.
    pub saves_fail_until: Millis,
    /// The time that every save takes; it is answered at once if the time is zero.
    pub saves_take: Millis,
    /// Further units on the same driver: the units 1, 2 and so on.
    pub others: Vec<Other>,
    /// The count of process numbers, from 1; `None` for more than are ever used. Foreign processes
    /// hold each number that no process of the case holds.
    pub pids: Option<u8>,
    /// The fault of the disk at a loss of power; `None` if the disk keeps unsynced content.
    pub disk: Option<DiskFault>,
    /// The seed of the jitter.
    pub seed: u64,
    /// The inputs, in the order of time.
    pub inputs: Vec<TimedInput>,
    /// The expected steps and the expected end.
    pub expected: Expected,
}

/// A further unit: a policy of its own, and processes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// The policy in force at the beginning.
    pub policy: Policy,
    /// The scripts of the processes, by run. The last script serves all later runs. Without
    /// scripts, every process is obedient.
    pub scripts: Vec<Script>,
}

/// The effect of a loss of power on content that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// The file has its previous content.
    Loses,
    /// The file has the beginning of the new content.
    Tears,
    /// The rename survives, and the content that was written before it does not.
    Reorders,
}

impl DiskFault {
    /// All faults.
    pub const ALL: [Self; 3] = [Self::Loses, Self::Tears, Self::Reorders];

    /// Returns the word of the text form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loses => "loses",
            Self::Tears => "tears",
            Self::Reorders => "reorders",
        }
    }
}

impl Case {
    /// Makes a case without inputs, in which every process is obedient.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            scripts: vec![Script::OBEDIENT],
            timers_late: Millis::ZERO,
            handling_takes: Millis::ZERO,
            saves_fail_until: Millis::ZERO,
            saves_take: Millis::ZERO,
            others: Vec::new(),
            pids: None,
            disk: None,
            seed: 0,
            inputs: Vec::new(),
            expected: Expected::default(),
        }
    }

    /// Adds an event of the first unit. Its time must not be before that of the last input.
    #[must_use]
    pub fn with_event(mut self, at_ms: u32, event: Event) -> Self {
        self.inputs.push(TimedInput {
            at: Millis::new(at_ms),
            unit: 0,
            kind: InputKind::Event(event),
        });
        self
    }

    /// Returns the number of units.
    #[must_use]
    pub const fn units(&self) -> usize {
        1 + self.others.len()
    }

    /// Returns the policy and the scripts of a unit. Falls back to the first unit if the number is
    /// out of range.
    #[must_use]
    pub fn unit(&self, unit: usize) -> (&Policy, &[Script]) {
        match unit.checked_sub(1).and_then(|other| self.others.get(other)) {
            Some(other) => (&other.policy, &other.scripts),
            None => (&self.policy, &self.scripts),
        }
    }

    /// Returns the script of the `nth` run of a unit, from 0.
    #[must_use]
    pub fn script(&self, unit: usize, nth: usize) -> &Script {
        let (_, scripts) = self.unit(unit);
        scripts.get(nth).or_else(|| scripts.last()).unwrap_or(&Script::OBEDIENT)
    }

    /// Returns whether a script has a fault that `stop-faults` ends.
    #[must_use]
    pub fn is_faulty(&self) -> bool {
        (0..self.units()).any(|unit| self.unit(unit).1.iter().any(Script::is_faulty))
    }

    /// Returns simpler cases for shrinking, each with one fault less around the processes.
    /// [`Script::without_a_fault`] simplifies the first unit's scripts.
    pub fn without_a_fault(&self) -> impl Iterator<Item = Self> + '_ {
        let others = (0..self.others.len()).map(|gone| {
            let mut simpler = self.clone();
            simpler.others.remove(gone);
            simpler.inputs.retain(|input| usize::from(input.unit) != gone + 1);
            for input in &mut simpler.inputs {
                input.unit -= u8::from(usize::from(input.unit) > gone + 1);
            }
            simpler
        });
        let plain = [Self { pids: None, ..self.clone() }, Self { disk: None, ..self.clone() }];
        let milder = (0..self.inputs.len()).flat_map(move |index| {
            let mild = match self.inputs[index].kind {
                InputKind::Crash { after, down } => vec![
                    InputKind::Crash { after: 0, down },
                    InputKind::Crash { after: after / 2, down },
                    InputKind::Crash { after, down: Millis::ZERO },
                ],
                InputKind::Reboot { after } => {
                    vec![InputKind::Reboot { after: 0 }, InputKind::Reboot { after: after / 2 }]
                }
                InputKind::Event(_)
                | InputKind::Policy(_)
                | InputKind::StopFaults
                | InputKind::Wall(_)
                | InputKind::Suspend(_) => Vec::new(),
            };
            mild.into_iter().map(move |kind| {
                let mut simpler = self.clone();
                simpler.inputs[index].kind = kind;
                simpler
            })
        });
        let scripts = (0..self.others.len()).flat_map(move |other| {
            (0..self.others[other].scripts.len()).flat_map(move |index| {
                self.others[other].scripts[index].without_a_fault().map(move |script| {
                    let mut simpler = self.clone();
                    simpler.others[other].scripts[index] = script;
                    simpler
                })
            })
        });
        others.chain(plain).chain(milder).chain(scripts)
    }
}
