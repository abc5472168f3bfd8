//! The one way in which a test waits.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

/// Asks every 50 ms until `check` gives a value; fails with its last reason after `within`.
///
/// # Panics
/// At the deadline: this is a test's assertion.
pub async fn eventually<T, E: Display>(
    what: &str,
    within: Duration,
    mut check: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        match check().await {
            Ok(value) => return value,
            Err(reason) if Instant::now() >= deadline => {
                panic!("{what}: not within {within:?}; last: {reason}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
