use super::*;

#[test]
fn masks_are_read_as_inet_aton_reads_them() {
    let cases = [
        ("255.255.255.0", Some([255, 255, 255, 0])),
        ("255.255.65280", Some([255, 255, 255, 0])),
        ("255.16776960", Some([255, 255, 255, 0])),
        ("4294967040", Some([255, 255, 255, 0])),
        ("0xffffff00", Some([255, 255, 255, 0])),
        ("0377.0xff.255.0 x", Some([255, 255, 255, 0])),
        ("24", Some([0, 0, 0, 24])),
        ("0", Some([0, 0, 0, 0])),
        ("4294967296", None),
        ("255.256.0.0", None),
        ("255.16777216", None),
        ("1.2.3.4.5", None),
        ("1..2.3", None),
        ("08", None),
        ("+1", None),
        ("", None),
    ];
    for (text, expected) in cases {
        assert_eq!(mask_of(text), expected.map(Ipv4Addr::from), "{text}");
    }
}
