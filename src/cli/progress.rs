//! What is being done, while it is: bars on a terminal, one plain line for each finished pack elsewhere.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::Global;
use super::environment::Environment;
use super::output;
use super::units;

/// How often the spinners move. Slow enough for a shared machine.
const TICK: Duration = Duration::from_millis(120);

/// How to show progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Bars on standard error.
    Bars,
    /// A line for each finished pack on standard error.
    Lines,
    /// Nothing.
    Silent,
}

impl Mode {
    /// By the flags, and whether standard error is a terminal that can move its cursor. A log (`-v`) and bars would
    /// write over each other.
    pub fn choose(global: &Global, environment: &Environment) -> Self {
        if global.quiet {
            return Self::Silent;
        }
        let can = environment.value("TERM").is_none_or(|term| term != "dumb");
        if !global.no_progress && global.verbose == 0 && can && std::io::stderr().is_terminal() {
            return Self::Bars;
        }
        Self::Lines
    }
}

/// The progress of one run.
#[derive(Debug)]
pub struct Progress {
    mode: Mode,
    bars: Option<(MultiProgress, ProgressBar)>,
    total: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    done: usize,
    failed: usize,
    working: HashMap<String, ProgressBar>,
}

impl Progress {
    /// Progress over a number of packs. With one pack there is no overall bar.
    pub fn new(mode: Mode, total: usize, color: bool) -> Self {
        let bars = (mode == Mode::Bars).then(|| {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            let overall = if total > 1 { all.add(ProgressBar::new(total as u64)) } else { ProgressBar::hidden() };
            let bar = if color { "{bar:30.cyan/blue.dim}" } else { "{bar:30}" };
            overall.set_style(
                style(&format!("{bar} {{pos}}/{{len}} packs  {{elapsed_precise}}  {{msg}}")).progress_chars("━╸─"),
            );
            keep_moving(&overall);
            (all, overall)
        });
        Self { mode, bars, total, state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pack is being worked on.
    pub fn begin(&self, pack: &str) {
        let Some((all, _)) = &self.bars else { return };
        let line = all.add(ProgressBar::new_spinner());
        line.set_style(style("{spinner} {prefix} {elapsed:>4}  {wide_msg}"));
        line.set_prefix(if self.total > 1 { shortened(pack, 32) } else { pack.to_owned() });
        line.set_message("looking");
        keep_moving(&line);
        self.state().working.insert(pack.to_owned(), line);
    }

    /// What is being done with it now, e.g. `locking`.
    pub fn phase(&self, pack: &str, what: &str) {
        if let Some(line) = self.state().working.get(pack) {
            line.set_message(what.to_owned());
        }
    }

    /// A pack is finished. `summary` is the line for a log; it stays on the screen only when it failed.
    pub fn finish(&self, pack: &str, failed: bool, summary: &str) {
        let mut state = self.state();
        state.done += 1;
        state.failed += usize::from(failed);
        if let Some(line) = state.working.remove(pack) {
            line.finish_and_clear();
        }
        match &self.bars {
            Some((all, overall)) => {
                overall.inc(1);
                if state.failed > 0 {
                    overall.set_message(format!("{} failed", state.failed));
                }
                if failed && self.total > 1 {
                    let _ = all.println(summary);
                }
            }
            None if self.mode == Mode::Lines => {
                let width = self.total.to_string().len();
                output::stderr(&format!("[{:>width$}/{}] {summary}", state.done, self.total));
            }
            None => {}
        }
    }

    /// A pack is not worked on any more, and not finished.
    pub fn leave(&self, pack: &str) {
        if let Some(line) = self.state().working.remove(pack) {
            line.finish_and_clear();
        }
    }

    /// Takes everything off the screen.
    pub fn clear(&self) {
        if let Some((all, overall)) = &self.bars {
            overall.finish_and_clear();
            let _ = all.clear();
        }
    }
}

/// The line that tells how a pack ended.
pub fn summary(pack: &str, outcome: &str, env: Option<&str>, millis: u64, error: Option<&str>) -> String {
    let mut line = format!("{pack}: {outcome}");
    if let Some(env) = env {
        line.push(' ');
        line.push_str(env);
    }
    // A hit costs nothing worth telling.
    if millis >= 50 {
        line.push_str(&format!(" in {}", units::span(millis)));
    }
    if let Some(error) = error {
        line.push_str(&format!(": {error}"));
    }
    line
}

/// Lets a bar move by itself, which takes a thread. `indicatif` panics where none can be started, so this tries first: a bar
/// that moves only when something happens is enough.
fn keep_moving(bar: &ProgressBar) {
    if std::thread::Builder::new().spawn(|| ()).is_ok() {
        bar.enable_steady_tick(TICK);
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// At most `width` characters, the middle left out.
fn shortened(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return format!("{text:<width$}");
    }
    let half = (width - 1) / 2;
    let head: String = text.chars().take(width - 1 - half).collect();
    let tail: String = text.chars().skip(count - half).collect();
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shortened_in_the_middle() {
        assert_eq!(shortened("abc", 5), "abc  ");
        assert_eq!(shortened("abcdefgh", 5), "ab…gh");
        assert_eq!(shortened("ÄÖÜÄÖÜ", 5).chars().count(), 5);
    }

    #[test]
    fn a_line_tells_what_happened() {
        assert_eq!(summary("p", "hit", Some("env:abc"), 3, None), "p: hit env:abc");
        assert_eq!(summary("p", "failed", None, 1200, Some("no solution")), "p: failed in 1.2 s: no solution");
    }
}
