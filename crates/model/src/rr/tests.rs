use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A data plane that has only rings, driven by lists as the control plane would drive it.
struct Rings {
    list: Vec<(u8, u32)>,
    ring: Ring<u8>,
    picks: u64,
}

impl Rings {
    fn new() -> Self {
        Self {
            list: Vec::new(),
            ring: rebase(&[], None, &[], |_| true),
            picks: 0,
        }
    }

    fn pick(&mut self) -> Option<u8> {
        let len = self.ring.entries.len();
        if len == 0 {
            return None;
        }
        self.picks += 1;
        let index = self.ring.position + usize::try_from(self.picks).unwrap();
        Some(self.ring.entries[index % len])
    }

    fn change(&mut self, new: Vec<(u8, u32)>) {
        let names = |list: &[(u8, u32)]| list.iter().map(|(n, _)| *n).collect::<Vec<_>>();
        self.ring = rebase(
            &names(&self.list),
            self.ring.last_used(self.picks),
            &names(&new),
            |name| new.iter().any(|(n, weight)| n == name && *weight > 0),
        );
        self.list = new;
        self.picks = 0;
    }
}

#[derive(Clone, Debug)]
enum Op {
    Pick(usize),
    Add(u8, u32),
    Remove(u8),
    SetWeight(u8, u32),
    /// Removals, then additions, then a weight, seen by the ring as one change of the list.
    Batch(Vec<u8>, Vec<u8>, (u8, u32)),
}

fn op() -> impl Strategy<Value = Op> {
    let name = 0u8..6;
    prop_oneof![
        4 => (0usize..9).prop_map(Op::Pick),
        2 => (name.clone(), 0u32..3).prop_map(|(n, w)| Op::Add(n, w)),
        2 => name.clone().prop_map(Op::Remove),
        2 => (name.clone(), 0u32..2).prop_map(|(n, w)| Op::SetWeight(n, w)),
        1 => (vec(name.clone(), 0..4), vec(name.clone(), 0..4), (name, 0u32..2))
            .prop_map(|(r, a, w)| Op::Batch(r, a, w)),
    ]
}

fn apply(op: Op, model: &mut RoundRobin<u8>, rings: &mut Rings) -> Result<(), TestCaseError> {
    match op {
        Op::Pick(times) => {
            for _ in 0..times {
                prop_assert_eq!(rings.pick(), model.schedule());
            }
        }
        Op::Add(name, weight) => model.add(name, weight),
        Op::Remove(name) => {
            model.remove(&name);
        }
        Op::SetWeight(name, weight) => {
            model.set_weight(&name, weight);
        }
        Op::Batch(removals, additions, (name, weight)) => {
            let before: Vec<u8> = model.list().map(|(n, _)| *n).collect();
            for name in removals {
                model.remove(&name);
            }
            for name in additions.into_iter().filter(|name| !before.contains(name)) {
                model.add(name, 1);
            }
            model.set_weight(&name, weight);
        }
    }
    rings.change(model.list().map(|(n, w)| (*n, w)).collect());
    Ok(())
}

proptest! {
    #[test]
    fn rings_pick_what_ipvs_picks_whatever_happens_to_the_list(ops in vec(op(), 1..60)) {
        let (mut model, mut rings) = (RoundRobin::new(), Rings::new());
        for op in ops {
            apply(op, &mut model, &mut rings)?;
        }
        for _ in 0..12 {
            prop_assert_eq!(rings.pick(), model.schedule());
        }
    }

    #[test]
    fn shares_of_a_steady_list_differ_by_at_most_one(count in 1u8..8, picks in 0usize..50) {
        let mut model = RoundRobin::new();
        for name in 0..count {
            model.add(name, 1 + u32::from(name));
        }
        let mut shares = vec![0u32; usize::from(count)];
        for _ in 0..picks {
            shares[usize::from(model.schedule().unwrap())] += 1;
        }
        prop_assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
    }
}

fn three() -> RoundRobin<char> {
    let mut model = RoundRobin::new();
    for name in ['c', 'b', 'a'] {
        model.add(name, 1);
    }
    model
}

fn picks(model: &mut RoundRobin<char>, count: usize) -> String {
    (0..count).filter_map(|_| model.schedule()).collect()
}

#[test]
fn the_entry_added_last_is_picked_first() {
    assert_eq!(picks(&mut three(), 6), "abcabc");
}

#[test]
fn an_entry_added_behind_the_cursor_waits_for_the_wrap() {
    let mut model = three();
    assert_eq!(picks(&mut model, 1), "a");
    model.add('n', 1);
    assert_eq!(picks(&mut model, 4), "bcna");
}

#[test]
fn removing_the_entry_used_last_goes_on_with_the_one_after_it() {
    let mut model = three();
    assert_eq!(picks(&mut model, 2), "ab");
    model.remove(&'b');
    assert_eq!(picks(&mut model, 3), "cac");
}

#[test]
fn removing_the_head_while_it_is_the_cursor_starts_over_at_what_stands_first() {
    let mut model = three();
    assert_eq!(picks(&mut model, 1), "a");
    model.remove(&'a');
    model.add('n', 1);
    assert_eq!(picks(&mut model, 3), "nbc");
}

#[test]
fn quiesced_entries_are_skipped_and_nobody_eligible_is_nobody() {
    let mut model = three();
    model.set_weight(&'b', 0);
    assert_eq!(picks(&mut model, 4), "acac");
    model.set_weight(&'a', 0);
    model.set_weight(&'c', 0);
    assert_eq!(model.schedule(), None);
    assert_eq!(rebase(&['a'], Some(&'a'), &['a'], |_| false).position, 0);
}

#[test]
fn a_cursor_on_a_quiesced_entry_is_remembered_until_the_next_pick() {
    let abc = ['a', 'b', 'c'];
    let quiesced = rebase(&abc, Some(&'b'), &abc, |e| *e != 'b');
    assert_eq!((quiesced.position, quiesced.cursor), (0, Some('b')));
    let back = rebase(&abc, quiesced.last_used(0), &abc, |_| true);
    assert_eq!(back.position, 1, "the next pick is `c`, not `b`");
    assert_eq!(quiesced.last_used(1), Some(&'c'));
}
