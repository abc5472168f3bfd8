//! Follows which nodes there are, and has the mesh planned anew when they change.

use std::time::Duration;

use ao_common::clock::now_ms;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::control::mesh::{Config, Member, Mesh};
use crate::control::plans::Plans;
use crate::nodes::{Node, Nodes, Reach};

/// A thousand nodes that come at once are planned a few times, not a thousand times.
const LOOK: Duration = Duration::from_secs(5);

/// Follows until the shutdown. What an earlier process knew is planned at once, so that a restart of ours changes nobody's
/// peers.
pub async fn follow_nodes(config: Config, nodes: Nodes, plans: Plans, shutdown: CancellationToken) {
    let started_ms = now_ms();
    let mut planned = Vec::new();
    loop {
        let members = present(nodes.members(), &config, started_ms, now_ms());
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

/// Those that were seen not too long ago. While we were away nobody could be: that time does not count.
fn present(members: Vec<(Node, Reach, i64)>, config: &Config, started_ms: i64, now_ms: i64) -> Vec<Member> {
    let forget_ms = i64::try_from(config.forget.0.as_millis()).unwrap_or(i64::MAX);
    let oldest_ms = now_ms.saturating_sub(forget_ms);
    let seen = members.into_iter().filter(|(.., seen_ms)| (*seen_ms).max(started_ms) >= oldest_ms);
    seen.map(|(node, reach, _)| (node, reach)).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// Scenario: a node that was silent for over an hour, and one that was seen; long and shortly after a start of ours.
    /// Guarantees: nobody is forgotten before its time has passed since the start.
    #[test]
    fn who_is_there() {
        let (hour, config) = (3_600_000, Config::default());
        let now = 100 * hour;
        let member = |node: &str, seen_ms| {
            let address = Ipv4Addr::new(10, 0, 0, 1).into();
            let reach = Reach { address, port: 4418, zone: String::new(), synchronised: false };
            (("blue".to_owned(), node.to_owned()), reach, seen_ms)
        };
        let there = |started_ms| -> Vec<String> {
            let all = vec![member("silent", now - hour - 1), member("here", now)];
            present(all, &config, started_ms, now).into_iter().map(|((_, node), _)| node).collect()
        };
        assert_eq!(there(now - 2 * hour), ["here"]);
        assert_eq!(there(now - 1), ["silent", "here"]);
    }
}
