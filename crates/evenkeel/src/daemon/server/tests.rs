use evenkeel_api::Client;

use super::*;

#[tokio::test]
async fn requests_reach_the_loop_and_answers_the_client() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run/api.sock");
    let mut socket = Socket::bind(&path).await.unwrap();
    let mut requests = socket.serve(watch::channel(0).1);
    let client = tokio::spawn(async move {
        Client::new(path)
            .reload(ReloadQuery { forget_edits: true })
            .await
    });
    let Some(Request::Reload(ReloadQuery { forget_edits: true }, answer)) = requests.recv().await
    else {
        panic!("a reload was asked for");
    };
    let expected = ReloadAnswer {
        api_version: API_VERSION,
        file: "f.toml".to_owned(),
        changed: vec!["service `web` added".to_owned()],
        warnings: Vec::new(),
        edits: Vec::new(),
    };
    answer.send(Ok(expected.clone())).unwrap();
    assert_eq!(client.await.unwrap().unwrap(), expected);
}

#[tokio::test]
async fn an_order_to_hand_over_reaches_the_loop_as_it_was_given() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.sock");
    let mut socket = Socket::bind(&path).await.unwrap();
    let mut requests = socket.serve(watch::channel(0).1);
    let order = HandoverRequest {
        order: evenkeel_api::HandoverOrder::MaintenanceForced,
        routers: vec!["front".to_owned()],
        to: Some([192, 0, 2, 9].into()),
        patience_ms: Some(250),
    };
    let asked = order.clone();
    let client = tokio::spawn(async move { Client::new(path).hand_over(&asked).await });
    let Some(Request::HandOver(given, answer)) = requests.recv().await else {
        panic!("an order was given");
    };
    assert_eq!(given, order);
    let expected = HandoverAnswer {
        api_version: API_VERSION,
        routers: Vec::new(),
        maintenance: true,
    };
    answer.send(Ok(expected.clone())).unwrap();
    assert_eq!(client.await.unwrap().unwrap(), expected);
}

#[tokio::test]
async fn a_second_daemon_finds_the_socket_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.sock");
    let mut socket = Socket::bind(&path).await.unwrap();
    let _requests = socket.serve(watch::channel(0).1);
    let error = Socket::bind(&path).await.unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error}");
}

#[tokio::test]
async fn a_dead_daemons_socket_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let socket = Socket::bind(&path).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    drop(socket);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_in_the_sockets_place_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.sock");
    std::fs::write(&path, "precious").unwrap();
    let error = Socket::bind(&path).await.unwrap_err();
    assert!(matches!(error, BindError::Failed { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

/// Asks for a path on a socket of its own and returns all that is answered, with the request's packet.
async fn ask_for_trace(query: &str) -> (String, Option<TraceQuery>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.sock");
    let mut socket = Socket::bind(&path).await.unwrap();
    let mut requests = socket.serve(watch::channel(0).1);
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let request =
        format!("GET {TRACE_PATH}?{query} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let mut packet = None;
    loop {
        tokio::select! {
            read = stream.read_to_string(&mut answer) => {
                read.unwrap();
                return (answer, packet);
            }
            Some(request) = requests.recv() => {
                let Request::Trace(asked, sender) = request else {
                    panic!("a trace was asked for");
                };
                packet = Some(asked);
                sender.send(Err(failed("no"))).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_trace_without_flags_is_of_a_syn() {
    let query = "protocol=tcp&client=198.18.14.1:4000&virtual_address=198.18.14.146:80";
    let (answer, packet) = ask_for_trace(query).await;
    assert!(answer.contains(r#""error":"no""#), "{answer}");
    assert_eq!(packet.unwrap().flags, evenkeel_api::TCP_SYN);
}

#[tokio::test]
async fn a_packet_that_is_not_understood_is_refused_in_the_apis_words() {
    for query in ["protocol=tcp", "protocol=sctp&client=c&virtual_address=v"] {
        let (answer, packet) = ask_for_trace(query).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        let (_head, body) = answer.split_once("\r\n\r\n").unwrap();
        let refusal: ErrorAnswer = serde_json::from_str(body).unwrap();
        assert!(refusal.error.contains("packet to trace"), "{refusal:?}");
        assert_eq!(packet, None);
    }
}
