//! The journal's tests, filed by the property that they hold.

mod kit;

mod acknowledgements;
mod keyframes;
