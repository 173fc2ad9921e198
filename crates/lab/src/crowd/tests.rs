use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::client::{ask, open};
use super::*;

#[test]
fn an_answer_names_its_server_to_the_request_that_it_answers_alone() {
    let request = 0x2710_0000_0001_u64.to_be_bytes();
    let answer = answer(request, "laico2");
    assert_eq!(name_in(&answer, request).as_deref(), Some("laico2"));
    assert_eq!(name_in(&answer, [0; REQUEST]), None);
}

#[test]
fn the_longest_name_of_a_node_fits() {
    let name = "a-name-of-15-ch";
    let answer = answer([1; REQUEST], name);
    assert_eq!(name_in(&answer, [1; REQUEST]).as_deref(), Some(name));
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
    };
    let mut connections = Vec::new();
    for _ in 0..4 {
        let (opened, mut one) = open(&spec).await;
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
    let (asked, whole) = ask(connections, &order, 1).await.unwrap();
    let outcomes: Vec<_> = asked.iter().map(|one| one.outcome).collect();
    assert!(matches!(outcomes[0], Outcome::Answered(when) if when >= asked[0].sent));
    let broken = [Outcome::OtherServer, Outcome::Reset, Outcome::Unanswered];
    assert_eq!(outcomes[1..], broken);
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
        assert_eq!(name_in(&answer, request).as_deref(), Some("laico2"));
    }
}
