//! Numbers that name requests, so that the answer to a cancelled one is never taken for one that is waited for.

/// Numbers of one consumer: each is drawn once.
#[derive(Debug, Default)]
pub(crate) struct Numbers(u64);

impl Numbers {
    /// The next one.
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}
