//! A private MQTT broker on loopback.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

use crate::script::Server;

/// Our own Mosquitto; stopped, and its data deleted, when dropped.
#[derive(Debug)]
pub struct Mosquitto(Server);

impl Mosquitto {
    /// Starts the broker whose data lie in `folder`, made first if new, with further lines of its configuration.
    ///
    /// # Errors
    /// When it is not installed, or does not start; the error says what to do.
    pub fn start(folder: &Path, settings: &str) -> anyhow::Result<Self> {
        Server::start("mosquitto", folder, &[("MOSQUITTO_SETTINGS", settings)]).map(Self)
    }

    /// The broker's address, `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        self.0.address()
    }

    /// Ends the broker as a crash would; what it had saved stays.
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.0.kill()
    }

    /// Ends the broker, which saves its sessions.
    ///
    /// # Errors
    /// When it cannot be stopped.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.0.pause()
    }

    /// Starts the broker again, at the same address.
    ///
    /// # Errors
    /// When it does not start, or another program has taken its port.
    pub fn revive(&self) -> anyhow::Result<()> {
        self.0.revive(&[])
    }

    /// Deletes its sessions and their messages, while it does not run.
    ///
    /// # Errors
    /// When the folder cannot be deleted.
    pub fn forget(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_dir_all(self.0.folder().join("data"))?)
    }

    /// Publishes messages to a topic, and waits until the broker has taken them: `mosquitto_pub` with QoS 1.
    ///
    /// # Errors
    /// When it does not take them.
    pub fn publish(&self, topic: &str, messages: &[String], options: &[&str]) -> anyhow::Result<()> {
        let (host, port) = self.address().split_once(':').unwrap_or_default();
        let mut command = Command::new("timeout");
        command.args(["30", "mosquitto_pub", "-h", host, "-p", port, "-q", "1", "-t", topic]).args(options);
        command.args(["-l"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        // A line is a message.
        child.stdin.take().context("stdin is piped")?.write_all((messages.join("\n") + "\n").as_bytes())?;
        let ended = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        ensure!(ended.status.success(), "mosquitto_pub: {}: {said}", ended.status);
        Ok(())
    }
}
