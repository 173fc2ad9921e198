//! Real SCTP associations through the director, where the kernel has SCTP.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::channel;
use std::time::Duration;

use evenkeel_netns_tests::Cluster;
use evenkeel_netns_tests::cluster::{CLIENT, VIP, config, server, service};
use socket2::{Domain, Protocol, Socket, Type};

const PORT: u16 = 2905;

const PATIENCE: Duration = Duration::from_secs(20);

/// A one-to-one socket (RFC 6458 §4) with one address, so that the other side learns no second way to it.
fn socket(address: Ipv4Addr, port: u16) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::from(132)))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.bind(&SocketAddr::from((address, port)).into())?;
    Ok(socket)
}

/// Tells the server's number, then sends back what comes.
fn answer(cluster: &Cluster, number: u8) {
    let (bound, is_bound) = channel();
    let _thread = cluster.node(&server(number)).thread(move || {
        let listener = socket(VIP, PORT).expect("the address is on lo, and the kernel has SCTP");
        listener.listen(16).expect("it listens");
        bound.send(()).expect("the test waits");
        while let Ok((mut association, _)) = listener.accept() {
            std::thread::spawn(move || {
                let mut byte = [number];
                while association.write_all(&byte).is_ok()
                    && association.read_exact(&mut byte).is_ok()
                {}
            });
        }
    });
    is_bound.recv().expect("it listens");
}

/// Opens associations that stay open: they, and the servers that answered.
fn connect(cluster: &Cluster, count: usize) -> (Vec<Socket>, Vec<u8>) {
    let asked = cluster.node("client").thread(move || {
        let mut all = (Vec::new(), Vec::new());
        for _ in 0..count {
            let mut association = socket(CLIENT, 0)?;
            association.connect_timeout(&SocketAddr::from((VIP, PORT)).into(), PATIENCE)?;
            let mut byte = [0];
            association.read_exact(&mut byte)?;
            all.0.push(association);
            all.1.push(byte[0]);
        }
        std::io::Result::Ok(all)
    });
    let asked = asked.expect("a thread").join().expect("it ends");
    asked.expect("the associations are made")
}

/// The lines of `ipvsadm` about the service.
fn listed(cluster: &Cluster, words: &[&str]) -> Vec<Vec<String>> {
    let told = cluster.director().tell(&[&["ipvsadm"], words].concat());
    let lines = told.succeeded();
    let lines = lines
        .lines()
        .map(|line| line.split_whitespace().map(str::to_owned).collect());
    lines.collect()
}

#[test]
#[ignore = "needs a kernel with SCTP: `cargo xtask vm test` has one"]
fn associations_are_balanced_followed_and_outlive_the_daemon() {
    let cluster = Cluster::boot("t-sctp", 3);
    (1..=3).for_each(|number| answer(&cluster, number));
    let text = service("signalling", PORT, &[1, 2, 3], "check = \"none\"");
    let text = config(&[text.replace("protocol = \"tcp\"", "protocol = \"sctp\"")]);
    let daemon = cluster.start_daemon(&text);
    cluster.wait_until_ready();

    let (mut associations, servers) = connect(&cluster, 6);
    let count = |number| servers.iter().filter(|server| **server == number).count();
    assert_eq!([1, 2, 3].map(count), [2, 2, 2], "{servers:?}");
    let services = listed(&cluster, &["-Ln"]);
    let name = format!("{VIP}:{PORT}");
    assert!(
        services
            .iter()
            .any(|line| line[..] == ["SCTP", &name, "rr"]),
        "{services:?}"
    );
    let counted: Vec<&[String]> = services
        .iter()
        .filter(|line| line.first().is_some_and(|word| word == "->") && line.len() == 6)
        .map(|line| &line[4..])
        .filter(|counts| counts[0] != "ActiveConn")
        .collect();
    assert_eq!(counted, [["2", "0"]; 3], "{services:?}");
    let connections = listed(&cluster, &["-Lcn"]);
    let established = connections
        .iter()
        .filter(|line| line.starts_with(&["SCTP".to_owned()]) && line[2] == "ESTABLISHED");
    assert_eq!(established.count(), 6, "{connections:?}");

    drop(daemon);
    for (association, server) in associations.iter_mut().zip(&servers) {
        association.write_all(&[server + 100]).expect("it is open");
        let mut byte = [0];
        association
            .read_exact(&mut byte)
            .expect("the same server answers");
        assert_eq!(byte[0], server + 100);
    }
    let _successor = cluster.start_daemon(&text);
    cluster.wait_until_ready();
    drop(associations);
    cluster.eventually("all of them have ended", || {
        let connections = listed(&cluster, &["-Lcn"]);
        let over = connections
            .iter()
            .filter(|line| line.len() > 2 && ["CLOSED", "S-RECEIVED"].contains(&line[2].as_str()));
        over.count() == 6
    });
}
