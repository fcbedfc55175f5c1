use super::is_below;
use std::path::Path;

#[test]
fn a_link_leads_into_a_store_only_through_its_environments() {
    let root = Path::new("/srv/store");
    assert!(is_below(Path::new("/srv/store/envs/abc"), root));
    for elsewhere in ["/srv/store2/envs/abc", "/srv/store", "/srv/store/objects/abc", "envs/abc"] {
        assert!(!is_below(Path::new(elsewhere), root), "{elsewhere}");
    }
}
