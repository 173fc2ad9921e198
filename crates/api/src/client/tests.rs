use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::*;
use crate::ErrorKind;

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
    let error = Client::new(path).reload().await.unwrap_err();
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
