//! Many starts and ends while descriptors and processes run out and the disk hangs.

use std::io;
use std::path::Path;

use anstream::println;
use monitor_os::{Launcher, now};
use monitor_sim::real::{self, Leftovers};

use crate::exit_status::VIOLATED;
use crate::progress::templated;

/// Starts and ends programs while descriptors and processes run out and the disk hangs.
pub(super) fn cycle(launcher: &Launcher, cycles: u64) -> io::Result<u8> {
    let before = Leftovers::find(Path::new("/"))?;
    let begun = now();
    let bar = templated(cycles, "{msg:<24} {wide_bar} {human_pos}/{human_len}  {per_sec}");
    bar.set_message("starts and ends");
    let program = std::env::current_exe()?;
    let seen = real::cycle(launcher, &program, cycles, |started| bar.set_position(started))?;
    bar.finish_and_clear();
    let after = Leftovers::find(Path::new("/"))?;
    let seconds = now().nanos_since(begun) as f64 / 1e9;
    let descriptors = after.descriptors.saturating_sub(before.descriptors);
    println!("\n  programs started             {:>9}   in {seconds:.1} s", seen.started);
    println!("  ends, with their status      {:>9}", seen.ended);
    println!("  starts of what is missing    {:>9}", seen.missing);
    println!("  starts without descriptors   {:>9}   EMFILE", seen.no_descriptors);
    println!(
        "  starts without processes     {:>9}   EAGAIN by a limit of the user",
        seen.no_processes
    );
    println!("  saves that hung with the disk{:>9}   for 20 ms each", seen.disk_hung);
    println!("  ends with a wrong status     {:>9}", seen.wrong_status);
    println!("  ends not reported            {:>9}", seen.started - seen.ended - seen.wrong_status);
    println!("  programs not reported        {:>9}", seen.unreported);
    println!("  two of a unit at a time      {:>9}", seen.complaints.len());
    println!("  zombies left                 {:>9}", after.zombies);
    println!("  descriptors left             {descriptors:>9}");
    println!("  control groups left          {:>9}", seen.groups);
    seen.absent.iter().for_each(|what| println!("not shown: {what}"));
    seen.complaints.iter().for_each(|complaint| println!("FAIL {complaint}"));
    if !seen.all_met() {
        println!("FAIL something was taken away and never missed: give more cycles");
    }
    let clean = seen.is_clean() && after.zombies == 0 && descriptors == 0 && seen.all_met();
    Ok(if clean { 0 } else { VIOLATED })
}
