use super::*;

pub(crate) const FIVES: &str = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  198.18.14.146:http rr
  -> laico2.laico.cic.unb.br:http Route   1      0          5         
  -> laico3.laico.cic.unb.br:http Route   1      0          5         
  -> laico4.laico.cic.unb.br:http Route   1      0          5         
UDP  198.18.14.146:echo rr
  -> laico2.laico.cic.unb.br:echo Route   1      0          0         
  -> laico3.laico.cic.unb.br:echo Route   1      0          0         
  -> laico4.laico.cic.unb.br:echo Route   1      0          1         
";

pub(crate) const NOTHING: &str = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
";

fn setup() -> Setup {
    Setup::of_the_paper(None).unwrap()
}

#[test]
fn every_service_is_a_section_and_every_real_server_a_row() {
    let sections = sections(FIVES).unwrap();
    let names: Vec<_> = sections
        .iter()
        .map(|s| (s.protocol.as_str(), s.name.as_str(), s.rows.len()))
        .collect();
    assert_eq!(
        names,
        [
            ("TCP", "198.18.14.146:http", 3),
            ("UDP", "198.18.14.146:echo", 3)
        ]
    );
    assert_eq!(
        sections[0].rows[0],
        Row {
            name: String::from("laico2.laico.cic.unb.br:http"),
            forward: String::from("Route"),
            weight: 1,
            active: 0,
            inactive: 5,
        }
    );
}

#[test]
fn a_line_that_makes_no_sense_is_told() {
    let odd = FIVES.replace("1      0          5", "1      0");
    assert!(sections(&odd).unwrap_err().starts_with("-> laico2"));
    let setup = setup();
    assert!(!shows(&odd, &setup, &setup.all(), None));
    let first = "  -> laico2.laico.cic.unb.br:http Route   1      0          5\n";
    assert!(sections(first).is_err(), "a row of no service");
    assert!(sections("what is this\n").is_err());
}

#[test]
fn figure_5_is_recognised() {
    let setup = setup();
    assert!(shows(FIVES, &setup, &setup.all(), Some(5)));
    let numeric = FIVES.replace(":http", ":80").replace(":echo", ":7");
    assert!(shows(&numeric, &setup, &setup.all(), Some(5)));
}

#[test]
fn everything_in_a_listing_counts() {
    let setup = setup();
    let line = "  -> laico4.laico.cic.unb.br:http Route   1      0          5         \n";
    let echo = "  -> laico4.laico.cic.unb.br:echo Route   1      0          1         \n";
    for (old, new) in [
        ("Route ", "Tunnel"),
        ("laico3.laico.cic.unb.br", "198.18.14.13"),
        ("laico3", "laico5"),
        ("Route   1 ", "Route   0 "),
        ("0          5 ", "1          5 "),
        ("0          5 ", "0          4 "),
        (line, ""),
        (echo, ""),
        ("UDP  ", "TCP  "),
        ("198.18.14.146:http", "198.18.14.147:http"),
        ("198.18.14.146:echo", "198.18.14.146:ntp"),
    ] {
        let other = FIVES.replacen(old, new, 1);
        assert_ne!(other, FIVES);
        assert!(!shows(&other, &setup, &setup.all(), Some(5)), "{other}");
    }
    assert!(!shows(FIVES, &setup, &setup.survivors(), None));
    assert!(!shows("", &setup, &setup.all(), None));
    let third = format!("{FIVES}TCP  198.18.14.146:https rr\n");
    assert!(!shows(&third, &setup, &setup.all(), None));
    assert!(shows(
        &FIVES.replace(" 5 ", " 77 "),
        &setup,
        &setup.all(),
        None
    ));
}

#[test]
fn a_listing_of_nothing_has_its_head_and_no_service() {
    assert!(shows_nothing(NOTHING));
    assert!(!shows_nothing(""));
    assert!(!shows_nothing(FIVES));
    let empty = format!("{NOTHING}TCP  198.18.14.146:http rr\n");
    assert!(!shows_nothing(&empty), "a service without servers is one");
    let setup = setup();
    assert!(!shows(NOTHING, &setup, &[], None));
}
