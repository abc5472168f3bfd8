//! The journal's tests, filed by the property that they hold. `model` tries all of them at once, on `disk`,
//! which fails, and against `truth`, a plain list.

mod disk;
mod kit;

mod acknowledgements;
mod budget;
mod full_disk;
mod invariants;
mod keyframes;
mod left_behind;
mod queues;
mod recovery;
mod repair;

mod model;
mod truth;
mod world;
