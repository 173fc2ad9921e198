use super::*;

#[test]
fn request_form_has_equal_addresses_and_no_target_hardware() {
    let m = gratuitous(REQUEST, [2, 0, 0, 0, 0, 9], [198, 18, 14, 146]);
    assert_eq!(&m[..8], &[0, 1, 8, 0, 6, 4, 0, 1]);
    assert_eq!(&m[8..14], &[2, 0, 0, 0, 0, 9]);
    assert_eq!(m[14..18], m[TARGET_ADDRESS..]);
    assert_eq!(&m[18..24], &[0; 6]);
}
