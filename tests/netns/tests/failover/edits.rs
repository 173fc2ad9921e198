//! Edits by hand on a director that is Backup.

use evenkeel_api::Role;
use evenkeel_netns_tests::Director;
use evenkeel_netns_tests::cluster::Told;
use evenkeel_netns_tests::cluster::server;

use crate::{FRONT, Pair};

fn ipvsadm(director: Director<'_>, line: &str) -> Told {
    let words: Vec<&str> = line.split_whitespace().collect();
    director.tell(&[&["ipvsadm"], &words[..]].concat())
}

#[test]
fn a_backup_takes_edits_of_what_it_holds_and_serves_by_them_once_it_is_active() {
    let mut pair = Pair::boot("t-backedit", "");
    let partner = pair.cluster.partner();
    // Both are held and not listed, so that adding them is an edit; what is not held is added.
    for line in [
        "-A -t 198.18.14.146:80 -s rr",
        "-a -t 198.18.14.146:80 -r 198.18.14.12 -w 0",
        "-A -t 198.18.14.146:8080 -s rr",
        "-e -t 198.18.14.146:81 -r 198.18.14.13 -w 7",
    ] {
        assert_eq!(ipvsadm(partner, line).succeeded(), "", "{line}");
    }
    let told = ipvsadm(partner, "-D -t 198.18.14.146:9090");
    told.assert_refused(255, &["No such service\n"]);
    let listed = ipvsadm(partner, "-Ln").succeeded();
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let saved = ipvsadm(partner, "-Sn").succeeded();
    for line in [
        "-A -t 198.18.14.146:80 -s rr\n",
        "-a -t 198.18.14.146:80 -r 198.18.14.12:80 -g -w 0\n",
        "-A -t 198.18.14.146:8080 -s rr\n",
        "-a -t 198.18.14.146:81 -r 198.18.14.13:81 -g -w 7\n",
    ] {
        assert!(saved.contains(line), "no `{line}` in {saved}");
    }

    let _killed = pair.kill_director();
    let partner = pair.cluster.partner();
    let _router = partner.becomes(FRONT, Role::Active);
    assert_eq!(pair.cluster.answers(80, 5), vec![server(2); 5]);
    // By now it is listed.
    let told = ipvsadm(partner, "-A -t 198.18.14.146:8080");
    told.assert_refused(255, &["Service already exists\n"]);
}

#[test]
fn a_drain_on_a_backup_holds_once_it_is_active() {
    let mut pair = Pair::boot("t-backdrain", "");
    let partner = pair.cluster.partner();
    let told = partner.evenkeel(&["drain", "web/198.18.14.12", "--wait"]);
    let note = "its connections are on the Active of virtual router front";
    assert!(told.err.contains(note), "{told:?}");
    let _told = told.succeeded();
    let _killed = pair.kill_director();
    let partner = pair.cluster.partner();
    let _router = partner.becomes(FRONT, Role::Active);
    assert_eq!(pair.cluster.answers(80, 5), vec![server(2); 5]);
    let _told = partner.evenkeel(&["ready", "web/198.18.14.12"]).succeeded();
    let answers = pair.cluster.answers(80, 40);
    assert!(answers.contains(&server(1)), "{answers:?}");
}
