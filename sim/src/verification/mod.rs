//! The whole verification: the search of all policies, the hunt of all races, and the checks of the checks.

pub mod canary_search;
pub mod check;
pub mod self_test;
