use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::*;
use crate::{ChosenBy, ErrorKind, GateStatus, Protocol, TCP_SYN, TraceVerdict};

/// Answers one connection with `answer`, whatever it asks.
fn serve_once(path: &Path, answer: String) -> tokio::task::JoinHandle<String> {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        let (mut stream, _peer) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            request.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    })
}

fn http(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}")
}

#[tokio::test]
async fn a_missing_socket_means_that_the_daemon_is_not_running() {
    let dir = tempfile::tempdir().unwrap();
    let error = Client::new(dir.path().join("none.sock")).status().await;
    assert!(matches!(error, Err(ClientError::NotRunning { .. })));
}

#[tokio::test]
async fn a_socket_that_nobody_listens_on_means_that_the_daemon_is_not_running() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let error = Client::new(path).status().await;
    assert!(matches!(error, Err(ClientError::NotRunning { .. })));
}

#[tokio::test]
async fn services_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    let server = serve_once(&path, http("200 OK", r#"{"api_version":1,"services":[]}"#));
    let services = Client::new(path).services().await.unwrap();
    assert!(services.services.is_empty());
    assert!(
        server
            .await
            .unwrap()
            .starts_with("GET /v1/services HTTP/1.1\r\n")
    );
}

#[tokio::test]
async fn a_trace_is_asked_for_with_its_packet() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    let body = r#"{"api_version":1,"packet":{"protocol":"udp","client":"198.18.14.1:4000",
        "virtual_address":"198.18.14.146:53"},"verdict":"forward","drop_reason":null,"gate":"open",
        "virtual_router":null,"service":{"name":"dns","scheduler":"rr"},"entry":null,
        "entry_after":{"half_open":true,"state":"UDP","expires_s":300,"assured":false,
        "server":"198.18.14.12:53"},"chosen_by":"scheduler","server":{"address":"198.18.14.12:53",
        "forwarding":"direct","mac":"02:00:00:00:01:0c"},"events":[],"why":"w","hints":[]}"#;
    let server = serve_once(&path, http("200 OK", body));
    let packet = TraceQuery {
        protocol: Protocol::Udp,
        client: "198.18.14.1:4000".parse().unwrap(),
        virtual_address: "198.18.14.146:53".parse().unwrap(),
        flags: TCP_SYN,
    };
    let answer = Client::new(path).trace(&packet).await.unwrap();
    assert_eq!(answer.packet, packet, "the flags have a default");
    assert_eq!(answer.verdict, TraceVerdict::Forward);
    assert_eq!(answer.chosen_by, Some(ChosenBy::Scheduler));
    let request = server.await.unwrap();
    let expected = "GET /v1/trace?protocol=udp&client=198.18.14.1:4000&virtual_address=198.18.14.146:53&flags=2 HTTP/1.1\r\n";
    assert!(request.starts_with(expected), "{request}");
}

#[tokio::test]
async fn events_are_asked_for_with_their_number_and_a_wait_within_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let body = r#"{"api_version":1,"daemon_started_ms":5,"next":8,"lost":0,"events":[
        {"seq":8,"time_ms":6,"kind":"server-up","message":"m","warning":false,
         "virtual_router":null,"service":"web","server":"198.18.14.12:80"}]}"#;
    let cases = [
        (Duration::from_millis(1_500), "1500"),
        (Duration::from_hours(1), "30000"),
    ];
    for (wait, asked) in cases {
        let path = dir.path().join(asked);
        let server = serve_once(&path, http("200 OK", body));
        let events = Client::new(path).events(7, wait).await.unwrap();
        assert_eq!((events.next, events.events[0].seq), (8, 8));
        let request = server.await.unwrap();
        let expected = format!("GET /v1/events?after=7&wait_ms={asked} HTTP/1.1\r\n");
        assert!(request.starts_with(&expected), "{request}");
    }
}

#[tokio::test]
async fn a_daemon_from_before_virtual_routers_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    let body = r#"{"api_version":1,"services":[{"protocol":"tcp","address":"198.18.14.146:80",
        "scheduler":"rr","totals":{"conns":0,"in_packets":0,"in_bytes":0},
        "rates":{"cps":0,"in_pps":0,"in_bps":0},"servers":[]}]}"#;
    let _server = serve_once(&path, http("200 OK", body));
    let services = Client::new(path).services().await.unwrap().services;
    assert_eq!(services[0].gate, GateStatus::Open);
    assert_eq!(services[0].virtual_router, None);

    let path = dir.path().join("status.sock");
    let body = r#"{"api_version":1,"version":"0.1.0","director":"laicoz","pid":7,"started":0,
        "adopted":false,"ready":true,"interface":{"name":"eth0","mac":"02:00:00:00:00:01","mode":"generic"},
        "tables":{"connections":0,"connections_max":1,"half_open":0,"half_open_max":1,"unassured":0,
        "flood_mode":false},"services":[],"drops":[],"events":[],"problems":[]}"#;
    let _server = serve_once(&path, http("200 OK", body));
    let status = Client::new(path).status().await.unwrap();
    assert!(status.virtual_routers.is_empty() && status.vrrp_thread.is_none());
}

#[tokio::test]
async fn a_refusal_carries_the_daemons_words() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    let refusal = ErrorAnswer {
        api_version: API_VERSION,
        kind: ErrorKind::Config,
        error: "no good".to_owned(),
        hints: vec!["mend it".to_owned()],
    };
    let body = serde_json::to_string(&refusal).unwrap();
    let _server = serve_once(&path, http("422 Unprocessable Content", &body));
    let error = Client::new(path)
        .reload(ReloadQuery::default())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "no good");
    assert!(matches!(error, ClientError::Refused(answer) if answer == refusal));
}

#[tokio::test]
async fn another_version_of_the_api_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    let _server = serve_once(&path, http("200 OK", r#"{"api_version":2,"nodes":[]}"#));
    let error = Client::new(path).services().await.unwrap_err();
    assert!(matches!(error, ClientError::Version { found: 2 }));
}

#[tokio::test]
async fn a_daemon_that_hangs_up_is_an_error_and_no_hang() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    let _server = serve_once(&path, String::new());
    let error = Client::new(path).status().await.unwrap_err();
    assert!(
        matches!(error, ClientError::Http { .. } | ClientError::Answer { .. }),
        "{error:?}"
    );
}
