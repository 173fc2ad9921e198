use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Alloc(u32),
    Release(usize),
    Retire(usize),
    Pass(u64),
    Grace,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (0u32..40).prop_map(Op::Alloc),
        1 => any::<usize>().prop_map(Op::Release),
        3 => any::<usize>().prop_map(Op::Retire),
        2 => (0u64..700).prop_map(Op::Pass),
        1 => Just(Op::Grace),
    ];
    prop::collection::vec(op, 0..120)
}

/// What each word is, by the reference.
#[derive(Clone, Copy, PartialEq)]
enum Word {
    Free,
    Lent,
    Retired(Instant),
}

fn words(extent: Extent) -> std::ops::Range<usize> {
    extent.start as usize..extent.end() as usize
}

proptest! {
    #[test]
    fn arbitrary_sequences_lend_no_word_twice_and_none_that_is_retired(ops in ops()) {
        let mut now = Instant::now();
        let mut arena = Arena::new(200);
        let mut model = [Word::Free; 200];
        let mut lent: Vec<Extent> = Vec::new();
        for op in ops {
            match op {
                Op::Alloc(len) => match arena.alloc(len, now) {
                    Ok(extent) => {
                        prop_assert_eq!(extent.len, len);
                        for word in &mut model[words(extent)] {
                            let usable = match *word {
                                Word::Free => true,
                                Word::Lent => false,
                                Word::Retired(since) => now - since >= GRACE,
                            };
                            prop_assert!(usable);
                            *word = Word::Lent;
                        }
                        lent.push(extent);
                    }
                    Err(Shortage::Full) => {
                        prop_assert!(!model.iter().any(|w| matches!(w, Word::Retired(t) if now - *t < GRACE)));
                        let run = model.split(|w| *w == Word::Lent).map(<[Word]>::len).max();
                        prop_assert!(run < Some(len as usize));
                    }
                    Err(Shortage::Grace) => {}
                },
                Op::Release(pick) if !lent.is_empty() => {
                    let extent = lent.swap_remove(pick % lent.len());
                    arena.release(extent);
                    model[words(extent)].fill(Word::Free);
                }
                Op::Retire(pick) if !lent.is_empty() => {
                    let extent = lent.swap_remove(pick % lent.len());
                    arena.retire(extent, now);
                    model[words(extent)].fill(Word::Retired(now));
                }
                Op::Release(_) | Op::Retire(_) => {}
                Op::Pass(ms) => now += Duration::from_millis(ms),
                Op::Grace => {
                    arena.grace_passed(now);
                    for word in &mut model {
                        if matches!(word, Word::Retired(_)) {
                            *word = Word::Free;
                        }
                    }
                }
            }
        }
        for extent in lent.drain(..) {
            arena.release(extent);
        }
        arena.grace_passed(now);
        prop_assert_eq!(arena.alloc(200, now), Ok(Extent { start: 0, len: 200 }));
    }

    #[test]
    fn an_arena_rebuilt_from_its_loans_lends_none_of_them(lens in prop::collection::vec(1u32..20, 1..8), drop in any::<u8>()) {
        let now = Instant::now();
        let mut first = Arena::new(200);
        let kept: Vec<Extent> = lens
            .iter()
            .enumerate()
            .map(|(i, len)| (i, first.alloc(*len, now).unwrap()))
            .filter(|(i, _)| drop >> i & 1 == 0)
            .map(|(_, extent)| extent)
            .collect();
        let mut second = Arena::new(200);
        for extent in kept.iter().rev() {
            prop_assert!(second.occupy(*extent));
            prop_assert!(!second.occupy(*extent));
        }
        while let Ok(extent) = second.alloc(1, now) {
            prop_assert!(kept.iter().all(|k| !words(*k).contains(&(extent.start as usize))));
        }
    }
}

#[test]
fn runs_outside_the_arena_are_not_occupied() {
    let mut arena = Arena::new(10);
    assert!(!arena.occupy(Extent { start: 8, len: 3 }));
    assert!(!arena.occupy(Extent {
        start: u32::MAX,
        len: 2
    }));
    assert!(arena.occupy(Extent { start: 8, len: 2 }));
    assert!(arena.occupy(Extent { start: 900, len: 0 }));
}

#[test]
fn a_full_arena_says_whether_waiting_helps() {
    let now = Instant::now();
    let mut arena = Arena::new(10);
    let extent = arena.alloc(10, now).unwrap();
    assert_eq!(arena.alloc(1, now), Err(Shortage::Full));
    arena.retire(extent, now);
    assert_eq!(arena.alloc(1, now), Err(Shortage::Grace));
    assert_eq!(arena.alloc(1, now + GRACE), Ok(Extent { start: 0, len: 1 }));
}
