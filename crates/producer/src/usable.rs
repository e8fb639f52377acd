//! Whether any row of the input could be used.

use stream::{Acknowledged, Outgoing, ReadError, RowOutcome, Source};

/// So many different reasons are named when no row could be used.
const NAMED_REASONS: usize = 3;

/// A source that is watched for rows that can be used.
pub(crate) struct Watched {
    source: Box<dyn Source>,
    /// Whether the first row that cannot be used ends the sending.
    strict: bool,
    usable: u64,
    /// Rows that are sent and are no fact.
    without_fact: u64,
    filtered: u64,
    /// Rows that cannot be read.
    rejected: u64,
    /// Rows that are sent, for the consumer to keep them among the rejects.
    sent_to_be_rejected: u64,
    /// The first reasons, each once, and the line where it was first met.
    reasons: Vec<(u64, String)>,
}

impl Watched {
    pub(crate) fn new(source: Box<dyn Source>, strict: bool) -> Self {
        Self {
            source,
            strict,
            usable: 0,
            without_fact: 0,
            filtered: 0,
            rejected: 0,
            sent_to_be_rejected: 0,
            reasons: vec![],
        }
    }

    /// Whether there was something to do, and it was done.
    ///
    /// Rows that are filtered, or are no fact, are valid, and an input of nothing else is too; so is one without rows.
    ///
    /// # Errors
    /// A sentence that says that no row could be used, and why.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        let unusable = self.rejected + self.sent_to_be_rejected;
        if self.usable > 0 || unusable == 0 {
            return Ok(());
        }
        let filtered = self.filtered + self.without_fact;
        let read = unusable + filtered;
        Err(format!("none of its rows could be used (read {read}, filtered {filtered}): {}", self.first_reasons()))
    }

    /// Says how many rows were sent that the consumer will not use.
    pub(crate) fn summarise(&self) {
        let rows = self.sent_to_be_rejected;
        if rows > 0 {
            let why = self.first_reasons();
            tracing::warn!(rows, "{rows} of the rows sent will be rejected by the consumer: {why}");
        }
    }

    fn first_reasons(&self) -> String {
        let named = self.reasons.iter().map(|(line, reason)| format!("line {line}: {reason}"));
        named.collect::<Vec<_>>().join("; ")
    }

    fn note(&mut self, reason: &str) {
        if self.reasons.len() < NAMED_REASONS && self.reasons.iter().all(|(_, known)| known != reason) {
            self.reasons.push((self.source.line(), reason.to_owned()));
        }
    }

    /// What becomes of a row that the consumer will reject.
    #[cold]
    fn unusable(&mut self, reason: String) -> RowOutcome {
        self.note(&reason);
        if self.strict {
            self.rejected += 1;
            return RowOutcome::Rejected(reason);
        }
        self.sent_to_be_rejected += 1;
        RowOutcome::Send
    }
}

impl Source for Watched {
    fn next(&mut self, message: &mut Outgoing) -> Result<Option<RowOutcome>, ReadError> {
        let row = self.source.next(message)?;
        match &row {
            Some(RowOutcome::Send) => match self.source.unusable() {
                None if self.source.is_without_fact() => self.without_fact += 1,
                None => self.usable += 1,
                Some(reason) => {
                    let reason = reason.to_owned();
                    return Ok(Some(self.unusable(reason)));
                }
            },
            Some(RowOutcome::Rejected(reason)) => {
                self.rejected += 1;
                self.note(reason);
            }
            Some(RowOutcome::Filtered) => self.filtered += 1,
            Some(RowOutcome::Wait(_)) | None => {}
        }
        Ok(row)
    }

    fn further_topics(&self) -> Vec<String> {
        self.source.further_topics()
    }

    fn is_of_the_past(&self) -> bool {
        self.source.is_of_the_past()
    }

    fn is_endless(&self) -> bool {
        self.source.is_endless()
    }

    fn acknowledged(&self) -> Option<Acknowledged> {
        self.source.acknowledged()
    }

    fn line(&self) -> u64 {
        self.source.line()
    }

    fn label(&self) -> String {
        self.source.label()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows from a list; the first is at line 2.
    struct List(Vec<(RowOutcome, Option<&'static str>)>, usize);

    impl Source for List {
        fn next(&mut self, _: &mut Outgoing) -> Result<Option<RowOutcome>, ReadError> {
            self.1 += 1;
            Ok(self.0.get(self.1 - 1).map(|(row, _)| row.clone()))
        }

        fn unusable(&self) -> Option<&str> {
            self.0[self.1 - 1].1
        }

        fn line(&self) -> u64 {
            self.1 as u64 + 1
        }

        fn label(&self) -> String {
            String::new()
        }
    }

    const VALID: (RowOutcome, Option<&str>) = (RowOutcome::Send, None);
    const FILTERED: (RowOutcome, Option<&str>) = (RowOutcome::Filtered, None);

    fn bad(reason: &str) -> (RowOutcome, Option<&'static str>) {
        (RowOutcome::Rejected(reason.to_owned()), None)
    }

    fn sent(reason: &'static str) -> (RowOutcome, Option<&'static str>) {
        (RowOutcome::Send, Some(reason))
    }

    fn watched(rows: Vec<(RowOutcome, Option<&'static str>)>, strict: bool) -> (Watched, Vec<RowOutcome>) {
        let mut watched = Watched::new(Box::new(List(rows, 0)), strict);
        let mut message = Outgoing::default();
        let rows = std::iter::from_fn(|| watched.next(&mut message).unwrap()).collect();
        (watched, rows)
    }

    #[test]
    fn rows_of_which_none_could_be_used_are_the_inputs_fault() {
        let check = |rows: Vec<_>, expected: Result<(), &str>| {
            assert_eq!(watched(rows, false).0.verdict(), expected.map_err(str::to_owned));
        };
        check(vec![], Ok(()));
        check(vec![VALID, bad("a")], Ok(()));
        check(vec![FILTERED, FILTERED], Ok(()));
        check(vec![bad("a"), VALID], Ok(()));
        check(vec![bad("a")], Err("none of its rows could be used (read 1, filtered 0): line 2: a"));
        check(
            vec![FILTERED, bad("a"), bad("a"), sent("b")],
            Err("none of its rows could be used (read 4, filtered 1): line 3: a; line 5: b"),
        );
        check(
            vec![bad("a"), bad("b"), bad("c"), bad("d")],
            Err("none of its rows could be used (read 4, filtered 0): line 2: a; line 3: b; line 4: c"),
        );
    }

    #[test]
    fn a_row_that_will_be_rejected_is_sent_unless_all_is_to_be_strict() {
        assert_eq!(watched(vec![VALID, sent("a")], false).1, [RowOutcome::Send, RowOutcome::Send]);
        assert_eq!(watched(vec![VALID, sent("a")], true).1, [RowOutcome::Send, RowOutcome::Rejected("a".to_owned())]);
    }
}
