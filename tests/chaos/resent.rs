//! Requests that came again, from what passed on the way to a sink, and for each the reason: a fault had made its answer
//! unclear, or a crash came between the answer and the cursor's step. There is no other.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ao_tests::capture::{Answer, Passed};

use crate::plan::{Fault, Manner, Target};

/// A fault, and when it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Happened {
    pub(crate) fault: Fault,
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

/// What lies on a narrow way when it becomes wide again still takes its time: a piece of 16 KiB at 4 KB/s.
const NARROW: Duration = Duration::from_secs(5);
/// Everything else is as before so long after its fault.
const SOON: Duration = Duration::from_secs(1);
/// A worker moves its cursor within this of the answer, unless it crashes.
const STEP: Duration = Duration::from_secs(2);

/// What came to one sink again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resent {
    /// Requests that came again although they had been taken, or may have been.
    pub(crate) count: u64,
    /// The most of them that the faults allow.
    pub(crate) bound: u64,
    /// Those for which there is no reason.
    pub(crate) unfounded: Vec<String>,
}

impl Happened {
    /// Whether a request of this sink that was sent then, and ended then, may have met it.
    fn met(&self, sink: Target, sent: Instant, ended: Instant) -> bool {
        let to = self.to + if self.fault.manner == Manner::Throttle { NARROW } else { SOON };
        let concerns = match self.fault.target {
            Target::Aggregator => !matches!(self.fault.manner, Manner::DiskFull | Manner::Clock),
            target => target == sink,
        };
        concerns && sent <= to && ended + SOON >= self.from
    }

    /// From when to when an answer may have been given for nothing; `None` for what is no crash.
    fn crash(&self) -> Option<(Instant, Instant)> {
        if self.fault.target != Target::Aggregator {
            return None;
        }
        match self.fault.manner {
            Manner::Kill | Manner::TornTail => Some((self.from - STEP, self.from)),
            // Answered in time, seen too late.
            Manner::Freeze => Some((self.from, self.to)),
            _ => None,
        }
    }
}

/// Judges all that passed to a sink with so many workers; each has one request under way.
pub(crate) fn judge(passed: &[Passed], sink: Target, workers: usize, happened: &[Happened]) -> Resent {
    let mut resent = Resent::default();
    // Each that was answered, by the crash that may have taken the answer back.
    let crashes: Vec<(Instant, Instant)> = happened.iter().filter_map(Happened::crash).collect();
    let crash_of = |one: &Passed| {
        let ended = one.ended.filter(|_| one.answer == Answer::Taken)?;
        crashes.iter().position(|(from, to)| (*from..=*to).contains(&ended))
    };
    let unclear = |one: &Passed| {
        let ended = one.ended.unwrap_or_else(Instant::now);
        matches!(one.answer, Answer::Unclear | Answer::UnderWay)
            && happened.iter().any(|fault| fault.met(sink, one.sent, ended))
    };
    let mut allowed = vec![0; crashes.len()];
    passed.iter().filter_map(crash_of).for_each(|crash| allowed[crash] += 1);
    allowed.iter_mut().for_each(|count| *count = workers.min(*count));
    let unclear_count = passed.iter().filter(|one| unclear(one)).count();
    resent.bound = (unclear_count + allowed.iter().sum::<usize>()) as u64;

    let mut last = HashMap::<&[u8], &Passed>::new();
    for one in passed {
        if let Some(before) = last.get(&*one.body) {
            resent.count += 1;
            let founded = match crash_of(before) {
                Some(crash) if allowed[crash] > 0 => {
                    allowed[crash] -= 1;
                    true
                }
                _ => unclear(before),
            };
            if !founded {
                resent.unfounded.push(format!(
                    "a request of {} bytes came again after {:?}: first {:?} after {:?}",
                    one.body.len(),
                    one.sent - before.sent,
                    before.answer,
                    before.ended.map(|ended| ended - before.sent),
                ));
            }
        }
        // A clear no: it is as if it had not been sent.
        if one.answer != Answer::Refused {
            last.insert(&one.body, one);
        }
    }
    resent
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn happened(target: Target, manner: Manner, from: Instant) -> Happened {
        let fault = Fault { at: Duration::ZERO, lasts: 1_000 * MS, target, manner, dice: 0 };
        Happened { fault, from, to: from + fault.lasts }
    }

    fn passed(body: &'static str, sent: Instant, answer: Answer) -> Passed {
        Passed { body: body.into(), sent, ended: Some(sent + 10 * MS), answer }
    }

    /// Scenario: the aggregator is killed and a way is cut; requests come again that were answered just before the kill,
    /// long before it, that were unclear within the cut and outside of any fault, and one that was refused.
    /// Guarantees: each is counted but for the refused one; those without a reason are named, and the bound has one for
    /// each reason.
    #[test]
    fn every_resend_has_its_reason() {
        let start = Instant::now();
        let at = |ms: u32| start + ms * MS;
        let faults = [
            happened(Target::Aggregator, Manner::Kill, at(20_000)),
            happened(Target::Loki, Manner::Cut, at(40_000)),
            happened(Target::Tempo, Manner::Cut, at(60_000)),
        ];
        let twice = |body, first, answer| {
            [passed(body, at(first), answer), passed(body, at(first + 4_000), Answer::Taken)]
        };
        let judge = |passed: &[Passed]| judge(passed, Target::Loki, 2, &faults);
        let just_before = twice("a", 19_000, Answer::Taken);
        assert_eq!(judge(&just_before), Resent { count: 1, bound: 1, unfounded: vec![] });
        let within = twice("b", 40_500, Answer::Unclear);
        assert_eq!(judge(&within), Resent { count: 1, bound: 1, unfounded: vec![] });
        assert_eq!(judge(&twice("c", 100, Answer::Refused)), Resent::default());
        for wrong in [
            twice("d", 100, Answer::Taken),
            twice("e", 100, Answer::Unclear),
            twice("f", 60_500, Answer::Unclear),
        ] {
            let Resent { count, bound, unfounded } = judge(&wrong);
            assert_eq!((count, bound, unfounded.len()), (1, 0, 1), "{wrong:?}");
        }
        // Two workers: the third request of one crash is one too many.
        let three = [
            twice("a", 19_000, Answer::Taken),
            twice("b", 19_100, Answer::Taken),
            twice("c", 19_200, Answer::Taken),
        ];
        let Resent { count, bound, unfounded } = judge(&three.concat());
        assert_eq!((count, bound, unfounded.len()), (3, 2, 1));
    }
}
