//! What every part of the simulation shares: chance, time, and work that runs one step at a time.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// Numbers that look random and depend on a seed only: SplitMix64, <https://prng.di.unimi.it/splitmix64.c>.
#[derive(Debug)]
pub(crate) struct Rng(Cell<u64>);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0.set(state);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One of `0..below`.
    pub(crate) fn below(&self, below: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(below.max(1)).expect("64 bits")).expect("below that")
    }

    /// Once in `n`.
    pub(crate) fn once_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of them, if there are any.
    pub(crate) fn pick<'a, T>(&self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }
}

/// Time that advances only on request.
#[derive(Debug)]
pub(crate) struct Clock(Cell<Instant>);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Cell::new(Instant::now()))
    }

    pub(crate) fn now(&self) -> Instant {
        self.0.get()
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.set(self.0.get() + by);
    }
}

/// Gives the turn to others once.
pub(crate) async fn yield_once() {
    let mut waited = false;
    poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Work of one session, which goes on by a statement whenever it is stepped.
pub(crate) struct Work(RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>);

impl Work {
    pub(crate) fn new(work: impl Future<Output = ()> + 'static) -> Rc<Self> {
        Rc::new(Self(RefCell::new(Some(Box::pin(work)))))
    }

    /// Goes on by one statement; whether it is over.
    pub(crate) fn step(&self) -> bool {
        let Some(mut work) = self.0.borrow_mut().take() else { return true };
        if work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return true;
        }
        self.0.borrow_mut().get_or_insert(work);
        false
    }
}
