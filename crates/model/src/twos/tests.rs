use super::*;

#[test]
fn each_choice_is_by_weight() {
    let servers = [(0, 0, 0), (2, 0, 0), (3, 0, 0)];
    let choices: Vec<_> = (0..=5).map(|r| choice(&servers, r)).collect();
    assert_eq!(choices, [1, 1, 1, 2, 2, 2].map(Some));
    assert_eq!(choice(&servers, 6), None);
    assert_eq!(pick(&[(0, 0, 0)], [0, 0]), None);
}

#[test]
fn the_less_loaded_for_its_weight_wins_and_the_first_of_equals() {
    assert_eq!(pick(&[(1, 1, 0), (1, 0, 9)], [0, 2]), Some(1));
    assert_eq!(pick(&[(1, 1, 0), (1, 0, 9)], [2, 0]), Some(1));
    assert_eq!(pick(&[(1, 2, 0), (2, 4, 0)], [0, 3]), Some(0));
    assert_eq!(pick(&[(1, 2, 0), (2, 4, 0)], [3, 0]), Some(1));
}
