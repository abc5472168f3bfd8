//! Tokens of canaries on their way to the stream of the agent that is to let them out.

use tokio::sync::broadcast;

/// Tokens that no stream has picked up yet; there are never more under way.
const UNDER_WAY: usize = 64;

/// From whoever asks for a canary to all streams. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Canaries(broadcast::Sender<(String, String)>);

/// One stream's end.
#[derive(Debug)]
pub struct Waiting {
    node: String,
    orders: broadcast::Receiver<(String, String)>,
}

impl Default for Canaries {
    fn default() -> Self {
        Self(broadcast::Sender::new(UNDER_WAY))
    }
}

impl Canaries {
    /// Asks a node's stream for a canary; without a stream nobody hears it.
    pub fn ask(&self, node: &str, token: &str) {
        let _nobody = self.0.send((node.to_owned(), token.to_owned()));
    }

    /// What is asked of a node from now on.
    pub fn of(&self, node: &str) -> Waiting {
        Waiting { node: node.to_owned(), orders: self.0.subscribe() }
    }
}

impl Waiting {
    /// The next token; may be dropped at the await.
    pub async fn next(&mut self) -> String {
        loop {
            match self.orders.recv().await {
                Ok((node, token)) if node == self.node => return token,
                // Another node's; or so many came at once that some are gone: who asked will see that nothing came.
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: two streams wait; each is asked, in the other order.
    /// Guarantees: each hears its own token alone.
    #[tokio::test]
    async fn each_node_hears_its_own() {
        let canaries = Canaries::default();
        let (mut one, mut two) = (canaries.of("one"), canaries.of("two"));
        canaries.ask("nobody", "a");
        canaries.ask("two", "b");
        canaries.ask("one", "c");
        assert_eq!((one.next().await.as_str(), two.next().await.as_str()), ("c", "b"));
    }
}
