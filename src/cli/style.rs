//! Colours, on or off.

use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};

use super::args::Color;
use super::environment::Environment;

/// Writes in colour, or not.
#[derive(Debug, Clone, Copy)]
pub struct Paint(bool);

impl Paint {
    /// Paint for a stream: by `--color`, else `NO_COLOR`, else whether it is a terminal that can.
    pub fn for_stream(color: Color, environment: &Environment, stream: &impl IsTerminal) -> Self {
        Self(match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                environment.value("NO_COLOR").is_none()
                    && environment.value("TERM").is_none_or(|term| term != "dumb")
                    && stream.is_terminal()
            }
        })
    }

    /// No colours.
    pub fn plain() -> Self {
        Self(false)
    }

    /// Whether colours are used.
    pub fn is_on(self) -> bool {
        self.0
    }

    fn with(self, style: Style, text: &str) -> String {
        if self.0 { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// An error.
    pub fn red(self, text: &str) -> String {
        self.with(AnsiColor::Red.on_default().bold(), text)
    }

    /// A warning.
    pub fn yellow(self, text: &str) -> String {
        self.with(AnsiColor::Yellow.on_default().bold(), text)
    }

    /// Success.
    pub fn green(self, text: &str) -> String {
        self.with(AnsiColor::Green.on_default().bold(), text)
    }

    /// A name.
    pub fn cyan(self, text: &str) -> String {
        self.with(AnsiColor::Cyan.on_default(), text)
    }

    /// A heading.
    pub fn bold(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    /// What matters less.
    pub fn dim(self, text: &str) -> String {
        self.with(Style::new().dimmed(), text)
    }
}
