//! Durations as the config file writes them: a whole number and a unit, such as `500ms`.

use std::time::Duration;

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// `s`.
    #[error("it does not begin with a whole number")]
    NoNumber,
    /// `5`.
    #[error("the unit is missing")]
    NoUnit,
    /// `5 s` or `5d`.
    #[error("its unit is not `ms`, `s`, `m` or `h`")]
    UnknownUnit,
    /// More than 64 bits hold, in milliseconds.
    #[error("it is too long")]
    TooLong,
}

/// Reads a duration as the config file writes it.
///
/// # Errors
/// See [`InvalidDuration`].
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    if number.is_empty() {
        return Err(InvalidDuration::NoNumber);
    }
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" => return Err(InvalidDuration::NoUnit),
        _ => return Err(InvalidDuration::UnknownUnit),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit_ms))
        .map(Duration::from_millis)
        .ok_or(InvalidDuration::TooLong)
}

/// Writes a duration of whole milliseconds with the largest unit that fits.
pub(crate) fn show(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0 => "0s".to_owned(),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests;
