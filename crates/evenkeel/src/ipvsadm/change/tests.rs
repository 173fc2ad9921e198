use super::*;

#[test]
fn lines_are_split_into_words() {
    let cases: [(&str, &[&str]); 6] = [
        ("-A -t 1.2.3.4:80", &["-A", "-t", "1.2.3.4:80"]),
        ("ipvsadm\t-C  ", &["-C"]),
        ("  ipvsadm ipvsadm -C", &["-C"]),
        ("ipvsadm", &[]),
        ("   ", &[]),
        (
            "-A -t 1.2.3.4:80 -s \"rr\"",
            &["-A", "-t", "1.2.3.4:80", "-s", "rr"],
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(words_of(line, "ipvsadm"), expected, "{line}");
    }
}

#[test]
fn a_missing_service_is_called_as_its_command_calls_it() {
    let service = evenkeel_api::ServiceId::Single {
        protocol: evenkeel_api::Protocol::Tcp,
        address: ([1, 2, 3, 4], 80).into(),
    };
    let server = [5, 6, 7, 8].into();
    let cases = [
        (Edit::DeleteService { service }, "No such service"),
        (
            Edit::Zero {
                service: Some(service),
            },
            "No such service",
        ),
        (
            Edit::DeleteServer { service, server },
            "Service not defined",
        ),
    ];
    for (edit, expected) in cases {
        assert_eq!(words(&edit, EditRefusal::NoSuchService), expected);
    }
}
