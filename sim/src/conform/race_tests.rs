//! The tests that a kit has for each race.

/// Makes the tests of a kit: one for each race, one without an aim, and one for the cases that
/// failed before.
#[doc(hidden)]
#[macro_export]
macro_rules! race_tests {
    ($kit:expr) => {
        $crate::race_tests!(@each $kit;
            double_stop DoubleStop,
            stop_during_backoff StopDuringBackoff,
            stop_while_starting StopWhileStarting,
            exit_before_started ExitBeforeStarted,
            stop_between_timer_and_spawn StopBetweenTimerAndSpawn,
            restart_during_backoff RestartDuringBackoff,
            stale_timers StaleTimers,
            stop_between_halves StopBetweenHalves,
            stop_against_notice StopAgainstNotice,
            pid_reuse PidReuse,
            crash_in_a_step CrashInAStep,
            clock_jump ClockJump,
            crowd Crowd,
        );

        #[test]
        fn regressions() {
            $kit.regressions().unwrap();
        }

        #[test]
        fn anything() {
            $kit.hunt(None).unwrap();
        }
    };
    (@each $kit:expr; $($name:ident $race:ident,)*) => {
        $(
            #[test]
            fn $name() {
                $kit.hunt(Some($crate::generate::Race::$race)).unwrap();
            }
        )*

        /// A race that is added must have its test.
        const _: () = assert!([$(stringify!($name)),*].len() == $crate::generate::Race::ALL.len());
    };
}
