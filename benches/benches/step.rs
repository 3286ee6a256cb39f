//! The time that the machine takes for one event of a recorded log.
//!
//! Nanoseconds differ between computers. The ratio to the floor, measured in the same run, hardly
//! differs. The floor is the same loop over the same log, with a transition that decides nothing.
#![expect(clippy::print_stdout, reason = "the figures are the result")]

use std::env::args;
use std::hint::black_box;
use std::time::Duration;

use benches::{EVENTS, Mix, deliver, recorded_mix, replay, stand_still};
use criterion::measurement::{Measurement, WallTime};
use criterion::{Criterion, Throughput};
use monitor_core::Policy;

fn main() {
    let mix = recorded_mix();
    let mut criterion = Criterion::default().configure_from_args();
    measure(&mut criterion, &mix);
    criterion.final_summary();
    // Criterion measures only with `--bench`, and so does the comparison.
    let only_tried = |word: String| word == "--test" || word == "--list";
    if args().any(|word| word == "--bench") && !args().any(only_tried) {
        compare(&mix);
    }
}

fn measure(criterion: &mut Criterion, mix: &Mix) {
    let mut group = criterion.benchmark_group("recorded-mix");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("floor", |bencher| bencher.iter(|| replay(mix, stand_still)));
    group.bench_function("step", |bencher| bencher.iter(|| replay(mix, Policy::step)));
    group.bench_function("step-and-deliver", |bencher| bencher.iter(|| deliver(mix, Policy::step)));
    group.finish();
}

/// Prints the best of interleaved rounds, so that both loops meet the same disturbances.
fn compare(mix: &Mix) {
    let mut floor = Duration::MAX;
    let mut step = Duration::MAX;
    let mut delivered = Duration::MAX;
    for _ in 0..ROUNDS {
        floor = floor.min(timed(|| replay(mix, stand_still)));
        step = step.min(timed(|| replay(mix, Policy::step)));
        delivered = delivered.min(timed(|| deliver(mix, Policy::step)));
    }
    print!("{mix}");
    println!(
        "step: {:.1} ns/event, floor: {:.1} ns/event, ratio: {:.2}; with the commands visited: {:.1} ns/event",
        per_event(step),
        per_event(floor),
        step.as_secs_f64() / floor.as_secs_f64(),
        per_event(delivered),
    );
}

fn timed<T>(run: impl FnOnce() -> T) -> Duration {
    let started = WallTime.start();
    black_box(run());
    WallTime.end(started)
}

fn per_event(total: Duration) -> f64 {
    total.as_secs_f64() * 1e9 / EVENTS as f64
}

/// Enough rounds for their best to settle within a few per cent on a busy computer.
const ROUNDS: u32 = 60;
