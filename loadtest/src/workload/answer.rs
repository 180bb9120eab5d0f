//! How a call ends, and what each protocol says about it.

/// The end of a call as the callee means it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Done.
    Fine,
    /// Wrong password, expired token: the caller's fault.
    Unauthenticated,
    /// No such thing: the caller's fault.
    NotFound,
    /// The thing is in the wrong state, or a quota is used up: the caller's fault.
    Conflict,
    /// The callee broke.
    Failed,
    /// The callee can't right now; asking again is worth it.
    Unavailable,
    /// No answer in time.
    TimedOut,
}

impl Answer {
    /// HTTP response status code.
    pub fn http(self) -> u16 {
        match self {
            Self::Fine => 200,
            Self::Unauthenticated => 401,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::Failed => 500,
            Self::Unavailable => 503,
            Self::TimedOut => 504,
        }
    }

    /// gRPC status code and its name.
    pub fn grpc(self) -> (u8, &'static str) {
        match self {
            Self::Fine => (0, "OK"),
            Self::Unauthenticated => (16, "UNAUTHENTICATED"),
            Self::NotFound => (5, "NOT_FOUND"),
            Self::Conflict => (9, "FAILED_PRECONDITION"),
            Self::Failed => (13, "INTERNAL"),
            Self::Unavailable => (14, "UNAVAILABLE"),
            Self::TimedOut => (4, "DEADLINE_EXCEEDED"),
        }
    }

    /// Whether the call counts as failed.
    pub fn is_error(self) -> bool {
        matches!(self, Self::Failed | Self::Unavailable | Self::TimedOut)
    }

    /// Whether the call counts as the caller's own mistake.
    pub fn is_client_error(self) -> bool {
        matches!(self, Self::Unauthenticated | Self::NotFound | Self::Conflict)
    }

    /// Whether a sensible client tries again.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Unavailable | Self::TimedOut)
    }

    /// Whether all went well.
    pub fn is_fine(self) -> bool {
        self == Self::Fine
    }
}
