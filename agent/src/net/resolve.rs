//! The address of a target: an address as it stands, a name by the system's resolver, the default gateway by the
//! kernel's routing tables.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{control, sys};

/// The symbolic host that stands for the default gateway.
pub const GATEWAY: &str = "gateway";

/// `RTF_UP | RTF_GATEWAY` (linux/route.h).
const UP_GATEWAY: u32 = 3;

/// Why a target has no address.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The resolver's answer.
    #[error("cannot resolve {host}: {source}")]
    Lookup {
        /// The name.
        host: String,
        /// The resolver's reason.
        source: io::Error,
    },
    /// The name exists without an address.
    #[error("cannot resolve {0}: the name has no address")]
    Empty(String),
    /// Link-local, by an interface: probes have room for the address alone.
    #[error("cannot probe {0}: an address that holds on one interface alone is not supported")]
    Scoped(String),
    /// The routing table.
    #[error("cannot find the default gateway: reading {path} failed: {source}")]
    Routes {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The network is down, or the default route is an interface without a gateway.
    #[error(
        "there is no default gateway that can be probed: no default route has one (of IPv6: one with a global address)"
    )]
    NoGateway,
}

/// Resolves `host`; IPv4 first where a name has both. A name with several addresses keeps `current` while it is one of
/// them: resolvers turn the list at each answer, and the target would seem to move. The gateway stays `current` while
/// the routing table has none: else a network that goes down would take its target with it. `proc` is where the host's
/// /proc is mounted.
///
/// # Errors
/// [`ResolveError`].
pub async fn resolve(host: &str, proc: &Path, current: Option<IpAddr>) -> Result<IpAddr, ResolveError> {
    if let Some(address) = literal(host) {
        return Ok(address);
    }
    if host == GATEWAY {
        let path = proc.join("net/route");
        let v4 = match tokio::fs::read_to_string(&path).await {
            Ok(table) => default_gateway(&table),
            Err(source) => return Err(ResolveError::Routes { path, source }),
        };
        // Not there where IPv6 is switched off.
        let table = tokio::fs::read_to_string(proc.join("net/ipv6_route")).await.unwrap_or_default();
        return gateway_of(v4, default_gateway6(&table), current).ok_or(ResolveError::NoGateway);
    }
    let found = tokio::net::lookup_host((host, 0)).await;
    let found: Vec<SocketAddr> =
        found.map_err(|source| ResolveError::Lookup { host: host.to_owned(), source })?.collect();
    let usable: Vec<IpAddr> = found.iter().filter_map(unscoped).collect();
    choose(&usable, current).ok_or_else(|| match found.is_empty() {
        true => ResolveError::Empty(host.to_owned()),
        false => ResolveError::Scoped(host.to_owned()),
    })
}

/// The address that a host is written as, which needs no resolver.
pub fn literal(host: &str) -> Option<IpAddr> {
    host.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// The address, where it holds without an interface.
pub fn unscoped(address: &SocketAddr) -> Option<IpAddr> {
    let is_scoped = matches!(address, SocketAddr::V6(six) if six.scope_id() != 0);
    (!is_scoped).then(|| address.ip().to_canonical())
}

/// The name of an address by the system's resolver; blocks for as long as that takes.
pub fn name_of(address: IpAddr) -> Option<String> {
    let (bytes, len) = control::put_address(SocketAddr::new(address, 0));
    let mut name = [0; 1025];
    let len = sys::name_of(&bytes[..len], &mut name)?;
    name.get(..len).and_then(|name| std::str::from_utf8(name).ok()).map(str::to_owned)
}

fn choose(found: &[IpAddr], current: Option<IpAddr>) -> Option<IpAddr> {
    let kept = found.iter().find(|address| Some(**address) == current);
    let v4 = found.iter().find(|address| address.is_ipv4());
    kept.or(v4).or(found.first()).copied()
}

/// Which gateway to take: IPv4 first, and not that of IPv6 when the IPv4 route goes away.
fn gateway_of(v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>, current: Option<IpAddr>) -> Option<IpAddr> {
    v4.map(IpAddr::from).or(current.filter(IpAddr::is_ipv4)).or(v6.map(IpAddr::from)).or(current)
}

/// The gateway of the default route with the lowest metric, from the text of /proc/net/route (net/ipv4/fib_trie.c,
/// `fib_route_seq_show`: addresses are hexadecimal numbers in the machine's byte order).
fn default_gateway(table: &str) -> Option<Ipv4Addr> {
    let mut best: Option<(u32, Ipv4Addr)> = None;
    for line in table.lines().skip(1) {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [_, dest, gateway, flags, _, _, metric, mask, ..] = columns[..] else { continue };
        let hex = |text| u32::from_str_radix(text, 16).ok();
        let (Some(0), Some(0), Some(gateway), Some(flags), Ok(metric)) =
            (hex(dest), hex(mask), hex(gateway), hex(flags), metric.parse())
        else {
            continue;
        };
        if flags & UP_GATEWAY == UP_GATEWAY && best.is_none_or(|(least, _)| metric < least) {
            best = Some((metric, Ipv4Addr::from(gateway.to_ne_bytes())));
        }
    }
    best.map(|(_, gateway)| gateway)
}

/// The same of IPv6, from the text of /proc/net/ipv6_route (net/ipv6/route.c, `rt6_info_route`: all numbers are
/// hexadecimal). A link-local one is left out: it means nothing without its interface, which a probe has no room for.
fn default_gateway6(table: &str) -> Option<Ipv6Addr> {
    let routes = table.lines().filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [dest, length, _, _, gateway, metric, _, _, flags, ..] = columns[..] else { return None };
        let hex = |text| u32::from_str_radix(text, 16).ok();
        let [dest, gateway] = [dest, gateway].map(|text| u128::from_str_radix(text, 16).ok());
        let gateway = Ipv6Addr::from(gateway?);
        let usable = hex(flags)? & UP_GATEWAY == UP_GATEWAY && !gateway.is_unicast_link_local();
        (dest? == 0 && hex(length)? == 0 && usable).then_some((hex(metric)?, gateway))
    });
    routes.min_by_key(|(metric, _)| *metric).map(|(_, gateway)| gateway)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n";

    fn hex(address: [u8; 4]) -> String {
        format!("{:08X}", u32::from_ne_bytes(address))
    }

    /// Scenario: two default routes, a directly connected one, and a network route with a gateway.
    /// Guarantees: the default route with the least metric gives the gateway; without one there is none.
    #[test]
    fn gateway() {
        let (near, far, net) = (hex([10, 1, 0, 1]), hex([192, 168, 7, 254]), hex([10, 0, 0, 0]));
        let other = format!("{HEAD}eth0 {net} {near} 0003 0 0 0 {} 0 0 0\n", hex([255, 0, 0, 0]));
        assert_eq!(default_gateway(&other), None);
        let table = format!(
            "{other}ppp0 00000000 00000000 0001 0 0 5 00000000 0 0 0\n\
             wlan0 00000000 {far} 0003 0 0 600 00000000 0 0 0\n\
             eth0 00000000 {near} 0003 0 0 100 00000000 0 0 0\n"
        );
        assert_eq!(default_gateway(&table), Some(Ipv4Addr::new(10, 1, 0, 1)));
    }

    /// Scenario: a global and a link-local gateway of IPv6, a network route, and what refuses all else.
    /// Guarantees: the global one of the default route with the least metric; else none.
    #[test]
    fn gateway6() {
        let (none, zero) = ("0".repeat(32), "00000000");
        let line = |dest: &str, length, via: &str, metric, flags| {
            let via = format!("{:032x}", u128::from(via.parse::<Ipv6Addr>().unwrap()));
            format!("{dest} {length} {none} 00 {via} {metric} {zero} {zero} {flags} eth0\n")
        };
        let other = [
            line(&none, "00", "fe80::1", "00000001", "00000003"),
            line(&none, "00", "::", "ffffffff", "00200200"),
            line("20010db8000000000000000000000000", "20", "2001:db8::9", "00000001", "00000003"),
        ];
        assert_eq!(default_gateway6(&other.concat()), None);
        let default = |via, metric| line(&none, "00", via, metric, "00450003");
        let table = [&other[..], &[default("2001:db8::2", "00000400"), default("2001:db8::1", "00000064")]];
        assert_eq!(default_gateway6(&table.concat().concat()), "2001:db8::1".parse().ok());
    }

    /// Scenario: the routes of IPv4, of IPv6 or both are there or gone, with and without an address that is known.
    /// Guarantees: what is known stays while there is no route; IPv6 does not stand in for an IPv4 that has gone.
    #[test]
    fn gateway_stays() {
        let (four, other, six) = (Ipv4Addr::new(10, 1, 0, 1), Ipv4Addr::new(10, 1, 0, 2), Ipv6Addr::from(7));
        for (v4, v6, current, expected) in [
            (Some(four), Some(six), None, Some(four.into())),
            (Some(four), None, Some(other.into()), Some(four.into())),
            (None, None, Some(other.into()), Some(other.into())),
            (None, Some(six), Some(other.into()), Some(IpAddr::from(other))),
            (None, Some(six), None, Some(six.into())),
            (None, None, Some(six.into()), Some(six.into())),
            (Some(four), Some(six), Some(six.into()), Some(four.into())),
            (None, None, None, None),
        ] {
            assert_eq!(gateway_of(v4, v6, current), expected, "{v4:?} {v6:?} {current:?}");
        }
    }

    /// Scenario: an address, a mapped address, a missing table, the gateway of a machine that has no default route, at
    /// its start and after it has had one.
    /// Guarantees: no resolver is asked for any of them; the missing table is named; no other address takes the place of a
    /// gateway that is not there.
    #[tokio::test]
    async fn without_resolver() {
        let folder = tempfile::tempdir().unwrap();
        let resolved = |host| resolve(host, folder.path(), None);
        assert_eq!(resolved("192.0.2.1").await.unwrap(), IpAddr::from([192, 0, 2, 1]));
        assert_eq!(resolved("::ffff:192.0.2.1").await.unwrap(), IpAddr::from([192, 0, 2, 1]));
        assert!(resolved(GATEWAY).await.unwrap_err().to_string().contains("net/route"));
        std::fs::create_dir(folder.path().join("net")).unwrap();
        std::fs::write(folder.path().join("net/route"), HEAD).unwrap();
        assert!(matches!(resolved(GATEWAY).await, Err(ResolveError::NoGateway)));
        let known = Some(IpAddr::from([10, 1, 0, 1]));
        assert_eq!(resolve(GATEWAY, folder.path(), known).await.ok(), known);
    }

    /// Scenario: a link-local address with its interface, the first of this machine.
    /// Guarantees: it is refused in words: without the interface it would be another one's.
    #[tokio::test]
    async fn scoped() {
        let error = resolve("fe80::1%lo", Path::new("/proc"), None).await.unwrap_err();
        assert!(error.to_string().contains("fe80::1%lo: an address that holds on one interface"), "{error}");
    }

    /// Scenario: a name with three addresses, IPv6 first, of which none, one or a vanished one is in use.
    /// Guarantees: the one in use stays while it is there, else the first of IPv4 is taken.
    #[test]
    fn several_addresses() {
        let [six, a, b, gone] =
            ["fd00::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|a| a.parse().unwrap());
        for (current, chosen) in [(None, a), (Some(b), b), (Some(six), six), (Some(gone), a)] {
            assert_eq!(choose(&[six, a, b], current), Some(chosen));
        }
        assert_eq!((choose(&[six], None), choose(&[], Some(a))), (Some(six), None));
    }

    proptest! {
        /// Scenario: any text as routing table.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(text: String) {
            default_gateway(&format!("{HEAD}{text}"));
            default_gateway6(&text);
        }
    }
}
