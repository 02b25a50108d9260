//! Which calls may be under way together: those of one trace follow each other, all others do as they like.

use std::collections::HashMap;

/// Calls in the order in which they are sent, each with the keys of what may not overtake itself.
#[derive(Debug)]
pub(super) struct Order<C> {
    /// Calls that wait for others, and for how many.
    waiting: HashMap<u64, (C, usize)>,
    /// Which calls wait for this one.
    followers: HashMap<u64, Vec<u64>>,
    /// The last call of each key.
    last: HashMap<u64, u64>,
    /// The keys of calls that are not done.
    keys: HashMap<u64, Vec<u64>>,
    next_id: u64,
}

impl<C> Default for Order<C> {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            followers: HashMap::new(),
            last: HashMap::new(),
            keys: HashMap::new(),
            next_id: 0,
        }
    }
}

impl<C> Order<C> {
    /// Takes the next call with its keys. Returns it with its number if it waits for no other.
    pub(super) fn add(&mut self, call: C, mut keys: Vec<u64>) -> Option<(u64, C)> {
        let id = self.next_id;
        self.next_id += 1;
        keys.sort_unstable();
        keys.dedup();
        let mut before: Vec<u64> = Vec::new();
        for key in &keys {
            before.extend(self.last.insert(*key, id));
        }
        before.sort_unstable();
        before.dedup();
        self.keys.insert(id, keys);
        if before.is_empty() {
            return Some((id, call));
        }
        for other in &before {
            self.followers.entry(*other).or_default().push(id);
        }
        self.waiting.insert(id, (call, before.len()));
        None
    }

    /// Takes note that a call is done. Returns those that need not wait any longer.
    pub(super) fn done(&mut self, id: u64) -> Vec<(u64, C)> {
        for key in self.keys.remove(&id).unwrap_or_default() {
            if self.last.get(&key) == Some(&id) {
                self.last.remove(&key);
            }
        }
        let mut ready = Vec::new();
        for follower in self.followers.remove(&id).unwrap_or_default() {
            let Some((_, n_before)) = self.waiting.get_mut(&follower) else {
                continue;
            };
            *n_before -= 1;
            if *n_before == 0 {
                let released = self.waiting.remove(&follower);
                ready.extend(released.map(|(call, _)| (follower, call)));
            }
        }
        ready
    }

    /// Returns the calls that still wait for others, in no order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = C> {
        self.waiting.drain().map(|(_, (call, _))| call)
    }

    /// Returns how many calls are not done.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_calls_of_the_same_trace_wait_for_each_other() {
        let mut order = Order::default();
        assert_eq!(order.add('a', vec![1, 2]), Some((0, 'a')));
        assert_eq!(order.add('b', vec![3]), Some((1, 'b')));
        assert_eq!(order.add('c', vec![2, 3, 3]), None);
        assert_eq!(order.add('d', vec![]), Some((3, 'd')));
        assert_eq!(order.add('e', vec![1]), None);
        assert_eq!(order.done(1), []);
        assert_eq!(order.done(0), [(2, 'c'), (4, 'e')]);
        assert_eq!(order.done(2), []);
        assert_eq!(order.add('f', vec![2]), Some((5, 'f')));
        assert_eq!(order.len(), 3);
    }

    proptest! {
        #[test]
        fn calls_of_one_key_are_done_in_order_and_none_is_forgotten(
            calls in vec(vec(0_u64..6, 0..4), 1..40),
            picks in vec(any::<prop::sample::Index>(), 80),
        ) {
            let mut order = Order::default();
            let mut ready: Vec<(u64, usize)> = Vec::new();
            let mut done: Vec<usize> = Vec::new();
            let mut picks = picks.into_iter();
            for (call_idx, keys) in calls.iter().enumerate() {
                ready.extend(order.add(call_idx, keys.clone()));
                if call_idx % 2 == 0 && !ready.is_empty() {
                    let pick = picks.next().unwrap().index(ready.len());
                    let (id, call) = ready.swap_remove(pick);
                    done.push(call);
                    ready.extend(order.done(id));
                }
            }
            while !ready.is_empty() {
                let pick = picks.next().map_or(0, |pick| pick.index(ready.len()));
                let (id, call) = ready.swap_remove(pick);
                done.push(call);
                ready.extend(order.done(id));
            }
            prop_assert_eq!(done.len(), calls.len());
            prop_assert_eq!(order.len(), 0);
            for key in 0..6 {
                let of_key: Vec<usize> = done.iter().copied().filter(|call| calls[*call].contains(&key)).collect();
                prop_assert!(of_key.is_sorted());
            }
        }
    }
}
