use evenkeel_api::Client;

use super::*;

#[tokio::test]
async fn requests_reach_the_loop_and_answers_the_client() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run/api.sock");
    let mut socket = Socket::bind(&path).await.unwrap();
    let mut requests = socket.serve(watch::channel(0).1);
    let client = tokio::spawn(async move { Client::new(path).reload().await });
    let Some(Request::Reload(answer)) = requests.recv().await else {
        panic!("a reload was asked for");
    };
    let expected = ReloadAnswer {
        api_version: API_VERSION,
        file: "f.toml".to_owned(),
        changed: vec!["service `web` added".to_owned()],
        warnings: Vec::new(),
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
