use super::counter;

#[test]
fn a_counter_is_found_by_its_name_in_its_group() {
    let text = "Ip: Forwarding InReceives\nIp: 1 7\nTcp: InSegs RetransSegs\nTcp: 90 12\n";
    let cases = [
        ("Tcp:", "RetransSegs", Some(12)),
        ("Ip:", "InReceives", Some(7)),
        ("Ip:", "RetransSegs", None),
        ("Udp:", "InDatagrams", None),
    ];
    for (group, name, expected) in cases {
        assert_eq!(counter(text, group, name), expected, "{group} {name}");
    }
}
