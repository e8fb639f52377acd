//! The processor time of a process, as Linux's `/proc` has it.

use anyhow::Context;

/// Linux reports processor time in ticks of this length, on every common architecture (`USER_HZ`).
const TICK_S: f64 = 0.01;

/// A process's line of proc(5)'s `stat`, as far as it is read here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stat {
    /// The process that started it.
    pub(crate) parent: u32,
    /// Processor seconds of its own, user and system together.
    pub(crate) own_s: f64,
    /// Those of all its children that have ended and been waited for, user and system.
    pub(crate) ended_children_s: (f64, f64),
}

impl Stat {
    /// Reads that of a process: its id, or `self`.
    ///
    /// # Errors
    /// When there is no such process, and where there is no `/proc`.
    pub(crate) fn of(process: &str) -> anyhow::Result<Self> {
        let path = format!("/proc/{process}/stat");
        let line = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        Self::parse(&line).with_context(|| format!("{path} is not as proc(5) has it"))
    }

    /// Fields 4 and 14 to 17; the second, a name, may contain blanks.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let seconds = |at: usize| Some(fields.get(at)?.parse::<f64>().ok()? * TICK_S);
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own_s: seconds(11)? + seconds(12)?,
            ended_children_s: (seconds(13)?, seconds(14)?),
        })
    }
}

/// Processor seconds of a server that starts a process for each session: its own, those of its children, and those of
/// its children that have ended.
///
/// # Errors
/// When it has ended.
pub(crate) fn server_cpu_s(server: u32) -> anyhow::Result<f64> {
    let main = Stat::of(&server.to_string())?;
    let processes = std::fs::read_dir("/proc")?.flatten();
    // One that has just ended cannot be read any more.
    let stats = processes.filter_map(|process| Stat::of(process.file_name().to_str()?).ok());
    let children: f64 = stats.filter(|stat| stat.parent == server).map(|stat| stat.own_s).sum();
    Ok(main.own_s + main.ended_children_s.0 + main.ended_children_s.1 + children)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn a_line_is_read() {
        let line = "7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 200 50 350 25 20 0";
        assert_eq!(Stat::parse(line), Some(Stat { parent: 1, own_s: 2.5, ended_children_s: (3.5, 0.25) }));
        assert_eq!(Stat::parse("7 (a) S 1 2"), None);
    }

    #[test]
    fn children_count_while_they_run_and_after() {
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done; echo; read -r on";
        let mut server = Command::new("sh");
        server.args(["-c", &format!("({busy}); echo; read -r on")]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = server.spawn().unwrap();
        let (mut to, mut from) = (server.stdin.take().unwrap(), server.stdout.take().unwrap());
        let mut next = || {
            from.read_exact(&mut [0]).unwrap();
            let cpu_s = server_cpu_s(server.id()).unwrap();
            to.write_all(b"\n").unwrap();
            cpu_s
        };
        let (running, ended) = (next(), next());
        server.wait().unwrap();
        assert!(0.03 < running && running <= ended, "{running} {ended}");
    }
}
