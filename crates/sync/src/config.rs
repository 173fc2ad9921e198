//! What a session is told when it is made.

use std::time::Duration;

use evenkeel_wire::sync;

use crate::Key;

/// What a session has to know. Both directors have the same keys and the same bound, and each other's names.
#[derive(Clone, Debug)]
pub struct SyncConfig {
    /// This director's name: 1 to 64 bytes without control characters.
    pub name: String,
    /// The other one's name, of the same form; another one.
    pub peer: String,
    /// Any of these opens a session, the first one begins it. A key is changed without a break in three steps, each on
    /// all directors before the next: add the new one as the second, make it the first, take the old one away.
    pub keys: Vec<Key>,
    /// How old a change may be that the receiver does not have, while both count as in sync: 10 ms to 10 s.
    pub lag_bound: Duration,
}

impl SyncConfig {
    /// Where the configuration says nothing of the bound.
    pub const LAG_BOUND: Duration = Duration::from_millis(100);
    /// The least bound.
    pub const LAG_BOUND_MIN: Duration = Duration::from_millis(10);
    /// The greatest bound.
    pub const LAG_BOUND_MAX: Duration = Duration::from_secs(10);

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        for name in [&self.name, &self.peer] {
            if !sync::is_name(name) {
                return Err(ConfigError::Name(name.clone()));
            }
        }
        if self.name == self.peer {
            return Err(ConfigError::SameName(self.name.clone()));
        }
        if self.keys.is_empty() {
            return Err(ConfigError::NoKey);
        }
        if !(Self::LAG_BOUND_MIN..=Self::LAG_BOUND_MAX).contains(&self.lag_bound) {
            return Err(ConfigError::LagBound(self.lag_bound));
        }
        Ok(())
    }
}

/// Why there can be no such session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A name that is empty, too long or has control characters.
    #[error("`{0}` is no name of a director: it has 1 to 64 bytes and no control characters")]
    Name(String),
    /// Both directors have one name.
    #[error("both directors are called `{0}`: give each a name of its own")]
    SameName(String),
    /// No key.
    #[error("there is no key: give both directors the same one")]
    NoKey,
    /// A bound outside its range.
    #[error("the lag bound `{0:?}` is not in the range 10 ms to 10 s")]
    LagBound(Duration),
}
