//! Connection sync in `evenkeel status`.

use evenkeel_api::{Status, SyncDirection, SyncPeerStatus};

use super::add;

pub(super) fn render(out: &mut String, status: &Status) {
    let Some(sync) = &status.sync else {
        return;
    };
    for peer in &sync.peers {
        let way = peer
            .way
            .map_or_else(String::new, |way| format!(" by {way}"));
        add(
            out,
            format_args!("\nconnection sync with {}{way}\n", peer.name),
        );
        let most = peer
            .lag_most_ms
            .map_or_else(String::new, |most| format!(" ({most} in the last second)"));
        add(
            out,
            format_args!(
                "  connections of this director there: {}{most}\n",
                half(&peer.outgoing)
            ),
        );
        add(
            out,
            format_args!("  its connections here: {}\n", half(&peer.incoming)),
        );
        render_troubles(out, peer);
    }
    let bad = ["waiting-for-service-or-server", "no-room", "senseless"];
    for count in &sync.received {
        if bad.contains(&count.kind.as_str()) {
            add(
                out,
                format_args!("  {:>9}  not taken in: {}\n", count.count, count.kind),
            );
        }
    }
}

fn half(direction: &SyncDirection) -> String {
    let lag = match direction.lag_ms {
        Some(lag) if direction.state != "down" => {
            format!(
                ", {} on their way, at most {lag} ms behind",
                direction.outstanding
            )
        }
        Some(_) | None => String::new(),
    };
    format!("{}{lag}", direction.state)
}

fn render_troubles(out: &mut String, peer: &SyncPeerStatus) {
    if peer.same_services == Some(false) {
        out.push_str("  its services or servers are others: compare the config files\n");
    }
    for trouble in &peer.troubles {
        add(out, format_args!("  {trouble}\n"));
    }
}
