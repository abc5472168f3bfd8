//! Which messages are of one kind: a tree of templates after Drain (He, Zhu, Zheng, Lyu: Drain, an online log parsing
//! approach with fixed depth tree, ICWS 2017). Below the number of words and the first word stand the templates; a
//! message belongs to the one with which it shares most words, and where others differ, that one gets a `<*>` there.
//!
//! A template's id is a hash of its text: the same on every node and after every start. As long as a template still
//! gets a `<*>` now and then, its id changes with it.
//!
//! Bounded: beyond [`Templates::new`]'s number, one that was not seen for [`IDLE`] makes room, else a message counts as
//! one of [`OTHER`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::message::VARIES;

/// A template that was not seen for so long may go.
const IDLE: Duration = Duration::from_secs(600);
/// The id of messages that have no template, since there are too many.
pub(super) const OTHER: &str = "other";
/// Of ten words, those that two messages of one kind have in common at least.
const ALIKE: usize = 6;
/// Templates below one place of the tree that are compared.
const COMPARED: usize = 64;
/// Messages remembered with their template, for each template.
const EXACT: usize = 8;

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// Hexadecimal.
    pub id: Arc<str>,
    /// Its words, a space between two.
    pub text: Arc<str>,
    words: Vec<Box<str>>,
    seen: Instant,
}

/// All of them.
pub(super) struct Templates {
    most: usize,
    all: Vec<Template>,
    /// By number of words and first word.
    tree: HashMap<(usize, Box<str>), Vec<u32>>,
    /// Messages as they came, masked.
    exact: HashMap<Box<str>, u32>,
    /// Before then, none may go.
    none_idle_before: Option<Instant>,
}

impl Templates {
    /// `most`: so many at a time.
    pub(super) fn new(most: usize) -> Self {
        Self { most, all: Vec::new(), tree: HashMap::new(), exact: HashMap::new(), none_idle_before: None }
    }

    /// One by its number.
    pub(super) fn get(&self, number: u32) -> Option<&Template> {
        self.all.get(number as usize)
    }

    /// The number of a masked message's template; none where there is no room for it.
    pub(super) fn find(&mut self, message: &str, now: Instant) -> Option<u32> {
        let number = match self.exact.get(message) {
            Some(number) => *number,
            None => self.learn(message, now)?,
        };
        self.all.get_mut(number as usize)?.seen = now;
        Some(number)
    }

    fn learn(&mut self, message: &str, now: Instant) -> Option<u32> {
        let words: Vec<&str> = message.split(' ').collect();
        let place = (words.len(), Box::from(*words.first()?));
        let number = match self.nearest(&place, &words) {
            Some(number) => {
                self.all[number as usize].take_in(&words);
                number
            }
            None => self.add(place, &words, now)?,
        };
        if self.exact.len() >= EXACT * self.most {
            self.exact.clear();
        }
        self.exact.insert(message.into(), number);
        Some(number)
    }

    /// The template that these words are of.
    fn nearest(&self, place: &(usize, Box<str>), words: &[&str]) -> Option<u32> {
        let here = self.tree.get(place)?.iter().rev().take(COMPARED);
        let alike = |number: &u32| {
            let template = self.all.get(*number as usize)?;
            let same = template.words.iter().zip(words).filter(|(one, other)| ***one == ***other).count();
            Some((same, *number))
        };
        let (same, number) = here.filter_map(alike).max()?;
        (same * 10 >= words.len() * ALIKE).then_some(number)
    }

    fn add(&mut self, place: (usize, Box<str>), words: &[&str], now: Instant) -> Option<u32> {
        let number = if self.all.len() < self.most { self.all.len() } else { self.make_room(now)? };
        let words: Vec<Box<str>> = words.iter().map(|word| Box::from(*word)).collect();
        let mut template = Template { id: OTHER.into(), text: "".into(), words, seen: now };
        template.name();
        match self.all.get_mut(number) {
            Some(old) => *old = template,
            None => self.all.push(template),
        }
        let number = u32::try_from(number).ok()?;
        self.tree.entry(place).or_default().push(number);
        Some(number)
    }

    /// The place of the one that was not seen for longest, which goes; none where all are needed.
    fn make_room(&mut self, now: Instant) -> Option<usize> {
        if self.none_idle_before.is_some_and(|at| now < at) {
            return None;
        }
        let (number, oldest) = self.all.iter().enumerate().min_by_key(|(_, template)| template.seen)?;
        if now.duration_since(oldest.seen) < IDLE {
            self.none_idle_before = Some(oldest.seen + IDLE);
            return None;
        }
        let gone = u32::try_from(number).ok()?;
        self.tree.retain(|_, here| {
            here.retain(|known| *known != gone);
            !here.is_empty()
        });
        self.exact.retain(|_, known| *known != gone);
        Some(number)
    }
}

impl Template {
    /// These words are of it.
    fn take_in(&mut self, words: &[&str]) {
        let mut changed = false;
        for (known, word) in self.words.iter_mut().zip(words) {
            if **known != **word && **known != *VARIES {
                *known = VARIES.into();
                changed = true;
            }
        }
        if changed {
            self.name();
        }
    }

    fn name(&mut self) {
        self.text = self.words.join(" ").into();
        // FNV-1a (Fowler, Noll, Vo), 64 bits.
        let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = self.text.bytes().fold(0xcbf2_9ce4_8422_2325, fold);
        self.id = format!("{hash:016x}").into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(templates: &mut Templates, messages: &[&str]) -> Vec<String> {
        let now = Instant::now();
        let found: Vec<_> = messages.iter().map(|message| templates.find(message, now)).collect();
        let text = |number: Option<u32>| match number.and_then(|number| templates.get(number)) {
            Some(template) => template.text.to_string(),
            None => OTHER.to_owned(),
        };
        found.into_iter().map(text).collect()
    }

    /// Scenario: messages of some kinds, in two orders.
    /// Guarantees: those that differ in a word or two are of one template, others are not; ids depend on the text alone.
    #[test]
    fn kinds() {
        let mut messages = [
            "user bob not found in realm",
            "cannot open file: permission denied",
            "user alice not found in realm",
            "cannot open socket: permission denied",
            "cannot open file: permission denied",
            "user carol has left the shop",
            "timeout",
            "refused",
        ];
        let mut templates = Templates::new(10);
        let found = texts(&mut templates, &messages);
        let user = "user <*> not found in realm";
        let open = "cannot open <*> permission denied";
        assert_eq!(
            found,
            [user, open, user, open, open, "user carol has left the shop", "timeout", "refused"]
        );
        let ids = |templates: &Templates| {
            let mut all: Vec<_> = templates.all.iter().map(|t| (t.text.clone(), t.id.clone())).collect();
            all.sort();
            all
        };
        let first = ids(&templates);
        assert_eq!(first.len(), 5);
        assert!(first.iter().all(|(_, id)| id.len() == 16));
        messages.reverse();
        let mut templates = Templates::new(10);
        texts(&mut templates, &messages);
        assert_eq!(ids(&templates), first);
        assert_eq!(&*templates.all[0].id, "dd362779f48a4b03", "the id of `refused`, on every node");
    }

    /// Scenario: more kinds of messages than there may be, then ten minutes in which one of them is seen.
    /// Guarantees: none goes while it is in use, the others count as such; later the idle make room; memory is bounded.
    #[tokio::test(start_paused = true)]
    async fn bounded() {
        let mut templates = Templates::new(3);
        assert_eq!(
            texts(&mut templates, &["a b", "c d", "e f", "g h", "a b"]),
            ["a b", "c d", "e f", OTHER, "a b"]
        );
        tokio::time::advance(IDLE / 2).await;
        assert_eq!(texts(&mut templates, &["a b"]), ["a b"]);
        tokio::time::advance(IDLE / 2).await;
        assert_eq!(texts(&mut templates, &["g h", "i j", "k l", "a b"]), ["g h", "i j", OTHER, "a b"]);
        assert_eq!((templates.all.len(), templates.tree.len()), (3, 3));
        let many: Vec<String> = (0..1_000).map(|n| format!("a {n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        texts(&mut templates, &many);
        assert!(templates.all.len() == 3 && templates.exact.len() <= 3 * EXACT);
    }
}
