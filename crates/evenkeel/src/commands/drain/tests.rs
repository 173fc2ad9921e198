use super::*;

#[test]
fn a_service_and_a_server_are_parted_at_the_last_slash() {
    for (text, service, address) in [
        ("web/198.18.14.12", "web", "198.18.14.12:80"),
        ("a/b/198.18.14.12:80", "a/b", "198.18.14.12:80"),
        (
            "[2001:db8::146]:80/2001:db8::12",
            "[2001:db8::146]:80",
            "[2001:db8::12]:80",
        ),
        (
            "198.18.14.146:80/[2001:db8::12]:80",
            "198.18.14.146:80",
            "[2001:db8::12]:80",
        ),
    ] {
        let names = names(text).unwrap();
        assert_eq!(names.service, service, "{text}");
        assert!(names.server.is(address.parse().unwrap()), "{text}");
    }
    for bad in ["web", "web/", "web/web1", "198.18.14.12/"] {
        names(bad).unwrap_err();
    }
}

#[test]
fn what_is_left_is_told_in_words() {
    let left = |active, inactive, kept| {
        let left = Left {
            active,
            inactive,
            kept,
        };
        left.to_string()
    };
    assert_eq!(left(1, 0, 0), "1 connection (1 active, 0 inactive)");
    assert_eq!(left(2, 3, 0), "5 connections (2 active, 3 inactive)");
    assert_eq!(
        left(0, 0, 7),
        "7 connections (the server has left the list)"
    );
}
