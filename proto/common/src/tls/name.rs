//! A node's identity, and its form in a certificate: one URI in the subject's alternative names, shaped as SPIFFE
//! has it (SPIFFE-ID, section 2): `spiffe://ao-observability/cluster/C/node/N/agent/HEX`.

use std::fmt;

use crate::tls::error::TlsError;
use crate::tls::hex;

/// Scheme and trust domain.
const DOMAIN: &str = "spiffe://ao-observability/";
/// As long as a DNS name may be, and as the wire's limits say.
const LONGEST: usize = 253;

/// One agent of one node of one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId {
    /// The cluster's name.
    pub cluster: String,
    /// The node's name.
    pub node: String,
    /// The agent's id, drawn once for each state folder.
    pub agent: [u8; 16],
}

impl NodeId {
    /// Checks the names: only such characters as need no escape in a URI, and the length of a DNS name.
    ///
    /// # Errors
    /// [`TlsError::Name`].
    pub fn new(cluster: &str, node: &str, agent: [u8; 16]) -> Result<Self, TlsError> {
        for (what, name) in [("the cluster's name", cluster), ("the node's name", node)] {
            if !is_name(name) {
                return Err(TlsError::Name { what, name: name.chars().take(64).collect() });
            }
        }
        Ok(Self { cluster: cluster.to_owned(), node: node.to_owned(), agent })
    }

    /// As it stands in a certificate.
    pub fn uri(&self) -> String {
        format!("{DOMAIN}cluster/{}/node/{}/agent/{}", self.cluster, self.node, hex(&self.agent))
    }

    /// Reads [`NodeId::uri`]; `None` of anything else.
    pub fn parse(uri: &str) -> Option<Self> {
        let mut parts = uri.strip_prefix(DOMAIN)?.split('/');
        let mut value = |key: &str| (parts.next()? == key).then(|| parts.next()).flatten();
        let (cluster, node, agent) = (value("cluster")?, value("node")?, value("agent")?);
        if parts.next().is_some()
            || agent.len() != 32
            || !agent.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        {
            return None;
        }
        let agent = u128::from_str_radix(agent, 16).ok()?.to_be_bytes();
        Self::new(cluster, node, agent).ok()
    }
}

/// `cluster/node`, as people read it.
impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.node)
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !name.is_empty() && name.len() <= LONGEST && !name.starts_with('.') && name.bytes().all(allowed)
}
