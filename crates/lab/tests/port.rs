//! The switch ports of a real lab, booted as root.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use evenkeel_lab::{Lab, Options, Topology};
use evenkeel_net::Netlink;

const PORTS: &str = r#"
[lab]
name = "ports"
network = "198.18.14.0/24"

[[node]]
name = "balancer"
kind = "director"
address = "198.18.14.10"

[[node]]
name = "web1"
kind = "real-server"
address = "198.18.14.12"
"#;

/// Whether the port has an XDP program in native mode.
fn has_native_program(lab: &Lab, port: &'static str) -> bool {
    let look = lab.in_switch(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(async {
                let (netlink, _events) = Netlink::open().await.unwrap();
                netlink.link(port).await.unwrap().xdp_native
            })
    });
    look.unwrap().join().unwrap()
}

#[test]
fn a_directors_port_takes_what_native_xdp_sends_also_after_a_cold_boot() {
    let options = Options {
        // `cargo test` builds the example next to the tests.
        program: std::env::current_exe()
            .unwrap()
            .parent()
            .map(|folder| folder.with_file_name("examples/lab")),
        ..Options::default()
    };
    let lab = Lab::start(Topology::parse("ports.toml", PORTS).unwrap(), options).unwrap();
    assert!(has_native_program(&lab, "balancer"));
    assert!(!has_native_program(&lab, "web1"));
    lab.power_off("balancer").unwrap();
    lab.power_on("balancer").unwrap();
    assert!(has_native_program(&lab, "balancer"));
}
