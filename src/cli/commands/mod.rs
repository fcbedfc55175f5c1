//! The commands, one file each.

mod checkout;
mod completions;
mod config;
mod diff;
mod doctor;
mod du;
mod ensure;
mod events;
mod exec;
mod export;
mod gc;
mod history;
mod link;
mod list;
mod logs;
mod migrate;
mod pin;
mod reindex;
mod relocate;
mod remove;
mod resolve;
mod rollback;
mod seal;
mod show;
mod sync;
mod upgrade;
mod verify;
mod who_uses;
mod why;

use std::path::Path;

use super::args::{Command, Config};
use super::context::Context;
use super::failure::Outcome;
use crate::digest::EnvKey;
use crate::index::State;
use crate::store::report::Change;

/// Runs a command.
pub fn run(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Ensure(args) => ensure::run(context, &args),
        Command::Resolve(args) => resolve::run(context, &args),
        Command::Exec(args) => exec::run(context, &args),
        Command::Sync(args) => sync::run(context, &args),
        Command::Upgrade(args) => upgrade::run(context, &args),
        Command::List(args) => list::run(context, &args),
        Command::Show(args) => show::run(context, &args),
        Command::History(args) => history::run(context, &args),
        Command::Rollback(args) => rollback::run(context, &args),
        Command::Diff(args) => diff::run(context, &args),
        Command::Why(args) => why::run(context, &args),
        Command::Pin(args) => pin::pin(context, &args),
        Command::Unpin(args) => pin::unpin(context, &args),
        Command::Link(args) => link::link(context, &args),
        Command::Unlink(args) => link::unlink(context, &args),
        Command::Events(args) => events::run(context, &args),
        Command::WhoUses(args) => who_uses::run(context, &args),
        Command::Logs(args) => logs::run(context, &args),
        Command::Export(args) => export::run(context, &args),
        Command::Checkout(args) => checkout::run(context, &args),
        Command::Remove(args) => remove::run(context, &args),
        Command::Gc(args) => gc::run(context, &args),
        Command::Du(args) => du::run(context, &args),
        Command::Verify(args) => verify::run(context, &args),
        Command::Reindex => reindex::run(context),
        Command::Migrate => migrate::run(context),
        Command::Relocate(args) => relocate::run(context, &args),
        Command::Seal => seal::seal(context),
        Command::Unseal => seal::unseal(context),
        Command::Doctor(args) => doctor::run(context, &args),
        Command::Config(Config::Show) => config::show(context),
        Command::Completions(args) => completions::run(context, &args),
    }
}

/// A key as people see it: enough of it to be the only one, and what `show` takes.
fn short(key: &EnvKey) -> String {
    let mut text = format!("env:{key}");
    text.truncate(16);
    text
}

/// An environment's state as the JSON has it.
fn state(state: State) -> &'static str {
    match state {
        State::Ready => "ready",
        State::Condemned => "condemned",
        State::Deleting => "deleting",
        State::Corrupt => "corrupt",
    }
}

/// A path and a line end, byte for byte.
fn path_line(path: &Path) -> Vec<u8> {
    let mut line = path.as_os_str().as_encoded_bytes().to_vec();
    line.push(b'\n');
    line
}

/// `1 pack`, `2 packs`.
fn count(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// A difference in one line: `+ six 1.17.0`, `- six 1.16.0`, `~ six 1.16.0 -> 1.17.0`.
fn change_line(change: &Change) -> String {
    let name = &change.name;
    match (&change.from, &change.to) {
        (None, Some(to)) => format!("+ {name} {to}"),
        (Some(from), None) => format!("- {name} {from}"),
        (Some(from), Some(to)) => format!("~ {name} {from} -> {to}"),
        (None, None) => format!("~ {name}"),
    }
}
