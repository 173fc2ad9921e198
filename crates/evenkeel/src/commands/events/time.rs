//! Times as people read them.

const MS_PER_DAY: u64 = 86_400_000;

/// Days of four hundred years, after which the calendar repeats itself.
const DAYS_PER_ERA: u64 = 146_097;

/// A time in milliseconds since 1970-01-01 UTC, as RFC 3339 has it with a blank for the `T`.
pub(crate) fn utc(ms: u64) -> String {
    let (year, month, day) = date(ms / MS_PER_DAY);
    let ms = ms % MS_PER_DAY;
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!(
        "{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}.{:03}Z",
        ms % 1_000
    )
}

/// Year, month and day in the Gregorian calendar, of days since 1970-01-01.
///
/// Years are counted from March here, so that the day of a leap year is a year's last.
const fn date(days: u64) -> (u64, u64, u64) {
    // Days since 0000-03-01.
    let days = days + 719_468;
    let (era, day) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    // The last day of 4, of 100 and of 400 years is one too many for a division by 365.
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // From March on, months have 153 days in five.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}

#[cfg(test)]
mod tests;
