//! What an error code of PostgreSQL (its documentation, appendix A) means for the user who started the program.

use crate::Exit;

/// What may be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Another try may succeed without anyone's doing.
    Retry,
    /// `migrate up` creates what is missing.
    Migrate,
    /// The login may not do this, or not yet.
    Refused,
    /// A setting of ours or of the server's has to be changed.
    Setting,
    /// The database contains something that conflicts.
    Content,
    /// Nothing but a change of our code.
    Bug,
}

use Remedy::{Bug, Content, Migrate, Refused, Retry, Setting};

impl Remedy {
    /// The exit code where the error is not tried again.
    pub(crate) fn exit(self) -> Exit {
        match self {
            Retry => Exit::Unavailable,
            Migrate | Refused | Setting => Exit::Usage,
            Content => Exit::Input,
            Bug => Exit::Bug,
        }
    }
}

const RIGHTS: &str = "the consumer wants the role tributary_writer of `migrate up`, and migrate a login that may do this: a \
                      superuser, or one with CREATEROLE and CREATEDB";
const POOLER: &str =
    "a connection pooler does not keep our session: let DATABASE_URL name the PostgreSQL server itself";
const FOREIGN: &str = "a trigger, function or foreign table that is not ours raised this; mend or remove it";
const UNKNOWN_TO_SERVER: &str = "PostgreSQL 15 to 17 knows it, with the schema of `migrate up`";
const IN_THE_WAY: &str = "it was not made by migrate: move it to another schema, or give an empty database";
const IN_USE: &str = "someone is using it: wait, or stop them and run this again";
const LACKING: &str = "run `migrate up`; what was removed by hand since has to be restored";
const DAMAGED: &str = "the database's files are damaged: restore it from a backup, or rebuild the index that is named";

/// Code or class, what may be done, and what to do in words; the longest that fits counts.
const TABLE: &[(&str, Remedy, &str)] = &[
    ("00", Bug, ""),
    ("01", Bug, ""),
    ("02", Bug, ""),
    ("03", Bug, ""),
    ("08", Retry, ""),
    ("09", Setting, FOREIGN),
    ("0A", Setting, UNKNOWN_TO_SERVER),
    ("0B", Bug, ""),
    ("0F", Bug, ""),
    ("0L", Refused, RIGHTS),
    ("0P", Refused, RIGHTS),
    ("0Z", Bug, ""),
    ("10", Bug, ""),
    ("20", Bug, ""),
    ("21", Bug, ""),
    ("22", Bug, ""),
    ("22023", Setting, "check the options in DATABASE_URL, and for a new database the server's locale"),
    ("22P05", Setting, NOT_UTF8),
    ("23", Bug, ""),
    ("24", Bug, ""),
    ("25", Bug, ""),
    ("25006", Retry, "it only reads, as a standby does: let DATABASE_URL name the primary"),
    // The server ended a transaction of ours that had been idle, as after the machine was asleep.
    ("25P03", Retry, ""),
    ("25P04", Retry, ""),
    ("26", Setting, POOLER),
    ("27", Setting, FOREIGN),
    ("28", Refused, ""),
    ("2B", Content, "something else depends on it: move or remove that first"),
    ("2D", Bug, ""),
    ("2F", Setting, FOREIGN),
    ("34", Bug, ""),
    ("38", Setting, FOREIGN),
    ("39", Setting, FOREIGN),
    ("3B", Bug, ""),
    ("3D", Migrate, "run `migrate up`, or check DATABASE_URL"),
    ("3F", Setting, "our tables lie in schema public: make it with CREATE SCHEMA public, then run `migrate up`"),
    ("40", Retry, ""),
    ("42", Bug, ""),
    ("42501", Refused, RIGHTS),
    ("42602", Setting, "choose another name"),
    ("42622", Setting, "choose another name"),
    ("42701", Content, IN_THE_WAY),
    ("42703", Migrate, LACKING),
    ("42704", Setting, UNKNOWN_TO_SERVER),
    ("42710", Content, IN_THE_WAY),
    ("42723", Content, IN_THE_WAY),
    ("42809", Content, IN_THE_WAY),
    ("42883", Setting, UNKNOWN_TO_SERVER),
    ("42939", Setting, "choose another name"),
    ("42P01", Migrate, LACKING),
    ("42P04", Content, IN_THE_WAY),
    ("42P05", Setting, POOLER),
    ("42P06", Content, IN_THE_WAY),
    ("42P07", Content, IN_THE_WAY),
    ("44", Bug, ""),
    ("53", Retry, "the server has reached a limit"),
    ("53100", Retry, "free space on the server's disk"),
    ("53200", Retry, "the server is out of memory"),
    ("53300", Retry, "close connections, or raise max_connections"),
    ("54", Bug, ""),
    ("55", Retry, ""),
    ("55006", Retry, IN_USE),
    ("55P02", Setting, "take it out of the options in DATABASE_URL"),
    ("55P03", Retry, IN_USE),
    ("55P04", Bug, ""),
    ("57", Retry, ""),
    ("57014", Retry, "the server took too long for a statement, or was asked to cancel it"),
    ("57P03", Retry, "it is starting, stopping or recovering"),
    ("58", Retry, "check the server's log and its disks"),
    ("72", Retry, ""),
    ("F0", Retry, "mend the server's configuration file"),
    ("HV", Setting, FOREIGN),
    ("P0", Setting, FOREIGN),
    ("XX", Retry, "a fault of the server: check its log"),
    ("XX001", Content, DAMAGED),
    ("XX002", Content, DAMAGED),
];

/// What to do about a database that cannot hold every text.
pub(crate) const NOT_UTF8: &str = "make the database with ENCODING 'UTF8', or leave it to `migrate up`";

/// What may be done about an error, and what to do in words, if there are any.
///
/// Some codes mean several things, which their messages distinguish.
pub(crate) fn remedy(code: &str, message: &str) -> (Remedy, &'static str) {
    match code {
        // Poolers use this code to report that they are not PostgreSQL; other errors with it may be over soon.
        "08P01" if ["startup parameter", "pooling", "prepared statement"].iter().any(|word| message.contains(word)) => {
            return (Setting, POOLER);
        }
        // The server reads options as a command line before it knows of any statement.
        "42601" if message.contains("command-line argument") || message.contains("requires a value") => {
            return (Setting, "check the options in DATABASE_URL, and PGOPTIONS");
        }
        // A table was changed under a statement that was prepared before; a new connection prepares it again.
        "0A000" if message.contains("cached plan") => return (Retry, ""),
        _ => {}
    }
    let fitting = TABLE.iter().filter(|(begin, ..)| code.starts_with(begin));
    let row = fitting.max_by_key(|(begin, ..)| begin.len());
    // A code that PostgreSQL does not have is somebody's own.
    row.map_or((Setting, FOREIGN), |&(_, remedy, words)| (remedy, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every class of appendix A, and every code that is not as its class: what may be done, and a word of the advice.
    const MEANINGS: &[(Remedy, &str, &str)] = &[
        (Retry, "", "08000 08001 08003 08004 08006 08007 08P01 25P03 25P04 40000 40001 40002 40003 40P01 72000"),
        (Retry, "primary", "25006"),
        (Retry, "limit", "53000 53400"),
        (Retry, "disk", "53100 58000 58030 58P01 58P02"),
        (Retry, "memory", "53200"),
        (Retry, "max_connections", "53300"),
        (Retry, "", "55000 57000 57P01 57P02 57P04 57P05"),
        (Retry, "someone is using it", "55006 55P03"),
        (Retry, "too long", "57014"),
        (Retry, "recovering", "57P03"),
        (Retry, "configuration file", "F0000 F0001"),
        (Retry, "check its log", "XX000"),
        (Migrate, "migrate up", "3D000 42P01 42703"),
        (Refused, "", "28000 28P01"),
        (Refused, "CREATEROLE", "42501 0L000 0LP01 0P000"),
        (Setting, "pooler", "26000 42P05"),
        (Setting, "CREATE SCHEMA public", "3F000"),
        (Setting, "ENCODING 'UTF8'", "22P05"),
        (Setting, "options in DATABASE_URL", "22023 55P02"),
        (Setting, "PostgreSQL 15 to 17", "0A000 42704 42883"),
        (Setting, "another name", "42602 42622 42939"),
        (Setting, "trigger", "09000 27000 2F000 2F005 38000 39000 39P01 HV000 HV00N P0000 P0001 P0002 P0004 ZZ001"),
        (Content, "not made by migrate", "42P04 42P06 42P07 42701 42710 42723 42809"),
        (Content, "depends on it", "2BP01 2B000"),
        (Content, "backup", "XX001 XX002"),
        (Bug, "", "00000 01000 02000 03000 0B000 0F000 0Z000 10608 20000 21000 22000 22003 22021 22P02 23000 23505"),
        (Bug, "", "23514 24000 25000 25001 25P01 25P02 2D000 34000 3B000 42000 42601 42804 44000 54000 54001 55P04"),
    ];

    #[test]
    fn every_class_of_codes_has_a_meaning() {
        for (expected, word, codes) in MEANINGS {
            for code in codes.split(' ') {
                let (remedy, advice) = remedy(code, "");
                assert_eq!(remedy, *expected, "{code}");
                assert!(advice.contains(word) && advice.is_empty() == word.is_empty(), "{code}: {advice}");
            }
        }
        let begins =
            |begin: &str| MEANINGS.iter().any(|(.., codes)| codes.split(' ').any(|code| code.starts_with(begin)));
        assert!(TABLE.iter().all(|(begin, ..)| begins(begin)), "a row of the table is not tried");
    }

    #[test]
    fn a_message_distinguishes_what_a_code_does_not() {
        let check = |code, message, expected| assert_eq!(remedy(code, message), expected, "{message}");
        check("08P01", "unsupported startup parameter: options", (Setting, POOLER));
        check("08P01", "transaction blocks not allowed in statement pooling mode", (Setting, POOLER));
        check("08P01", "bind message supplies 1 parameters, but prepared statement \"\" requires 2", (Setting, POOLER));
        check("08P01", "query_wait_timeout", (Retry, ""));
        check("0A000", "cached plan must not change result type", (Retry, ""));
    }
}
