//! The case: a policy, what each process does, and what is asked when.

use monitor_core::{Event, Millis, Policy};

use super::expected::Expected;
use super::input::{InputKind, TimedInput};
use super::script::Script;

/// Everything that a run of the driver in the virtual world depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The policy in force at the beginning.
    pub policy: Policy,
    /// What the processes do, by run; the last entry serves all later runs. Never empty.
    pub scripts: Vec<Script>,
    /// How late every timer fires.
    pub timers_late: Millis,
    /// Saving fails before this time.
    pub saves_fail_until: Millis,
    /// Further units on the same driver: the units 1, 2 and so on.
    pub others: Vec<Other>,
    /// How many process numbers there are, from 1; `None` for more than are ever used. Numbers that no
    /// process of the case holds are held by strangers.
    pub pids: Option<u8>,
    /// What the disk does when the power goes to what was not made to survive; `None`: it keeps it.
    pub disk: Option<DiskFault>,
    /// What draws the jitter.
    pub seed: u64,
    /// What is asked, in the order of time.
    pub inputs: Vec<TimedInput>,
    /// What is expected to come of it.
    pub expected: Expected,
}

/// A further unit: a policy of its own, and processes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// The policy in force at the beginning.
    pub policy: Policy,
    /// What the processes do, by run; the last entry serves all later runs. None are obedient.
    pub scripts: Vec<Script>,
}

/// What a disk does to a content that no sync has made to survive, when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// It is as it was before.
    Loses,
    /// Of what was written into an empty file there is the beginning.
    Tears,
    /// A new name has survived that was given after the content.
    Reorders,
}

impl DiskFault {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Loses, Self::Tears, Self::Reorders];

    /// The word of the case's text form.
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
    /// A case in which nothing is asked and every process is obedient.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            scripts: vec![Script::OBEDIENT],
            timers_late: Millis::ZERO,
            saves_fail_until: Millis::ZERO,
            others: Vec::new(),
            pids: None,
            disk: None,
            seed: 0,
            inputs: Vec::new(),
            expected: Expected::default(),
        }
    }

    /// The same with another input, which must not be earlier than the last.
    #[must_use]
    pub fn with_event(mut self, at_ms: u32, event: Event) -> Self {
        self.inputs.push(TimedInput {
            at: Millis::new(at_ms),
            unit: 0,
            kind: InputKind::Event(event),
        });
        self
    }

    /// How many units there are.
    #[must_use]
    pub const fn units(&self) -> usize {
        1 + self.others.len()
    }

    /// The policy and the scripts of a unit; of one that there is not, those of the first.
    #[must_use]
    pub fn unit(&self, unit: usize) -> (&Policy, &[Script]) {
        match unit.checked_sub(1).and_then(|other| self.others.get(other)) {
            Some(other) => (&other.policy, &other.scripts),
            None => (&self.policy, &self.scripts),
        }
    }

    /// The script of the `nth` run of a unit, from 0.
    #[must_use]
    pub fn script(&self, unit: usize, nth: usize) -> &Script {
        let (_, scripts) = self.unit(unit);
        scripts.get(nth).or_else(|| scripts.last()).unwrap_or(&Script::OBEDIENT)
    }

    /// Whether it has a fault that `stop-faults` ends.
    #[must_use]
    pub fn is_faulty(&self) -> bool {
        (0..self.units()).any(|unit| self.unit(unit).1.iter().any(Script::is_faulty))
    }

    /// The same with one thing less each that goes wrong around the processes, for shrinking. What scripts
    /// say is simplified by [`Script::without_a_fault`].
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
