//! The journal's tests, filed by the property that they hold. `model` tries all of them at once, with `world` as its
//! truth and `disk` as what can go wrong.

mod disk;
mod kit;

mod acknowledgements;
mod budget;
mod invariants;
mod keyframes;
mod recovery;

mod model;
mod world;
