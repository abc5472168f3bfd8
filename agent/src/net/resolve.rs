//! The address of a target: an address as it stands, a name by the system's resolver, the default gateway by the
//! kernel's routing table.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{control, sys};

/// The symbolic host that stands for the default gateway; 127.0.0.1 on a machine that has none.
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
    /// The routing table.
    #[error("cannot find the default gateway: reading {path} failed: {source}")]
    Routes {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// Resolves `host`; IPv4 first where a name has both. A name with several addresses keeps `current` while it is one of
/// them: resolvers turn the list at each answer, and the target would seem to move. `proc` is where the host's /proc
/// is mounted.
///
/// # Errors
/// [`ResolveError`].
pub async fn resolve(host: &str, proc: &Path, current: Option<IpAddr>) -> Result<IpAddr, ResolveError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(address.to_canonical());
    }
    if host == GATEWAY {
        let path = proc.join("net/route");
        return match tokio::fs::read_to_string(&path).await {
            Ok(table) => Ok(default_gateway(&table).unwrap_or(Ipv4Addr::LOCALHOST).into()),
            Err(source) => Err(ResolveError::Routes { path, source }),
        };
    }
    let found = tokio::net::lookup_host((host, 0)).await;
    let found: Vec<IpAddr> = found
        .map_err(|source| ResolveError::Lookup { host: host.to_owned(), source })?
        .map(|address| address.ip().to_canonical())
        .collect();
    choose(&found, current).ok_or_else(|| ResolveError::Empty(host.to_owned()))
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

/// The gateway of the default route with the lowest metric, from the text of /proc/net/route (net/ipv4/fib_trie.c,
/// `fib_route_seq_show`: addresses are hexadecimal numbers in the machine's byte order).
pub fn default_gateway(table: &str) -> Option<Ipv4Addr> {
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

    /// Scenario: an address, a mapped address, the gateway of a machine without a default route, a missing table.
    /// Guarantees: no resolver is asked for any of them; the missing table is named.
    #[tokio::test]
    async fn without_resolver() {
        let folder = tempfile::tempdir().unwrap();
        let resolved = |host| resolve(host, folder.path(), None);
        assert_eq!(resolved("192.0.2.1").await.unwrap(), IpAddr::from([192, 0, 2, 1]));
        assert_eq!(resolved("::ffff:192.0.2.1").await.unwrap(), IpAddr::from([192, 0, 2, 1]));
        assert!(resolved(GATEWAY).await.unwrap_err().to_string().contains("net/route"));
        std::fs::create_dir(folder.path().join("net")).unwrap();
        std::fs::write(folder.path().join("net/route"), HEAD).unwrap();
        assert_eq!(resolved(GATEWAY).await.unwrap(), IpAddr::from([127, 0, 0, 1]));
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
        }
    }
}
