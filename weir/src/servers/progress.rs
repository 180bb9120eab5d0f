//! A line for every step that takes a while.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// A running step. On a terminal it turns and counts seconds; elsewhere it is one line at its start and one at its end.
pub struct Step {
    name: String,
    started: Instant,
    spinner: Option<ProgressBar>,
}

impl Step {
    /// Announces the step.
    pub fn start(name: impl Into<String>) -> Self {
        let name = name.into();
        let spinner = std::io::stderr().is_terminal().then(|| spinner(&name));
        if spinner.is_none() {
            eprintln!("{name} …");
        }
        Self { name, started: Instant::now(), spinner }
    }

    /// Ends the step with how long it took.
    pub fn done(self) {
        let seconds = self.started.elapsed().as_secs_f64();
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        eprintln!("{}: done in {seconds:.1} s", self.name);
    }
}

impl Drop for Step {
    /// A step that failed leaves no turning wheel behind; its error is told by whoever handles it.
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}

fn spinner(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} … {elapsed}")
        .unwrap_or(ProgressStyle::default_spinner());
    let spinner = ProgressBar::new_spinner().with_style(style).with_message(name.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}
