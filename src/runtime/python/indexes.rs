//! Which of the configured indexes a file is from.

use super::pylock::{Package, canonical_url};
use crate::settings::Settings;

/// Which of the configured indexes a file is from, as far as its URL tells: installers say so only
/// sometimes.
pub(crate) fn index_of(settings: &Settings, package: &Package, url: &str) -> Option<String> {
    let parse = |text: &str| url::Url::parse(text).ok();
    let url = parse(url).filter(|url| matches!(url.scheme(), "http" | "https"))?;
    if let Some(said) = package.index.as_deref().and_then(canonical_url) {
        let same = |index: &str| canonical_url(index).is_some_and(|index| same_but_slash(&index, &said));
        return settings.indexes.iter().find(|index| same(&index.url)).map(|index| index.name.clone());
    }
    let remote_links = settings.install.find_links.iter().any(|link| link.contains("://"));
    match settings.indexes.as_slice() {
        [] if !remote_links => Some("pypi".into()),
        [only] if only.default && !remote_links => Some(only.name.clone()),
        indexes => {
            let mut near =
                indexes.iter().filter(|index| parse(&index.url).is_some_and(|at| at.origin() == url.origin()));
            near.next().filter(|_| near.next().is_none()).map(|index| index.name.clone())
        }
    }
}

fn same_but_slash(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Index;

    #[test]
    fn a_files_index_is_told_by_its_url() {
        let index =
            |name: &str, url: &str, default| Index { name: name.into(), url: url.into(), default, credentials: None };
        let told = |indexes: Vec<Index>, links: &[&str], said: Option<&str>, url: &str| {
            let mut settings = Settings { indexes, ..Settings::default() };
            settings.install.find_links = links.iter().map(|link| (*link).into()).collect();
            index_of(&settings, &Package { index: said.map(Into::into), ..Package::default() }, url)
        };
        let a = || index("a", "https://a.example/simple/", true);
        let b = || index("b", "https://b.example/simple", false);
        let file = "https://files.example/x.whl";
        assert_eq!(told(vec![], &[], None, file).as_deref(), Some("pypi"));
        assert_eq!(told(vec![], &["https://c.example/"], None, file), None);
        assert_eq!(told(vec![a()], &["/srv/wheels"], None, file).as_deref(), Some("a"));
        assert_eq!(told(vec![a()], &["/srv/wheels"], None, "file:///srv/wheels/x.whl"), None);
        assert_eq!(told(vec![a(), b()], &[], None, file), None);
        assert_eq!(told(vec![a(), b()], &[], None, "https://b.example/x.whl").as_deref(), Some("b"));
        assert_eq!(told(vec![a(), b()], &[], Some("https://b.example/simple/"), file).as_deref(), Some("b"));
    }
}
