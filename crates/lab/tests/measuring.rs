//! The probe and the streams in a real lab, booted as root.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use evenkeel_lab::load::{self, Ports, Target};
use evenkeel_lab::probe::UdpProbe;
use evenkeel_lab::streams::Streams;
use evenkeel_lab::{Lab, LabError, Options, Topology};
use nix::sys::signal::Signal;

const VIRTUAL: &str = "198.18.14.146";

const TWO: &str = r#"
[lab]
name = "two"
network = "198.18.14.0/24"

[[node]]
name = "client"
kind = "client"
address = "198.18.14.1"

[[node]]
name = "web"
kind = "real-server"
address = "198.18.14.12"
virtual = ["198.18.14.146"]
echo = 7
"#;

/// A lab whose client knows where the virtual address is, as if a director had told it.
fn start(name: &str) -> Lab {
    let own = std::env::current_exe().unwrap();
    let program: PathBuf = own.parent().unwrap().with_file_name("examples/lab");
    let options = Options {
        name: Some(name.to_owned()),
        program: Some(program),
        ..Options::default()
    };
    let lab = Lab::start(Topology::parse("two.toml", TWO).unwrap(), options).unwrap();
    let mac = "02:00:c6:12:0e:0c";
    let words = [
        "ip",
        "neighbour",
        "replace",
        VIRTUAL,
        "lladdr",
        mac,
        "dev",
        "eth0",
    ];
    let told = lab.node("client").unwrap().run(&words).unwrap();
    assert!(told.status.success(), "{told:?}");
    lab
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_probe_is_silent_for_as_long_as_the_cable_is_unplugged() {
    const UNPLUGGED: Duration = Duration::from_millis(200);

    let lab = start("t-probe");
    let target = format!("{VIRTUAL}:7").parse().unwrap();
    let client = lab.node("client").unwrap();
    let probe = UdpProbe::start(client, target, Duration::from_millis(1)).unwrap();
    eventually("the echo server answers", || probe.answered() > 50);
    let from = Instant::now();
    let down = lab.set_link("web", false).unwrap();
    thread::sleep(UNPLUGGED);
    lab.set_link("web", true).unwrap();
    let before = probe.answered();
    eventually("it answers again", || probe.answered() > before + 50);
    let to = Instant::now();
    let echoes = probe.stop().unwrap();

    let silence = echoes.longest_silence(from, to);
    assert!(silence.length >= UNPLUGGED, "{silence:?}");
    // On a busy machine an echo that was under way is answered a little later.
    let about = down + Duration::from_millis(100);
    assert!(silence.began <= about && silence.began + silence.length > down);
    let lost = echoes.sent(from, to).filter(|echo| echo.answers == 0);
    assert!(lost.count() >= 150);
    let twice = echoes.sent(from, to).filter(|echo| echo.answers > 1);
    assert_eq!(twice.count(), 0);
}

#[test]
fn streams_stall_while_the_cable_is_unplugged_and_go_on() {
    let lab = start("t-streams");
    let target = Target {
        address: format!("{VIRTUAL}:80").parse().unwrap(),
        path: String::from("/"),
        deadline: Duration::from_secs(2),
    };
    let ports = Arc::new(Ports::new());
    let client = lab.node("client").unwrap();
    eventually("the server listens", || {
        let asked = load::sequential(client, &target, &ports, 1).unwrap();
        asked.iter().all(|record| record.outcome.is_ok())
    });
    let streams = Streams::start(client, &target, &ports, 3).unwrap();
    eventually("answers come", || streams.answers() > 30);
    let from = Instant::now();
    let down = lab.set_link("web", false).unwrap();
    thread::sleep(Duration::from_millis(100));
    lab.set_link("web", true).unwrap();
    let before = streams.answers();
    eventually("they come again", || streams.answers() > before + 30);
    let to = Instant::now();
    let seen = streams.stop().unwrap();

    assert_eq!(seen.len(), 3);
    for stream in seen {
        assert_eq!(stream.broke, None);
        let stall = stream.longest_stall(from, to);
        assert!(stall.length >= Duration::from_millis(100), "{stall:?}");
        assert!(stall.began <= down);
    }
}

#[test]
fn a_node_without_a_daemon_has_none_to_signal() {
    let lab = start("t-daemon");
    assert_eq!(lab.daemon("web").unwrap(), None);
    let refused = lab.signal_daemon("web", Signal::SIGTERM);
    assert!(matches!(refused, Err(LabError::NoDaemon { .. })));
    lab.power_off("web").unwrap();
    assert!(matches!(lab.daemon("web"), Err(LabError::NodeOff { .. })));
}
