//! The kit for drivers, tried on the driver of `monitor-os`.

use monitor_core::{Event, Policy, ServiceCommand, State, Step};
use monitor_os::{Core, Driver, DriverInput, Kernel as _, Machine};
use monitor_sim::conform::{self, DriverMutant, VirtualKernel};

monitor_sim::driver_tests!(|kernel| Driver::new().run(kernel));

/// A machine that does not say when a process serves.
struct Mute;

impl Machine for Mute {
    fn step(&self, policy: &Policy, state: State, event: Event) -> Step {
        let mut step = Core.step(policy, state, event);
        step.actions.service = ServiceCommand::Keep;
        step
    }
}

fn right(kernel: &mut VirtualKernel<'_>) {
    Driver::new().run(kernel);
}

/// A driver that waits without end, and one that gives up, are judged and not suffered.
#[test]
fn loops_that_do_not_end_and_loops_that_end_early_are_failures() {
    let folder = tempfile::tempdir().unwrap();
    let failure = |run: fn(&mut VirtualKernel<'_>)| {
        let kit = conform::driver(run).with_regressions(folder.path());
        kit.hunt(None).unwrap_err().to_string()
    };
    let deaf = failure(|kernel| {
        loop {
            kernel.wait(None);
        }
    });
    assert!(deaf.contains("waits after `Quit`"), "{deaf}");
    let busy = failure(|kernel| {
        loop {
            kernel.draw(monitor_core::Millis::ZERO);
        }
    });
    assert!(busy.contains("calls without a wait"), "{busy}");
    let lazy = failure(|_| {});
    assert!(lazy.contains("a loop that ended before"), "{lazy}");
    let broken = failure(|_| panic!("it broke"));
    assert!(broken.contains("it broke"), "{broken}");
    let idle = failure(|kernel| while kernel.wait(None).input != DriverInput::Quit {});
    assert!(idle.starts_with("FAIL one-reply") && idle.contains("MONITOR_SIM_REPLAY="), "{idle}");
    let mute = failure(|kernel| {
        Driver::with_machine(Mute).run(kernel);
    });
    assert!(mute.contains("\n  - ") && mute.contains("\n  + "), "{mute}");
    let kept = std::fs::read_dir(folder.path()).unwrap().count();
    assert!(kept > 0, "the cases are kept");
    let again = conform::driver(right).with_regressions(folder.path());
    assert_eq!(again.regressions().unwrap(), kept as u64);
    let read = conform::driver(|_| {}).with_regressions(folder.path()).regressions();
    assert!(read.unwrap_err().file.is_some(), "a kept case fails again, with its file");
}

#[test]
fn a_file_that_is_no_case_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "policy restart=often").unwrap();
    let kit = conform::driver(right).with_regressions(folder.path());
    let said = kit.check().unwrap_err().to_string();
    assert!(said.contains("a.txt: line 1") && said.contains("mend or remove"), "{said}");
}

/// By effects alone, the bugs that change the world are found, and those of reports are not.
#[test]
fn effects_alone_show_the_bugs_that_change_the_world() {
    let kit = conform::driver(right).by_effects();
    let missed: Vec<_> =
        DriverMutant::ALL.into_iter().filter(|mutant| kit.finds(*mutant).is_none()).collect();
    assert_eq!(missed, [DriverMutant::WatchdogOfTheUntold]);
}
