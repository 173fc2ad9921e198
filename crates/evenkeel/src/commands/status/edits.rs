//! Edits by hand in `status`.

use std::net::SocketAddr;

use evenkeel_api::{EditKind, EditedServer, EditedService, Edits, ServiceSettings};

use super::{add, render_table};

pub(super) fn render(out: &mut String, edits: &Edits) {
    if edits.is_empty() {
        return;
    }
    out.push_str("\nedits by hand (`evenkeel reload --forget-edits` forgets them)\n");
    let rows: Vec<[String; 3]> = edits.services.iter().flat_map(of_service).collect();
    render_table(out, &rows);
    let timeouts = edits.timeouts;
    let set = [
        ("tcp", timeouts.tcp_s),
        ("tcpfin", timeouts.tcp_fin_s),
        ("udp", timeouts.udp_s),
    ];
    for (name, seconds) in set {
        if let Some(seconds) = seconds {
            add(out, format_args!("  timeout {name} {seconds} s\n"));
        }
    }
}

fn of_service(edited: &EditedService) -> impl Iterator<Item = [String; 3]> {
    let name = edited.service.to_string();
    let itself = edited.edit.map(|kind| {
        let settings = edited.settings.as_ref();
        [
            name.clone(),
            kind.name().to_owned(),
            of_settings(kind, settings),
        ]
    });
    let of_server_at = {
        let name = name.clone();
        move |server: &SocketAddr| format!("{name} -> {server}")
    };
    let drained = edited.drained.iter().map(move |server| {
        let (what, more) = ("drained".to_owned(), String::new());
        [of_server_at(server), what, more]
    });
    let servers = edited.servers.iter().map(move |server| {
        let name = format!("{name} -> {}", server.address);
        [name, server.edit.name().to_owned(), of_server(server)]
    });
    itself.into_iter().chain(servers).chain(drained)
}

fn of_settings(kind: EditKind, settings: Option<&ServiceSettings>) -> String {
    let mut what = match settings {
        Some(settings) => settings.scheduler.clone(),
        None => String::new(),
    };
    if let Some(persistence) = settings.and_then(|settings| settings.options.persistence) {
        what += &format!(", persistent {} s", persistence.timeout_s);
    }
    if kind == EditKind::Added {
        what += ", not checked";
    }
    what
}

fn of_server(server: &EditedServer) -> String {
    let Some(settings) = server.settings else {
        return String::new();
    };
    let (weight, thresholds) = (settings.weight, settings.thresholds);
    let mut what = format!("weight {weight}");
    if thresholds.upper > 0 {
        what += &format!(", thresholds {} and {}", thresholds.upper, thresholds.lower);
    }
    what
}
