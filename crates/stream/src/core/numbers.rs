//! Numbers that name what is asked for, so that answers to what was given up are told from those that are waited for.

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
