//! Whether a peer's aggregates equal ours.

use anyhow::{Context, ensure};
use sqlx::{Connection, PgConnection};

/// Sums in another order differ in their last bits; a lost or repeated record makes a far larger difference.
const TOLERANCE: f64 = 1e-9;

/// Both ours and a peer's database have a relation of this name with these columns.
const QUERY: &str = r#"SELECT iso_code, country, ARRAY[avg_population, avg_gdp, avg_co2, avg_co2_per_capita],
    ARRAY[data_points, first_year, last_year] FROM country_aggregates ORDER BY iso_code COLLATE "C""#;

/// A country's row: its code, its name, four means, and the number of years, the first and the last.
pub(crate) type Aggregate = (String, String, Vec<Option<f64>>, Vec<i32>);

/// Reads all countries of a database.
///
/// # Errors
/// When it does not answer, or has no such relation.
pub(crate) async fn read(url: &str) -> anyhow::Result<Vec<Aggregate>> {
    let mut connection = PgConnection::connect(url).await.context("the private PostgreSQL does not answer")?;
    let rows = sqlx::query_as(QUERY).fetch_all(&mut connection).await?;
    connection.close().await?;
    Ok(rows)
}

/// Compares a peer's countries with ours.
///
/// # Errors
/// When one differs; the error shows the first.
pub(crate) fn check(ours: &[Aggregate], theirs: &[Aggregate]) -> anyhow::Result<()> {
    for (our, their) in ours.iter().zip(theirs) {
        ensure!(agree(our, their), "we have {our:?}, it has {their:?}");
    }
    ensure!(ours.len() == theirs.len(), "we have {} countries, it has {}", ours.len(), theirs.len());
    Ok(())
}

fn agree(our: &Aggregate, their: &Aggregate) -> bool {
    let near = |pair: (&Option<f64>, &Option<f64>)| match pair {
        (Some(our), Some(their)) => (our - their).abs() <= TOLERANCE * our.abs(),
        (our, their) => our == their,
    };
    our.0 == their.0
        && our.1 == their.1
        && our.3 == their.3
        && our.2.len() == their.2.len()
        && our.2.iter().zip(&their.2).all(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn country(code: &str, co2: Option<f64>, years: i32) -> Aggregate {
        (code.to_owned(), "Brazil".to_owned(), vec![Some(1.0), None, co2], vec![years, 1900, 2022])
    }

    #[test]
    fn only_the_last_bits_may_differ() {
        let ours = [country("BRA", Some(0.3), 2), country("CHL", None, 1)];
        let check = |theirs: &[Aggregate], expected| assert_eq!(check(&ours, theirs).is_ok(), expected, "{theirs:?}");
        check(&[country("BRA", Some(0.1 + 0.2), 2), country("CHL", None, 1)], true);
        check(&[country("BRA", Some(0.301), 2), country("CHL", None, 1)], false);
        check(&[country("BRA", Some(0.3), 3), country("CHL", None, 1)], false);
        check(&[country("BRA", Some(0.3), 2), country("CHL", Some(0.0), 1)], false);
        check(&[country("BRA", Some(0.3), 2)], false);
        check(&[country("BRA", Some(0.3), 2), country("CHL", None, 1), country("PER", None, 1)], false);
    }
}
