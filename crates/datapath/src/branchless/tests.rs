use super::*;

#[test]
fn arithmetic_agrees_with_comparisons() {
    let values = [0, 1, 2, 3, 7, 1 << 36, (1 << 62) + 5, (1 << 63) - 1];
    for a in values {
        assert_eq!(is_zero(a), u64::from(a == 0));
        assert_eq!(is_zero(a | 1 << 63), 0);
        for b in values {
            assert_eq!(is_below(a, b), u64::from(a < b));
            assert_eq!(select(1, a, b), a);
            assert_eq!(select(0, a, b), b);
        }
    }
}
