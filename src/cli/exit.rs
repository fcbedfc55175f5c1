//! Exit codes: part of the contract with scripts, one table.

use crate::error::Kind;

/// Done, also when there was nothing to do.
pub const OK: u8 = 0;
/// Failed; trying again will not help.
pub const FAILED: u8 = 1;
/// Wrong arguments or configuration.
pub const USAGE: u8 = 2;
/// Damage found.
pub const DAMAGE: u8 = 3;
/// Failed; trying again later may help.
pub const AGAIN: u8 = 4;
/// No such pack, environment or generation.
pub const NOT_FOUND: u8 = 5;
/// Not permitted here.
pub const NOT_PERMITTED: u8 = 6;
/// A mistake in envstore.
pub const BUG: u8 = 70;
/// `exec` itself failed.
pub const EXEC_FAILED: u8 = 125;
/// `exec` found the command and could not run it.
pub const EXEC_CANNOT_RUN: u8 = 126;
/// `exec` did not find the command.
pub const EXEC_NOT_FOUND: u8 = 127;
/// Stopped by Ctrl-C.
pub const INTERRUPTED: u8 = 130;
/// Stopped by SIGTERM.
pub const TERMINATED: u8 = 143;

/// The exit code of a failure; `interrupted` is the one of the signal that stopped the work.
pub fn code(kind: Kind, interrupted: u8) -> u8 {
    match kind {
        Kind::InvalidSpec
        | Kind::NoInterpreter
        | Kind::NoSolution
        | Kind::HashMismatch
        | Kind::Offline
        | Kind::SourceBuild
        | Kind::Installer
        | Kind::UnsafeArtifact
        | Kind::Io => FAILED,
        Kind::Usage | Kind::InvalidConfig => USAGE,
        Kind::Corrupt => DAMAGE,
        Kind::Network | Kind::Credentials | Kind::Timeout | Kind::Busy | Kind::NoSpace | Kind::Index => AGAIN,
        Kind::NotFound => NOT_FOUND,
        Kind::NotPermitted | Kind::MovedStore | Kind::UnsupportedFilesystem | Kind::UnsupportedFormat => NOT_PERMITTED,
        Kind::Interrupted => interrupted,
        Kind::Bug => BUG,
    }
}

#[cfg(test)]
pub(super) const EVERY_KIND: [(Kind, u8); 24] = [
    (Kind::Usage, 2),
    (Kind::InvalidSpec, 1),
    (Kind::InvalidConfig, 2),
    (Kind::NoInterpreter, 1),
    (Kind::NoSolution, 1),
    (Kind::HashMismatch, 1),
    (Kind::Network, 4),
    (Kind::Credentials, 4),
    (Kind::Offline, 1),
    (Kind::SourceBuild, 1),
    (Kind::Installer, 1),
    (Kind::UnsafeArtifact, 1),
    (Kind::Timeout, 4),
    (Kind::Busy, 4),
    (Kind::Interrupted, 130),
    (Kind::NotFound, 5),
    (Kind::NotPermitted, 6),
    (Kind::UnsupportedFilesystem, 6),
    (Kind::MovedStore, 6),
    (Kind::UnsupportedFormat, 6),
    (Kind::Corrupt, 3),
    (Kind::NoSpace, 4),
    (Kind::Io, 1),
    (Kind::Index, 4),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_code_of_the_contract() {
        for (kind, expected) in EVERY_KIND {
            assert_eq!(code(kind, INTERRUPTED), expected, "{kind:?}");
        }
        assert_eq!(code(Kind::Bug, INTERRUPTED), 70);
        assert_eq!(code(Kind::Interrupted, TERMINATED), 143);
    }

    #[test]
    fn try_again_and_retryable_say_the_same() {
        for (kind, code) in EVERY_KIND {
            assert_eq!(kind.is_retryable(), code == AGAIN, "{kind:?}");
        }
    }
}
