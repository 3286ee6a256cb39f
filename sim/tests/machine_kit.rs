//! The kit for machines, tried on the machine that ships.

monitor_sim::machine_tests!(monitor_os::Core);
