use crate::{Told, evenkeel, program, told};

fn ipvsadm(words: &[&str]) -> Told {
    let mut command = program("/sbin/ipvsadm");
    command.args(words);
    told(command)
}

#[test]
fn the_programs_name_makes_it_an_ipvsadm() {
    let told = ipvsadm(&["-v"]);
    let expected = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n";
    assert_eq!((told.code, told.out.as_str()), (Some(0), expected));
    let told = evenkeel(&["ipvsadm", "--version"]);
    assert_eq!((told.code, told.out.as_str()), (Some(0), expected));
}

#[test]
fn refusals_go_to_standard_error_with_ipvsadms_codes() {
    let told = ipvsadm(&["--frob"]);
    let expected = "Try `/sbin/ipvsadm -h' or '/sbin/ipvsadm --help' for more information.\n";
    assert_eq!((told.code, told.err.as_str()), (Some(255), expected));
    let told = ipvsadm(&["-L", "-n", "junk"]);
    assert_eq!(
        (told.code, told.err.as_str()),
        (Some(2), "unexpected argument junk\n")
    );
    let told = evenkeel(&["ipvsadm", "-L", "-s", "rr"]);
    let expected = "Illegal 'scheduler' option with the 'list' command\n";
    assert_eq!((told.code, told.err.as_str()), (Some(2), expected));
}

#[test]
fn commands_that_change_the_table_say_so() {
    let told = ipvsadm(&["-A", "-t", "198.18.14.146:80", "-s", "rr"]);
    assert_eq!(told.code, Some(1));
    assert!(
        told.err.contains("`add-service` is not supported yet"),
        "{told:?}"
    );
    assert!(told.err.contains("evenkeel reload"), "{told:?}");
}

#[test]
fn help_works_under_both_names() {
    for told in [ipvsadm(&["-h"]), evenkeel(&["ipvsadm", "--help"])] {
        assert_eq!(told.code, Some(0), "{told:?}");
        assert!(
            told.out
                .contains("\nUsage:\n  ipvsadm -L|l [virtual-service] [options]\n"),
            "{told:?}"
        );
    }
}
