//! Which certificates are trusted: the system's, and beside them those of `ca_bundle`.
//!
//! ureq's platform verifier takes no additional roots (ureq 3.5), so with a bundle both sets are loaded here;
//! uv's own `--cert` *replaces* the system's roots (tried with 0.13.9), so it gets one file with both. The system's
//! are found as rustls-native-certs finds them, which honours `SSL_CERT_FILE` and `SSL_CERT_DIR`.

use std::path::Path;

use data_encoding::BASE64;
use ureq::tls::{Certificate, PemItem, RootCerts};

use crate::error::{Error, Result};

/// The roots for our own downloads.
pub(crate) fn roots(ca_bundle: Option<&Path>) -> Result<RootCerts> {
    match ca_bundle {
        None => Ok(RootCerts::PlatformVerifier),
        Some(bundle) => Ok(all(Some(bundle))?.into()),
    }
}

/// The system's certificates and a bundle's in one PEM text.
pub(crate) fn combined_pem(ca_bundle: &Path) -> Result<String> {
    pem(Some(ca_bundle))
}

/// The system's certificates, and beside them a bundle's, in one PEM text.
pub(crate) fn pem(ca_bundle: Option<&Path>) -> Result<String> {
    let mut text = String::new();
    for certificate in all(ca_bundle)? {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = BASE64.encode(certificate.der());
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            // RFC 7468: lines of 64.
            let (line, more) = rest.split_at(rest.len().min(64));
            text.push_str(line);
            text.push('\n');
            rest = more;
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    Ok(text)
}

fn all(ca_bundle: Option<&Path>) -> Result<Vec<Certificate<'static>>> {
    let mut certificates = ca_bundle.map_or(Ok(Vec::new()), bundle)?;
    // A file of the system's that cannot be read leaves the others.
    let system = rustls_native_certs::load_native_certs().certs;
    certificates.extend(system.iter().map(|der| Certificate::from_der(der).to_owned()));
    Ok(certificates)
}

fn bundle(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let invalid = |reason: String| Error::InvalidConfig { origin: format!("`{}` (ca_bundle)", path.display()), reason };
    let pem = std::fs::read(path).map_err(Error::io("read", path))?;
    let mut certificates = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(invalid(error.to_string())),
        }
    }
    if certificates.is_empty() {
        return Err(invalid("holds no certificate in PEM form".into()));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = include_str!("trust/example.pem");

    #[test]
    fn a_bundle_stands_beside_the_systems_roots() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, format!("# ours\n{PEM}")).expect("writes");
        let system = rustls_native_certs::load_native_certs().certs.len();
        let text = combined_pem(&path).expect("reads");
        assert!(text.starts_with(PEM), "{text}");
        assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 1 + system);
        let RootCerts::Specific(roots) = roots(Some(&path)).expect("reads") else { panic!("not both") };
        assert_eq!(roots.len(), 1 + system);
        assert!(matches!(super::roots(None), Ok(RootCerts::PlatformVerifier)));
    }

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ca.pem");
        for text in ["", "nothing", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&path, text).expect("writes");
            assert!(matches!(combined_pem(&path), Err(Error::InvalidConfig { .. })), "{text}");
        }
        assert!(matches!(combined_pem(&dir.path().join("none")), Err(Error::Io { .. })));
    }
}
