use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::client::{Holding, open};
use super::*;

#[test]
fn an_answer_names_its_server_to_the_request_that_it_answers_alone() {
    let request = 0x2710_0000_0001_u64.to_be_bytes();
    let answer = answer(request, "laico2");
    assert_eq!(parts(&answer), Some((request, "laico2")));
}

#[test]
fn the_longest_name_of_a_node_fits() {
    let name = "a-name-of-15-ch";
    let answer = answer([1; REQUEST], name);
    assert_eq!(parts(&answer), Some(([1; REQUEST], name)));
    assert_eq!(parts(&[1; ANSWER]), None, "a name without an end");
}

/// Answers every first request as `laico3`, and the second one of the n-th connection in the n-th way.
async fn misbehave(listener: TcpListener) {
    for number in 0.. {
        let (mut stream, _client) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            for name in ["laico3", ["laico3", "laico4", "", ""][number]] {
                let mut request = [0; REQUEST];
                stream.read_exact(&mut request).await.unwrap();
                if !name.is_empty() {
                    stream.write_all(&answer(request, name)).await.unwrap();
                }
            }
            if number < 3 {
                return;
            }
            std::future::pending::<()>().await;
        });
    }
}

#[tokio::test]
async fn a_request_shows_what_broke_its_connection() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let _server = tokio::spawn(misbehave(listener));
    let spec = ClientSpec {
        service: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
        // Any that is free: this machine's own network is shared.
        first_port: 0,
        connections: 1,
        rate: 100,
        habits: vec![Habit::Idle],
        until_asked: false,
    };
    let (_orders, mut lines) = mpsc::unbounded_channel();
    let mut connections = Vec::new();
    for _ in 0..4 {
        let (opened, mut one, _line) = open(&spec, &mut lines).await.unwrap();
        assert!(opened[0].established.is_some());
        let names: Vec<_> = opened.into_iter().map(|one| one.server).collect();
        assert_eq!(names, [Ok(String::from("laico3"))]);
        connections.append(&mut one);
    }
    for (port, connection) in (1..).zip(&mut connections) {
        connection.port = port;
    }
    let order = Order {
        spread: Duration::ZERO,
        patience: Duration::from_millis(500),
    };
    let (asked, whole) = Holding::start(connections, 1).ask(order).await.unwrap();
    let outcomes: Vec<_> = asked.iter().map(|one| one.outcome).collect();
    let expected = [
        Outcome::Answered,
        Outcome::OtherServer,
        Outcome::Reset,
        Outcome::Unanswered,
    ];
    assert_eq!(outcomes, expected);
    assert!(asked.iter().all(|one| one.known >= one.sent));
    let whole: Vec<_> = whole.iter().map(|connection| connection.port).collect();
    assert_eq!(whole, [1]);
}

#[tokio::test]
async fn a_server_answers_all_its_connections_with_its_name() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let _server = tokio::spawn(async move { server::serve(&listener, "laico2").await });
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(TcpStream::connect(address).await.unwrap());
    }
    for (number, stream) in (0u64..).zip(&mut streams) {
        let request = number.to_be_bytes();
        stream.write_all(&request).await.unwrap();
        let mut answer = [0; ANSWER];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(parts(&answer), Some((request, "laico2")));
    }
}

#[tokio::test]
async fn every_habit_answers_the_order_and_keeps_to_its_server() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let _server = tokio::spawn(async move { server::serve(&listener, "laico2").await });
    let (_orders, mut lines) = mpsc::unbounded_channel();
    let mut connections = Vec::new();
    for habit in [Habit::Idle, Habit::Streaming, Habit::Asking] {
        let spec = ClientSpec {
            service: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
            first_port: 0,
            connections: 1,
            rate: 100,
            habits: vec![habit],
            until_asked: false,
        };
        connections.append(&mut open(&spec, &mut lines).await.unwrap().1);
    }
    // Long enough for answers of the stream and of the habit to come before.
    let order = Order {
        spread: EVERY * 3,
        patience: Duration::from_secs(30),
    };
    let (asked, whole) = Holding::start(connections, 1).ask(order).await.unwrap();
    assert!(asked.iter().all(|one| one.outcome == Outcome::Answered));
    assert_eq!(whole.len(), 3);
}

#[tokio::test]
async fn a_stream_repeats_its_answer_and_other_requests_are_answered_beside_it() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let _server = tokio::spawn(async move { server::serve(&listener, "laico2").await });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let asked = stream_request(7);
    stream.write_all(&asked).await.unwrap();
    let mut frame = [0; ANSWER];
    for _ in 0..2 {
        stream.read_exact(&mut frame).await.unwrap();
        assert_eq!(parts(&frame), Some((asked, "laico2")));
    }
    stream.write_all(&request(7, 1)).await.unwrap();
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(parts(&frame), Some((request(7, 1), "laico2")));
}

#[tokio::test]
async fn an_order_ends_an_opening_that_waits_for_it() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let _server = tokio::spawn(async move { server::serve(&listener, "laico2").await });
    let spec = ClientSpec {
        service: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
        // The second one would take a port that may be another's, were it ever begun.
        first_port: 0,
        connections: 1000,
        rate: 1,
        habits: vec![Habit::Idle],
        until_asked: true,
    };
    let (orders, mut lines) = mpsc::unbounded_channel();
    let order = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        orders.send(String::from("now")).unwrap();
    };
    let (opened, ()) = tokio::join!(open(&spec, &mut lines), order);
    let (opened, connections, line) = opened.unwrap();
    assert_eq!(line.as_deref(), Some("now"));
    assert_eq!((opened.len(), connections.len()), (1, 1));
}
