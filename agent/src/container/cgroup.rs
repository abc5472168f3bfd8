//! What is remembered of one cgroup from round to round.

use super::path::Kind;

/// One cgroup that is reported.
#[derive(Debug)]
pub(super) struct Cgroup {
    /// Its path from the root of the tree, such as `/system.slice/ssh.service`.
    pub(super) id: String,
    /// What it is.
    pub(super) kind: Kind,
    /// UID of the pod that it is of.
    pub(super) pod: Option<String>,
    /// The runtime's id.
    pub(super) container: Option<String>,
    /// The labels of its samples.
    pub(super) labels: Vec<(&'static str, String)>,
    /// It holds a pod's network and nothing else.
    pub(super) sandbox: bool,
    /// When it began, seconds since 1970; 0 while unknown.
    pub(super) began: i64,
    /// Its limits when they were last looked at.
    pub(super) limits: Limits,
    /// A process of it as HOST_PROC numbers them, seen in this round.
    pub(super) pid: Option<u32>,
}

impl Cgroup {
    /// Whether it runs processes that belong to it alone.
    pub(super) fn is_leaf(&self) -> bool {
        matches!(self.kind, Kind::Container | Kind::Service)
    }
}

/// Limits are looked at in every so many rounds: they seldom change.
const ROUNDS: usize = 4;

/// Limits of one cgroup; `None` for what its kernel does not have.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// Rounds so far, less those before its turn.
    rounds: usize,
    /// They have been looked at.
    known: bool,
    /// Microseconds.
    pub(super) cpu_period: Option<u64>,
    /// Microseconds; `None` for no quota.
    pub(super) cpu_quota: Option<u64>,
    /// On the scale of v1.
    pub(super) cpu_shares: Option<u64>,
    /// Bytes, as all below; 0 for no limit.
    pub(super) memory: Option<u64>,
    /// 0 for none.
    pub(super) reservation: Option<u64>,
    /// 0 for no limit.
    pub(super) swap: Option<u64>,
}

impl Limits {
    /// With a turn of its own, so that not all are looked at in the same round.
    pub(super) fn new(turn: usize) -> Self {
        Self { rounds: turn % ROUNDS, ..Self::default() }
    }

    /// Called once in each round.
    pub(super) fn are_due(&mut self) -> bool {
        self.rounds = (self.rounds + 1) % ROUNDS;
        !std::mem::replace(&mut self.known, true) || self.rounds == 0
    }
}
