use super::*;

use InstallerCause::{Credentials, HashMismatch, Network, NoSolution, NoSpace, Offline, Other, SourceBuild};

macro_rules! outputs {
    ($($file:literal => $cause:expr, $summary:literal;)*) => {
        [$((concat!($file, ".txt"), include_str!(concat!("outputs/", $file, ".txt")), $cause, $summary),)*]
    };
}

/// What uv 0.13.9 printed when each was provoked.
#[test]
fn what_uv_printed_becomes_a_cause_and_a_sentence() {
    let outputs = outputs! {
        "no_solution" => NoSolution, "because requests==2.31.0 depends on urllib3>=1.21.1,<3 and you require requests==2.31.0, we can conclude that you require urllib3>=1.21.1,<3. And because you require urllib3>=3";
        "unknown" => NoSolution, "because this-package-does-not-exist-xyzzy was not found in the package registry and you require this-package-does-not-exist-xyzzy";
        "no_version" => NoSolution, "because there is no version of requests==99.0 and you require requests==99.0";
        "no_build_lock" => NoSolution, "`docopt` has no wheel that fits, and building from source is not allowed here";
        "no_build_sync" => NoSolution, "`docopt` has no wheel that fits, and building from source is not allowed here";
        "hash_sdist" => HashMismatch, "the bytes of `docopt==0.6.2` are not the ones expected";
        "hash_wheel" => HashMismatch, "the bytes of `six==1.16.0` are not the ones expected";
        "unauthorized" => Credentials, "`http://127.0.0.1:8765/simple/` refused the credentials";
        "offline" => Offline, "`attrs` is not in the cache, and working offline";
        "offline_install" => Offline, "`six==1.16.0` is not in the cache, and working offline";
        "connection_refused" => Network, "cannot reach `http://127.0.0.1:1/simple/six/`: Connection refused (os error 111)";
        "dns" => Network, "cannot reach `http://no-such-host.invalid/simple/six/`: failed to lookup address information: Name or service not known";
        "tls" => Network, "the TLS certificate of `https://pypi.org/simple/six/` is not trusted";
        "git_unreachable" => Network, "cannot reach `https://github.com/psf/requests/`: Could not resolve host: github.com";
        "no_space" => NoSpace, "no space is left on the device";
        "gone" => Other, "there is nothing at `https://files.pythonhosted.org/packages/a2/55/8f8cab2afd404cf578136ef2cc5dfb50baa1761b68c9da1fb1e4eed343c9/docopt-0.6.3.tar.gz` any more";
        "missing_file" => Other, "distribution not found at: file:///nonexistent/x-1.0-py3-none-any.whl";
        "no_find_links" => Other, "failed to read `--find-links` directory: /nonexistent: No such file or directory (os error 2)";
        "bad_line" => Other, "couldn't parse requirement in `requirements.in` at position 0: no such comparison operator \"=>\", must be one of ~= == != <= >= < > === requests=>2 ^^^";
        "python27" => Other, "failed to inspect Python interpreter from provided path at `/opt/python/2.7.18/bin/python2.7`: Python executable does not support `-I` flag. Please use Python 3.6 or newer.";
        "wrong_platform" => Other, "package `six` can't be installed because it doesn't have a source distribution or wheel for the current platform";
        "header" => SourceBuild, "`python-ldap==3.4.4` did not build: the header `lber.h` is missing (Debian: `apt-get install libldap2-dev`)";
        "mysql" => SourceBuild, "`mysqlclient==2.2.4` did not build: `mysql_config` is missing (Debian: `apt-get install default-libmysqlclient-dev`)";
        "krb5" => SourceBuild, "`gssapi==1.8.3` did not build: `krb5-config` is missing (Debian: `apt-get install libkrb5-dev`)";
        "no_compiler" => SourceBuild, "`hdr==1.0` did not build: `gcc` is missing (Debian: `apt-get install build-essential`)";
        "python2_print" => SourceBuild, "`beautifulsoup==3.2.1` did not build: its build script is written for Python 2";
        "python2_setup" => SourceBuild, "`oldpy==1.0` did not build: its build script is written for Python 2";
        "pkg_resources" => SourceBuild, "`pkgres==1.0` did not build: it needs `pkg_resources`, which setuptools 82 and later do not have: set `install.build_constraints = [\"setuptools<82\"]`";
        "undeclared" => SourceBuild, "`d2to1==1.0` did not build: its build needs the module `numpy`, which it does not declare";
        "bad_pyproject" => SourceBuild, "`orjson==3.9.10` did not build: TOML parse error at line 1, column 1 | 1 | [project] | ^^^^^^^^^ `pyproject.toml` is using the `[project]` table, but the required `project.version` field is neither set nor present in the `project.dynamic` list";
    };
    for (file, text, cause, summary) in outputs {
        assert_eq!(classify(text), Verdict::new(cause, summary), "{file}");
    }
}

fn build(said: &str) -> String {
    let head = "error: Failed to build `x==1`\n  cause: The build backend returned an error\n\n         [stderr]\n";
    let verdict = classify(&format!("{head}         {said}\n\nhint: Build failures usually …\n"));
    assert_eq!(verdict.cause, SourceBuild);
    verdict.summary.strip_prefix("`x==1` did not build: ").expect("names what did not build").to_owned()
}

#[test]
fn builds_name_the_debian_package() {
    for (said, package) in [
        ("a.c:1:10: fatal error: Python.h: No such file or directory", "python3-dev"),
        ("c/_cffi_backend.c:15:10: fatal error: ffi.h: No such file or directory", "libffi-dev"),
        ("a.c:2:10: fatal error: openssl/opensslv.h: No such file or directory", "libssl-dev"),
        ("a.c:2:10: fatal error: 'libxml/xmlversion.h' file not found", "libxml2-dev"),
        ("a.c:2:10: fatal error: sasl/sasl.h: No such file or directory", "libsasl2-dev"),
        ("unable to execute 'x86_64-linux-gnu-gcc': No such file or directory", "build-essential"),
        ("error: command '/usr/bin/cc' failed: No such file or directory", "build-essential"),
        ("Error: pg_config executable not found.", "libpq-dev"),
        ("error: can't find Rust compiler", "rustc cargo"),
        ("/usr/bin/ld: cannot find -lxslt: No such file or directory", "libxslt1-dev"),
        ("Error: Please make sure the libxml2 and libxslt development packages are installed.", "libxslt1-dev"),
    ] {
        let summary = build(said);
        assert!(summary.ends_with(&format!("(Debian: `apt-get install {package}`)")), "{said}: {summary}");
    }
    assert_eq!(
        build("a.c:1:10: fatal error: odd/thing.h: No such file or directory"),
        "the header `odd/thing.h` is missing"
    );
}

#[test]
fn a_builds_own_words_do_not_pass_for_the_indexs() {
    for said in [
        "HTTP Error 403 Forbidden",
        "Connection refused",
        "FileNotFoundError: [Errno 2] No such file or directory: 'VERSION'",
    ] {
        assert_eq!(build(said), said);
    }
}

#[test]
fn silence_and_length() {
    assert_eq!(classify("").summary, "uv failed without saying why");
    assert_eq!(classify("thread 'main' panicked\n\n").summary, "thread 'main' panicked");
    let long = classify(&format!("error: {}", "é".repeat(2000)));
    assert!(long.summary.len() <= SUMMARY_LIMIT + '…'.len_utf8());
}

proptest::proptest! {
    #[test]
    fn any_text_has_a_verdict(text in "(error: |  cause: |         |`|'|\\(|\\)|\n|hint:|fatal error: |é|x| ){0,60}") {
        let _ = classify(&text);
        let _ = classify(&format!("The build backend returned an error\n{text}"));
    }
}

#[test]
fn what_installers_refuse_as_unsafe_is_told_with_its_artifact() {
    for (said, artifact, reason) in [
        (
            "error: Failed to download `evil==1.0`\n  cause: Failed to extract archive: evil-1.0-py3-none-any.whl\n  cause: Archive contains unacceptable filename: evil/\u{1b}b.py\n",
            "evil-1.0-py3-none-any.whl",
            "archive contains unacceptable filename: evil/\u{fffd}b.py",
        ),
        (
            "ERROR: For req: evil==1.0. Invalid script entry point name '../x': the script would be installed outside the scripts directory (/e/bin).\n",
            "evil==1.0",
            "for req: evil==1.0. Invalid script entry point name '../x': the script would be installed outside the scripts directory (/e/bin).",
        ),
    ] {
        assert_eq!(unsafe_artifact(said), Some((artifact.into(), reason.into())));
    }
    assert_eq!(unsafe_artifact("error: No solution found"), None);
}
