//! The additive counts of edges, services and operations. Counts are thousandths of calls, adjusted for sampling;
//! those that begin with `raw_` are whole calls as they were seen.

use crate::series::Additive;

macro_rules! additive_counts {
    ($(#[$about:meta])* $name:ident { $($(#[$field_about:meta])* $field:ident),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_about])* pub $field: i64,)+
        }

        impl Additive for $name {
            fn add(&mut self, other: &Self) {
                // Wrapping: absurd numbers in a message may be wrong, but must not stop the reader, and what is taken
                // away again must leave nothing behind.
                $(self.$field = self.$field.wrapping_add(other.$field);)+
            }

            fn take(&mut self, other: &Self) {
                $(self.$field = self.$field.wrapping_sub(other.$field);)+
            }

            fn is_zero(&self) -> bool {
                *self == Self::default()
            }
        }
    };
}

additive_counts! {
    /// Calls from one node to another.
    EdgeCounts {
        /// Attempts.
        calls,
        /// Of these, failed.
        errors,
        /// Of these, refused as the caller's fault.
        client_errors,
        /// Of these, repetitions.
        retries,
        /// Of these, timed out.
        timeouts,
        /// Of these, rejected by a breaker or load shedding.
        rejected,
        /// Messages carried.
        messages,
        /// Calls seen from both sides.
        paired,
        /// Attempts as seen.
        raw_calls,
    }
}

additive_counts! {
    /// Requests a service answered.
    ServiceCounts {
        /// All of them.
        requests,
        /// Of these, failed.
        errors,
        /// Of these, refused as the caller's fault.
        client_errors,
        /// As seen.
        raw_requests,
    }
}

additive_counts! {
    /// Flows of an operation.
    OperationCounts {
        /// All that ended.
        flows,
        /// Of these, failed or timed out.
        errors,
        /// Of these, timed out.
        timeouts,
        /// As seen.
        raw_flows,
    }
}
