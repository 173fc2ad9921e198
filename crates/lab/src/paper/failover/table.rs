//! The report as people read it.

use crate::paper::failover::judge::{Counts, Numbers};
use crate::paper::failover::report::{Measured, Report, Spread};
use crate::paper::failover::rows::{Fault, directors_in_words};
use crate::paper::figure::put;

/// One attempt, in a line.
pub(super) fn of_attempt(numbers: &Numbers) -> String {
    let mut text = String::new();
    if let Some(counts) = &numbers.counts {
        let Counts {
            established,
            established_besides,
            broken,
            broken_younger_than_lag,
            broken_after_fault,
            requests,
            requests_failed,
            ..
        } = counts;
        put(
            &mut text,
            format_args!(
                "{established} and {established_besides} new ones established, {broken} broken, and {broken_younger_than_lag} younger than the lag \
                 and {broken_after_fault} after the fault; {requests_failed} of {requests} requests failed; "
            ),
        );
    }
    put(
        &mut text,
        format_args!(
            "gap {:.1} ms, {} of {} datagrams lost, {} doubled; takeover {}, held twice {:.1} ms{}{}\n",
            numbers.gap_ms,
            numbers.probe_lost,
            numbers.probes,
            numbers.probe_duplicated,
            numbers
                .takeover_ms
                .map_or_else(|| String::from("unseen"), |time| format!("{time:.1} ms")),
            numbers.held_twice_ms,
            if numbers.settled {
                ""
            } else {
                "; the directors did NOT settle"
            },
            if numbers.stalled {
                "; this machine stood still"
            } else {
                ""
            },
        ),
    );
    text
}

/// All rows.
pub(super) fn of_report(report: &Report) -> String {
    let mut text = format!(
        "\n{} connections; each fault is played {} times. A connection is broken if, after the fault, it is reset, answered by\n\
         another server, or not answered. Before the `+` are those that were asked for, behind it those of a\n\
         stream of new ones that stood as well; `younger` were established for no longer than the lag, `after`\n\
         were made after the fault. Connections and requests are of all attempts together; times are min /\n\
         median / max in ms, of rounds in which this machine did not stand still. The gap is the longest\n\
         silence of a datagram every millisecond, the takeover the time until the heir announces the address.\n\
         With `own echo` each director answers the probe itself, as keepalived's have to.\n\n",
        report.settings.connections, report.settings.rounds
    );
    put(
        &mut text,
        format_args!(
            "{:<20}{:<20}{:>16}{:>8}{:>8}{:>8}{:>8}{:>7}{:>8}{:>30}{:>30}{:>7}\n",
            "fault",
            "directors",
            "established",
            "broken",
            "younger",
            "after",
            "failed",
            "lost",
            "doubled",
            "gap",
            "takeover",
            "twice"
        ),
    );
    let mut last = None;
    for measured in &report.rows {
        put(&mut text, format_args!("{}", of_row(measured, last)));
        last = Some(measured.row.fault);
    }
    text.push_str(&notes(report));
    text
}

fn of_row(measured: &Measured, last: Option<Fault>) -> String {
    let row = measured.row;
    let title = match last {
        Some(fault) if fault == row.fault => "",
        Some(_) | None => row.fault.name(),
    };
    let established = measured.counts.as_ref().map_or_else(
        || String::from("-"),
        |counts| format!("{} + {}", counts.established, counts.established_besides),
    );
    let of = |figure: fn(&Counts) -> u64| or_none(measured.counts.as_ref().map(figure));
    let twice = measured.held_twice_ms.as_ref();
    format!(
        "{title:<20}{:<20}{:>16}{:>8}{:>8}{:>8}{:>8}{:>7}{:>8}{:>30}{:>30}{:>7}\n",
        directors_in_words(row.directors, row.scheduler),
        established,
        of(|counts| counts.broken),
        of(|counts| counts.broken_younger_than_lag),
        of(|counts| counts.broken_after_fault),
        of(|counts| counts.requests_failed),
        or_none(measured.probe_lost),
        or_none(measured.probe_duplicated),
        three(measured.gap_ms.as_ref()),
        three(measured.takeover_ms.as_ref()),
        twice.map_or_else(|| String::from("-"), |twice| format!("{:.0}", twice.max)),
    )
}

fn or_none(figure: Option<u64>) -> String {
    figure.map_or_else(|| String::from("-"), |figure| figure.to_string())
}

fn three(spread: Option<&Spread>) -> String {
    spread.map_or_else(
        || String::from("-"),
        |Spread { min, median, max }| format!("{min:.1} / {median:.1} / {max:.1}"),
    )
}

fn notes(report: &Report) -> String {
    let mut text = String::new();
    if !report.keepalived {
        text.push_str(
            "\nkeepalived is not installed (`apt-get install keepalived`): its rows are left out.\n",
        );
    }
    for measured in &report.rows {
        let name = measured.row.name();
        if let Some(counts) = measured.counts.filter(|counts| counts.missing > 0) {
            put(
                &mut text,
                format_args!(
                    "\n{name}: {} connections did not stand when the fault came.\n",
                    counts.missing
                ),
            );
        }
        if measured.unsettled > 0 {
            put(
                &mut text,
                format_args!(
                    "\n{name}: {} times the directors did NOT get the roles that they should have.\n",
                    measured.unsettled
                ),
            );
        }
        if measured.stalled > 0 {
            put(
                &mut text,
                format_args!(
                    "\n{name}: {} of {} rounds are left out, for this machine stood still in each attempt.\n",
                    measured.stalled, measured.rounds
                ),
            );
        }
        if measured.is_too_noisy() {
            text.push_str("The machine is too noisy: these times prove nothing.\n");
        }
    }
    text
}

#[cfg(test)]
mod tests;
