//! A group's coordinator that is on its way: it moves to another broker, or one that has just started reads it in.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;

/// How long a coordinator may be on its way.
const PASSES_WITHIN: Duration = Duration::from_secs(30);
/// Pause before it is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Asks until there is a coordinator to answer, at most half a minute and one question long.
///
/// # Errors
/// Any other answer of Kafka's; this one, too, once it has lasted.
pub fn wait_for<T>(mut ask: impl FnMut() -> KafkaResult<T>) -> KafkaResult<T> {
    let begun = Instant::now();
    loop {
        match ask() {
            Err(error) if is_passing(&error) && begun.elapsed() < PASSES_WITHIN => thread::sleep(AGAIN_AFTER),
            answer => return answer,
        }
    }
}

fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as E;
    let passing = [E::NotCoordinator, E::CoordinatorNotAvailable, E::CoordinatorLoadInProgress];
    error.rdkafka_error_code().is_some_and(|code| passing.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(codes: Vec<RDKafkaErrorCode>) -> (KafkaResult<u8>, usize) {
        let mut left = codes.into_iter();
        let mut asked = 0;
        let answer = wait_for(|| {
            asked += 1;
            left.next().map_or(Ok(7), |code| Err(KafkaError::MetadataFetch(code)))
        });
        (answer, asked)
    }

    #[test]
    fn a_coordinator_on_its_way_is_asked_again_and_nothing_else_is() {
        let passing = vec![RDKafkaErrorCode::NotCoordinator, RDKafkaErrorCode::CoordinatorLoadInProgress];
        assert_eq!(answers(passing), (Ok(7), 3));
        let denied = RDKafkaErrorCode::GroupAuthorizationFailed;
        assert_eq!(answers(vec![denied]), (Err(KafkaError::MetadataFetch(denied)), 1));
    }
}
