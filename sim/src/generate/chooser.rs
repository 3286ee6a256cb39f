//! How the inputs of a case that aims at nothing are chosen: a portfolio, since each way is blind
//! to something that another sees.

use std::fmt;

use monitor_core::Millis;

use super::choices::{Choices, Seeded};
use super::elements;
use super::faults::{after, clock, crash, inject_faults, join_others, start_all};
use crate::case::definition::{Case, DiskFault};
use crate::case::input::{InputKind, TimedInput};

/// A way of choosing inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Chooser {
    /// Every kind at any time.
    Uniform,
    /// Half of the kinds, drawn for each case, because one kind may hide the effect of another.
    ///
    /// # Source
    /// Groce et al., Swarm Testing, ISSTA 2012.
    Swarm,
    /// The rarer of two drawn kinds, counted within the case.
    LeastVisited,
    /// One kind after another in an order drawn for each case, with few changes.
    ///
    /// # Source
    /// Burckhardt et al., A Randomized Scheduler with Probabilistic Guarantees, ASPLOS 2010.
    Priorities,
}

/// A kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Request,
    Echo,
    Policy,
    Crash,
    Reboot,
    Clock,
    StopFaults,
}

const KINDS: [Kind; 7] = [
    Kind::Request,
    Kind::Echo,
    Kind::Policy,
    Kind::Crash,
    Kind::Reboot,
    Kind::Clock,
    Kind::StopFaults,
];

impl Chooser {
    /// The portfolio.
    pub const ALL: [Self; 4] = [Self::Uniform, Self::Swarm, Self::LeastVisited, Self::Priorities];

    /// Returns the printed name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Swarm => "swarm",
            Self::LeastVisited => "least-visited",
            Self::Priorities => "priorities",
        }
    }

    /// Draws the chooser, which is the first choice of a case without an aim.
    pub fn drawn(choices: &mut impl Choices) -> Self {
        choices.pick(&Self::ALL)
    }

    /// Returns the chooser of the case that a seed draws without an aim.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self::drawn(&mut Seeded::new(seed))
    }

    /// Draws a case: starts, then inputs at times that are likely to meet something, in a world in
    /// which some things go wrong.
    pub fn case(self, choices: &mut impl Choices) -> Case {
        let mut case = Case::new(elements::policy(choices));
        case.scripts = (0..=choices.below(4)).map(|_| elements::script(choices)).collect();
        case.timers_late = choices.pick(&[Millis::ZERO, Millis::ZERO, Millis::new(3)]);
        case.handling_takes = Millis::new(choices.pick(&[0, 0, 0, 2]));
        case.saves_fail_until = Millis::new(choices.pick(&[0, 0, 0, 150]));
        case.saves_take = Millis::new(choices.pick(&[0, 0, 0, 0, 0, 40, 1_500]));
        case.seed = u64::from(choices.below(256));
        // A swarm has few kinds of trouble, and each of them often.
        let often = if self == Self::Swarm { 2 } else { 6 };
        let mut wanted = || choices.below(often) == often - 1;
        let (troubles, crowd, tiny, disk) = (wanted(), wanted(), wanted(), wanted());
        if troubles {
            inject_faults(&mut case.scripts, choices);
        }
        if crowd {
            join_others(&mut case, choices);
        }
        if tiny {
            case.pids = Some(choices.pick(&[3, 4, 2]));
        }
        if disk {
            case.disk = Some(choices.pick(&DiskFault::ALL));
        }
        start_all(&mut case);
        let mut picker = Picker::new(self, choices);
        let mut at = Millis::ZERO;
        for _ in 0..choices.below(9) {
            at = at.saturating_add(elements::delay(choices));
            let kind = match picker.pick(choices) {
                Kind::Request => InputKind::Event(elements::request(choices)),
                Kind::Echo => InputKind::Event(elements::echo(choices)),
                Kind::Policy => InputKind::Policy(elements::policy(choices)),
                Kind::Crash => crash(choices),
                Kind::Reboot => InputKind::Reboot { after: after(choices) },
                Kind::Clock => clock(choices),
                Kind::StopFaults => InputKind::StopFaults,
            };
            let concerns = matches!(kind, InputKind::Event(_) | InputKind::Policy(_));
            let units = u32::try_from(case.units()).unwrap_or(1);
            let unit = if concerns && units > 1 { choices.below(units) } else { 0 };
            case.inputs.push(TimedInput { at, unit: u8::try_from(unit).unwrap_or(0), kind });
        }
        case
    }
}

impl fmt::Display for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Picks kinds, one after another.
struct Picker {
    chooser: Chooser,
    /// How likely each kind is, by its place.
    weights: [u32; KINDS.len()],
    /// How often each kind was picked.
    picked: [u32; KINDS.len()],
    current: usize,
}

impl Picker {
    fn new(chooser: Chooser, choices: &mut impl Choices) -> Self {
        let mut weights = [10, 4, 2, 2, 2, 1, 1];
        if chooser == Chooser::Swarm {
            for weight in &mut weights[1..] {
                *weight *= 3 * choices.below(2);
            }
        }
        Self { chooser, weights, picked: [0; KINDS.len()], current: 0 }
    }

    fn pick(&mut self, choices: &mut impl Choices) -> Kind {
        let first = self.weighted(choices);
        let place = match self.chooser {
            Chooser::Uniform | Chooser::Swarm => first,
            Chooser::LeastVisited => {
                let second = self.weighted(choices);
                if self.picked[second] < self.picked[first] { second } else { first }
            }
            Chooser::Priorities => {
                if choices.below(3) == 2 {
                    self.current = first;
                }
                self.current
            }
        };
        self.picked[place] += 1;
        KINDS[place]
    }

    fn weighted(&self, choices: &mut impl Choices) -> usize {
        let mut left = choices.below(self.weights.iter().sum());
        for (place, &weight) in self.weights.iter().enumerate() {
            if left < weight {
                return place;
            }
            left -= weight;
        }
        0
    }
}
