//! What the documents say, tested.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

mod commands;
mod links;
mod settings;
