//! The time to judge a record, against the time to read it, and the memory for a long record.
//!
//! Seconds differ between computers; the ratio, measured in the same run, hardly differs. `cargo
//! bench -p benches --bench record -- --bytes 1000000000` also judges a record of so many bytes, and
//! prints the peak of the memory. The record is made while it is read, so it needs no disk.
#![expect(clippy::print_stdout, reason = "the figures are the result")]

use std::fs;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

use criterion::measurement::{Measurement, WallTime};
use monitor_os::record::RecordReader;
use monitor_sim::case::Case;
use monitor_sim::conform::record::{RecordSummary, Tolerance, record};
use monitor_sim::world;

fn main() -> Result<(), String> {
    let words: Vec<String> = std::env::args().collect();
    let bytes = words.iter().position(|word| word == "--bytes");
    let bytes = bytes.and_then(|place| words.get(place + 1)).map(|word| word.parse::<u64>());
    let text = recorded()?;
    compare(&text)?;
    let Some(bytes) = bytes else { return Ok(()) };
    let bytes = bytes.map_err(|error| format!("--bytes: {error}: write a whole number"))?;
    let (before, start) = (peak(), WallTime.start());
    let endless = Repeated { text: text.as_bytes(), place: 0, left: bytes };
    let summary = judge(BufReader::new(endless))?;
    println!(
        "{} steps in {bytes} bytes: {:.1} s, the peak of the memory was {before}, is {}",
        summary.steps,
        WallTime.end(start).as_secs_f64(),
        peak(),
    );
    Ok(())
}

/// The record of a program that is restarted often, with pings.
fn recorded() -> Result<String, String> {
    let case: Case = CASE.parse().map_err(|error| format!("{error}"))?;
    let mut out = Vec::new();
    world::record(&case, STEPS, &mut out).map_err(|error| error.to_string())?;
    String::from_utf8(out).map_err(|error| error.to_string())
}

fn judge(input: impl BufRead) -> Result<RecordSummary, String> {
    record(&mut RecordReader::new(input), Tolerance::default()).map_err(|fault| fault.to_string())
}

fn read(text: &str) -> Result<(), String> {
    let mut reader = RecordReader::new(text.as_bytes());
    while let Some(line) = reader.read().map_err(|error| error.to_string())? {
        black_box(line);
    }
    Ok(())
}

/// Prints the best of interleaved rounds, so that both meet the same disturbances.
fn compare(text: &str) -> Result<(), String> {
    let (mut reading, mut judging) = (Duration::MAX, Duration::MAX);
    let mut steps = 0;
    for _ in 0..ROUNDS {
        let start = WallTime.start();
        read(text)?;
        reading = reading.min(WallTime.end(start));
        let start = WallTime.start();
        steps = judge(text.as_bytes())?.steps;
        judging = judging.min(WallTime.end(start));
    }
    let per_step = |total: Duration| total.as_secs_f64() * 1e9 / steps as f64;
    println!(
        "{steps} steps, {} bytes: read {:.0} ns/step, judged {:.0} ns/step, ratio: {:.2}",
        text.len(),
        per_step(reading),
        per_step(judging),
        judging.as_secs_f64() / reading.as_secs_f64(),
    );
    Ok(())
}

/// The most memory that this process has had so far.
fn peak() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or_else(|| "unknown".into(), |peak| peak.trim().to_owned())
}

/// A text again and again, in whole copies, until so many bytes were read.
struct Repeated<'a> {
    text: &'a [u8],
    place: usize,
    left: u64,
}

impl Read for Repeated<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.place == self.text.len() {
            if self.left < self.text.len() as u64 {
                return Ok(0);
            }
            self.left -= self.text.len() as u64;
            self.place = 0;
        }
        let length = (&self.text[self.place..]).read(buffer)?;
        self.place += length;
        Ok(length)
    }
}

const CASE: &str = "
    policy restart=always backoff=constant:100ms jitter=20% healthy-after=300ms watchdog=1s
    process rest lives=1s exits=code=1 pings=200ms
    0ms start
";

/// Enough steps for a figure, and few enough for many rounds.
const STEPS: usize = 5_000;

/// Enough rounds for their best to settle within a few per cent on a busy computer.
const ROUNDS: u32 = 60;
