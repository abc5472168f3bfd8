//! One path traced for a person: rounds by whoever asks for them, and what is known so far as plain rows.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::config::Config;
use super::export::{Known, table};
use super::hop::Figures;
use super::live::Live;
use super::names::Names;
use super::trace::Trace;
use crate::net::{Labels, Mode, Prober};

/// How long names are waited for at the end.
const NAMES: Duration = Duration::from_secs(2);

/// One hop of a report.
#[derive(Clone, Debug)]
pub struct HopReport {
    /// From 1.
    pub ttl: usize,
    /// Who answered last; `None` where nobody ever did.
    pub address: Option<IpAddr>,
    /// Others that answer at this distance: to other flows, or now and then.
    pub others: Vec<IpAddr>,
    /// The newest MPLS labels.
    pub labels: Labels,
    /// mtr's columns.
    pub figures: Figures,
}

/// A tracer of one address.
#[derive(Debug)]
pub struct Tracer {
    config: Config,
    address: IpAddr,
    prober: Arc<Prober>,
    known: Known,
    trace: Trace,
}

impl Tracer {
    /// Nothing is sent yet.
    pub fn new(config: Config, address: IpAddr, prober: Arc<Prober>) -> Self {
        let known = Known { names: config.names.then(Names::default), asn: table(&config) };
        let trace = Trace::briefly(address.to_string().as_str().into());
        Self { config, address, prober, known, trace }
    }

    /// Sends one probe to each hop and waits for the answers; now and then also looks at the other flows. Where a
    /// router's budget is spent, it is left out of the round.
    ///
    /// # Errors
    /// Why probes could not be sent.
    pub async fn round(&mut self) -> Result<(), String> {
        let mut live = Live::new(&self.config, &self.prober, self.address).in_hurry();
        let flows = if self.prober.mode() == Mode::Raw { self.config.flows } else { 1 };
        if let Some(change) = self.trace.round(&self.config, &mut live, flows, 1).await {
            self.trace.accept(&change);
        }
        live.failure.map_or(Ok(()), Err)
    }

    /// The hops so far. Where the target has never answered, one silent hop behind the last that does stands for it.
    pub fn hops(&self) -> Vec<HopReport> {
        let sets: Vec<_> = self.trace.route.sets().collect();
        super::export::hubs(&self.trace)
            .into_iter()
            .enumerate()
            .filter(|(at, _)| at + 1 >= usize::from(self.config.first_hop))
            .map(|(at, (address, figures))| HopReport {
                ttl: at + 1,
                address,
                others: sets
                    .get(at)
                    .into_iter()
                    .flat_map(|set| set.iter().copied())
                    .filter(|other| Some(*other) != address)
                    .collect(),
                labels: self.trace.hops.get(at).map(|hop| hop.labels).unwrap_or_default(),
                figures,
            })
            .collect()
    }

    /// The different ways with the flows that took them in the newest look at all flows.
    pub fn paths(&self) -> Vec<(Vec<u8>, Vec<Option<IpAddr>>)> {
        let mut paths: BTreeMap<&[Option<IpAddr>], Vec<u8>> = BTreeMap::new();
        for (flow, hops) in &self.trace.flows {
            paths.entry(hops).or_default().push(*flow);
        }
        let mut paths: Vec<_> = paths.into_iter().map(|(hops, flows)| (flows, hops.to_vec())).collect();
        paths.sort();
        paths
    }

    /// none, flow or packet: how routers spread packets.
    pub fn balancing(&self) -> &'static str {
        self.trace.balancing()
    }

    /// A router's name, as far as it has been looked up.
    pub fn name(&self, address: IpAddr) -> Option<Arc<str>> {
        self.known.names.as_ref().and_then(|names| names.of(address))
    }

    /// The number of the autonomous system that holds an address, where a table is given.
    pub fn asn(&self, address: IpAddr) -> Option<u32> {
        self.known.asn.of(address)
    }

    /// Waits a moment for names that are being looked up.
    pub async fn settle(&self) {
        let Some(names) = &self.known.names else { return };
        for hop in self.hops() {
            for address in hop.address.into_iter().chain(hop.others) {
                let _asked = names.of(address);
            }
        }
        let deadline = Instant::now() + NAMES;
        while !names.is_settled() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
