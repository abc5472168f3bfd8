//! Which addresses are one router.
//!
//! A router answers with the address of the interface on which a probe came in, so two directions show two sets of
//! addresses. Where a path goes from X to Y, and some path also shows an address Z that shares Y's link, Z is the other
//! end of that link and so another name of X (the idea of APAR: Gunes and Sarac, "Analytical IP alias resolution"). A link
//! is a subnet as small as point-to-point links have it with exactly two addresses seen in it; and no path may show both
//! names, since it would be a loop.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use super::super::paths::Path;

/// Prefixes of links between two routers.
const PREFIXES_V4: [u8; 4] = [31, 30, 29, 24];
const PREFIXES_V6: [u8; 3] = [127, 126, 64];

/// Sets of addresses.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    /// An address to the one that stands for its router, the least.
    names: BTreeMap<IpAddr, IpAddr>,
    /// All addresses of those that stand for several.
    members: BTreeMap<IpAddr, Vec<IpAddr>>,
}

impl Aliases {
    pub(super) fn of(paths: &[Path]) -> Self {
        let ways: Vec<Way> = paths.iter().map(way).collect();
        let ends: BTreeSet<IpAddr> = paths.iter().filter_map(|path| path.target.parse().ok()).collect();
        let all: BTreeSet<IpAddr> = ways.iter().flatten().flatten().copied().collect();
        let together: BTreeSet<(IpAddr, IpAddr)> =
            ways.iter().flat_map(pairs).flat_map(|(a, b)| [(a, b), (b, a)]).collect();
        let mut aliases = Self::default();
        for way in &ways {
            let steps = way.iter().zip(way.iter().skip(1));
            for (x, y) in
                steps.flat_map(|(here, next)| here.iter().flat_map(|x| next.iter().map(|y| (*x, *y))))
            {
                let Some(z) = other_end(y, &all) else { continue };
                if !ends.contains(&x) && !ends.contains(&z) {
                    aliases.join(x, z, &together);
                }
            }
        }
        aliases
    }

    /// The address that stands for a router; whatever is none stays as it is.
    pub(super) fn name(&self, host: &str) -> String {
        host.parse().map_or_else(|_| host.to_owned(), |address| self.root(address).to_string())
    }

    fn root(&self, address: IpAddr) -> IpAddr {
        self.names.get(&address).copied().unwrap_or(address)
    }

    fn all_of(&self, root: IpAddr) -> Vec<IpAddr> {
        self.members.get(&root).cloned().unwrap_or_else(|| vec![root])
    }

    /// Unless a path shows a name of the one with a name of the other.
    fn join(&mut self, a: IpAddr, b: IpAddr, together: &BTreeSet<(IpAddr, IpAddr)>) {
        let (a, b) = (self.root(a), self.root(b));
        let (mut all, others) = (self.all_of(a), self.all_of(b));
        let clash = all.iter().any(|a| others.iter().any(|b| together.contains(&(*a, *b))));
        if a == b || clash {
            return;
        }
        all.extend(others);
        self.members.remove(&a.max(b));
        let root = a.min(b);
        self.names.extend(all.iter().map(|address| (*address, root)));
        self.members.insert(root, all);
    }
}

/// The addresses at each distance, none where nobody answers.
type Way = Vec<Vec<IpAddr>>;

fn way(path: &Path) -> Way {
    let hops = path.hops.iter().map(|hop| (hop.ttl, &hop.host));
    let mut way = Way::new();
    for (ttl, host) in hops.chain(path.links.iter().map(|link| (link.ttl, &link.to))) {
        let at = ttl.saturating_sub(1).min(255) as usize;
        way.resize(way.len().max(at + 1), Vec::new());
        if let Ok(address) = host.parse()
            && !way[at].contains(&address)
        {
            way[at].push(address);
        }
    }
    way
}

/// All pairs of addresses of a way.
fn pairs(way: &Way) -> Vec<(IpAddr, IpAddr)> {
    let known: Vec<IpAddr> = way.iter().flatten().copied().collect();
    known.iter().enumerate().flat_map(|(nth, a)| known[..nth].iter().map(move |b| (*a, *b))).collect()
}

/// The one other address on the smallest link that has any.
pub(super) fn other_end(of: IpAddr, all: &BTreeSet<IpAddr>) -> Option<IpAddr> {
    let prefixes: &[u8] = if of.is_ipv4() { &PREFIXES_V4 } else { &PREFIXES_V6 };
    for prefix in prefixes {
        let mut others = all.range(subnet(of, *prefix)).filter(|other| **other != of);
        match (others.next(), others.next()) {
            (None, _) => {}
            (Some(other), None) => return Some(*other),
            (Some(_), Some(_)) => return None,
        }
    }
    None
}

/// The first and the last address of a subnet.
fn subnet(of: IpAddr, prefix: u8) -> RangeInclusive<IpAddr> {
    match of {
        IpAddr::V4(of) => {
            let hosts = u32::MAX >> prefix;
            let [first, last] = [of.to_bits() & !hosts, of.to_bits() | hosts].map(Ipv4Addr::from_bits);
            first.into()..=last.into()
        }
        IpAddr::V6(of) => {
            let hosts = u128::MAX >> prefix;
            let [first, last] = [of.to_bits() & !hosts, of.to_bits() | hosts].map(Ipv6Addr::from_bits);
            first.into()..=last.into()
        }
    }
}
