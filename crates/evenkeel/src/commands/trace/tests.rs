use evenkeel_api::{
    API_VERSION, ConnectionState, Forwarding, Role, RouterRole, TracedServer, TracedService,
};

use super::*;

/// A SYN that begins a flow.
fn answer() -> TraceAnswer {
    let server = "198.18.14.13:80".parse().unwrap();
    TraceAnswer {
        api_version: API_VERSION,
        packet: TraceQuery {
            protocol: Protocol::Tcp,
            client: "198.18.14.1:40000".parse().unwrap(),
            virtual_address: "198.18.14.146:80".parse().unwrap(),
            flags: TCP_SYN,
        },
        verdict: TraceVerdict::Forward,
        drop_reason: None,
        gate: Some(GateStatus::Open),
        virtual_router: None,
        service: Some(TracedService {
            name: Some("web".to_owned()),
            scheduler: "rr".to_owned(),
        }),
        entry: None,
        entry_after: Some(TracedEntry {
            half_open: true,
            state: ConnectionState::SynRecv,
            expires_s: 60,
            assured: false,
            server,
        }),
        chosen_by: Some(ChosenBy::Scheduler),
        server: Some(TracedServer {
            address: server,
            forwarding: Forwarding::Direct,
            mac: Some("02:00:00:00:01:0d".to_owned()),
            interface: Some("eth1".to_owned()),
            vlan: Some(100),
        }),
        events: Vec::new(),
        why: "it begins a flow".to_owned(),
        hints: Vec::new(),
    }
}

#[test]
fn a_packet_that_is_forwarded_is_shown_with_its_server_and_entry() {
    let expected = "\
TCP SYN from 198.18.14.1:40000 to 198.18.14.146:80
  verdict  forward to 198.18.14.13:80 (02:00:00:00:01:0d by eth1, VLAN 100)
  why      it begins a flow
  service  web, scheduler rr
  gate     open
  chosen   by the scheduler
  entry    none; it gets half-open, SYN_RECV, 198.18.14.13:80, 60 s
";
    assert_eq!(render(&answer()), expected);
}

#[test]
fn an_entry_is_shown_with_what_becomes_of_it() {
    let mut known = answer();
    known.packet.flags = TCP_ACK | TCP_FIN;
    known.chosen_by = Some(ChosenBy::Entry);
    known.why = "its flow has an entry".to_owned();
    let entry = TracedEntry {
        half_open: false,
        state: ConnectionState::Established,
        expires_s: 890,
        assured: false,
        server: "198.18.14.13:80".parse().unwrap(),
    };
    known.entry = Some(entry);
    known.entry_after = Some(TracedEntry {
        state: ConnectionState::FinWait,
        expires_s: 120,
        assured: true,
        ..entry
    });
    let expected = "\
TCP ACK+FIN from 198.18.14.1:40000 to 198.18.14.146:80
  verdict  forward to 198.18.14.13:80 (02:00:00:00:01:0d by eth1, VLAN 100)
  why      its flow has an entry
  service  web, scheduler rr
  gate     open
  chosen   by the flow's entry
  entry    established (unassured), ESTABLISHED, 198.18.14.13:80, 890 s; becomes established, FIN_WAIT, 198.18.14.13:80, 120 s
";
    assert_eq!(render(&known), expected);
    known.entry_after = Some(TracedEntry {
        expires_s: 900,
        ..entry
    });
    let refreshed = "  entry    established (unassured), ESTABLISHED, 198.18.14.13:80, 890 s\n";
    assert!(render(&known).ends_with(refreshed), "{}", render(&known));
}

#[test]
fn a_packet_that_goes_to_no_server_is_shown_with_its_reason_and_hints() {
    let mut passed = answer();
    passed.packet.protocol = Protocol::Udp;
    passed.verdict = TraceVerdict::Pass;
    passed.gate = Some(GateStatus::Closed);
    passed.virtual_router = Some(RouterRole {
        name: "paper".to_owned(),
        role: Role::Backup,
    });
    (passed.entry_after, passed.chosen_by, passed.server) = (None, None, None);
    passed.why = "the gate is closed".to_owned();
    passed.hints = vec!["Ask the Active.".to_owned()];
    let expected = "\
UDP from 198.18.14.1:40000 to 198.18.14.146:80
  verdict  pass to this director's own stack, untouched
  why      the gate is closed
  service  web, scheduler rr
  gate     closed, backup in virtual router paper
  entry    none
  hint     Ask the Active.
";
    assert_eq!(render(&passed), expected);
    passed.verdict = TraceVerdict::Drop;
    passed.drop_reason = Some("server-gone".to_owned());
    passed.events = vec!["flood-began".to_owned()];
    let text = render(&passed);
    assert!(text.contains("  verdict  drop (server-gone)\n"), "{text}");
    assert!(text.contains("  counted  flood-began\n"), "{text}");
    passed.verdict = TraceVerdict::Answer;
    passed.drop_reason = Some("no-server".to_owned());
    let text = render(&passed);
    let expected = "  verdict  answer with an ICMP error (no-server)\n";
    assert!(text.contains(expected), "{text}");
}
