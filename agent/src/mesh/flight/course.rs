//! When in a recording its echoes were lost (no I/O): a trouble that begins while another one is recorded is seen in the
//! last of them alone.

/// Of the first third fewer are lost by chance.
const FEW: usize = 2;
/// Of the last third at least such a share is lost: one in so many.
const MANY: usize = 4;

/// What became of each echo, in the order of their sending.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    came: Vec<bool>,
}

impl Course {
    /// One is sent; its number.
    pub(super) fn sent(&mut self) -> usize {
        self.came.push(false);
        self.came.len() - 1
    }

    /// The one of this number has come back, or has not left, which is no loss.
    pub(super) fn came(&mut self, number: usize) {
        if let Some(came) = self.came.get_mut(number) {
            *came = true;
        }
    }

    /// Whether the way was good at first and bad in the end: what was seen of it all is of two times.
    pub(super) fn turns_bad(&self) -> bool {
        let third = self.came.len() / 3;
        let lost = |echoes: &[bool]| echoes.iter().filter(|came| !**came).count();
        let (first, last) = (lost(&self.came[..third]), lost(&self.came[self.came.len() - third..]));
        third >= FEW && first < FEW && last * MANY >= third
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a hundred echoes, of which those are lost that `lost` names; none at all.
    /// Guarantees: only what was good for a third of the time and is bad in the end has turned.
    #[test]
    fn turns() {
        let turns = |sent: usize, lost: &dyn Fn(usize) -> bool| {
            let mut course = Course::default();
            for _ in 0..sent {
                let number = course.sent();
                if !lost(number) {
                    course.came(number);
                }
            }
            course.came(sent);
            course.turns_bad()
        };
        assert!(turns(100, &|number| number >= 50), "a link that breaks");
        assert!(turns(100, &|number| number == 3 || number >= 40 && number % 2 == 0), "and loses half");
        assert!(!turns(100, &|_| true), "it was broken all the time");
        assert!(!turns(100, &|number| number % 2 == 0), "it loses half all the time");
        assert!(!turns(100, &|number| number < 50), "it is well again");
        assert!(!turns(100, &|number| [40, 70, 90, 99].contains(&number)), "by chance");
        assert!(!turns(0, &|_| true) && !turns(1, &|_| true) && !turns(5, &|_| true));
    }
}
