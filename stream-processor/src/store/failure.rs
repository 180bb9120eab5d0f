//! What went wrong in a lane, by what has to be done about it.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Why a lane can't simply go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Kafka didn't answer, or the outcome of a transaction is unknown: drop the clients, read the journal again.
    #[error("{0}")]
    Retry(String),
    /// This process can write the lane's journal no more: somebody else has started the lane, or Kafka has ended a
    /// transaction that was open for too long. Only a member that the group confirms may start it again: without that,
    /// two would fence each other for ever.
    #[error("{0}")]
    Fenced(String),
    /// The same, and the journal says that it was somebody else.
    #[error("{0}")]
    Taken(String),
    /// Starting again would not help; the sentence says what would.
    #[error("{0}")]
    Refused(String),
    /// The process is being stopped. The batch that was begun is sent again at the next start.
    #[error("stopped before the batch was done")]
    Stopped,
}

impl Failure {
    /// The failure of `step`.
    pub fn of(step: &str, error: &KafkaError) -> Self {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) => {
                Self::Fenced(format!("{step}: {error}"))
            }
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Self::Refused(format!(
                "{step}: records were deleted before they were stored ({error}); --accept-gap goes on behind them"
            )),
            Some(
                Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::TransactionalIdAuthorizationFailed,
            ) => Self::Refused(format!("{step}: {error}")),
            _ => Self::Retry(format!("{step}: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fencing_stops_a_lane_and_only_what_is_gone_the_process() {
        let fenced = Failure::of("commit", &KafkaError::MessageProduction(RDKafkaErrorCode::ProducerFenced));
        assert!(matches!(fenced, Failure::Fenced(_)));
        let gone = Failure::of("read", &KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset));
        assert!(matches!(gone, Failure::Refused(why) if why.contains("--accept-gap")));
        let passing = Failure::of("read", &KafkaError::MessageConsumption(RDKafkaErrorCode::AllBrokersDown));
        assert!(matches!(passing, Failure::Retry(_)));
    }
}
