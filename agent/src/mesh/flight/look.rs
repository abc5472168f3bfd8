//! What a peer tells of its own end: asked for when trouble begins, and again when it has been looked at. The asker pads
//! its question, so that no answer is larger than its question.
//!
//! ```text
//! question: "AOE1", kind 3, three zeroes; token (8); incident (16); stage (1): 0 begin, 1 end; zeroes up to 1200 bytes
//! answer:   "AOE1", kind 4, three zeroes; token (8); JSON
//! ```

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::background::Reading;
use super::counters::Counters;
use super::usual::Usual;
use super::walk::{Hop, Walk, Walks};
use crate::net::{Arrival, Datagram, Prober};

/// Bytes of a question, and the most of an answer: they fit into every IPv6 path.
pub(crate) const LOOK: usize = 1200;
const HEAD: usize = 16;
const QUESTION: &[u8; 8] = b"AOE1\x03\0\0\0";
const ANSWER: &[u8; 8] = b"AOE1\x04\0\0\0";
/// Looks that a node takes part in at a time: all nodes of a mesh may look at a bad one. Of these so many walk, too: all
/// first hops back are the same, and each router gives but one answer a second.
const MOST: usize = 256;
const WALKS: usize = 16;
/// A look that was begun and never ended is forgotten.
const FORGET: Duration = Duration::from_secs(60);
/// For so long it may be asked again how one ended, if the answer is lost.
const ENDED: Duration = Duration::from_secs(10);
/// Askers whose marked questions are counted.
const ASKERS: usize = 4096;

/// Begin or end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Begin,
    End,
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) token: u64,
    pub(crate) incident: u128,
    pub(crate) stage: Stage,
}

/// What the peer tells at the end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OtherEnd {
    /// Since the beginning; `None` where it knows of none.
    pub(super) counters: Option<Counters>,
    /// The walk back to us.
    pub(super) hops: Vec<Hop>,
    /// Best round trips of the same hops when all was well, microseconds; 0 where that is not known.
    pub(super) usual_us: Vec<u64>,
    /// Echoes of this recording that came there; `None` where it has not counted them.
    pub(super) heard: Option<u32>,
}

/// What the echoes of a recording are marked with, so that the other end can count them; never 0.
pub(super) fn mark(incident: u128) -> u8 {
    (incident as u8).max(1)
}

impl Look {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = QUESTION.to_vec();
        out.extend_from_slice(&self.token.to_be_bytes());
        out.extend_from_slice(&self.incident.to_be_bytes());
        out.push(u8::from(self.stage == Stage::End));
        out.resize(LOOK, 0);
        out
    }

    /// `None` for anything else, and for a question that is shorter than an answer may be.
    pub(crate) fn read(data: &[u8]) -> Option<Self> {
        let rest = data.strip_prefix(QUESTION).filter(|_| data.len() >= LOOK)?;
        let (token, rest) = rest.split_first_chunk()?;
        let (incident, rest) = rest.split_first_chunk()?;
        let stage = if rest.first() == Some(&0) { Stage::Begin } else { Stage::End };
        Some(Self { token: u64::from_be_bytes(*token), incident: u128::from_be_bytes(*incident), stage })
    }
}

impl OtherEnd {
    /// An answer's bytes. Of a walk that is too long for it the near end is left out.
    pub(crate) fn write(mut self, token: u64) -> Vec<u8> {
        self.usual_us.resize(self.hops.len(), 0);
        loop {
            let text = serde_json::to_vec(&self).unwrap_or_default();
            if text.len() + HEAD <= LOOK || self.hops.is_empty() {
                return [&ANSWER[..], &token.to_be_bytes(), &text].concat();
            }
            self.hops.remove(0);
            self.usual_us.remove(0);
        }
    }

    /// The token and what is told; `None` for anything else.
    pub(crate) fn read(data: &[u8]) -> Option<(u64, Self)> {
        let (token, text) = data.strip_prefix(ANSWER)?.split_first_chunk()?;
        Some((u64::from_be_bytes(*token), serde_json::from_slice(text).ok()?))
    }
}

/// Looks that others have begun here.
#[derive(Clone)]
pub(crate) struct Looks {
    prober: Arc<Prober>,
    proc: PathBuf,
    /// Of the echo.
    port: u16,
    usual: Usual,
    walks: Walks,
    begun: Arc<Mutex<HashMap<u128, Begun>>>,
    /// By asker: the newest mark, and how many questions had it.
    heard: Arc<Mutex<HashMap<IpAddr, (u8, u32)>>>,
}

struct Begun {
    before: Reading,
    /// Where there is room for it.
    walk: Option<Walk>,
    until: Instant,
}

impl Looks {
    pub(crate) fn new(prober: Arc<Prober>, proc: PathBuf, port: u16, (usual, walks): (Usual, Walks)) -> Self {
        Self { prober, proc, port, usual, walks, begun: Arc::default(), heard: Arc::default() }
    }

    /// A question with a mark has come.
    pub(crate) fn heard(&self, from: IpAddr, mark: u8) {
        if mark == 0 {
            return;
        }
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() >= ASKERS && !heard.contains_key(&from) {
            heard.clear();
        }
        let (newest, count) = heard.entry(from).or_default();
        if *newest != mark {
            (*newest, *count) = (mark, 0);
        }
        *count = count.saturating_add(1);
    }

    /// Answers a question, when it has looked. `own` is the address from which others expect us.
    pub(crate) async fn answer(
        self,
        socket: Arc<Datagram>,
        look: Look,
        arrival @ Arrival { from, .. }: Arrival,
        own: Option<IpAddr>,
    ) {
        let (proc, port, background) = (self.proc.clone(), self.port, self.usual.background().clone());
        let reading = tokio::task::spawn_blocking(move || Reading::read(&background, &proc, port, from.ip()));
        // It fails only where the runtime ends.
        let Ok(now) = reading.await else { return };
        let told = match look.stage {
            Stage::Begin => {
                self.begin(look.incident, own, from, now);
                OtherEnd::default()
            }
            Stage::End => self.end(look.incident, from.ip(), &now),
        };
        // A full send buffer is loss like any other.
        let _lost = socket.reply(&arrival, &told.write(look.token));
    }

    fn begin(&self, incident: u128, own: Option<IpAddr>, from: SocketAddr, before: Reading) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let now = before.at;
        begun.retain(|_, look| look.until > now);
        if begun.len() < MOST && !begun.contains_key(&incident) {
            let walking = begun.values().filter(|look| look.walk.is_some()).count();
            let walk = (walking < WALKS).then(|| self.walks.begin(&self.prober, own, from.ip()));
            begun.insert(incident, Begun { before, walk, until: now + FORGET });
        }
    }

    /// May be asked twice: an answer can be lost.
    fn end(&self, incident: u128, from: IpAddr, now: &Reading) -> OtherEnd {
        let mut told = OtherEnd { heard: Some(self.count(from, mark(incident))), ..OtherEnd::default() };
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Begun { before, walk, until }) = begun.get_mut(&incident) {
            *until = (*until).min(now.at + ENDED);
            told.counters = Some(now.since(before));
            told.hops = walk.as_ref().map(Walk::hops).unwrap_or_default();
            told.usual_us = self.usual.round_trips(from, &told.hops);
        }
        told
    }

    fn count(&self, from: IpAddr, mark: u8) -> u32 {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(&from).filter(|(newest, _)| *newest == mark).map_or(0, |(_, count)| *count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::net;

    /// Scenario: forty-nine askers look at one node at once; they end, and others begin.
    /// Guarantees: all are told its counters, and as many as may walk a way back; an end may be asked again, for a while.
    #[tokio::test]
    async fn a_bad_node_of_a_mesh() {
        let prober = Prober::start(&net::Config::default(), CancellationToken::new()).unwrap();
        let looks = Looks::new(prober, "/proc".into(), 4418, Default::default());
        let asker = |nth: u128| SocketAddr::from(([127, 0, 1, nth as u8], 4418));
        let began = Instant::now();
        let read = |nth, seconds| {
            let mut reading = Reading::read(&Default::default(), "/proc".as_ref(), 4418, asker(nth).ip());
            reading.at = began + Duration::from_secs(seconds);
            reading
        };
        let begin = |nth, seconds| looks.begin(nth, None, asker(nth), read(nth, seconds));
        let told = |nth, seconds| looks.end(nth, asker(nth).ip(), &read(nth, seconds)).counters.is_some();
        let known = || looks.begun.lock().unwrap().len();
        let walking = || looks.begun.lock().unwrap().values().filter(|look| look.walk.is_some()).count();
        (0..49).for_each(|nth| begin(nth, 0));
        assert_eq!((0..49).filter(|nth| told(*nth, 20)).count(), 49);
        assert_eq!(walking(), WALKS);
        assert!(told(3, 21), "asked again");
        (100..149).for_each(|nth| begin(nth, 31));
        assert!(!told(3, 31), "it is over");
        assert_eq!((known(), walking()), (49, WALKS));
        assert!(told(100, 60), "it was not ended before");
        begin(150, 95);
        assert_eq!(known(), 1);
    }

    proptest! {
        /// Scenario: any question and any answer, of walks longer than fit.
        /// Guarantees: they come back; no answer is larger than its question.
        #[test]
        fn round_trip(token: u64, incident: u128, end: bool, sent in prop::collection::vec(any::<[u8; 16]>(), 0..40)) {
            let stage = if end { Stage::End } else { Stage::Begin };
            let look = Look { token, incident, stage };
            prop_assert_eq!(Look::read(&look.write()), Some(look));
            prop_assert_eq!(Look::read(&look.write()[..LOOK - 1]), None);
            let hop = |address: [u8; 16]| Hop { address: Some(address.into()), sent: 15, got: 3, best_us: 1_000_000, ..Hop::default() };
            let hops: Vec<Hop> = sent.iter().copied().map(hop).collect();
            let usual_us = vec![100_000; hops.len()];
            let told = OtherEnd { counters: Some(Counters::default()), hops, usual_us, heard: Some(100) };
            let bytes = told.clone().write(token);
            prop_assert!(bytes.len() <= LOOK);
            let (again, read) = OtherEnd::read(&bytes).expect("an answer");
            prop_assert_eq!(again, token);
            prop_assert!(told.hops.ends_with(&read.hops) && read.counters == told.counters);
            prop_assert_eq!(read.hops.len(), read.usual_us.len());
            if sent.len() < 10 {
                prop_assert_eq!(read, told);
            }
        }

        /// Scenario: any bytes.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _any = (Look::read(&bytes), OtherEnd::read(&bytes));
            let _any = OtherEnd::read(&[&ANSWER[..], &bytes].concat());
        }
    }
}
