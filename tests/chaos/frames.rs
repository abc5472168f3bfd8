//! Frames that the agent sent again, and the most of them that may be: each was under way, without an acknowledgement,
//! when its connection or its process ended.

use std::net::SocketAddr;

use ao_tests::prometheus::get;
use ao_tests::stack::values;
use serde::Serialize;

/// Frames that may leave between the last look at an agent and its end: some a queue.
const UNSEEN: u64 = 8;

/// Counts of one process, or of all that ran.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Frames {
    /// Frames that agents sent.
    pub(crate) sent: u64,
    /// Frames that agents sent again.
    pub(crate) resent: u64,
    /// Frames that came to aggregators which had them.
    pub(crate) duplicates: u64,
    /// Frames that were sent and never acknowledged on their connection.
    pub(crate) bound: u64,
}

impl Frames {
    /// Of a running agent.
    ///
    /// # Errors
    /// Where it does not answer.
    pub(crate) async fn of_agent(admin: SocketAddr) -> Result<Self, String> {
        let names = ["sent", "acked", "resent"].map(|what| format!("ao_uplink_{what}_frames_total"));
        let [sent, acked, resent] = counts(admin, names).await?;
        Ok(Self { sent, resent, duplicates: 0, bound: sent.saturating_sub(acked) + UNSEEN })
    }

    /// Of a running aggregator.
    ///
    /// # Errors
    /// Where it does not answer.
    pub(crate) async fn of_aggregator(http: SocketAddr) -> Result<Self, String> {
        let [duplicates] = counts(http, ["ao_ingest_duplicate_frames_total".to_owned()]).await?;
        Ok(Self { duplicates, ..Self::default() })
    }

    /// Those of one more process.
    pub(crate) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.resent += other.resent;
        self.duplicates += other.duplicates;
        self.bound += other.bound;
    }

    /// What is wrong with them.
    pub(crate) fn wrong(&self) -> Option<String> {
        let Self { resent, duplicates, bound, .. } = self;
        (resent.max(duplicates) > bound).then(|| {
            format!("{resent} frames sent again, {duplicates} came twice, but {bound} were ever under way at an end")
        })
    }
}

/// Sums of families that must be there.
async fn counts<const N: usize>(address: SocketAddr, names: [String; N]) -> Result<[u64; N], String> {
    let (status, text) = get(&format!("http://{address}/metrics")).await?;
    if let Some(missing) = names.iter().find(|name| !text.contains(&format!("# TYPE {}", base(name)))) {
        let beginning: String = text.chars().take(80).collect();
        return Err(format!("no metric {missing} in an answer {status} that begins with {beginning:?}"));
    }
    Ok(names.map(|name| values(&text, &name, "").sum::<f64>() as u64))
}

/// A counter's family.
fn base(name: &str) -> &str {
    name.trim_end_matches("_total")
}
