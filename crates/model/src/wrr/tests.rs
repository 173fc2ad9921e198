use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A data plane that has only a table, driven by lists as the control plane would drive it.
struct Plane {
    list: Vec<(u8, u32)>,
    table: Table<u8>,
}

impl Plane {
    fn new() -> Self {
        Self {
            list: Vec::new(),
            table: begin(&[]),
        }
    }

    fn pick(&mut self) -> Option<u8> {
        let Table { levels, cursor } = &mut self.table;
        let level = levels.get(cursor.level)?;
        let picked = level.entries[cursor.index];
        cursor.index += 1;
        if cursor.index == level.entries.len() {
            (cursor.index, cursor.passes) = (0, cursor.passes + 1);
            if cursor.passes >= level.passes {
                (cursor.level, cursor.passes) = ((cursor.level + 1) % levels.len(), 0);
            }
        }
        Some(picked)
    }

    fn change(&mut self, new: Vec<(u8, u32)>) {
        let passes: Vec<u32> = self.table.levels.iter().map(|l| l.passes).collect();
        self.table = rebase(&self.list, &passes, self.table.cursor, &new);
        self.list = new;
    }
}

#[derive(Clone, Debug)]
enum Op {
    Pick(usize),
    Add(u8, u32),
    Remove(u8),
    SetWeight(u8, u32),
    /// Removals, then additions, then weights, seen by the plane as one change of the list.
    Batch(Vec<u8>, Vec<(u8, u32)>, Vec<(u8, u32)>),
    /// The scheduler comes anew.
    Restart,
}

fn weight() -> impl Strategy<Value = u32> {
    prop_oneof![3 => 0u32..7, 2 => (0u32..5).prop_map(|w| w * 6), 1 => 0u32..65_536]
}

fn op() -> impl Strategy<Value = Op> {
    let name = 0u8..6;
    let pair = || (0u8..6, weight());
    prop_oneof![
        4 => (0usize..30).prop_map(Op::Pick),
        2 => pair().prop_map(|(n, w)| Op::Add(n, w)),
        2 => name.clone().prop_map(Op::Remove),
        2 => pair().prop_map(|(n, w)| Op::SetWeight(n, w)),
        2 => (vec(name, 0..4), vec(pair(), 0..4), vec(pair(), 0..4))
            .prop_map(|(r, a, w)| Op::Batch(r, a, w)),
        1 => Just(Op::Restart),
    ]
}

type Model = WeightedRoundRobin<u8>;

fn weight_of(model: &Model, name: u8) -> Option<u32> {
    model.list().find(|(n, _)| **n == name).map(|(_, w)| w)
}

fn batch(model: &mut Model, removals: &[u8], additions: &[(u8, u32)], weights: &[(u8, u32)]) {
    let before: Vec<u8> = model.list().map(|(name, _)| *name).collect();
    for name in before.iter().filter(|name| removals.contains(name)) {
        model.remove(name);
    }
    for &(name, weight) in additions {
        if !before.contains(&name) && weight_of(model, name).is_none() {
            model.add(name, weight);
        }
    }
    // Each of the old entries that stayed at most once, in list order, and only if it differs.
    let listed: Vec<u8> = model.list().map(|(name, _)| *name).collect();
    for name in listed.into_iter().filter(|name| before.contains(name)) {
        let new = weights.iter().find(|(n, _)| *n == name);
        if let Some(&(_, new)) = new.filter(|(_, new)| weight_of(model, name) != Some(*new)) {
            model.set_weight(&name, new);
        }
    }
}

fn apply(op: Op, model: &mut Model, plane: &mut Plane) -> Result<(), TestCaseError> {
    match op {
        Op::Pick(times) => {
            for _ in 0..times {
                prop_assert_eq!(plane.pick(), model.schedule());
            }
        }
        Op::Add(name, weight) if weight_of(model, name) != Some(weight) => model.add(name, weight),
        Op::SetWeight(name, weight) if weight_of(model, name) != Some(weight) => {
            model.set_weight(&name, weight);
        }
        // The same weight again is an edit for IPVS; no list tells of it.
        Op::Add(..) | Op::SetWeight(..) => {}
        Op::Remove(name) => {
            model.remove(&name);
        }
        Op::Batch(removals, additions, weights) => batch(model, &removals, &additions, &weights),
        Op::Restart => {
            model.restart();
            plane.table = begin(&plane.list);
        }
    }
    plane.change(model.list().map(|(n, w)| (*n, w)).collect());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn tables_pick_what_ipvs_picks_whatever_happens_to_the_list(ops in vec(op(), 1..40)) {
        let (mut model, mut plane) = (Model::new(), Plane::new());
        for op in ops {
            apply(op, &mut model, &mut plane)?;
        }
        for _ in 0..60 {
            prop_assert_eq!(plane.pick(), model.schedule());
        }
    }

    #[test]
    fn a_round_gives_each_entry_its_weight_over_the_common_divisor(
        weights in vec(0u32..40, 1..6), factor in 1u32..4,
    ) {
        let list: Vec<_> = (0u8..).zip(weights.iter().map(|w| w * factor)).collect();
        let di = list.iter().fold(0, |di, (_, w)| gcd(di, *w)).max(1);
        let round: u32 = list.iter().map(|(_, w)| w / di).sum();
        let mut plane = Plane::new();
        plane.table = begin(&list);
        for _ in 0..2 {
            let mut shares = vec![0; list.len()];
            for _ in 0..round {
                shares[usize::from(plane.pick().unwrap())] += 1;
            }
            prop_assert_eq!(&shares, &list.iter().map(|(_, w)| w / di).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_cursor_or_levels_that_fit_no_list_begin_somewhere(
        old in vec(0u32..9, 0..4), new in vec(0u32..9, 0..4), passes in vec(1u32..5, 0..4),
        level in 0usize..6, index in 0usize..6, done in 0u32..20,
    ) {
        let named = |weights: Vec<u32>| (0u8..).zip(weights).collect::<Vec<_>>();
        let (old, mut new) = (named(old), named(new));
        new.insert(0, (99, 2));
        let cursor = Cursor { level, index, passes: done };
        let table = rebase(&old, &passes, cursor, &new);
        prop_assert!(table.levels[table.cursor.level].passes >= table.cursor.passes);
        prop_assert_eq!(table.cursor.index, 0);
    }
}

fn model(list: &[(char, u32)]) -> WeightedRoundRobin<char> {
    let mut model = WeightedRoundRobin::default();
    for (name, weight) in list.iter().rev() {
        model.add(*name, *weight);
    }
    model
}

fn picks(model: &mut WeightedRoundRobin<char>, count: usize) -> String {
    (0..count).filter_map(|_| model.schedule()).collect()
}

#[test]
fn the_sequence_of_the_lvs_documentation_comes_out() {
    let mut model = model(&[('A', 4), ('B', 3), ('C', 2)]);
    model.restart();
    assert_eq!(picks(&mut model, 18), "AABABCABCAABABCABC");
}

#[test]
fn servers_added_one_by_one_to_an_empty_service_begin_with_the_lowest_bar() {
    // The first one's bar is 1 (2 less its step of 2, plus 1), and further ones leave it there.
    let mut model = model(&[('A', 4), ('B', 3), ('C', 2)]);
    assert_eq!(picks(&mut model, 12), "ABCAABABCABC");
}

#[test]
fn an_edit_begins_the_pass_anew_even_where_it_was_over() {
    let mut model = model(&[('A', 1), ('B', 1)]);
    assert_eq!(picks(&mut model, 3), "ABA");
    model.set_weight(&'B', 1);
    assert_eq!(picks(&mut model, 2), "AB");
    // The pass of both is over, so the cursor is at the top.
    let table = rebase(
        &[('A', 2), ('B', 1)],
        &[1, 1],
        Cursor::default(),
        &[('N', 1), ('A', 2), ('B', 1)],
    );
    let begun = Cursor {
        level: 1,
        index: 0,
        passes: 1,
    };
    assert_eq!(table.cursor, begun);
}

fn told(table: &Table<char>) -> Vec<(String, u32)> {
    let levels = table.levels.iter();
    levels
        .map(|l| (l.entries.iter().collect(), l.passes))
        .collect()
}

fn of(levels: &[(&str, u32)]) -> Vec<(String, u32)> {
    let levels = levels.iter();
    levels.map(|(e, p)| ((*e).to_owned(), *p)).collect()
}

#[test]
fn weights_with_a_common_divisor_take_as_many_passes_as_without_it() {
    let small = begin(&[('A', 2), ('B', 1)]);
    assert_eq!(begin(&[('A', 200), ('B', 100)]), small);
    assert_eq!(told(&small), of(&[("A", 1), ("AB", 1)]));
}

#[test]
fn levels_are_in_list_order_and_leave_quiesced_entries_out() {
    let table = begin(&[('A', 1), ('B', 0), ('C', 6), ('D', 3)]);
    // The pass that it begins with ends a level.
    assert_eq!(
        told(&table),
        of(&[("C", 1), ("C", 2), ("CD", 2), ("ACD", 1)])
    );
    assert_eq!(
        table.cursor,
        Cursor {
            level: 0,
            index: 0,
            passes: 1
        }
    );
}

#[test]
fn the_bar_is_rounded_to_the_new_step() {
    let mut model = model(&[('A', 6), ('B', 5), ('C', 3)]);
    model.restart();
    // Bars 6 and 5; without `B` the step is 3, and 5 becomes 5 / 3 * 3 + 1 = 4, the first of two passes.
    assert_eq!(picks(&mut model, 2), "AA");
    model.remove(&'B');
    assert_eq!(picks(&mut model, 4), "AACA");
}

#[test]
fn nobody_with_a_weight_is_nobody() {
    let mut model = model(&[('A', 0)]);
    assert_eq!(model.schedule(), None);
    assert!(begin(&[('A', 0)]).levels.is_empty());
    model.set_weight(&'A', 3);
    assert_eq!(model.schedule(), Some('A'));
}

#[test]
fn a_list_that_did_not_change_keeps_its_place() {
    let list = [('A', 3), ('B', 1)];
    let amid = Cursor {
        level: 1,
        index: 1,
        passes: 0,
    };
    assert_eq!(rebase(&list, &[2, 1], amid, &list).cursor, amid);
    let begun = begin(&list);
    assert_eq!(told(&begun), of(&[("A", 1), ("A", 1), ("AB", 1)]));
    assert_eq!(rebase(&list, &[1, 1, 1], begun.cursor, &list), begun);
}

#[test]
fn entries_that_change_places_begin_the_pass_anew() {
    let amid = Cursor {
        level: 1,
        index: 1,
        passes: 0,
    };
    let table = rebase(&[('A', 3), ('B', 1)], &[2, 1], amid, &[('B', 1), ('A', 3)]);
    assert_eq!(told(&table), of(&[("A", 2), ("BA", 1)]));
    assert_eq!((table.cursor.level, table.cursor.index), (1, 0));
}
