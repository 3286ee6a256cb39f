//! Runs the driver of `monitor-os` on a virtual clock and kernel, and hunts the races of lifecycles.

pub mod choices;
pub mod generate;
pub mod hunt;
pub mod model;
pub mod race;
pub mod saboteur;
pub mod schedule;
pub mod screen;
pub mod watch;
pub mod world;

#[cfg(test)]
mod smoke {
    use monitor_os::Core;

    use crate::hunt;
    use crate::race::Race;
    use crate::saboteur::Saboteur;
    use crate::screen::Table;

    #[test]
    fn hunts() {
        for race in Race::ALL.into_iter().map(Some).chain([None]) {
            let hunt = hunt::hunt(race, 0..20_000, Core, || {});
            println!(
                "{race:?} {} schedules {} steps {} occurred",
                hunt.schedules, hunt.steps, hunt.occurred
            );
            if let Some(failure) = hunt.failure {
                println!(
                    "{} seed {}\n{}{}",
                    failure.property,
                    failure.seed,
                    failure.schedule,
                    Table { trace: &failure.trace, marked: true }
                );
                panic!();
            }
        }
        for saboteur in Saboteur::ALL {
            for race in [Some(saboteur.race()), None] {
                let hunt = hunt::hunt(race, 0..50_000, saboteur, || {});
                match hunt.failure {
                    Some(failure) => println!(
                        "{saboteur} found by {race:?} after {}: {} \n{}{}",
                        hunt.schedules,
                        failure.property,
                        failure.schedule,
                        Table { trace: &failure.trace, marked: true }
                    ),
                    None => println!("{saboteur} NOT FOUND by {race:?}"),
                }
            }
        }
    }
}
