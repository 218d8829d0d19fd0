//! Places that many want, given out to one user after the other: whoever has a thousand orders waiting delays the next user's
//! by one of them.

use super::held;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// Places for those that talk to Redis or the broker now.
#[derive(Debug)]
pub(super) struct Turns {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    waiting: HashMap<String, VecDeque<oneshot::Sender<Place>>>,
    /// Users with somebody waiting, in the order of their turns; each once.
    next: VecDeque<String>,
}

/// A place, until it is dropped; `None` once it is handed on.
#[derive(Debug)]
pub(super) struct Place(Option<Arc<Turns>>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.hand_on();
        }
    }
}

impl Turns {
    pub(super) fn new(places: usize) -> Arc<Self> {
        let state = State { free: places, waiting: HashMap::new(), next: VecDeque::new() };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// A place for an order of this user; orders of one user get theirs in the order in which they asked. Cancel safe.
    pub(super) async fn take(self: &Arc<Self>, user: &str) -> Place {
        let receiver = {
            let mut state = held(&self.state);
            if state.free > 0 {
                state.free -= 1;
                return Place(Some(Arc::clone(self)));
            }
            let (sender, receiver) = oneshot::channel();
            match state.waiting.get_mut(user) {
                Some(own) => own.push_back(sender),
                None => {
                    state.waiting.insert(user.to_owned(), VecDeque::from([sender]));
                    state.next.push_back(user.to_owned());
                }
            }
            receiver
        };
        match receiver.await {
            Ok(place) => place,
            // Nobody drops a sender without having sent.
            Err(_) => std::future::pending().await,
        }
    }

    fn hand_on(self: &Arc<Self>) {
        loop {
            let next = {
                let mut state = held(&self.state);
                let next = state.next_in_turn();
                if next.is_none() {
                    state.free += 1;
                }
                next
            };
            let Some(sender) = next else { return };
            match sender.send(Place(Some(Arc::clone(self)))) {
                Ok(()) => return,
                // Gone meanwhile: the next one, and not by this place's own end.
                Err(mut place) => drop(place.0.take()),
            }
        }
    }
}

impl State {
    fn next_in_turn(&mut self) -> Option<oneshot::Sender<Place>> {
        let user = self.next.pop_front()?;
        let own = self.waiting.get_mut(&user)?;
        let sender = own.pop_front();
        if own.is_empty() {
            self.waiting.remove(&user);
        } else {
            self.next.push_back(user);
        }
        sender
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;

    fn asks(turns: &Arc<Turns>, user: &'static str) -> BoxFuture<'static, Place> {
        let turns = Arc::clone(turns);
        let mut asked = async move { turns.take(user).await }.boxed();
        assert!((&mut asked).now_or_never().is_none());
        asked
    }

    #[tokio::test]
    async fn whoever_has_many_waiting_lets_the_others_in_between() {
        let turns = Turns::new(1);
        let mut place = turns.take("alice").await;
        let users = ["alice", "alice", "alice", "bob", "carol", "bob"];
        let mut all: Vec<_> = users.into_iter().map(|user| (user, asks(&turns, user))).collect();
        let mut seen = Vec::new();
        while !all.is_empty() {
            drop(place);
            let ready =
                |(at, (_, asked)): (usize, &mut (_, BoxFuture<'static, Place>))| Some((at, asked.now_or_never()?));
            let (at, next) = all.iter_mut().enumerate().find_map(ready).expect("somebody has the place");
            seen.push(all.remove(at).0);
            place = next;
        }
        assert_eq!(seen, ["alice", "bob", "carol", "alice", "bob", "alice"]);
        drop(place);
        assert!(turns.take("dave").now_or_never().is_some(), "the place is free again");
    }

    #[tokio::test]
    async fn those_that_have_gone_lose_no_place() {
        let turns = Turns::new(2);
        let (first, second) = (turns.take("alice").await, turns.take("bob").await);
        let gone = asks(&turns, "alice");
        let mut there = asks(&turns, "bob");
        drop(gone);
        drop(first);
        let third = (&mut there).now_or_never().expect("the one that is still there has it");
        // Given a place, and gone before it was taken up.
        let unaware = asks(&turns, "carol");
        drop(second);
        drop(unaware);
        let fourth = turns.take("dave").now_or_never().expect("handed back");
        assert!(turns.take("erin").now_or_never().is_none());
        drop((third, fourth));
    }
}
