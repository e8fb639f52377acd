//! What the demonstration asks of a pipeline; the road, the servers and the books are the same for all.

use sqlx::PgConnection;

/// A pipeline, as it is shown to people.
pub(crate) trait Pipeline {
    /// Its name, as given to `--pipeline`.
    const NAME: &'static str;
    /// The committed sample, from the repository's top folder.
    const SAMPLE: &'static str;
    /// What is said wherever figures of the sample are shown.
    const MADE: &'static str;
    /// Where real data go.
    const REAL_PLACE: Place;
    /// Where the sample goes; made facts never reach a real table.
    const MADE_PLACE: Place;
    /// What stands between the columns of the input.
    const DELIMITER: u8;
    /// No record takes more on the wire, bytes.
    const MOST_BYTES_A_RECORD: u64;
    /// How many times its share of the records the fullest partition may get, since keys are spread by a hash.
    const UNEVENNESS: u64;
    /// Why the producer keeps a row back.
    const HELD_BACK: &'static str;
    /// The report's heading.
    const TITLE: &'static str;
    /// Whose the real data are.
    const SOURCE: &'static str;

    /// What is shown of the tables.
    type Tables;

    /// Reads what is shown, in the caller's snapshot.
    async fn read(database: &mut PgConnection) -> sqlx::Result<Self::Tables>;

    /// The last stations of the road: what is counted, and the count.
    fn counts(tables: &Self::Tables) -> Vec<(String, String)>;

    /// Shows the result on the terminal.
    fn print(tables: &Self::Tables);

    /// The result as HTML, above the books.
    fn report(tables: &Self::Tables) -> String;

    /// What is left to be said below them, as HTML.
    fn remarks(tables: &Self::Tables) -> String;
}

/// A topic and a database that belong together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The Kafka topic.
    pub(crate) topic: &'static str,
    /// The database's name, unless the person who calls names one for real data.
    pub(crate) database: &'static str,
}
