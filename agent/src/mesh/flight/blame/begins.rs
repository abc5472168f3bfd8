//! Where on a way something begins: pure judgements over the hops of a walk.

use crate::mesh::flight::walk::Hop;

/// Share of a sound hop's answers that are lost all the same.
const SOUND: f64 = 0.01;
/// How likely a router is to be thrifty with its answers (RFC 1812 section 4.3.2.8), while it forwards all.
const THRIFTY: f64 = 0.01;
/// How much more likely than any other a place must be.
const SURE: f64 = 20.0;
/// Of a delay: what a hop must have of it to be behind its beginning, and may have to be before it.
const MOST_OF_IT: f64 = 0.6;
const LITTLE_OF_IT: f64 = 0.3;

/// Where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    /// Before the answer of the hop at this place, from 0, and after that of the one before it.
    At(usize),
    /// No hop shows it.
    Nowhere,
    /// Several places are about as likely.
    Unsure,
}

/// Where a loss of this share begins that persists to the end: the likeliest place, if it is much likelier than any other.
/// A hop that loses more than the share, or loses something before the place, must be thrifty with its answers.
pub(crate) fn loss(hops: &[Hop], share: f64) -> Begins {
    let share = share.clamp(SOUND, 1.0 - SOUND);
    let before = |hop: &Hop| likely(hop, SOUND).max(thrifty(hop)) + pings(hop, SOUND);
    let behind = |hop: &Hop| {
        let alike = likely(hop, share);
        let all = if hop.loss() > share { alike.max(thrifty(hop)) } else { alike };
        all + pings(hop, share)
    };
    let [before, behind]: [Vec<f64>; 2] =
        [hops.iter().map(before).collect(), hops.iter().map(behind).collect()];
    let at = |place: usize| before[..place].iter().sum::<f64>() + behind[place..].iter().sum::<f64>();
    let mut places: Vec<(f64, usize)> = (0..=hops.len()).map(|place| (at(place), place)).collect();
    places.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    match places[..] {
        [(best, _), (second, _), ..] if best - second < SURE.ln() => Begins::Unsure,
        [(_, place), ..] if place < hops.len() => Begins::At(place),
        _ => Begins::Nowhere,
    }
}

/// The logarithm of how likely this many answers are where each is lost with this chance.
fn likely(hop: &Hop, chance: f64) -> f64 {
    chances(hop.sent, hop.got, chance)
}

/// The same of a router's pings; one that answers none says nothing.
fn pings(hop: &Hop, chance: f64) -> f64 {
    if hop.ponged == 0 { 0.0 } else { chances(hop.pinged, hop.ponged, chance) }
}

fn chances(sent: u32, got: u32, chance: f64) -> f64 {
    f64::from(sent.saturating_sub(got)) * chance.ln() + f64::from(got) * (1.0 - chance).ln()
}

fn thrifty(hop: &Hop) -> f64 {
    THRIFTY.ln() + likely(hop, hop.loss().clamp(SOUND, 1.0 - SOUND))
}

/// Where a delay of so many microseconds begins that was not there before; `usual_us` are the hops' round trips then, 0
/// where they are not known.
pub(crate) fn delay(hops: &[Hop], usual_us: &[u64], extra_us: f64) -> Begins {
    let more: Vec<(usize, f64)> = hops
        .iter()
        .zip(usual_us)
        .enumerate()
        .filter(|(_, (hop, usual))| hop.got > 0 && **usual > 0)
        .map(|(place, (hop, usual))| (place, hop.best_us as f64 - *usual as f64))
        .collect();
    let first = more.iter().position(|(_, more)| *more >= MOST_OF_IT * extra_us);
    let Some(first) = first else {
        let none = more.iter().all(|(_, more)| *more < LITTLE_OF_IT * extra_us);
        return if none { Begins::Nowhere } else { Begins::Unsure };
    };
    let clear = more[..first].iter().all(|(_, more)| *more < LITTLE_OF_IT * extra_us)
        && more[first..].iter().all(|(_, more)| *more >= MOST_OF_IT * extra_us);
    // A router before it that nobody knows may be the one.
    let place = more[first].0;
    let known = place == 0 || first > 0 && more[first - 1].0 + 1 == place;
    if clear && known { Begins::At(place) } else { Begins::Unsure }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn hop(sent: u32, got: u32) -> Hop {
        Hop { sent, got, best_us: 100, ..Hop::default() }
    }

    /// Scenario: ten thousand walks of fifteen rounds over two to eight hops, by chance: a loss of 20 to 100 % begins at one
    /// of them, or nowhere; on every other way lies a router that is thrifty, or silent; most routers answer pings.
    /// Guarantees: not two in a hundred places that are named are wrong; where half of the packets are lost and routers
    /// answer freely, nearly every walk names it.
    #[test]
    fn by_chance() {
        let mut random = StdRng::seed_from_u64(11);
        let (mut named, mut wrong, mut heavy, mut found) = (0, 0, 0, 0);
        for _ in 0..10_000 {
            let length = random.random_range(2..=8);
            let place = random.random_range(0..=length);
            let share = random.random_range(0.2..=1.0);
            let thrifty = random.random_range(0..8);
            let mut answers = |lost: f64, mute: f64| {
                (0..15).filter(|_| !random.random_bool(lost) && !random.random_bool(mute)).count() as u32
            };
            let mut hops = Vec::new();
            for at in 0..length {
                let lost = if at >= place { share } else { 0.0 };
                // The end is a host, and not thrifty.
                let mute = if thrifty == at && at + 1 < length { [0.3, 0.6, 1.0][at % 3] } else { 0.0 };
                let mut hop = hop(15, answers(lost, mute));
                if hop.got > 0 && at % 4 < 3 {
                    (hop.pinged, hop.ponged) = (15, answers(lost, 0.0));
                }
                hops.push(hop);
            }
            let begins = loss(&hops, share);
            let right = if place < length { Begins::At(place) } else { Begins::Nowhere };
            named += u32::from(matches!(begins, Begins::At(_)));
            wrong += u32::from(matches!(begins, Begins::At(_)) && begins != right);
            if (0.5..0.95).contains(&share) && thrifty >= length {
                heavy += 1;
                found += u32::from(begins == right);
            }
        }
        assert!(named > 3000 && wrong * 50 <= named, "{wrong} wrong of {named}");
        assert!(found * 100 >= heavy * 97, "{found} of {heavy}");
    }

    /// Scenario: nothing behind the second hop; a router that answers one of fifteen and forwards all; no hops; a hop that
    /// was never asked.
    /// Guarantees: the place, nowhere, unsure.
    #[test]
    fn at_the_edges() {
        assert_eq!(loss(&[hop(15, 15), hop(15, 15), hop(15, 0)], 1.0), Begins::At(2));
        assert_eq!(loss(&[hop(15, 1), hop(15, 15), hop(15, 15)], 0.5), Begins::Nowhere);
        assert_eq!(loss(&[], 0.5), Begins::Nowhere);
        assert_eq!(loss(&[hop(0, 0), hop(15, 8), hop(15, 7)], 0.5), Begins::Unsure);
    }

    /// Scenario: 20 ms more from the second hop on; at a hop that answers slowly by itself; behind one that is not known;
    /// nowhere.
    /// Guarantees: the place where it begins and persists, and only where the hop before it is known to be as ever.
    #[test]
    fn delays() {
        let hops = |best: [u64; 4]| best.map(|best_us| Hop { best_us, ..hop(15, 15) });
        let usual = [100, 5_000, 5_100, 9_000];
        for (best, usual, begins) in [
            ([110, 25_000, 25_200, 29_000], usual, Begins::At(1)),
            ([20_100, 25_000, 25_200, 29_000], usual, Begins::At(0)),
            ([110, 25_000, 5_100, 9_000], usual, Begins::Unsure),
            ([110, 25_000, 25_200, 29_000], [0, 5_000, 5_100, 9_000], Begins::Unsure),
            ([110, 5_000, 5_100, 9_000], usual, Begins::Nowhere),
            ([110, 5_000, 5_100, 9_000], [0; 4], Begins::Nowhere),
        ] {
            assert_eq!(delay(&hops(best), &usual, 20_000.0), begins, "{best:?}");
        }
    }
}
