//! What somebody who looks at an installation from outside finds.

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, but not all of it, or not for long.
    Degraded,
    /// A role would refuse to start, or can't go on.
    Refused,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at: `shard 3`, `lane 0 of flow_deltas`.
    pub part: String,
    /// How bad it is.
    pub level: Level,
    /// How it stands; for a refusal the sentence that the start would say.
    pub what: String,
}

impl Finding {
    /// Nothing is wrong with `part`.
    pub fn ok(part: impl Into<String>, what: impl Into<String>) -> Self {
        Self { part: part.into(), level: Level::Ok, what: what.into() }
    }

    /// Something is.
    pub fn degraded(part: impl Into<String>, what: impl Into<String>) -> Self {
        Self { part: part.into(), level: Level::Degraded, what: what.into() }
    }

    /// A start would be refused.
    pub fn refused(part: impl Into<String>, what: impl Into<String>) -> Self {
        Self { part: part.into(), level: Level::Refused, what: what.into() }
    }
}
