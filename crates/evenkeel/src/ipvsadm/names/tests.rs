use super::*;

#[test]
fn names_that_are_unknown_are_numbers() {
    let names = Names {
        hosts: HashMap::from([(
            IpAddr::from([198, 18, 14, 12]),
            "laico2.laico.cic.unb.br".to_owned(),
        )]),
        ports: HashMap::from([((Protocol::Tcp, 80), "http".to_owned())]),
    };
    let show = |address: &str| names.show(Protocol::Tcp, address.parse().unwrap());
    assert_eq!(show("198.18.14.12:80"), "laico2.laico.cic.unb.br:http");
    assert_eq!(show("198.18.14.13:81"), "198.18.14.13:81");
    assert_eq!(show("[2001:db8::1]:80"), "[2001:db8::1]:http");
}

#[test]
fn a_look_up_that_hangs_costs_no_more_than_the_patience() {
    fn hang_or_answer(host: IpAddr) -> Option<String> {
        while host == IpAddr::from([10, 0, 0, 1]) {
            std::thread::park();
        }
        host.is_ipv4().then(|| "quick".to_owned())
    }
    let hosts = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])];
    let patience = Duration::from_millis(300);
    let started = Instant::now();
    let names = look_up_hosts(hosts.into(), patience, hang_or_answer);
    assert!(
        started.elapsed() >= patience,
        "it waited for the one that hangs"
    );
    assert!(started.elapsed() < Duration::from_secs(10));
    let expected = HashMap::from([(IpAddr::from([10, 0, 0, 2]), "quick".to_owned())]);
    assert_eq!(names, expected);
}

#[test]
fn the_hosts_file_is_asked() {
    let loopback = (Protocol::Tcp, "127.0.0.1:1".parse().unwrap());
    let names = Names::look_up(std::iter::once(loopback), Duration::from_secs(10));
    assert!(names.hosts.contains_key(&IpAddr::from([127, 0, 0, 1])));
}

#[test]
fn a_ports_name_depends_on_the_protocol() {
    let file = std::fs::read_to_string("/etc/services").unwrap_or_default();
    let has = |wanted: &[&str; 2]| {
        let mut lines = file.lines().map(str::split_whitespace);
        lines.any(|words| words.take(2).eq(wanted.iter().copied()))
    };
    if !has(&["shell", "514/tcp"]) || !has(&["syslog", "514/udp"]) {
        eprintln!("skipped: /etc/services does not name port 514");
        return;
    }
    assert_eq!(port_name(Protocol::Tcp, 514).as_deref(), Some("shell"));
    assert_eq!(port_name(Protocol::Udp, 514).as_deref(), Some("syslog"));
}
