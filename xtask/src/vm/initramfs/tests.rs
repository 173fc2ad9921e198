use super::{Archive, EXECUTABLE};

#[test]
fn a_member_is_a_header_a_name_and_its_content_each_padded_to_four_bytes() {
    let mut archive = Archive::default();
    archive.add("init", EXECUTABLE, b"hello");
    let expected = "070701\
        00000001000081ed000000000000000000000001000000000000000500000000\
        0000000000000000000000000000000500000000init\0\0hello\0\0\0";
    assert_eq!(String::from_utf8_lossy(&archive.bytes), expected);
}

#[test]
fn an_archive_ends_with_its_trailer() {
    let bytes = Archive::default().finish();
    assert!(String::from_utf8_lossy(&bytes).contains("TRAILER!!!\0"));
    assert_eq!(bytes.len() % 4, 0);
}
