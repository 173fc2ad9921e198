use super::*;
use crate::paper::setup::Setup;

pub(crate) const FIVES: &str = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  198.18.14.146:http rr
  -> laico2.laico.cic.unb.br:http Route   1      0          5         
  -> laico3.laico.cic.unb.br:http Route   1      0          5         
  -> laico4.laico.cic.unb.br:http Route   1      0          5         
";

#[test]
fn every_real_server_is_a_row() {
    let rows = rows(FIVES).unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(
        rows[0],
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
    assert!(rows(&odd).unwrap_err().starts_with("laico2"));
    assert!(!shows(&odd, &Setup::of_the_paper().unwrap().all(), None));
}

#[test]
fn figure_5_is_recognised() {
    let setup = Setup::of_the_paper().unwrap();
    assert!(shows(FIVES, &setup.all(), Some(5)));
    let numeric = FIVES.replace(":http", ":80");
    assert!(shows(&numeric, &setup.all(), Some(5)));
}

#[test]
fn everything_in_a_listing_counts() {
    let setup = Setup::of_the_paper().unwrap();
    let line = "  -> laico4.laico.cic.unb.br:http Route   1      0          5         \n";
    for (old, new) in [
        ("Route ", "Tunnel"),
        ("laico3.laico.cic.unb.br", "198.18.14.13"),
        ("laico3", "laico5"),
        ("Route   1 ", "Route   0 "),
        ("0          5 ", "1          5 "),
        ("0          5 ", "0          4 "),
        (line, ""),
    ] {
        let other = FIVES.replacen(old, new, 1);
        assert_ne!(other, FIVES);
        assert!(!shows(&other, &setup.all(), Some(5)), "{other}");
    }
    assert!(!shows(FIVES, &setup.survivors(), None));
    assert!(!shows("", &setup.all(), None));
    assert!(shows(&FIVES.replace(" 5 ", " 77 "), &setup.all(), None));
}
