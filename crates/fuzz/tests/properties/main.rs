//! Properties of what reads bytes that others wrote, on inputs mutated from the corpus.

mod csv;
mod messages;
mod settings;
mod sources;

use fuzz::corpus::Corpus;
use proptest::prelude::*;

fn corpus(folder: &str) -> Corpus {
    Corpus::load(folder).expect("the corpus is part of the crate")
}

/// A reason is a sentence's worth: it goes into a log line and a table.
fn is_a_reason(text: &str) -> Result<(), TestCaseError> {
    prop_assert!(!text.is_empty() && text.chars().count() < 300, "{} characters: {text:?}", text.chars().count());
    prop_assert!(!text.chars().any(char::is_control), "{text:?}");
    Ok(())
}
