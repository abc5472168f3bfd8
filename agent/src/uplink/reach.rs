//! How other nodes reach this one, as the aggregator is told.

use std::net::IpAddr;
use std::time::Duration;

use ao_proto::v1::MeshMember;
use tokio::time::timeout;

use crate::context::{Node, Reach};
use crate::net::source_towards;

/// The name is known already: a connection to it stands.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the hello says; `None` where the node takes no part, or nobody else could reach it.
pub(crate) async fn member(node: &Node, aggregator: &str) -> Option<MeshMember> {
    let Reach { address, port, zone, synchronised } = node.reach.clone()?;
    let address = match address {
        Some(address) => address,
        None => towards(aggregator).await.filter(|address| !address.is_loopback())?,
    };
    Some(MeshMember { address: address.to_string(), port: port.into(), zone, synchronised })
}

/// The address from which this node speaks to `https://host:port`.
async fn towards(aggregator: &str) -> Option<IpAddr> {
    let (_, host) = aggregator.split_once("://")?;
    let mut found = timeout(PATIENCE, tokio::net::lookup_host(host)).await.ok()?.ok()?;
    found.find_map(|to| source_towards(to).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a node that takes no part, one whose aggregator is on the same machine, one that names its address.
    /// Guarantees: only the last one can be reached; it says how.
    #[tokio::test]
    async fn who_can_be_reached() {
        let address = Some(IpAddr::from([10, 0, 0, 1]));
        let reach = Reach { address: None, port: 4418, zone: "ham".to_owned(), synchronised: true };
        let mut node = Node::default();
        assert_eq!(member(&node, "https://127.0.0.1:4417").await, None);
        node.reach = Some(reach.clone());
        assert_eq!(member(&node, "https://127.0.0.1:4417").await, None);
        node.reach = Some(Reach { address, ..reach });
        let told = member(&node, "nonsense").await.expect("told");
        assert_eq!((told.address.as_str(), told.port, told.zone.as_str()), ("10.0.0.1", 4418, "ham"));
    }
}
