//! Servers that a script of the repository starts and stops.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, bail};

/// The repository's top folder, where this crate was built.
pub fn repository() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in crates/");
    crates.parent().expect("crates/ lies in the repository").to_path_buf()
}

/// What becomes of a server's data when it is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    Keep,
    Wipe,
}

/// A server in its own folder, started by `scripts/NAME up`; stopped and wiped when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    script: &'static str,
    folder: PathBuf,
    address: String,
    /// Variables for the script, besides our own environment.
    env: Vec<(String, String)>,
    stop: bool,
}

impl Server {
    /// Starts the server, and waits until it answers; what the script says goes to stderr. `env` has
    /// variables for the script, besides our own environment.
    ///
    /// # Errors
    /// When it cannot be started; the error is the script's last line, which says what to do. Nothing is left
    /// running then.
    pub(crate) fn start(script: &'static str, folder: &Path, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        // Made first, so that a start that is interrupted half way is undone as well.
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut server = Self { script, folder: folder.to_path_buf(), address: String::new(), env, stop: true };
        let (output, last_words) = drain(&mut server.command("up"))?;
        if !output.status.success() {
            let silent = || format!("scripts/{script} up {} failed: {}", folder.display(), output.status);
            bail!(last_words.unwrap_or_else(silent));
        }
        last_words.iter().for_each(|line| eprintln!("{line}"));
        server.address = String::from_utf8(output.stdout)?.trim().to_owned();
        Ok(server)
    }

    /// The address of the server that runs in `folder`, if one does; starts none.
    ///
    /// # Errors
    /// When the script cannot be run.
    pub(crate) fn running(script: &'static str, folder: &Path) -> anyhow::Result<Option<String>> {
        // The script would make the folder.
        if !folder.exists() {
            return Ok(None);
        }
        let server =
            Self { script, folder: folder.to_path_buf(), address: String::new(), env: Vec::new(), stop: false };
        let output = server.command("url").output().with_context(|| format!("scripts/{script} cannot be run"))?;
        Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Stops the server.
    ///
    /// # Errors
    /// When the script fails.
    pub(crate) fn stop(mut self, data: Data) -> anyhow::Result<()> {
        self.stop = false;
        self.down(data)
    }

    /// Ends the server as a crash would; its data stay.
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub(crate) fn kill(&self) -> anyhow::Result<()> {
        self.run("kill")
    }

    /// Stops the server, and keeps its data, until [`Server::revive`].
    ///
    /// # Errors
    /// When the script fails.
    pub(crate) fn pause(&self) -> anyhow::Result<()> {
        self.down(Data::Keep)
    }

    /// Starts the server again after [`Server::kill`] or [`Server::pause`], at the same address; `env` is for the script, this once.
    ///
    /// # Errors
    /// When it does not start, or another program has taken its port.
    pub(crate) fn revive(&self, env: &[(&str, &str)]) -> anyhow::Result<()> {
        let (output, last_words) = drain(self.command("up").envs(env.iter().copied()))?;
        let address = String::from_utf8(output.stdout)?;
        if !output.status.success() || address.trim() != self.address {
            bail!("{} is not back at {}: {}", self.script, self.address, last_words.unwrap_or_default());
        }
        Ok(())
    }

    fn run(&self, verb: &str) -> anyhow::Result<()> {
        let output = self.command(verb).output().with_context(|| format!("scripts/{} cannot be run", self.script))?;
        if !output.status.success() {
            bail!("scripts/{} {verb} failed: {}", self.script, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Leaves the server running.
    pub(crate) fn leave(mut self) {
        self.stop = false;
    }

    fn down(&self, data: Data) -> anyhow::Result<()> {
        let mut command = self.command("down");
        if data == Data::Wipe {
            command.arg("--wipe");
        }
        let status = command.status().with_context(|| format!("scripts/{} cannot be run", self.script))?;
        if !status.success() {
            bail!("scripts/{} down {} failed: {status}", self.script, self.folder.display());
        }
        Ok(())
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(repository().join("scripts").join(self.script));
        command.arg(verb).arg(&self.folder).stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Runs a command to its end, and passes its stderr on as it comes, but for the last line, which is returned.
fn drain(command: &mut Command) -> anyhow::Result<(Output, Option<String>)> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{name} cannot be run"))?;
    let mut held = None;
    for line in BufReader::new(child.stderr.take().context("stderr is piped")?).lines() {
        if let Some(earlier) = held.replace(line?) {
            eprintln!("{earlier}");
        }
    }
    Ok((child.wait_with_output()?, held))
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.stop
            && let Err(error) = self.down(Data::Wipe)
        {
            eprintln!("{error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_held_back() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo address; echo first >&2; echo last >&2; exit 69"]);
        let (output, last_words) = drain(&mut command).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(69), b"address\n".as_slice()));
        assert_eq!(last_words.as_deref(), Some("last"));
    }
}
