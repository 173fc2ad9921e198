use std::process::Stdio;

use crate::{evenkeel, program};

#[test]
fn help_lists_the_commands() {
    let told = evenkeel(&["--help"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let expected = "\
Keeps a network service on an even keel: an XDP load balancer with health checks

Usage: evenkeel [OPTIONS] <COMMAND>

Commands:
  run                   Run the director daemon in the foreground
  status                Show the director's state
  events                Show what happened: changes of roles, servers and config, with their reasons
  connections           List the connections that this director remembers, and the templates of
                        persistence
  drain                 Give a real server no new connections; those that it has go on
  ready                 Give a drained server new connections again
  trace                 Show where a packet would go now, and why; asking changes nothing
  failover              Hand virtual routers over to the partner now, and stay Backup
  standby               Hand virtual routers over, and take over only while nobody else is there
  maintenance           Keep this director from taking anything over, even if its partner dies
  reload                Have the daemon read its config file again; a bad file changes nothing
  check                 Check a config file and show all of its mistakes
  purge                 Stop forwarding: remove all pins, and the addresses that evenkeel added
  print-default-config  Print a commented config file to start from
  ipvsadm               Show and change the director's table as ipvsadm does
  lab                   Run a cluster in network namespaces of this machine; needs root
  help                  Print this message or the help of the given subcommand(s)

Options:
      --socket <PATH>  The daemon's socket [default: $EVENKEEL_SOCKET, else
                       /run/evenkeel/evenkeel.sock]
  -h, --help           Print help
  -V, --version        Print version
";
    assert_eq!(told.out, expected);
}

#[test]
fn a_wrong_word_is_a_usage_error() {
    for words in [&["frobnicate"][..], &["status", "--frob"], &["check"], &[]] {
        let told = evenkeel(words);
        assert_eq!(told.code, Some(2), "{words:?}: {told:?}");
        assert!(told.out.is_empty(), "{words:?}: {told:?}");
        assert!(told.err.contains("Usage:"), "{words:?}: {told:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = program("evenkeel")
        .arg("print-default-config")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
