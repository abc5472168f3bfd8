//! The addresses of interfaces, which the kernel tells by netlink (rtnetlink(7)).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ao_proto::model::MetricType::Gauge;
use rustix::net::Protocol;

use super::super::api::CollectError;
use super::super::filter::Filter;
use super::super::netfile;
use crate::context::Roots;
use crate::event::MetricSet;
use crate::netlink::{self, u32_at};

/// NETLINK_ROUTE, which is number 0.
const ROUTE: Option<Protocol> = None;
const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
/// `struct ifinfomsg`: the index is at 4.
const LINK_BYTES: usize = 16;
/// `struct ifaddrmsg`: the prefix's length is at 1, the index at 4.
const ADDRESS_BYTES: usize = 8;
const IFLA_IFNAME: u16 = 3;
const IFA_ADDRESS: u16 = 1;
/// On a line between two hosts the address above is the other one's, and this ours.
const IFA_LOCAL: u16 = 2;

/// One address of an interface.
#[derive(Debug, PartialEq)]
struct Address {
    /// The interface's number.
    index: u32,
    prefix: u8,
    ip: IpAddr,
}

/// A sample for each address of the interfaces that are wanted.
///
/// # Errors
/// Where the agent is not in the host's network, or netlink is denied.
pub(super) fn emit(
    roots: &Roots,
    filter: &Filter,
    buffer: &mut Vec<u8>,
    out: &mut MetricSet,
) -> Result<(), CollectError> {
    let failed = |source| CollectError::Io { path: roots.proc.join("1/net"), source };
    if !netfile::is_own_network(roots) {
        let why = "address_info needs an agent that runs in the host's network";
        return Err(failed(io::Error::other(why)));
    }
    let mut names = HashMap::new();
    let mut addresses = Vec::new();
    netlink::dump(ROUTE, RTM_GETLINK, &[0; LINK_BYTES], buffer, |message| names.extend(name_of(message)))
        .and_then(|()| {
            netlink::dump(ROUTE, RTM_GETADDR, &[0; ADDRESS_BYTES], buffer, |message| {
                addresses.extend(address_of(message));
            })
        })
        .map_err(failed)?;
    let family = out.family("node_network_address_info", Gauge, "An address of an interface.");
    for Address { index, prefix, ip } in addresses {
        // Made since the interfaces were listed: told in the next round.
        let Some(name) = names.get(&index).filter(|name| !filter.ignores(name)) else { continue };
        let (ip, prefix, scope) = (ip.to_string(), prefix.to_string(), scope(ip));
        let labels = [("device", &**name), ("address", &*ip), ("netmask", &*prefix), ("scope", scope)];
        out.push(family, &labels, 1.0);
    }
    Ok(())
}

/// Number and name of an interface.
fn name_of(message: &[u8]) -> Option<(u32, String)> {
    let name = attribute(message.get(LINK_BYTES..)?, IFLA_IFNAME)?;
    let name = String::from_utf8_lossy(name.split(|byte| *byte == 0).next()?).into_owned();
    Some((u32_at(message, 4), name))
}

fn address_of(message: &[u8]) -> Option<Address> {
    let attributes = message.get(ADDRESS_BYTES..)?;
    let bytes = attribute(attributes, IFA_LOCAL).or_else(|| attribute(attributes, IFA_ADDRESS))?;
    let ip = match *bytes {
        [a, b, c, d] => Ipv4Addr::new(a, b, c, d).into(),
        _ => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into(),
    };
    Some(Address { index: u32_at(message, 4), prefix: *message.get(1)?, ip })
}

/// The value of the attribute with this number; `struct rtattr`: length with this head, number.
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (head, _) = bytes.split_at_checked(4)?;
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let value = bytes.get(4..length)?;
        if u16::from_ne_bytes([head[2], head[3]]) == wanted {
            return Some(value);
        }
        // Attributes begin at multiples of 4.
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

/// node_exporter's word for how far an address reaches.
fn scope(ip: IpAddr) -> &'static str {
    let (here, interface, nowhere) = match ip {
        IpAddr::V4(ip) => {
            let here = ip.is_loopback() || ip.is_link_local() || ip.octets()[..3] == [224, 0, 0];
            (here, false, ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast())
        }
        IpAddr::V6(ip) => {
            let multicast = |scope: u16| ip.segments()[0] & 0xff0f == 0xff00 | scope;
            let here = ip.is_loopback() || ip.is_unicast_link_local() || multicast(2);
            (here, multicast(1), ip.is_unspecified() || ip.is_multicast())
        }
    };
    match (here, interface, nowhere) {
        (true, ..) => "link-local",
        (_, true, _) => "interface-local",
        (_, _, true) => "",
        _ => "global",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: this host, whose loopback has an address.
    /// Guarantees: it is told, unless the interface is left out.
    #[test]
    fn loopback() {
        let page = |exclude| {
            let filter = Filter::new(("", exclude), ("", None), "").unwrap();
            let mut out = MetricSet::new("collector", "node-exporter", 0);
            emit(&Roots::default(), &filter, &mut Vec::new(), &mut out).map(|()| out.exposition())
        };
        if !netfile::is_own_network(&Roots::default()) {
            assert!(page(None).unwrap_err().to_string().contains("host's network"));
            return;
        }
        let line = "node_network_address_info{device=\"lo\",address=\"127.0.0.1\",netmask=\"8\",scope=\"link-local\"} 1\n";
        let all = page(None).unwrap();
        assert!(all.contains(line), "{all}");
        assert!(!page(Some("^lo$")).unwrap().contains("\"lo\""));
        let nowhere = Roots { proc: "/nowhere".into(), ..Roots::default() };
        let filter = Filter::new(("", None), ("", None), "").unwrap();
        let mut out = MetricSet::new("collector", "node-exporter", 0);
        assert!(emit(&nowhere, &filter, &mut Vec::new(), &mut out).is_err());
    }

    /// Scenario: an address of a line between two hosts, one of IPv6, one cut short.
    /// Guarantees: our own end; nothing of what is cut.
    #[test]
    fn messages() {
        let head = [2, 31, 0, 0, 7, 0, 0, 0];
        let number = |number: u16| number.to_ne_bytes();
        let four = |kind, last| [&number(8)[..], &number(kind), &[192, 0, 2, last]].concat();
        let index = u32::from_ne_bytes([7, 0, 0, 0]);
        let both = [&head[..], &four(IFA_ADDRESS, 1), &four(IFA_LOCAL, 2)].concat();
        let ip = "192.0.2.2".parse().unwrap();
        assert_eq!(address_of(&both), Some(Address { index, prefix: 31, ip }));
        assert_eq!(address_of(&both[..18]).map(|found| found.ip), Some("192.0.2.1".parse().unwrap()));
        let six = [&head[..], &number(20), &number(IFA_ADDRESS), &[0xfd; 16]].concat();
        assert!(address_of(&six).unwrap().ip.is_ipv6());
        assert_eq!((address_of(&six[..20]), address_of(&head[..5])), (None, None));
    }

    /// Scenario: addresses of every kind.
    /// Guarantees: node_exporter's word.
    #[test]
    fn scopes() {
        for (ip, expect) in [
            ("10.0.0.1", "global"),
            ("169.254.1.1", "link-local"),
            ("224.0.0.5", "link-local"),
            ("239.1.1.1", ""),
            ("255.255.255.255", ""),
            ("::1", "link-local"),
            ("fe80::1", "link-local"),
            ("ff02::1", "link-local"),
            ("ff01::1", "interface-local"),
            ("2001:db8::1", "global"),
            ("::", ""),
        ] {
            assert_eq!(scope(ip.parse().unwrap()), expect, "{ip}");
        }
    }

    proptest! {
        /// Scenario: any bytes.
        /// Guarantees: no panic, no endless loop.
        #[test]
        fn never_panics(bytes in proptest::collection::vec(0_u8..32, 0..60)) {
            let _any = (name_of(&bytes), address_of(&bytes));
        }
    }
}
