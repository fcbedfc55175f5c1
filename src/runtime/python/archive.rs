//! Wheels looked into before an installer unpacks them.
//!
//! Installers differ in what they do with a member that leads out of the environment: pip refuses some and not others, depending on its version,
//! uv leaves members with `..` out without a word. So what must not be is refused here, by the archive's own directory. Only wheels that lie on this
//! host can be looked into; of those that an installer fetches itself the result is checked (`finish`).

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};

use url::Url;
use zip::read::ZipFile;
use zip::{CompressionMethod, ZipArchive};

use super::dist_info;
use super::scripts::is_file_name;
use crate::error::{Error, Result};
use crate::lock::{Artifact, Lock};

/// What a member is, in the upper bits of its mode (stat(2)).
const KIND: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;
/// No byte of deflate becomes more.
const MOST_PER_BYTE: u64 = 1_032;
/// How much of a link's target and of an `entry_points.txt` is looked at.
const TEXT_LIMIT: u64 = 1 << 20;

/// Looks into every wheel of a lock that lies on this host.
///
/// # Errors
/// [`Error::UnsafeArtifact`] that names the wheel and the member. An archive that cannot be read is for the installer to refuse.
pub(crate) fn check(lock: &Lock) -> Result<()> {
    for package in &lock.packages {
        let Artifact::Wheel { file, url, .. } = &package.artifact else { continue };
        let path = Url::parse(url).ok().filter(|url| url.scheme() == "file").and_then(|url| url.to_file_path().ok());
        if let Some(path) = path {
            check_wheel(&path).map_err(|reason| Error::UnsafeArtifact { artifact: file.clone(), reason })?;
        }
    }
    Ok(())
}

/// What is wrong with a wheel, naming the member.
fn check_wheel(path: &Path) -> Result<(), String> {
    let Ok(mut archive) = File::open(path).map_err(|_| ()).and_then(|file| ZipArchive::new(file).map_err(|_| ()))
    else {
        return Ok(());
    };
    for at in 0..archive.len() {
        let Ok(mut member) = archive.by_index(at) else { continue };
        check_member(&mut member)
            .map_err(|reason| format!("its member `{}` {reason}", member.name_raw().escape_ascii()))?;
    }
    Ok(())
}

fn check_member<R: Read>(member: &mut ZipFile<'_, R>) -> Result<(), String> {
    let name = std::str::from_utf8(member.name_raw()).map_err(|_| "has a name that is not UTF-8")?.to_owned();
    if name.chars().any(char::is_control) {
        return Err("has a name with control characters".into());
    }
    if name.starts_with('/') || name.split('/').any(|part| part == "..") {
        return Err("leads out of the environment".into());
    }
    match member.unix_mode().unwrap_or_default() & KIND {
        0 | REGULAR | DIRECTORY => {}
        LINK => {
            let target = text(member);
            if !stays_inside(name.matches('/').count(), Path::new(&target)) {
                return Err(format!("is a link out of the environment, to `{}`", target.escape_debug()));
            }
        }
        _ => return Err("is neither a file, a directory nor a link".into()),
    }
    let (size, held) = (member.size(), member.compressed_size());
    let most = match member.compression() {
        CompressionMethod::Stored => Some(held),
        CompressionMethod::Deflated => Some(held.saturating_mul(MOST_PER_BYTE)),
        _ => None,
    };
    if most.is_some_and(|most| size > most) {
        return Err(format!("claims {size} bytes, more than can be packed into {held}"));
    }
    if name.ends_with(".dist-info/entry_points.txt") && name.matches('/').count() == 1 {
        let (scripts, _) = dist_info::entry_points(&text(member));
        if let Some(script) = scripts.iter().find(|script| !is_file_name(&script.name)) {
            return Err(format!("has a script `{}`, which is no file name", script.name.escape_debug()));
        }
    }
    Ok(())
}

/// The text of a small member; what is beyond the limit is no link and no list of scripts.
fn text(member: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    // A member that cannot be unpacked is for the installer to refuse.
    let _ = member.take(TEXT_LIMIT).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a link that stands so many directories deep leads to a place inside, by name.
pub(super) fn stays_inside(mut depth: usize, target: &Path) -> bool {
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}
