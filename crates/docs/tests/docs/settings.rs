//! The tables of settings are those of the recorded `--help`.

use std::{fmt::Write as _, fs};

use testkit::repository;

const PAGE: &str = "docs/OPERATIONS.md";
const MARKS: (&str, &str) = ("<!-- settings -->\n", "<!-- /settings -->");
const PROGRAMS: [(&str, &str); 4] = [
    ("producer", "crates/producer/tests/cmd/producer.trycmd"),
    ("consumer", "crates/consumer/tests/cmd/consumer.trycmd"),
    ("migrate", "crates/migrate/tests/cmd/help.trycmd"),
    ("warehouse", "crates/warehouse/tests/cmd/warehouse.trycmd"),
];

#[test]
fn settings_are_those_of_help() {
    let path = repository().join(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(MARKS.0).unwrap();
    let (found, after) = rest.split_once(MARKS.1).unwrap();
    let tables: String = PROGRAMS.iter().map(|(program, recorded)| table(program, recorded)).collect();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{before}{}{tables}{}{after}", MARKS.0, MARKS.1)).unwrap();
    } else {
        assert_eq!(found, tables, "{PAGE} is not what --help says: UPDATE=1 cargo test -p docs");
    }
}

/// An option of a program.
#[derive(Default)]
struct Setting {
    option: String,
    /// What it means, a line each; paragraphs are apart by an empty one.
    lines: Vec<String>,
}

impl Setting {
    /// The value of a line such as `[env: TOPIC]`.
    fn note(&self, name: &str) -> Option<String> {
        let prefix = format!("[{name}: ");
        let text = self.lines.join(" ");
        let (_, value) = text.rsplit_once(&prefix)?;
        Some(value.split(']').next()?.trim_end_matches('=').to_owned())
    }

    /// The first paragraph without notes, and the possible values.
    fn meaning(&self) -> String {
        let first = self.lines.iter().take_while(|line| !line.is_empty()).cloned().collect::<Vec<_>>().join(" ");
        let text = first.split(" [").next().unwrap_or_default().trim_end_matches('.');
        let listed = self.lines.iter().filter_map(|line| line.strip_prefix("- ")?.split_once(':'));
        let listed = listed.map(|(value, _)| value.to_owned()).collect::<Vec<_>>().join(", ");
        let values = self.note("possible values").unwrap_or(listed);
        let values = if values.is_empty() { values } else { format!(" ({values})") };
        format!("{text}{values}").replace('|', "\\|")
    }

    /// The default: a value, or words where the program chooses.
    fn default_value(&self) -> String {
        let stands_alone = self.lines.iter().any(|line| line.starts_with("[default: "));
        match self.note("default") {
            Some(value) if stands_alone && !value.contains("the pipeline") => {
                format!("`{}`", value.replace('|', "\\|"))
            }
            Some(words) => words,
            None => String::new(),
        }
    }
}

/// The table of a program's settings, by what its `--help` records.
fn table(program: &str, recorded: &str) -> String {
    let text = fs::read_to_string(repository().join(recorded)).unwrap();
    let (_, help) = text.split_once(&format!("$ {program} --help\n")).unwrap();
    let help = help.split("```").next().unwrap();
    let mut settings: Vec<Setting> = Vec::new();
    for line in help.lines() {
        let text = line.trim();
        if line.starts_with("  ") && text.starts_with('-') && line.len() - text.len() < 8 {
            settings.push(Setting { option: text.to_owned(), ..Setting::default() });
        } else if line.starts_with(' ') || line.is_empty() {
            settings.iter_mut().last().into_iter().for_each(|last| last.lines.push(text.to_owned()));
        }
    }
    let mut table = format!("\n### {program}\n\n| option | variable | default | meaning |\n|---|---|---|---|\n");
    for setting in settings.iter().filter(|setting| setting.note("env").is_some()) {
        let code =
            |text: Option<String>| text.map_or_else(String::new, |text| format!("`{}`", text.replace('|', "\\|")));
        let option = setting.option.replace('|', "\\|");
        let (variable, default) = (code(setting.note("env")), setting.default_value());
        writeln!(table, "| `{option}` | {variable} | {default} | {} |", setting.meaning()).unwrap();
    }
    table
}
