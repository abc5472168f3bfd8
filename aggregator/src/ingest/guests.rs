//! The agents that have a name here, and how much each may take of what all share: streams at one time, and names that
//! the ledger keeps for ever.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ao_proto::limits::{MAX_SOURCE_BYTES, MAX_SOURCES, MAX_STREAMS_PER_LANE};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::ledger::Account;

/// An agent's id, as in its hello.
type Agent = [u8; 16];

/// See the module. Cheap to clone.
#[derive(Clone, Default)]
pub struct Guests(Arc<Mutex<HashMap<Agent, Guest>>>);

#[derive(Default)]
struct Guest {
    /// Lane and end of each open stream, oldest first.
    streams: Vec<(u32, CancellationToken)>,
    sources: BTreeSet<String>,
}

/// An open stream's place; given back when dropped.
pub(crate) struct Stay {
    guests: Guests,
    agent: Agent,
    /// Cancelled where a newer stream takes the place.
    pub(crate) ended: CancellationToken,
}

impl Guests {
    /// With those that the ledger knows from earlier processes.
    pub(crate) fn known(accounts: impl Iterator<Item = Account>) -> Self {
        let guests = Self::default();
        for account in accounts {
            guests.lock().entry(account.agent).or_default().sources.insert(account.source);
        }
        guests
    }

    /// A stream opens. One too many in its lane ends the oldest: after a break that one is dead in most cases.
    ///
    /// # Errors
    /// Where the agent is new and `max_agents` are known.
    pub(crate) fn greet(&self, agent: Agent, lane: u32, max_agents: usize) -> Result<Stay, Status> {
        let mut guests = self.lock();
        if !guests.contains_key(&agent) && guests.len() >= max_agents {
            let text = format!("{max_agents} agents are known here, as many as ingest.max_agents allows");
            return Err(Status::resource_exhausted(text));
        }
        let guest = guests.entry(agent).or_default();
        let ended = CancellationToken::new();
        guest.streams.push((lane, ended.clone()));
        if guest.streams.iter().filter(|(of, _)| *of == lane).count() > MAX_STREAMS_PER_LANE
            && let Some(oldest) = guest.streams.iter().position(|(of, _)| *of == lane)
        {
            guest.streams.remove(oldest).1.cancel();
        }
        drop(guests);
        Ok(Stay { guests: self.clone(), agent, ended })
    }

    /// Whether an agent's frames may be counted under this name; why not.
    pub(crate) fn source(&self, agent: Agent, name: &str) -> Result<(), String> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-./".contains(&byte);
        if name.is_empty() || name.len() > MAX_SOURCE_BYTES || !name.bytes().all(plain) {
            return Err(format!("its source is no name of 1 to {MAX_SOURCE_BYTES} of a-z 0-9 _ - . /"));
        }
        let mut guests = self.lock();
        let sources = &mut guests.entry(agent).or_default().sources;
        if sources.contains(name) {
            return Ok(());
        }
        if sources.len() >= MAX_SOURCES {
            return Err(format!("its agent has {MAX_SOURCES} sources already, as many as may be counted"));
        }
        sources.insert(name.to_owned());
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Agent, Guest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        // Marks it, so that it is told from the others.
        self.ended.cancel();
        let mut guests = self.guests.lock();
        if let Some(guest) = guests.get_mut(&self.agent) {
            guest.streams.retain(|(_, ended)| !ended.is_cancelled());
            // One that left nothing in the ledger is not remembered.
            if guest.streams.is_empty() && guest.sources.is_empty() {
                guests.remove(&self.agent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: an agent opens a stream, a second, a third of one lane, and one of the other.
    /// Guarantees: the oldest of the lane ends, the others go on; nothing is left of an agent that sent nothing.
    #[test]
    fn the_newest_streams_stay() {
        let guests = Guests::default();
        let greet = |lane| guests.greet([1; 16], lane, 1).expect("room");
        let stays = [greet(0), greet(1), greet(0), greet(0)];
        let ended: Vec<bool> = stays.iter().map(|stay| stay.ended.is_cancelled()).collect();
        assert_eq!(ended, [true, false, false, false]);
        assert!(guests.greet([2; 16], 0, 1).is_err());
        drop(stays);
        assert!(guests.lock().is_empty());
        assert!(guests.greet([2; 16], 0, 1).is_ok());
    }

    /// Scenario: an agent invents sources; the process restarts.
    /// Guarantees: those over the limit and those that are no names are refused, also after the restart; its agent stays
    /// known.
    #[test]
    fn sources_are_few() {
        let guests = Guests::default();
        let taken = (0..100).filter(|n| guests.source([1; 16], &format!("s{n}")).is_ok()).count();
        assert_eq!(taken, MAX_SOURCES);
        for name in ["", "A", "a b", "\u{e9}", &"x".repeat(65)] {
            assert!(guests.source([2; 16], name).is_err(), "{name}");
        }
        let account = |n| Account { agent: [1; 16], source: format!("s{n}"), class: 1 };
        let guests = Guests::known((0..MAX_SOURCES).map(account));
        assert!(guests.source([1; 16], "s3").is_ok() && guests.source([1; 16], "new").is_err());
        assert!(guests.greet([2; 16], 0, 1).is_err());
    }
}
