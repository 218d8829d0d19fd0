//! What many want to know of Postgres at the same time, asked at once: in a burst that is one query for dozens of entries.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use tokio::sync::oneshot;

/// Questions of one kind: each has a key `K` and an answer `V`.
#[derive(Debug)]
pub(crate) struct Together<K, V> {
    waiting: Mutex<Vec<Question<K, V>>>,
    /// Held by who asks for all that wait.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Question<K, V> {
    key: K,
    answer: oneshot::Sender<V>,
}

impl<K, V> Default for Together<K, V> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }
}

impl<K, V> Together<K, V> {
    /// The answer, as it is now or later; `None` where nobody gives one. `load` answers keys in their order, and is called here or
    /// by another who asks. Dropped in between, it leaves those it asked for without an answer.
    pub(crate) async fn ask<F>(&self, key: K, load: impl FnOnce(Vec<K>) -> F) -> Option<V>
    where
        F: Future<Output = sqlx::Result<Vec<V>>>,
    {
        let (answer, mut heard) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(Question { key, answer });
        tokio::select! {
            biased;
            heard = &mut heard => return heard.ok(),
            _turn = self.turn.lock() => self.ask_all(load).await,
        }
        heard.await.ok()
    }

    async fn ask_all<F>(&self, load: impl FnOnce(Vec<K>) -> F)
    where
        F: Future<Output = sqlx::Result<Vec<V>>>,
    {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let (keys, answers): (Vec<_>, Vec<_>) =
            waiting.into_iter().map(|Question { key, answer }| (key, answer)).unzip();
        match load(keys).await {
            Ok(values) => {
                for (answer, value) in answers.into_iter().zip(values) {
                    // Who does not wait any more needs no answer.
                    let _ = answer.send(value);
                }
            }
            Err(error) => {
                tracing::warn!(entries = answers.len(), %error, "Postgres does not say what entries depend on")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn who_asks_while_another_is_answered_is_asked_for_with_all_others() {
        let (together, calls, go) = (Together::<u32, u32>::default(), AtomicUsize::new(0), Notify::new());
        let first = together.ask(1, async |keys: Vec<u32>| {
            go.notified().await;
            calls.fetch_add(1, Ordering::Relaxed);
            Ok(keys)
        });
        let others = (2..50).map(|key| {
            together.ask(key, async |keys: Vec<u32>| {
                calls.fetch_add(1, Ordering::Relaxed);
                Ok(keys.into_iter().map(|key| key * 2).collect())
            })
        });
        let (first, others, ()) = tokio::join!(first, join_all(others), async { go.notify_one() });
        assert_eq!((first, calls.load(Ordering::Relaxed)), (Some(1), 2));
        assert_eq!(others, (2..50).map(|key| Some(key * 2)).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_failure_and_a_question_that_is_given_up_leave_nobody_waiting() {
        let together = Together::<u32, u32>::default();
        assert_eq!(together.ask(1, async |_| Err(sqlx::Error::PoolTimedOut)).await, None);
        let asked = Notify::new();
        let hangs = together.ask(2, async |_| {
            asked.notify_one();
            std::future::pending().await
        });
        let behind = together.ask(3, async |keys: Vec<u32>| Ok(keys));
        let given_up = async {
            tokio::select! {
                _ = hangs => {}
                () = asked.notified() => {}
            }
        };
        // Whoever was asked for together with what was given up learns that nobody answers; a new question is answered.
        let (behind, ()) = tokio::join!(behind, given_up);
        assert!(behind.is_none_or(|value| value == 3));
        assert_eq!(together.ask(4, async |keys: Vec<u32>| Ok(keys)).await, Some(4));
    }
}
