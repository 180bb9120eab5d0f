//! What went wrong with a shard, by what has to be done about it.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Why a shard can't simply go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Kafka didn't answer, or the outcome of a transaction is unknown: drop the clients and start them anew.
    #[error("{0}")]
    Retry(String),
    /// Another process owns this shard's transactions now: stop, until the group confirms the assignment.
    #[error("{0}")]
    Fenced(String),
    /// Starting again would not help; the sentence says what would.
    #[error("{0}")]
    Refused(String),
}

impl Failure {
    /// The failure of `step`.
    pub fn of(step: &str, error: &KafkaError) -> Self {
        use RDKafkaErrorCode as Code;
        let sentence = format!("{step}: {error}");
        match error.rdkafka_error_code() {
            // A producer that has heard of its fencing meanwhile refuses everything as fatal.
            Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::Fatal) => {
                Self::Fenced(sentence)
            }
            Some(
                Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::TransactionalIdAuthorizationFailed
                | Code::InvalidTransactionTimeout
                | Code::UnsupportedVersion,
            ) => Self::Refused(sentence),
            _ => Self::Retry(sentence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fencing_stops_a_shard_and_only_missing_rights_stop_the_process() {
        let of = |code| Failure::of("commit", &KafkaError::MessageProduction(code));
        assert!(matches!(of(RDKafkaErrorCode::ProducerFenced), Failure::Fenced(_)));
        assert!(matches!(of(RDKafkaErrorCode::InvalidProducerEpoch), Failure::Fenced(_)));
        assert!(matches!(of(RDKafkaErrorCode::Fatal), Failure::Fenced(_)));
        assert!(matches!(of(RDKafkaErrorCode::TopicAuthorizationFailed), Failure::Refused(_)));
        assert!(matches!(of(RDKafkaErrorCode::OperationTimedOut), Failure::Retry(_)));
        assert!(matches!(of(RDKafkaErrorCode::BrokerTransportFailure), Failure::Retry(_)));
    }
}
