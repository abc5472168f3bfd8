//! Follows which nodes there are, and has the mesh planned anew when they change.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ao_common::clock::boot_ns;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::control::mesh::{Config, Member, Mesh};
use crate::control::plans::Plans;
use crate::nodes::{Node, Nodes, Reach, Sighting};

/// A thousand nodes that come at once are planned a few times, not a thousand times.
const LOOK: Duration = Duration::from_secs(5);
/// A node that was silent for so long after another one spoke at its address is not there any more. Agents that live send
/// something every 10 s.
const REPLACED: Duration = Duration::from_secs(60);

/// Follows until the shutdown. Whoever was there when an earlier process ended is planned at once, so that a restart of
/// ours changes nobody's peers.
pub async fn follow_nodes(config: Config, nodes: Nodes, plans: Plans, shutdown: CancellationToken) {
    let began = Began { boot_ns: boot_ns(), earlier_ms: nodes.earlier_ms() };
    let mut planned = Vec::new();
    loop {
        let members = present(nodes.members(), &config, &began, boot_ns());
        if members != planned {
            planned.clone_from(&members);
            let (config, count) = (config.clone(), members.len());
            let planning = tokio::task::spawn_blocking(move || Mesh::plan(&config, members));
            // It fails only where the runtime ends.
            let Ok(mesh) = planning.await else { return };
            if plans.publish_mesh(mesh) {
                info!(nodes = count, "the mesh is planned");
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// This process's begin, and the end of the one before it.
struct Began {
    /// By boot time.
    boot_ns: i64,
    /// See [`Nodes::earlier_ms`].
    earlier_ms: i64,
}

impl Began {
    /// For how long a node was silent, at the least. While we were away nobody could be: that time does not count. Nor does
    /// anybody set the time that does.
    fn silent(&self, seen: Sighting, now_boot_ns: i64) -> Duration {
        let nanos = |ns: i64| Duration::from_nanos(ns.try_into().unwrap_or(0));
        seen.seen_boot_ns.map_or_else(
            || {
                let before_ms = self.earlier_ms.saturating_sub(seen.seen_ms);
                let before = Duration::from_millis(before_ms.try_into().unwrap_or(0));
                nanos(now_boot_ns.saturating_sub(self.boot_ns)) + before
            },
            |seen_ns| nanos(now_boot_ns.saturating_sub(seen_ns)),
        )
    }
}

/// Those that were not silent for too long; of several at one address, such as a node that was set up anew under another
/// name, not those that were silent while another one spoke there.
fn present(
    members: Vec<(Node, Reach, Sighting)>,
    config: &Config,
    began: &Began,
    now_boot_ns: i64,
) -> Vec<Member> {
    let silent = |seen| began.silent(seen, now_boot_ns);
    let mut least = BTreeMap::<(String, IpAddr), Duration>::new();
    for ((cluster, _), reach, seen) in &members {
        let least = least.entry((cluster.clone(), reach.address)).or_insert(Duration::MAX);
        *least = silent(*seen).min(*least);
    }
    let is_there = |((cluster, node), reach, seen): (Node, Reach, Sighting)| {
        let silent = silent(seen);
        let place = (cluster, reach.address);
        let spoke = least.get(&place).is_some_and(|least| least.saturating_add(REPLACED) < silent);
        (silent <= config.forget.0 && !spoke).then_some(((place.0, node), reach))
    };
    members.into_iter().filter_map(is_there).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const MINUTE: i64 = 60_000_000_000;
    const HOUR_MS: i64 = 3_600_000;
    const HOUR: i64 = HOUR_MS * 1_000_000;
    /// The process before this one ended at a time that says nothing about now.
    const BEGAN: Began = Began { boot_ns: 5 * HOUR, earlier_ms: 100 * HOUR_MS };

    fn member(node: &str, last: u8, seen: Sighting) -> (Node, Reach, Sighting) {
        let address = Ipv4Addr::new(10, 0, 0, last).into();
        let reach = Reach { address, port: 4418, zone: String::new(), synchronised: false };
        (("blue".to_owned(), node.to_owned()), reach, seen)
    }

    fn names(members: Vec<(Node, Reach, Sighting)>, now: i64) -> Vec<String> {
        present(members, &Config::default(), &BEGAN, now).into_iter().map(|((_, node), _)| node).collect()
    }

    /// Scenario: nodes that were there when the process before this one ended, that had gone just before, and a day before;
    /// one that this process saw; right after the start, and later.
    /// Guarantees: the start brings back whoever was there and nobody else; nobody is forgotten before he was silent for an
    /// hour, of which the time without any process is none.
    #[test]
    fn who_is_there() {
        let earlier = |before_ms| Sighting { seen_ms: BEGAN.earlier_ms - before_ms, seen_boot_ns: None };
        let all = || {
            let here = Sighting { seen_ms: 0, seen_boot_ns: Some(BEGAN.boot_ns + HOUR / 4) };
            vec![
                member("there", 1, earlier(-1)),
                member("gone", 2, earlier(HOUR_MS / 2)),
                member("long-gone", 3, earlier(24 * HOUR_MS)),
                member("here", 4, here),
            ]
        };
        let there = |since: i64| names(all(), BEGAN.boot_ns + since);
        assert_eq!(there(0), ["there", "gone", "here"]);
        assert_eq!(there(HOUR / 2 + 1), ["there", "here"]);
        assert_eq!(there(HOUR + 1), ["here"]);
        assert_eq!(there(HOUR / 4 * 5 + 1), [""; 0]);
    }

    /// Scenario: a node that is set up anew under another name keeps its address; two agents that both live share one;
    /// another cluster has the same address.
    /// Guarantees: the old name goes a minute after the new one spoke, and does not come back with a restart; the others
    /// stay.
    #[test]
    fn who_is_at_an_address() {
        let now = BEGAN.boot_ns + 30 * MINUTE;
        let ago = |ns: i64| Sighting { seen_ms: 0, seen_boot_ns: Some(now - ns) };
        let mut elsewhere = member("elsewhere", 1, ago(20 * MINUTE));
        elsewhere.0.0 = "green".to_owned();
        let mut all = vec![
            member("new-name", 1, ago(0)),
            member("old-name", 1, ago(MINUTE + 1)),
            member("twin", 2, ago(0)),
            member("other-twin", 2, ago(MINUTE / 2)),
            elsewhere,
        ];
        assert_eq!(names(all.clone(), now), ["new-name", "twin", "other-twin", "elsewhere"]);
        all[1].2 = ago(MINUTE);
        assert_eq!(names(all, now).len(), 5);
        let earlier = |before_ms| Sighting { seen_ms: BEGAN.earlier_ms - before_ms, seen_boot_ns: None };
        let again = vec![member("new-name", 1, earlier(0)), member("old-name", 1, earlier(HOUR_MS / 2))];
        assert_eq!(names(again, BEGAN.boot_ns), ["new-name"]);
    }
}
