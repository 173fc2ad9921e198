//! Answers to a reload, and the answer when something is refused.

use serde::{Deserialize, Serialize};

/// How to reload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReloadQuery {
    /// Edits by hand are forgotten as well.
    pub forget_edits: bool,
}

/// The new config is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadAnswer {
    /// [`crate::API_VERSION`].
    pub api_version: u32,
    /// The file that was read.
    pub file: String,
    /// One line per difference from the config before; empty where nothing changed.
    pub changed: Vec<String>,
    /// What is odd about the new config, though it is in force.
    pub warnings: Vec<String>,
    /// One line per edit by hand that stands over the config.
    #[serde(default)]
    pub edits: Vec<String>,
}

/// What kind of failure an [`ErrorAnswer`] reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The config file is bad; the config before stays in force.
    Config,
    /// The daemon could not do it.
    Failed,
    /// There is no such path or method.
    NotFound,
}

/// The daemon refused, or could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorAnswer {
    /// [`crate::API_VERSION`].
    pub api_version: u32,
    /// What kind of failure.
    pub kind: ErrorKind,
    /// What failed, on what; several lines where a config file has several mistakes.
    pub error: String,
    /// What to do next.
    pub hints: Vec<String>,
}
