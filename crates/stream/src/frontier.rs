//! How many of the first messages are settled, whatever the order in which they are.

use std::collections::VecDeque;

/// The greatest number up to which all messages are settled; they are numbered 1, 2, 3, ….
#[derive(Debug, Default)]
pub(crate) struct Frontier {
    through: u64,
    /// Whether those that follow are settled, from `through + 1` on; the first of them is not.
    beyond: VecDeque<bool>,
}

impl Frontier {
    /// Notes one that is settled; gives the frontier where that moved it. One that was settled before changes nothing.
    pub(crate) fn settle(&mut self, number: u64) -> Option<u64> {
        let at = usize::try_from(number.checked_sub(self.through + 1)?).ok()?;
        if at >= self.beyond.len() {
            self.beyond.resize(at + 1, false);
        }
        self.beyond[at] = true;
        let before = self.through;
        while let Some(true) = self.beyond.front() {
            self.beyond.pop_front();
            self.through += 1;
        }
        (self.through > before).then_some(self.through)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_greatest_prefix_in_any_order(numbers in prop::collection::vec(1_u64..40, 0..120)) {
            let (mut frontier, mut settled, mut through) = (Frontier::default(), BTreeSet::new(), 0);
            for number in numbers {
                let moved = frontier.settle(number);
                settled.insert(number);
                let expected = (1..).take_while(|number| settled.contains(number)).last().unwrap_or(0);
                prop_assert_eq!(moved, (expected > through).then_some(expected));
                prop_assert!(expected >= through);
                through = expected;
                prop_assert_eq!(frontier.beyond.front(), frontier.beyond.front().filter(|first| !**first));
            }
        }

        #[test]
        fn once_all_are_settled_nothing_is_kept(order in Just((1_u64..200).collect::<Vec<_>>()).prop_shuffle()) {
            let mut frontier = Frontier::default();
            let last = order.into_iter().filter_map(|number| frontier.settle(number)).last();
            prop_assert_eq!(last, Some(199));
            prop_assert!(frontier.beyond.is_empty());
        }
    }
}
