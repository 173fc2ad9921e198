use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn take(window: &mut Window, counter: u64) -> bool {
    let is_new = window.is_new(counter);
    if is_new {
        window.note(counter);
    }
    is_new
}

#[test]
fn each_counter_is_new_once() {
    let mut window = Window::new();
    for (counter, expected) in [
        (0, true),
        (0, false),
        (2, true),
        (1, true),
        (1, false),
        (959, true),
        (3, true),
        (960, true),
        (4, true),
        // Too old by now.
        (0, false),
        (5_000, true),
        (4_041, true),
        (4_040, false),
        (960, false),
        (u64::MAX, true),
        (u64::MAX, false),
        (u64::MAX - 1, true),
        (5_000, false),
    ] {
        assert_eq!(take(&mut window, counter), expected, "{counter}");
    }
    assert_eq!(window.highest(), u64::MAX);
}

proptest! {
    #[test]
    fn nothing_is_new_twice_and_what_is_late_by_less_than_the_window_is_new(
        steps in vec((0_u64..3_000, 0_u64..1_100), 1..200)
    ) {
        let mut window = Window::new();
        let mut taken = BTreeSet::new();
        let mut highest = 0;
        for (ahead, late) in steps {
            let counter = (highest + ahead).saturating_sub(late);
            let fits = counter > highest || highest - counter < SPAN;
            let expected = fits && !taken.contains(&counter);
            prop_assert_eq!(take(&mut window, counter), expected, "{} of {}", counter, highest);
            taken.insert(counter);
            highest = highest.max(counter);
        }
    }
}
