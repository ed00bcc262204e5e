//! Input that was made to do harm: what it may not do to a terminal, and what it may not cost.

pub mod answers;
mod cost;
mod disk;
mod terminal;
