//! This program as the process of those who listen.

use crate::measured::Process;
use anyhow::ensure;
use serde::Serialize;
use std::io::{BufRead as _, BufReader};
use std::process::{ChildStdout, Command, Stdio};

/// They say a line when they begin to count, when it is over, and then what they saw.
pub struct Listeners {
    pub process: Process,
    output: BufReader<ChildStdout>,
}

impl Listeners {
    /// Starts it with what it is told under a flag.
    pub fn start(flag: &str, wishes: &impl Serialize) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([flag, &serde_json::to_string(wishes)?]);
        let mut process = Process::start(command.stdout(Stdio::piped()))?;
        let output = BufReader::new(process.output()?);
        Ok(Self { process, output })
    }

    pub fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line)
    }

    pub fn wait_for(&mut self, word: &str) -> anyhow::Result<()> {
        let line = self.line()?;
        ensure!(line.trim() == word, "the listeners have ended: {line}");
        Ok(())
    }
}
