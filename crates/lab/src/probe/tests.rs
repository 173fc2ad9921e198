use super::*;

fn prober() -> (Prober, Arc<AtomicBool>) {
    let stop = Arc::new(AtomicBool::new(false));
    let prober = Prober {
        every: Duration::from_millis(1),
        stop: Arc::clone(&stop),
        answered: Arc::default(),
        echoes: Echoes::default(),
    };
    (prober, stop)
}

/// Echoes what a test says.
fn server() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let timeout = Some(Duration::from_secs(10));
    socket.set_read_timeout(timeout).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[test]
fn lost_and_duplicated_requests_are_told_apart() {
    let (server, address) = server();
    let (mut prober, stop) = prober();
    let echo = thread::spawn(move || {
        for number in 0..60_u64 {
            let mut datagram = [0; 64];
            let (length, client) = server.recv_from(&mut datagram).unwrap();
            assert_eq!(datagram[..length], number.to_be_bytes());
            let times = match number {
                20..50 => 0,
                55 => 2,
                _ => 1,
            };
            for _ in 0..times {
                server.send_to(&datagram[..length], client).unwrap();
            }
            // What is no answer to anything counts for nothing.
            server.send_to(&u64::MAX.to_be_bytes(), client).unwrap();
            server.send_to(b"odd", client).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        server
    });
    prober.run(&open(address).unwrap()).unwrap();
    drop(echo.join().unwrap());
    let requests = &prober.echoes.requests[..60];
    for (number, request) in requests.iter().enumerate() {
        let expected = match number {
            20..50 => 0,
            55 => 2,
            _ => 1,
        };
        assert_eq!(request.answers, expected, "{number}");
        assert_eq!(request.answered.is_some(), expected > 0);
        if let Some(answered) = request.answered {
            // The stamps' clock is another one, whose difference is read twice.
            assert!(answered + Duration::from_millis(1) > request.sent);
        }
    }
    let from = requests[0].sent;
    let to = requests[59].sent;
    let silence = prober.echoes.longest_silence(from, to);
    // 30 requests a millisecond apart were lost.
    assert!(silence.length >= Duration::from_millis(25), "{silence:?}");
    assert_eq!(
        requests
            .iter()
            .position(|r| r.answered == Some(silence.began)),
        Some(19)
    );
    assert_eq!(prober.echoes.sent(from, to).count(), 60);
    assert!(prober.answered.load(Ordering::Relaxed) >= 30);
}

#[test]
fn the_schedule_is_kept_whatever_is_answered() {
    let (_server, address) = server();
    let (mut prober, stop) = prober();
    let ender = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        stop.store(true, Ordering::Relaxed);
    });
    let began = Instant::now();
    prober.run(&open(address).unwrap()).unwrap();
    ender.join().unwrap();
    let Some(last) = prober.echoes.requests.last() else {
        panic!("nothing was sent");
    };
    // Late ones are sent at once, so that there is one for each millisecond.
    let due = (last.sent - began).as_millis();
    let sent = u128::try_from(prober.echoes.requests.len()).unwrap();
    assert!(sent <= due + 2 && sent + 20 >= due, "{sent} in {due} ms");
}

#[test]
fn a_port_that_refuses_loses_requests_and_no_more() {
    // Nobody listens there any more, so the kernel answers by ICMP.
    let (closed, address) = server();
    drop(closed);
    let (mut prober, stop) = prober();
    let ender = thread::spawn(move || {
        thread::sleep(Duration::from_millis(30));
        stop.store(true, Ordering::Relaxed);
    });
    prober.run(&open(address).unwrap()).unwrap();
    ender.join().unwrap();
    assert!(prober.echoes.requests.len() > 1);
    assert!(prober.echoes.requests.iter().all(|echo| echo.answers == 0));
}
