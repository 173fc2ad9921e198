//! A cluster whose hosts have IPv6 addresses too, servers that say who they are, and clients.

use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::channel;
use std::time::Duration;

use evenkeel_netns_tests::Cluster;
use evenkeel_netns_tests::cluster::server;

/// The virtual address.
pub(crate) const VIP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x146);

const PATIENCE: Duration = Duration::from_secs(10);

/// The address of a host of the cluster's link.
pub(crate) const fn host(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number)
}

/// The address of a real server.
pub(crate) const fn server_address(number: u8) -> Ipv6Addr {
    host(0x10 + number as u16)
}

/// Gives every host addresses that are in use at once, and the real servers the virtual one on `lo`.
pub(crate) fn add_addresses(cluster: &Cluster, directors: &[(&str, u16)], servers: u8) {
    let names: Vec<String> = (1..=servers).map(server).collect();
    let servers = (1..=servers).map(|number| 0x10 + u16::from(number));
    let others = [("client", 1)];
    let hosts = others.iter().chain(directors).copied();
    let hosts = hosts.chain(names.iter().map(String::as_str).zip(servers));
    let hosts: Vec<(&str, u16)> = hosts.collect();
    for (name, number) in &hosts {
        let own = format!("{}/64", host(*number));
        let words = ["ip", "address", "add", &own, "dev", "eth0", "nodad"];
        let _nothing = cluster.run(name, &words);
        if names.iter().any(|server| server == name) {
            let virtual_address = format!("{VIP}/128");
            let words = [
                "ip",
                "address",
                "add",
                &virtual_address,
                "dev",
                "lo",
                "nodad",
            ];
            let _nothing = cluster.run(name, &words);
        }
    }
    // Advertisements come from link-local addresses, which the kernel makes itself.
    let shown = ["ip", "-6", "address", "show", "dev", "eth0", "tentative"];
    cluster.eventually("all addresses are in use", || {
        let mut hosts = hosts.iter();
        hosts.all(|(name, _)| cluster.run(name, &shown).is_empty())
    });
}

/// Answers with the server's number on these TCP ports and these UDP ports, until the test's process ends.
pub(crate) fn answer(cluster: &Cluster, number: u8, tcp: &[u16], udp: &[u16]) {
    let node = server(number);
    for &port in tcp {
        let (bound, is_bound) = channel();
        let _thread = cluster.node(&node).thread(move || {
            let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).expect("it is free");
            bound.send(()).expect("the test waits");
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || echo(stream, number));
            }
        });
        is_bound.recv().expect("it listens");
    }
    for &port in udp {
        let (bound, is_bound) = channel();
        let _thread = cluster.node(&node).thread(move || {
            // By the virtual address, so that the answer comes from there.
            let socket = UdpSocket::bind((VIP, port)).expect("it is free");
            bound.send(()).expect("the test waits");
            let mut buffer = [0; 65_536];
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                let len = u16::try_from(len).expect("it is a datagram's");
                let [high, low] = len.to_be_bytes();
                let _sent = socket.send_to(&[number, high, low], from);
            }
        });
        is_bound.recv().expect("it is bound");
    }
}

/// Says the server's number for each byte that comes.
fn echo(mut stream: TcpStream, number: u8) {
    let mut byte = [0];
    while stream.read_exact(&mut byte).is_ok() && stream.write_all(&[number]).is_ok() {}
}

/// A connection of the client that stays open.
pub(crate) struct Open(TcpStream);

impl Open {
    /// Opens it from the client, or from another node.
    pub(crate) fn to(cluster: &Cluster, port: u16) -> Self {
        let opened = cluster.node("client").thread(move || {
            let stream = TcpStream::connect_timeout(&SocketAddr::from((VIP, port)), PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok::<_, std::io::Error>(stream)
        });
        let opened = opened.expect("a thread").join().expect("no panic");
        Self(opened.unwrap_or_else(|error| panic!("port {port}: {error}")))
    }

    /// The number of the server that answers now.
    pub(crate) fn asks(&mut self) -> u8 {
        let mut byte = [0];
        self.0.write_all(&[0]).expect("it is sent");
        self.0.read_exact(&mut byte).expect("it is answered");
        byte[0]
    }
}

/// The number of the server that answers a new connection.
pub(crate) fn by_tcp(cluster: &Cluster, port: u16) -> u8 {
    Open::to(cluster, port).asks()
}

/// The number of the server that answers a datagram of so many bytes, all of which it got.
pub(crate) fn by_udp(cluster: &Cluster, port: u16, bytes: usize) -> u8 {
    let asked = cluster.node("client").thread(move || {
        let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect((VIP, port))?;
        socket.send(&vec![0x5a; bytes])?;
        let mut answer = [0; 3];
        socket.recv(&mut answer).map(|_| answer)
    });
    let answered = asked.expect("a thread").join().expect("no panic");
    let [number, high, low] = answered.unwrap_or_else(|error| panic!("port {port}: {error}"));
    assert_eq!(usize::from(u16::from_be_bytes([high, low])), bytes);
    number
}

/// A service at the virtual address with these real servers, checked at port 80; `more` are further lines of its
/// table.
pub(crate) fn service(name: &str, port: &str, servers: &[u8], more: &str) -> String {
    let servers: Vec<String> = servers
        .iter()
        .map(|number| format!("{{ address = \"{}\" }}", server_address(*number)))
        .collect();
    format!(
        "\n[[service]]\nname = \"{name}\"\nlisten = \"[{VIP}]:{port}\"\nservers = [ {} ]\n\
         check = {{ tcp = true, port = 80, every = \"200ms\", timeout = \"200ms\", fall = 3, rise = 1 }}\n{more}\n",
        servers.join(", ")
    )
}

/// What `ipvsadm` prints at a director.
pub(crate) fn ipvsadm(cluster: &Cluster, director: &str, words: &[&str]) -> String {
    cluster.run(director, &[&["evenkeel", "ipvsadm"], words].concat())
}
