use super::*;

fn record(start: Instant, from_ms: u64, to_ms: u64, ok: bool) -> Record {
    Record {
        client_port: 10_000,
        started: start + Duration::from_millis(from_ms),
        finished: start + Duration::from_millis(to_ms),
        outcome: if ok {
            Ok(String::from("web"))
        } else {
            Err(String::from("deadline passed"))
        },
    }
}

#[test]
fn failures_do_not_end_a_gap() {
    let start = Instant::now();
    let records = [
        record(start, 0, 1, true),
        record(start, 5, 6, true),
        record(start, 10, 500, false),
        record(start, 15, 700, true),
        record(start, 20, 701, true),
    ];
    assert_eq!(longest_gap(&records), Duration::from_millis(694));
}

#[test]
fn a_load_without_any_success_is_one_gap() {
    let start = Instant::now();
    let records = [record(start, 0, 100, false), record(start, 5, 105, false)];
    assert_eq!(longest_gap(&records), Duration::from_millis(105));
    assert_eq!(longest_gap(&[]), Duration::ZERO);
}

#[test]
fn ports_repeat_only_after_all_were_used() {
    let ports = Ports::new();
    let used: std::collections::BTreeSet<u16> = (0..50_000).map(|_| ports.next()).collect();
    assert_eq!(used.len(), 50_000);
    assert_eq!(ports.next(), Ports::FIRST);
}

#[tokio::test]
async fn a_server_that_never_answers_fails_the_request_at_its_deadline() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target {
        address: listener.local_addr().unwrap(),
        path: String::from("/hang"),
        deadline: Duration::from_millis(50),
    };
    tokio::spawn(async move { crate::http_server::serve(listener, "web").await });
    let record = request(&target, &Ports::new()).await;
    assert_eq!(record.outcome, Err(String::from("deadline passed")));
    assert!(record.finished - record.started >= target.deadline);
}

#[tokio::test]
async fn the_servers_name_is_the_outcome_and_another_status_is_a_failure() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut target = Target {
        address: listener.local_addr().unwrap(),
        path: String::from("/"),
        deadline: Duration::from_secs(10),
    };
    tokio::spawn(async move { crate::http_server::serve(listener, "web").await });
    let ports = Ports::new();
    let record = request(&target, &ports).await;
    assert_eq!(record.outcome.as_deref(), Ok("web"));
    target.path = String::from("/status/503");
    let record = request(&target, &ports).await;
    assert_eq!(
        record.outcome,
        Err(String::from("status 503 Service Unavailable"))
    );
}
