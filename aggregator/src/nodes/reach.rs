//! How the others of the mesh reach a node.

use std::net::IpAddr;

use ao_proto::v1::Hello;
use serde::{Deserialize, Serialize};

/// How the others of the mesh reach a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reach {
    /// Address.
    pub address: IpAddr,
    /// UDP port of its echo.
    pub port: u16,
    /// Zone, rack or site; empty where nobody told.
    pub zone: String,
    /// The site declares its clock synchronised.
    pub synchronised: bool,
}

impl Reach {
    /// What a hello says, if it says anything that makes sense.
    pub(crate) fn of(hello: &Hello) -> Option<Self> {
        let mesh = hello.mesh.as_ref()?;
        let address: IpAddr = mesh.address.parse().ok()?;
        let port = u16::try_from(mesh.port).ok().filter(|port| *port != 0)?;
        let usable = !address.is_unspecified() && !address.is_multicast();
        let reach = Self { address, port, zone: mesh.zone.clone(), synchronised: mesh.synchronised };
        usable.then_some(reach)
    }
}
