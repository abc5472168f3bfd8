//! The flight recorder: when a way gets worse, or names are not found, all ends are looked at at once, and what was seen is
//! one trace, one event and a judgement.
//!
//! | file | room |
//! |---|---|
//! | `recorder.rs` | which troubles are recorded, and when |
//! | `witness.rs` | who has seen a trouble |
//! | `subject.rs` | what a recording is of, and what it has seen |
//! | `fly.rs` | one recording |
//! | `course.rs` | when in it echoes were lost (no I/O) |
//! | `limits.rs` | how many in an hour (no I/O) |
//! | `counters.rs` | what the kernel counted at this end |
//! | `background.rs` | what it counts at all times |
//! | `look.rs` | the same, and the path back, from the other end |
//! | `walk.rs` | a quick walk to the peer |
//! | `usual.rs` | the same when all is well, to compare with |
//! | `names.rs` | name servers |
//! | `blame.rs`, `verdict.rs` | who it was, by the evidence (no I/O) |
//! | `bundle.rs` | all of it as a trace and an event |

mod background;
mod counters;
mod walk;

mod usual;

mod look;

mod blame;
mod names;
mod verdict;

mod subject;

mod bundle;
mod course;
mod fly;

mod limits;
mod recorder;
mod witness;

pub(super) use look::{LOOK, Look, Looks, OtherEnd};
pub(super) use recorder::Recorder;
pub(super) use subject::Base;
