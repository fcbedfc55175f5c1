//! What installers have in common.

use std::path::Path;

use super::classify::Verdict;
use crate::error::{Error, Phase};
use crate::store::runtime::Job;

/// An error of locking.
pub(crate) fn refused_lock(job: &Job<'_>, verdict: Verdict) -> Error {
    refused(job, Phase::Lock, verdict)
}

/// An error of one phase, with what the log has so far.
pub(crate) fn refused(job: &Job<'_>, phase: Phase, verdict: Verdict) -> Error {
    Error::Installer {
        phase,
        cause: verdict.cause,
        summary: job.log.masked(&verdict.summary),
        tail: job.log.tail(),
        log: job.log.path().map(Path::to_owned),
    }
}
