//! What the demonstration needs from a pipeline; the transfer, the servers and the accounting are the same for all.

use sqlx::PgConnection;

/// A pipeline, as it is shown to people.
pub(crate) trait Pipeline {
    /// Its name, as given to `--pipeline`.
    const NAME: &'static str;
    /// The committed sample, from the repository's top folder.
    const SAMPLE: &'static str;
    /// The remark wherever figures of the sample are shown.
    const MADE: &'static str;
    /// Where real data go.
    const REAL_TARGET: Target;
    /// Where the sample goes; made facts never reach a real table.
    const MADE_TARGET: Target;
    /// The delimiter of the columns of the input.
    const DELIMITER: u8;
    /// The most bytes that a record takes in a request to Kafka.
    const MOST_BYTES_A_RECORD: u64;
    /// How many times its share of the records the fullest partition may get, since keys are spread by a hash.
    const UNEVENNESS: u64;
    /// Why the producer does not send a row.
    const KEPT_BACK: &'static str;
    /// The report's heading.
    const TITLE: &'static str;
    /// The source and licence of the real data.
    const SOURCE: &'static str;

    /// What is shown of the tables.
    type Tables;

    /// Reads what is shown, in the caller's snapshot.
    async fn read(database: &mut PgConnection) -> sqlx::Result<Self::Tables>;

    /// The last lines of the counts: what is counted, and the count.
    fn counts(tables: &Self::Tables) -> Vec<(String, String)>;

    /// Shows the result on the terminal.
    fn print(tables: &Self::Tables);

    /// The result as HTML, above the accounting.
    fn report(tables: &Self::Tables) -> String;

    /// Remarks below the accounting, as HTML.
    fn remarks(tables: &Self::Tables) -> String;
}

/// A topic and a database that belong together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// The Kafka topic.
    pub(crate) topic: &'static str,
    /// The database's name, unless the caller names one for real data.
    pub(crate) database: &'static str,
}
