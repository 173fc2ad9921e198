//! `check`: how the real servers of a service are checked.

use std::time::Duration;

use evenkeel_model::{BodyMatch, Cadence, Check, CheckKind};

use crate::diagnostic::{Faults, Reported};
use crate::duration;
use crate::keys;
use crate::reader::{Field, Section};

const EVERY: Duration = Duration::from_secs(2);
const EVERY_MIN: Duration = Duration::from_millis(10);
const EVERY_MAX: Duration = Duration::from_secs(3600);
/// Where `every` is shorter, the default timeout is as short.
const TIMEOUT: Duration = Duration::from_secs(1);
const TIMEOUT_MIN: Duration = Duration::from_millis(1);
/// Results in a row that decide, for both directions.
const RESULTS: u32 = 2;

/// Which port is checked where `check` says none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckedPort {
    /// The service's own.
    Own,
    /// This one, the first of several.
    First(u16),
    /// None: it is of UDP, which is not checked yet.
    Udp,
    /// The same of SCTP.
    Sctp,
    /// None: the service has any port.
    Any,
}

/// The check of a TCP service for which none is configured: a TCP connection every 2 s, with a
/// timeout of 1 s; two results in a row decide.
pub(crate) fn default_check(port: Option<u16>) -> Check {
    Check {
        kind: CheckKind::Tcp,
        port,
        cadence: Cadence {
            every: EVERY,
            timeout: TIMEOUT,
            fall: RESULTS,
            rise: RESULTS,
        },
    }
}

/// Reads `check = "none"` or `check = { ... }`.
pub(crate) fn read(
    field: &Field<'_>,
    default: CheckedPort,
    faults: &mut Faults<'_>,
) -> Result<Option<Check>, Reported> {
    match field.value.as_str() {
        Some("none") => return Ok(None),
        Some(other) => {
            let hint = match other {
                "tcp" => "write `check = { tcp = true }`".to_owned(),
                _ => format!("write `{}` or `check = \"none\"`", keys::CHECK.example),
            };
            let message = format!("`{other}` is not a check");
            return Err(field.fault(message, keys::CHECK.expected, hint, faults));
        }
        None => {}
    }
    let section = field.section(&keys::CHECK_TABLE, faults)?;
    let kind = read_kind(&section, faults);
    let port = match section.get(&keys::PORT) {
        Some(field) => field.integer(1..=i64::from(u16::MAX), faults).map(Some),
        None => match default {
            CheckedPort::Own => Ok(None),
            CheckedPort::First(port) => Ok(Some(port)),
            CheckedPort::Udp => {
                let of = ("a UDP service", "UDP ports are not checked yet");
                Err(report_no_port(&section, of, faults))
            }
            CheckedPort::Sctp => {
                let of = ("an SCTP service", "SCTP ports are not checked yet");
                Err(report_no_port(&section, of, faults))
            }
            CheckedPort::Any => {
                let of = ("a service of any port", "any port is none to check");
                Err(report_no_port(&section, of, faults))
            }
        },
    };
    let cadence = read_cadence(&section, faults);
    Ok(Some(Check {
        kind: kind?,
        port: port?,
        cadence: cadence?,
    }))
}

fn report_no_port(
    section: &Section<'_>,
    (of, why): (&str, &str),
    faults: &mut Faults<'_>,
) -> Reported {
    section.misspelled(&keys::PORT).unwrap_or_else(|| {
        faults.add(
            section.span.clone(),
            format!("the `check` of {of} has no `port`"),
            "the key `port`",
            format!(
                "{why}: add `port = 80` or another TCP port of the servers, or write \
                 `check = \"none\"`"
            ),
        )
    })
}

fn read_kind(section: &Section<'_>, faults: &mut Faults<'_>) -> Result<CheckKind, Reported> {
    match (section.get(&keys::HTTP), section.get(&keys::TCP)) {
        (Some(http), None) => read_http(&http, section, faults),
        (None, Some(tcp)) => read_tcp(&tcp, section, faults),
        (Some(_), Some(tcp)) => Err(faults.add(
            tcp.key_span,
            "a check can't be `http` and `tcp` at once",
            "one of the two",
            "remove `tcp`: an HTTP check needs a TCP connection anyway",
        )),
        (None, None) => Err(faults.add(
            section.span.clone(),
            "`check` doesn't say what to check",
            "the key `http` or `tcp`",
            "add `http = \"/\"` or `tcp = true`",
        )),
    }
}

fn read_tcp(
    tcp: &Field<'_>,
    section: &Section<'_>,
    faults: &mut Faults<'_>,
) -> Result<CheckKind, Reported> {
    for key in [&keys::HOST, &keys::STATUS, &keys::BODY] {
        if let Some(field) = section.get(key) {
            faults.add(
                field.key_span,
                format!("`{}` has no meaning in a TCP check", key.name),
                "`port`, `every`, `timeout`, `fall` or `rise`",
                format!(
                    "remove `{}`, or write `http = \"/\"` instead of `tcp`",
                    key.name
                ),
            );
        }
    }
    match tcp.value.as_bool() {
        Some(true) => Ok(CheckKind::Tcp),
        Some(false) => Err(tcp.fault(
            "`tcp = false` checks nothing",
            "`true`",
            "write `tcp = true`, or `check = \"none\"` for no check at all",
            faults,
        )),
        None => Err(tcp.wrong_type(faults)),
    }
}

fn read_http(
    http: &Field<'_>,
    section: &Section<'_>,
    faults: &mut Faults<'_>,
) -> Result<CheckKind, Reported> {
    let path = read_path(http, faults);
    let host = section
        .get(&keys::HOST)
        .map(|field| field.word(faults).map(str::to_owned))
        .transpose();
    let status = section
        .get(&keys::STATUS)
        .map(|field| field.integer(100..=599, faults))
        .transpose();
    let body = section
        .get(&keys::BODY)
        .map(|field| read_body(&field, faults))
        .transpose();
    Ok(CheckKind::Http {
        path: path?,
        host: host?,
        status: status?,
        body: body?,
    })
}

fn read_path(field: &Field<'_>, faults: &mut Faults<'_>) -> Result<String, Reported> {
    let path = field.text(faults)?;
    if !path.starts_with('/') {
        let hint = match path.strip_prefix("http://") {
            Some(rest) => {
                let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
                format!("write the path alone: `http = \"{path}\"`")
            }
            None => format!("write `http = \"/{path}\"`"),
        };
        return Err(field.fault(
            format!("the path `{path}` does not begin with `/`"),
            "a path that begins with `/`",
            hint,
            faults,
        ));
    }
    if !path.chars().all(|c| c.is_ascii_graphic()) {
        return Err(field.fault(
            "the path has blanks or characters that HTTP does not allow",
            "a path in ASCII without blanks",
            "write such characters percent-encoded: `%20` for a blank",
            faults,
        ));
    }
    Ok(path.to_owned())
}

fn read_body(field: &Field<'_>, faults: &mut Faults<'_>) -> Result<BodyMatch, Reported> {
    let body = field.text(faults)?;
    if body.is_empty() {
        return Err(field.fault(
            "`body` is empty, so every answer would match",
            "a text that the answer must contain",
            "write such a text, or remove `body`",
            faults,
        ));
    }
    Ok(BodyMatch(body.to_owned()))
}

fn read_cadence(section: &Section<'_>, faults: &mut Faults<'_>) -> Result<Cadence, Reported> {
    let every = match section.get(&keys::EVERY) {
        Some(field) => field.duration(EVERY_MIN..=EVERY_MAX, faults),
        None => Ok(EVERY),
    };
    let timeout = match section.get(&keys::TIMEOUT) {
        Some(field) => read_timeout(&field, every, faults),
        None => Ok(TIMEOUT.min(every.unwrap_or(TIMEOUT))),
    };
    let mut results = |key| match section.get(key) {
        Some(field) => field.integer(1..=i64::from(u32::MAX), faults),
        None => Ok(RESULTS),
    };
    let fall = results(&keys::FALL);
    let rise = results(&keys::RISE);
    Ok(Cadence {
        every: every?,
        timeout: timeout?,
        fall: fall?,
        rise: rise?,
    })
}

fn read_timeout(
    field: &Field<'_>,
    every: Result<Duration, Reported>,
    faults: &mut Faults<'_>,
) -> Result<Duration, Reported> {
    let timeout = field.duration(TIMEOUT_MIN..=EVERY_MAX, faults)?;
    match every {
        Ok(every) if timeout > every => Err(field.fault(
            format!(
                "a check may take {}, but the next one starts after {}",
                duration::show(timeout),
                duration::show(every)
            ),
            format!("a duration up to `{}`", duration::show(every)),
            format!(
                "write `timeout = \"{0}\"`, or `every = \"{1}\"`",
                duration::show(every),
                duration::show(timeout)
            ),
            faults,
        )),
        Ok(_) | Err(_) => Ok(timeout),
    }
}
