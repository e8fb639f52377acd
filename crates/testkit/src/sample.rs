//! The made samples: that of the emissions pipeline, a made world, in the shape of the real file; and [`household`].
//!
//! Countries, codes and figures are made. The codes are of ISO 3166's user-assigned range (XAA to XZZ), which no
//! country will ever have. The same seed gives the same bytes everywhere: the code only adds, multiplies and divides.

pub mod household;

use std::fmt::Write as _;

use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{RngCore as _, SeedableRng as _},
};

/// The file's header, as that of the reduced real file.
pub const HEADER: &str = "country,year,iso_code,population,gdp,co2,co2_per_capita";

/// The committed sample, from the repository's top folder. The name says what a CSV has no comment to say.
pub const PATH: &str = "data/sample_made.csv";

const FIRST_YEAR: u32 = 1963;
const LAST_YEAR: u32 = 2022;

/// How a country lives: the kind decides its size and its growth.
#[derive(Clone, Copy)]
enum Kind {
    /// Small or poor, or both.
    Developing,
    /// Few people, much fuel.
    OilState,
    /// A large part of the world's people or industry.
    Giant,
}

/// What is missing of a country, as things are missing in the real file.
#[derive(Clone, Copy, PartialEq)]
enum Gap {
    /// Co2 of the first years, gdp of the last.
    Usual,
    /// No gdp at all: cannot be clustered.
    Gdp,
    /// All but the last four years: too few to be clustered.
    MostYears,
    /// Everything but a co2 of zero, as of a continent where nobody lives.
    People,
}

/// A made country at its first year.
struct Country {
    name: String,
    code: String,
    gap: Gap,
    /// Persons.
    population: f64,
    /// International-$ of 2011 per person.
    income: f64,
    /// Tonnes of CO₂ per 1,000 international-$.
    intensity: f64,
}

/// One line's figures.
#[derive(Clone, Copy, Default)]
struct Year {
    population: Option<f64>,
    gdp: Option<f64>,
    co2_mt: Option<f64>,
}

/// Makes the whole file: a header and one line per country and year, aggregates of no country among them.
pub fn make(seed: u64) -> String {
    let mut random = Random(Xoshiro256PlusPlus::seed_from_u64(seed));
    let mut file = format!("{HEADER}\n");
    let mut world = vec![Year::default(); (FIRST_YEAR..=LAST_YEAR).count()];
    for country in countries(&mut random) {
        let years = history(&country, &mut random);
        world.iter_mut().zip(&years).for_each(|(sum, year)| *sum = sum.plus(*year));
        write_years(&mut file, &country.name, &country.code, &years, country.gap);
    }
    let east: Vec<Year> = world.iter().map(|year| year.part(0.41)).collect();
    write_years(&mut file, "Made East", "", &east, Gap::Gdp);
    write_years(&mut file, "Made World", "", &world, Gap::Gdp);
    write_years(&mut file, "Made World (coded)", "OWID_MDW", &world, Gap::Usual);
    write_years(
        &mut file,
        "Made shipping",
        "",
        &world.iter().map(|year| year.part(0.02).freight()).collect::<Vec<_>>(),
        Gap::Usual,
    );
    file
}

/// Names that belong to nobody; one holds a comma and one letters beyond ASCII, as real names do.
const NAMES: [(&str, Kind, Gap); 40] = [
    ("Aldmark", Kind::Developing, Gap::Usual),
    ("Borrovia", Kind::Developing, Gap::Usual),
    ("Calemba", Kind::Developing, Gap::Usual),
    ("Dorvane", Kind::Developing, Gap::Usual),
    ("Eastmere", Kind::OilState, Gap::Usual),
    ("Fennoria", Kind::Developing, Gap::Usual),
    ("Gallund", Kind::Developing, Gap::Usual),
    ("Great Harrowen", Kind::Giant, Gap::Usual),
    ("Hallowisle", Kind::Developing, Gap::Gdp),
    ("Ilvania", Kind::Developing, Gap::Usual),
    ("Jorrand", Kind::Developing, Gap::Usual),
    ("Kestria", Kind::Developing, Gap::Usual),
    ("Lower Tamber", Kind::Developing, Gap::Usual),
    ("Marrowen Federation", Kind::Giant, Gap::Usual),
    ("Mistland", Kind::Developing, Gap::Gdp),
    ("Norvath", Kind::Developing, Gap::Usual),
    ("Oldenreach", Kind::Developing, Gap::Usual),
    ("Ostravel", Kind::Developing, Gap::Usual),
    ("Pellucia", Kind::OilState, Gap::Usual),
    ("Quarrel Islands", Kind::Developing, Gap::MostYears),
    ("Ravenna Minor", Kind::Developing, Gap::Usual),
    ("Rethmoor", Kind::Developing, Gap::Usual),
    ("Sandreach Emirates", Kind::OilState, Gap::Usual),
    ("Selkwater", Kind::Developing, Gap::Usual),
    ("Silverreach", Kind::Developing, Gap::Usual),
    ("Southern Ice", Kind::Developing, Gap::People),
    ("Tarn and Fell", Kind::Developing, Gap::Usual),
    ("Thornmark", Kind::Developing, Gap::Usual),
    ("Tolvera", Kind::Developing, Gap::Usual),
    ("Ulmreach", Kind::Developing, Gap::Usual),
    ("United Vales", Kind::Giant, Gap::Usual),
    ("Valdris, Upper", Kind::Developing, Gap::Usual),
    ("Varenholm", Kind::Developing, Gap::Usual),
    ("Vespera", Kind::OilState, Gap::Usual),
    ("Westmoor", Kind::Developing, Gap::Usual),
    ("Wolmar", Kind::Developing, Gap::Usual),
    ("Yarrow", Kind::Developing, Gap::Usual),
    ("Ystervale", Kind::Developing, Gap::Usual),
    ("Zandoria", Kind::Developing, Gap::Usual),
    ("Ålvenmark", Kind::Developing, Gap::Usual),
];

fn countries(random: &mut Random) -> Vec<Country> {
    let codes = (b'A'..=b'Z').flat_map(|second| (b'A'..=b'D').map(move |third| [b'X', second, third]));
    let named = NAMES.iter().zip(codes);
    named
        .map(|(&(name, kind, gap), code)| {
            let (people, income, intensity) = match kind {
                Kind::Developing => ((0.3e6, 30e6), (900.0, 6_000.0), (0.15, 0.45)),
                Kind::OilState => ((0.2e6, 0.6e6), (22_000.0, 30_000.0), (0.9, 1.2)),
                Kind::Giant => ((260e6, 420e6), (5_000.0, 9_000.0), (0.4, 0.6)),
            };
            Country {
                name: name.to_owned(),
                code: String::from_utf8_lossy(&code).into_owned(),
                gap,
                population: random.between(people),
                income: random.between(income),
                intensity: random.between(intensity),
            }
        })
        .collect()
}

/// A country's figures, year by year: people and income grow, the economy gets cleaner, and no year is quite average.
fn history(country: &Country, random: &mut Random) -> Vec<Year> {
    let (mut population, mut income, mut intensity) = (country.population, country.income, country.intensity);
    let growth = random.between((1.008, 1.024));
    (FIRST_YEAR..=LAST_YEAR)
        .map(|_| {
            population *= random.between((1.002, 1.026));
            income *= growth * random.between((0.96, 1.04));
            intensity *= random.between((0.975, 1.005));
            let gdp = population * income;
            // Tonnes per 1,000 $ times $ is tonnes times 1,000; a million tonnes are a thousand thousand.
            Year { population: Some(population), gdp: Some(gdp), co2_mt: Some(gdp * intensity / 1e9) }
        })
        .collect()
}

impl Year {
    fn plus(self, other: Self) -> Self {
        let add = |a: Option<f64>, b: Option<f64>| Some(a.unwrap_or(0.0) + b.unwrap_or(0.0));
        Self {
            population: add(self.population, other.population),
            gdp: add(self.gdp, other.gdp),
            co2_mt: add(self.co2_mt, other.co2_mt),
        }
    }

    fn part(self, share: f64) -> Self {
        let part = |value: Option<f64>| value.map(|value| value * share);
        Self { population: part(self.population), gdp: part(self.gdp), co2_mt: part(self.co2_mt) }
    }

    /// Emissions of nobody's people and nobody's economy.
    fn freight(self) -> Self {
        Self { population: None, gdp: None, ..self }
    }

    fn without(self, gap: Gap, year: u32) -> Self {
        match gap {
            Gap::Usual => Self {
                gdp: self.gdp.filter(|_| year < LAST_YEAR),
                co2_mt: self.co2_mt.filter(|_| year >= FIRST_YEAR + 3),
                ..self
            },
            Gap::Gdp | Gap::MostYears => Self { gdp: self.gdp.filter(|_| gap != Gap::Gdp), ..self },
            Gap::People => Self { co2_mt: Some(0.0), ..Self::default() },
        }
    }
}

fn write_years(file: &mut String, name: &str, code: &str, years: &[Year], gap: Gap) {
    let quoted = if name.contains(',') { format!("\"{name}\"") } else { name.to_owned() };
    for (year, figures) in (FIRST_YEAR..).zip(years) {
        if gap == Gap::MostYears && year + 4 <= LAST_YEAR {
            continue;
        }
        let figures = figures.without(gap, year);
        let per_capita = figures.co2_mt.zip(figures.population).map(|(co2_mt, people)| co2_mt * 1e6 / people);
        let [population, gdp] = [figures.population, figures.gdp].map(whole);
        let [co2, per_capita] = [figures.co2_mt, per_capita].map(thousandths);
        writeln!(file, "{quoted},{year},{code},{population},{gdp},{co2},{per_capita}")
            .expect("a String takes all text");
    }
}

/// A whole number as the real file writes it, `4707744.0`; nothing where it is missing.
fn whole(value: Option<f64>) -> String {
    value.map(|value| format!("{value:.0}.0")).unwrap_or_default()
}

/// Three decimals at most, one at least, as the real file writes them; nothing where it is missing.
fn thousandths(value: Option<f64>) -> String {
    let Some(value) = value else { return String::new() };
    let text = format!("{value:.3}");
    let short = text.trim_end_matches('0');
    if short.ends_with('.') { format!("{short}0") } else { short.to_owned() }
}

struct Random(Xoshiro256PlusPlus);

impl Random {
    /// A number of the half-open interval `[low, high)`.
    fn between(&mut self, (low, high): (f64, f64)) -> f64 {
        // 32 bits are exact as f64, and finer than any figure here is written.
        let share = f64::from(self.0.next_u32()) / 4_294_967_296.0;
        low + (high - low) * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_in_the_real_file() {
        assert_eq!(whole(Some(4_707_744.0)), "4707744.0");
        assert_eq!([Some(0.0), Some(2.283), Some(0.5), None].map(thousandths), ["0.0", "2.283", "0.5", ""]);
    }

    #[test]
    fn it_has_the_oddities_of_the_real_file() {
        let file = make(1);
        let rows: Vec<csv::StringRecord> =
            csv::Reader::from_reader(file.as_bytes()).records().map(Result::unwrap).collect();
        let count = |keep: &dyn Fn(&csv::StringRecord) -> bool| rows.iter().filter(|row| keep(row)).count();
        // 40 countries of 60 years, but one of 4; four aggregates of 60, three of them without a code.
        assert_eq!(rows.len(), 40 * 60 - 56 + 4 * 60);
        assert_eq!(count(&|row| row[2].is_empty()), 180);
        assert_eq!(count(&|row| &row[2] == "OWID_MDW"), 60);
        assert_eq!(count(&|row| &row[0] == "Quarrel Islands"), 4);
        assert_eq!(count(&|row| &row[0] == "Hallowisle" && !row[4].is_empty()), 0);
        assert!(rows.iter().all(|row| row[2].is_empty() || row[2].starts_with('X') || row[2].starts_with("OWID_")));
    }
}
