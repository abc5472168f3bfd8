//! Who has seen a trouble, and of what it is.

use super::limits::What;
use crate::mesh::grid::Grid;
use crate::trouble::{Alarm, Trouble, Turn};

/// Who.
#[derive(Clone, Debug)]
pub(super) enum Witness {
    /// A cell of the mesh.
    Cell(u64, Trouble),
    /// Another source.
    Source(Alarm),
}

impl Witness {
    pub(super) fn trouble(&self) -> Trouble {
        match self {
            Self::Cell(_, trouble) => *trouble,
            Self::Source(alarm) => alarm.turn.trouble,
        }
    }

    /// The same one, of another trouble.
    pub(super) fn of(self, trouble: Trouble) -> Self {
        match self {
            Self::Cell(cell, _) => Self::Cell(cell, trouble),
            Self::Source(alarm) => Self::Source(Alarm { turn: Turn::begun(trouble), ..alarm }),
        }
    }

    /// What is in trouble, and the cell of that way, where there is one; `None` where nobody can look at it.
    pub(super) fn subject(&self, grid: &Grid) -> Option<(What, Option<u64>)> {
        match self {
            Self::Cell(cell, _) => Some((What::Way(grid.struck(*cell)?.peer.ip()), Some(*cell))),
            Self::Source(alarm) if alarm.turn.trouble == Trouble::Name => Some((What::Names, None)),
            Self::Source(alarm) => Some((What::Way(alarm.address?), grid.at(alarm.address?))),
        }
    }

    /// Whether both are one, of one thing.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cell(one, _), Self::Cell(other, _)) => one == other,
            (Self::Source(one), Self::Source(other)) => one.is_of(other),
            _ => false,
        }
    }

    /// Whether it may still see it. Sources say when it is over.
    pub(super) fn may_see(&self, grid: &Grid) -> bool {
        match self {
            Self::Cell(cell, _) => grid.is_in_trouble(*cell),
            Self::Source(_) => true,
        }
    }
}
