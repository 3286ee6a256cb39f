//! Supervision decisions as one pure state machine.
