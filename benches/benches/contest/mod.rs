//! Contestants that take turns in one run, so that other load affects them alike.

use std::hint::black_box;
use std::time::Duration;

/// One contestant: a name and a turn, which returns its units of work.
pub(crate) struct Contestant<'a> {
    pub(crate) name: &'a str,
    pub(crate) turn: Box<dyn FnMut() -> u64 + 'a>,
}

impl<'a> Contestant<'a> {
    pub(crate) fn new(name: &'a str, turn: impl FnMut() -> u64 + 'a) -> Self {
        Self { name, turn: Box::new(turn) }
    }
}

/// Runs the turns for a number of rounds and prints the median rate of each contestant.
///
/// It prints the speed of the first one relative to the others: the median and the extremes of the
/// ratios within a round.
#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
pub(crate) fn contest(title: &str, unit: &str, rounds: usize, contestants: &mut [Contestant<'_>]) {
    println!("\n{title}\n");
    println!("  {:<44} {:>16}  {:>8}", "", format!("{unit}/s"), "first is");
    let mut rates = vec![Vec::new(); contestants.len()];
    for contestant in contestants.iter_mut() {
        black_box((contestant.turn)());
    }
    for _ in 0..rounds {
        for (contestant, rates) in contestants.iter_mut().zip(&mut rates) {
            let (units, taken) = timed(&mut contestant.turn);
            rates.push(units as f64 / taken.as_secs_f64());
        }
    }
    for (contestant, own) in contestants.iter().zip(&rates) {
        let ratios = sorted(rates[0].iter().zip(own).map(|(first, own)| first / own));
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        let median = sorted(own.iter().copied())[own.len() / 2];
        let ratio = ratios[ratios.len() / 2];
        println!(
            "  {:<44} {median:>16.0}  {ratio:>7.1}x  ({least:.1} to {most:.1})",
            contestant.name
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn timed(turn: &mut dyn FnMut() -> u64) -> (u64, Duration) {
    let start = std::time::Instant::now();
    let units = black_box(turn());
    (units, start.elapsed())
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}
