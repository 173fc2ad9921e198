use super::*;

fn full(words: &[u16]) -> u16 {
    finish(words.iter().fold(0, |s, w| add(s, *w)))
}

#[test]
fn update_equals_recomputation() {
    for (old, new) in [
        (0x4006u16, 0x3f06u16),
        (0x0106, 0x0006),
        (0xffff, 0x0000),
        (0, 0xffff),
    ] {
        let before = full(&[0x4500, 0x003c, old, 0xc612, 0x0e92]);
        let after = full(&[0x4500, 0x003c, new, 0xc612, 0x0e92]);
        assert_eq!(update(before, old, new), after, "{old:#x} to {new:#x}");
    }
}
