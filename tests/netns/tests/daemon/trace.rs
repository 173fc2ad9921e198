//! `evenkeel trace` beside real traffic.

use std::net::SocketAddrV4;

use evenkeel_api::{
    ChosenBy, ConnectionState, Forwarding, GateStatus, TraceAnswer, TraceVerdict, TracedEntry,
};
use evenkeel_netns_tests::Cluster;
use evenkeel_netns_tests::backend::Backend;
use evenkeel_netns_tests::cluster::{CLIENT, VIP, config, server, service, vip};
use evenkeel_netns_tests::streams::{FIRST_PORT, STREAMS, Streams};

use crate::TCP;

/// Traces a packet of the client.
fn trace(cluster: &Cluster, client_port: u16, port: u16, flags: &[&str]) -> TraceAnswer {
    let (client, vip) = (format!("{CLIENT}:{client_port}"), vip(port).to_string());
    let words = [&["trace", "--json", &client, &vip], flags].concat();
    let told = cluster.evenkeel(&words).succeeded();
    serde_json::from_str(&told).unwrap()
}

/// Table and server of an entry.
fn held(entry: Option<TracedEntry>) -> Option<(bool, ConnectionState, String)> {
    entry.map(|e| (e.half_open, e.state, e.server.to_string()))
}

#[test]
fn a_connection_goes_where_a_trace_said_and_its_packets_find_it_there() {
    let cluster = Cluster::boot("t-trace", 2);
    let _backends: Vec<Backend> = (1..=2)
        .map(|n| Backend::start(&cluster, &server(n)))
        .collect();
    let _daemon = cluster.start_daemon(&config(&[service("streams", STREAMS, &[1, 2], TCP)]));
    cluster.wait_until_ready();

    let syn = trace(&cluster, FIRST_PORT, STREAMS, &[]);
    assert_eq!(
        (syn.verdict, syn.chosen_by, syn.gate),
        (
            TraceVerdict::Forward,
            Some(ChosenBy::Scheduler),
            Some(GateStatus::Open)
        )
    );
    assert_eq!(
        syn.service.clone().unwrap().name.as_deref(),
        Some("streams")
    );
    let chosen = syn.server.clone().unwrap();
    assert_eq!(chosen.forwarding, Forwarding::Direct);
    assert!(chosen.mac.is_some());
    // Asking takes no turn of the scheduler's and leaves no entry.
    assert_eq!(trace(&cluster, FIRST_PORT, STREAMS, &["--syn"]), syn);
    assert!(cluster.connections().connections.is_empty());
    assert_eq!(cluster.server_of(STREAMS, 1).conns, 0);
    let unknown = trace(&cluster, FIRST_PORT, STREAMS, &["--ack"]);
    assert_eq!(unknown.chosen_by, Some(ChosenBy::ConsistentHash));
    assert_eq!(unknown.events, ["unknown-flow"]);

    let streams = Streams::start(&cluster, 1);
    streams.all_get_on(&cluster);
    let connections = cluster.connections().connections;
    let of_client = SocketAddrV4::new(CLIENT, FIRST_PORT).into();
    let connection = connections.iter().find(|held| held.client == of_client);
    let server = connection.unwrap().destination;
    assert_eq!(server, chosen.address, "it went where the trace said");

    let ack = trace(&cluster, FIRST_PORT, STREAMS, &["--ack"]);
    assert_eq!(
        (ack.verdict, ack.chosen_by),
        (TraceVerdict::Forward, Some(ChosenBy::Entry))
    );
    assert_eq!(ack.server, Some(chosen));
    let established = (false, ConnectionState::Established, server.to_string());
    assert_eq!(held(ack.entry), Some(established));
    let fin = trace(&cluster, FIRST_PORT, STREAMS, &["--fin", "--ack"]);
    let closing = (false, ConnectionState::FinWait, server.to_string());
    assert_eq!(held(fin.entry_after), Some(closing));
    // The connection is none the worse for it.
    streams.all_get_on(&cluster);
    let ack = trace(&cluster, FIRST_PORT, STREAMS, &["--ack"]);
    assert_eq!(ack.entry.unwrap().state, ConnectionState::Established);

    for end in streams.stop() {
        end.unwrap();
    }
    says_what_is_not_there(&cluster);
}

fn says_what_is_not_there(cluster: &Cluster) {
    let none = trace(cluster, 1000, 9, &[]);
    assert_eq!((none.verdict, none.service), (TraceVerdict::Pass, None));
    let expected = format!("{VIP} is a virtual address, but has no TCP service at port 9");
    assert_eq!(none.why, expected);
    assert_eq!(none.hints, ["Its services: TCP 81."]);
    let (client, nobodys) = (format!("{CLIENT}:1000"), format!("{CLIENT}:80"));
    let told = cluster.evenkeel(&["trace", &client, &nobodys, "--udp"]);
    let expected = format!(
        "\
UDP from {client} to {nobodys}
  verdict  pass to this director's own stack, untouched
  why      {CLIENT} is no virtual address of this director
  hint     `evenkeel status` shows the services.
"
    );
    assert_eq!(told.succeeded(), expected);
}
