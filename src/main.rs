//! The `envstore` command.

fn main() {}
