use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::*;

fn target(address: SocketAddr, path: &str) -> Arc<Target> {
    Arc::new(Target {
        address,
        path: String::from(path),
        deadline: Duration::ZERO,
    })
}

/// Runs streams until `enough` answers came, then ends them.
async fn played(target: Arc<Target>, count: usize, enough: u64) -> Vec<Stream> {
    let (stop, stopped) = watch::channel(false);
    let answers = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&answers);
    let streams = tokio::spawn(run(target, Arc::new(Ports::new()), count, counter, stopped));
    while answers.load(Ordering::Relaxed) < enough && !streams.is_finished() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.send_replace(true);
    streams.await.unwrap()
}

#[tokio::test]
async fn each_stream_is_one_connection_with_many_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { crate::http_server::serve(listener, "web").await });
    let from = Instant::now();
    let streams = played(target(address, "/"), 3, 60).await;
    let to = Instant::now();
    assert_eq!(streams.len(), 3);
    for stream in &streams {
        assert_eq!(stream.broke, None);
        assert!(stream.answers.len() > 5, "{}", stream.answers.len());
        let stall = stream.longest_stall(from, to).length;
        assert!(stall >= PAUSE && stall < to - from, "{stall:?}");
    }
    let ports: std::collections::BTreeSet<u16> = streams.iter().map(|s| s.client_port).collect();
    assert_eq!(ports.len(), 3);
}

#[tokio::test]
async fn a_stream_that_waits_for_its_answer_stalls_but_has_not_broken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { crate::http_server::serve(listener, "web").await });
    let (stop, stopped) = watch::channel(false);
    let answers = Arc::default();
    let target = target(address, "/hang");
    let from = Instant::now();
    let streams = tokio::spawn(run(target, Arc::default(), 1, answers, stopped));
    tokio::time::sleep(Duration::from_millis(30)).await;
    stop.send_replace(true);
    let streams = streams.await.unwrap();
    let to = Instant::now();
    assert_eq!(streams[0].broke, None);
    assert_eq!(streams[0].longest_stall(from, to).length, to - from);
}

#[tokio::test]
async fn a_connection_that_ends_is_a_break_and_is_not_made_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = tokio::spawn(async move {
        let (stream, _client) = listener.accept().await.unwrap();
        drop(stream);
        listener
    });
    let streams = played(target(address, "/"), 1, 1).await;
    assert!(streams[0].broke.is_some() && streams[0].answers.is_empty());
    let listener = accepted.await.unwrap();
    let again = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(again.is_err(), "a second connection came");
}

#[tokio::test]
async fn an_answer_that_is_no_success_is_a_break() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { crate::http_server::serve(listener, "web").await });
    let streams = played(target(address, "/status/503"), 1, 1).await;
    let why = streams[0].broke.as_ref().map(|(_when, why)| why.as_str());
    assert_eq!(why, Some("status 503 Service Unavailable"));
}
