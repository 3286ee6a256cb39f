//! The coverage of cases, and the least coverage for a number of cases.
//!
//! A search that meets nothing finds nothing, so its silence proves nothing.

use std::fmt;

use super::alarm::{Alarm, Alarms};

/// A measure of coverage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Pairs of a phase and an event that came in it.
    Cells,
    /// Coverage marks that steps of the machine meet.
    StepMarks,
    /// Coverage marks that faults of the virtual world meet.
    FaultMarks,
    /// Races that took place, and choosers that chose.
    Aims,
}

impl Measure {
    /// All measures.
    pub const ALL: [Self; 4] = [Self::Cells, Self::StepMarks, Self::FaultMarks, Self::Aims];

    const fn name(self) -> &'static str {
        match self {
            Self::Cells => "phase × event cells",
            Self::StepMarks => "coverage marks of steps",
            Self::FaultMarks => "coverage marks of faults",
            Self::Aims => "races that took place and choosers that chose",
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The coverage of a number of cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Cases run.
    pub cases: u64,
    /// In the order of [`Measure::ALL`]; `None` where it was not counted.
    pub met: [Option<u64>; 4],
}

impl Coverage {
    /// Raises [`Alarm::CoverageBelowFloor`] if a measure is below its floor for this number of
    /// cases.
    #[must_use]
    pub fn alarms(&self, floor: impl Fn(Measure, u64) -> u64) -> Alarms {
        let mut alarms = Alarms::default();
        let mut low = Vec::new();
        for (measure, met) in Measure::ALL.into_iter().zip(self.met) {
            let floor = floor(measure, self.cases);
            if let Some(met) = met.filter(|&met| met < floor) {
                low.push(format!("{met} {measure}, and the floor is {floor}"));
            }
        }
        if !low.is_empty() {
            alarms.raise(
                Alarm::CoverageBelowFloor,
                format!("in {} cases: {}", self.cases, low.join("; ")),
            );
        }
        alarms
    }
}

/// Of so many cases or more, the least that each measure must have met.
///
/// Measured over campaigns of 200 names (30 beyond 10,000 cases), these are the lowest figures that
/// any of them has met:
///
/// | cases | cells | step marks | fault marks | aims |
/// | --- | --- | --- | --- | --- |
/// | 100 | 102 | 30 | 9 | 14 |
/// | 200 | 137 | 35 | 12 | 15 |
/// | 500 | 176 | 37 | 14 | 17 |
/// | 1,000 | 198 | 39 | 16 | 17 |
/// | 2,000 | 217 | 40 | 16 | 17 |
/// | 10,000 | 256 | 41 | 17 | 17 |
/// | 20,000 | 274 | 42 | 17 | 17 |
/// | 100,000 | 294 | 42 | 17 | 17 |
///
/// The floors leave room below that. From 100,000 cases on every mark and every aim is demanded:
/// all campaigns have met them within a fifth of that.
const FLOORS: [(u64, [u64; 4]); 7] = [
    (100, [60, 18, 4, 8]),
    (200, [85, 22, 6, 10]),
    (500, [115, 26, 9, 13]),
    (1_000, [135, 29, 11, 16]),
    (2_000, [155, 32, 12, 17]),
    (10_000, [190, 36, 14, 17]),
    (100_000, [230, 42, 17, 17]),
];

/// Returns the least that so many cases must have met; 0 for too few cases.
#[must_use]
pub fn floor(measure: Measure, cases: u64) -> u64 {
    let reached = FLOORS.iter().rev().find(|(least, _)| cases >= *least);
    reached.map_or(0, |(_, floors)| floors[measure as usize])
}

#[cfg(test)]
mod tests {
    use monitor_os::Core;

    use super::*;
    use crate::oracle::verdict::Verdict;
    use crate::search::campaign::Plan;
    use crate::search::coverage_marks::{CoverageMarks, MARKS};
    use crate::search::harness::Standard;
    use crate::search::hunt;

    #[test]
    fn floors_rise_with_the_cases_and_begin_where_something_can_be_said() {
        for measure in Measure::ALL {
            assert_eq!([0, 1, 10, 99].map(|cases| floor(measure, cases)), [0; 4]);
            let floors = [100, 199, 200, 5_000, 10_000, 1_000_000].map(|n| floor(measure, n));
            assert!(floors.is_sorted() && floors[0] > 0, "{measure}: {floors:?}");
            assert_eq!(floors[0], floors[1]);
        }
    }

    /// Wherever a shard begins, and however short it is, what ships is above the floor.
    #[test]
    fn what_ships_is_above_the_floors() {
        for name in ["a", "b", "c", "d", "e"] {
            for (start, cases) in [(0, 100), (7, 200), (13, 500), (1_001, 1_000), (0, 2_000)] {
                let report = Plan::new(name).run(start..start + cases, Core);
                assert_eq!(report.alarms(Standard).to_string(), "", "{name}, from {start}");
            }
        }
    }

    #[test]
    fn every_mark_is_met_by_a_short_hunt() {
        let hunted = hunt::hunt(None, 0..20_000, Core, || {});
        let missing: Vec<&str> = hunted.coverage_marks.missing().collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn nothing_meets_no_mark() {
        assert_eq!(CoverageMarks::of(&Verdict::default()).missing().count(), MARKS.len());
    }
}
