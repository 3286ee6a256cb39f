//! Runs the driver of `monitor-os` on a virtual clock and kernel, and hunts the races of lifecycles.

pub mod model;
pub mod watch;

#[cfg(test)]
mod smoke {
    use monitor_core::{Policy, Preset};
    use monitor_os::Core;

    #[test]
    fn explore_presets() {
        for preset in Preset::ALL {
            let policy = preset.builder().build().unwrap();
            let found = crate::model::explore(&[policy], &Core);
            println!(
                "{preset}: nodes {} transitions {} states {}",
                found.nodes,
                found.transitions,
                found.states.len()
            );
            if let Some(example) = found.counterexample {
                println!("VIOLATED {}", example.property);
                for (_, event, before, step) in crate::model::walk(&[policy], &Core, &example.path)
                {
                    print!("  {event:<28} {before} -> {} :", step.state);
                    step.for_each(|action| print!(" {action};"));
                    println!(" {:?}", step.note);
                }
                panic!();
            }
        }
        let _ = Policy::DEFAULT;
    }
}
