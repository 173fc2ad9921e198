//! `preempt` or `failback`, and `preempt-delay`: whether a director takes over from a lower priority.

use std::time::Duration;

use evenkeel_model::Priority;

use crate::diagnostic::{Faults, Reported};
use crate::keys;
use crate::reader::{Field, Section};

const PREEMPT_DELAY_MAX: Duration = Duration::from_secs(1000);

/// How a key says it.
struct Words {
    key: &'static str,
    /// Key and value for a director that does not.
    off: &'static str,
    /// The value for one that does.
    on: &'static str,
    /// Key and value for one that does.
    allow: &'static str,
}

/// VRRP's.
const PREEMPT: Words = Words {
    key: "preempt",
    off: "preempt = false",
    on: "`true`",
    allow: "preempt = true",
};

/// Those of heartbeat's `auto_failback`.
const FAILBACK: Words = Words {
    key: "failback",
    off: "failback = \"manual\"",
    on: "`\"auto\"`",
    allow: "failback = \"auto\"",
};

/// The one of the two keys that stands there, and what it says.
struct Written<'t> {
    field: Field<'t>,
    words: Words,
    preempts: Result<bool, Reported>,
}

/// Finds `preempt` or `failback`; both together are a mistake, though they agree.
fn find<'t>(
    section: &Section<'t>,
    faults: &mut Faults<'_>,
) -> Result<Option<Written<'t>>, Reported> {
    match (section.get(&keys::PREEMPT), section.get(&keys::FAILBACK)) {
        (Some(_), Some(failback)) => Err(faults.add(
            failback.key_span,
            "`failback` and `preempt` say the same",
            "one of the two",
            "remove one: `failback = \"auto\"` is `preempt = true`, `failback = \"manual\"` is \
             `preempt = false`",
        )),
        (Some(field), None) => Ok(Some(Written {
            preempts: field.boolean(faults),
            words: PREEMPT,
            field,
        })),
        (None, Some(field)) => {
            let supported = [("auto", true), ("manual", false)];
            Ok(Some(Written {
                preempts: field.choice("failback", &supported, &[], faults),
                words: FAILBACK,
                field,
            }))
        }
        (None, None) => Ok(None),
    }
}

/// Reads whether the director preempts, and its delay; they must not contradict each other or the priority.
pub(crate) fn read(
    section: &Section<'_>,
    priority: Result<Priority, Reported>,
    faults: &mut Faults<'_>,
) -> (Result<bool, Reported>, Result<Duration, Reported>) {
    let owner = priority.is_ok_and(|priority| priority == Priority::OWNER);
    let written = find(section, faults);
    let preempt = match &written {
        Ok(Some(it)) => match it.preempts {
            Ok(false) if owner => Err(contradicts_owner(it, faults)),
            read => read,
        },
        Ok(None) => Ok(true),
        Err(reported) => Err(*reported),
    };
    let delay = match section.get(&keys::PREEMPT_DELAY) {
        Some(field) => read_delay(&field, owner, &written, faults),
        None => Ok(Duration::ZERO),
    };
    (preempt, delay)
}

fn contradicts_owner(written: &Written<'_>, faults: &mut Faults<'_>) -> Reported {
    let Words { key, off, on, .. } = written.words;
    written.field.fault(
        format!("`{off}` contradicts priority 255"),
        format!("{on}, or a priority up to 254"),
        format!(
            "write `priority = 254`, or remove `{key}`: with 255 a director owns the addresses and always \
             takes over (RFC 9568, section 6.1)"
        ),
        faults,
    )
}

fn read_delay(
    field: &Field<'_>,
    owner: bool,
    written: &Result<Option<Written<'_>>, Reported>,
    faults: &mut Faults<'_>,
) -> Result<Duration, Reported> {
    let delay = field.duration(Duration::ZERO..=PREEMPT_DELAY_MAX, faults)?;
    let (message, hint) = match written {
        _ if owner && !delay.is_zero() => (
            "`preempt-delay` contradicts priority 255".to_owned(),
            "write `priority = 254`, or remove `preempt-delay`: with 255 a director owns the addresses and \
             takes over at once"
                .to_owned(),
        ),
        Ok(Some(Written {
            words,
            preempts: Ok(false),
            ..
        })) => (
            format!("`preempt-delay` has no meaning with `{}`", words.off),
            format!("remove `preempt-delay`, or write `{}`", words.allow),
        ),
        Ok(_) | Err(_) => return Ok(delay),
    };
    Err(faults.add(field.key_span.clone(), message, "no `preempt-delay`", hint))
}
