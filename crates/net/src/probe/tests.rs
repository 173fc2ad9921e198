use std::sync::Arc;
use std::time::Instant;

use evenkeel_model::BodyMatch;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(200);

/// Takes one connection after the other: reads the request's head, lets `answer` write.
async fn serve<F, Fut>(answer: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_head(&mut stream).await;
            tokio::spawn(answer(stream));
        }
    });
    address
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

async fn serve_text(text: impl Into<String>) -> SocketAddr {
    let text: Arc<str> = text.into().into();
    serve(move |mut stream| {
        let text = Arc::clone(&text);
        async move {
            let _ = stream.write_all(text.as_bytes()).await;
        }
    })
    .await
}

fn http(status: Option<u16>, body: Option<&str>) -> CheckKind {
    CheckKind::Http {
        path: "/".to_owned(),
        host: None,
        status,
        body: body.map(|text| BodyMatch(text.to_owned())),
    }
}

async fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

fn failure(result: Result<(), String>) -> String {
    result.unwrap_err()
}

#[tokio::test]
async fn tcp_succeeds_where_a_connection_is_accepted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(run(&CheckKind::Tcp, address, TIMEOUT).await, Ok(()));
    // The connection ends in order: no reset.
    let (mut stream, _) = listener.accept().await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    let address = refusing().await;
    for kind in [CheckKind::Tcp, http(None, None)] {
        let reason = failure(run(&kind, address, TIMEOUT).await);
        assert_eq!(reason, "connection refused");
    }
}

#[tokio::test]
async fn the_request_is_a_plain_get_that_names_evenkeel() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            seen.lock().await.push(read_head(&mut stream).await);
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await;
        }
    });
    let named = CheckKind::Http {
        path: "/health?deep=1".to_owned(),
        host: Some("www.example.org".to_owned()),
        status: None,
        body: None,
    };
    assert_eq!(run(&http(None, None), address, TIMEOUT).await, Ok(()));
    assert_eq!(run(&named, address, TIMEOUT).await, Ok(()));
    let heads = heads.lock().await;
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        heads[0],
        format!(
            "GET / HTTP/1.1\r\nhost: {address}\r\nuser-agent: evenkeel/{version}\r\n\
             accept: */*\r\nconnection: close\r\n\r\n"
        )
    );
    assert!(heads[1].starts_with("GET /health?deep=1 HTTP/1.1\r\nhost: www.example.org\r\n"));
}

#[tokio::test]
async fn any_2xx_is_expected_unless_a_status_is_given() {
    let created = serve_text("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await;
    let down = serve_text("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(run(&http(None, None), created, TIMEOUT).await, Ok(()));
    assert_eq!(run(&http(Some(503), None), down, TIMEOUT).await, Ok(()));
    assert_eq!(
        failure(run(&http(Some(200), None), created, TIMEOUT).await),
        "status 201, expected 200"
    );
    assert_eq!(
        failure(run(&http(None, None), down, TIMEOUT).await),
        "status 503, expected 2xx"
    );
}

#[tokio::test]
async fn the_body_must_contain_the_text() {
    let address = serve_text(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
         6\r\nall is\r\n5\r\n well\r\n0\r\n\r\n",
    )
    .await;
    let old = serve_text("HTTP/1.0 200 OK\r\n\r\nall is well").await;
    for address in [address, old] {
        let kind = http(Some(200), Some("is well"));
        assert_eq!(run(&kind, address, TIMEOUT).await, Ok(()));
        assert_eq!(
            failure(run(&http(None, Some("ok")), address, TIMEOUT).await),
            "body does not contain `ok`"
        );
    }
}

#[tokio::test]
async fn only_the_first_64_kib_of_a_body_count() {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    let inside = format!("{head}{}needle", "x".repeat(64 * 1024 - 6));
    let astride = format!("{head}{}needle", "x".repeat(64 * 1024 - 5));
    let kind = http(None, Some("needle"));
    assert_eq!(run(&kind, serve_text(inside).await, TIMEOUT).await, Ok(()));
    assert_eq!(
        failure(run(&kind, serve_text(astride).await, TIMEOUT).await),
        "body does not contain `needle`"
    );
}

#[tokio::test]
async fn an_endless_body_is_left_at_the_cap() {
    let address = serve(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    assert_eq!(run(&http(None, None), address, TIMEOUT).await, Ok(()));
}

#[tokio::test]
async fn a_hung_server_is_given_up_at_the_deadline() {
    let address = serve(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let begin = Instant::now();
    assert_eq!(
        failure(run(&http(None, None), address, SHORT).await),
        "no answer within 200ms"
    );
    assert!(begin.elapsed() < TIMEOUT);
}

#[tokio::test]
async fn a_slow_drip_does_not_stretch_the_deadline() {
    let head = serve(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        drip(stream, b"x").await;
    })
    .await;
    let body = serve(|mut stream| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n")
            .await;
        drip(stream, b"x").await;
    })
    .await;
    let begin = Instant::now();
    assert_eq!(
        failure(run(&http(None, None), head, SHORT).await),
        "no answer within 200ms"
    );
    assert_eq!(
        failure(run(&http(None, None), body, SHORT).await),
        "answer not complete within 200ms"
    );
    assert!(begin.elapsed() < TIMEOUT);
}

async fn drip(mut stream: TcpStream, bytes: &[u8]) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    while stream.write_all(bytes).await.is_ok() {
        ticks.tick().await;
    }
}

#[tokio::test]
async fn a_huge_header_is_refused() {
    let huge = "y".repeat(64 * 1024);
    let address = serve_text(format!("HTTP/1.1 200 OK\r\nx: {huge}\r\n\r\n")).await;
    assert_eq!(
        failure(run(&http(None, None), address, TIMEOUT).await),
        "answer's header is larger than 16 KiB"
    );
    let many = "a: b\r\n".repeat(1000);
    let address = serve_text(format!("HTTP/1.1 200 OK\r\n{many}\r\n")).await;
    assert_eq!(
        failure(run(&http(None, None), address, TIMEOUT).await),
        "answer's header is larger than 16 KiB"
    );
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_called_so() {
    let address = serve_text("SSH-2.0-OpenSSH_9.2\r\n").await;
    assert_eq!(
        failure(run(&http(None, None), address, TIMEOUT).await),
        "answer is not HTTP/1"
    );
}

#[tokio::test]
async fn a_connection_that_closes_early_is_called_so() {
    let reason = "connection closed before the answer was complete";
    let silent = serve(|stream| async move { drop(stream) }).await;
    assert_eq!(
        failure(run(&http(None, None), silent, TIMEOUT).await),
        reason
    );
    let torn = serve_text("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
    assert_eq!(failure(run(&http(None, None), torn, TIMEOUT).await), reason);
}

#[tokio::test]
async fn a_path_that_is_no_path_is_refused_without_a_connection() {
    let kind = CheckKind::Http {
        path: "/a b".to_owned(),
        host: None,
        status: None,
        body: None,
    };
    let reason = failure(run(&kind, refusing().await, TIMEOUT).await);
    assert!(reason.starts_with("can't ask for `/a b`"), "{reason}");
}
