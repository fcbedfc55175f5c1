//! Why a source distribution did not build, from its build's output.
//!
//! Most failures on a worker are one of few: a header, a tool or a library that a Debian package would
//! bring, a `setup.py` for Python 2, a build requirement that is not declared.

use super::{after, one_line};

/// Headers by how their names start, and what brings them on Debian.
const HEADERS: &[(&str, &str)] = &[
    ("Python.h", "python3-dev"),
    ("pyconfig.h", "python3-dev"),
    ("ffi.h", "libffi-dev"),
    ("openssl/", "libssl-dev"),
    ("libxml/", "libxml2-dev"),
    ("libxml2/", "libxml2-dev"),
    ("libxslt/", "libxslt1-dev"),
    ("libexslt/", "libxslt1-dev"),
    ("mysql.h", "default-libmysqlclient-dev"),
    ("my_config.h", "default-libmysqlclient-dev"),
    ("libpq-fe.h", "libpq-dev"),
    ("libpq/", "libpq-dev"),
    ("ldap.h", "libldap2-dev"),
    ("ldap/", "libldap2-dev"),
    ("lber.h", "libldap2-dev"),
    ("sasl/", "libsasl2-dev"),
    ("sasl.h", "libsasl2-dev"),
    ("krb5.h", "libkrb5-dev"),
    ("krb5/", "libkrb5-dev"),
    ("gssapi.h", "libkrb5-dev"),
    ("gssapi/", "libkrb5-dev"),
    ("yaml.h", "libyaml-dev"),
    ("zlib.h", "zlib1g-dev"),
    ("bzlib.h", "libbz2-dev"),
    ("lzma.h", "liblzma-dev"),
    ("curl/", "libcurl4-openssl-dev"),
    ("jpeglib.h", "libjpeg-dev"),
    ("sql.h", "unixodbc-dev"),
    ("sqlext.h", "unixodbc-dev"),
    ("sqlite3.h", "libsqlite3-dev"),
    ("zmq.h", "libzmq3-dev"),
    ("snappy-c.h", "libsnappy-dev"),
    ("rdkafka.h", "librdkafka-dev"),
    ("librdkafka/", "librdkafka-dev"),
    ("systemd/", "libsystemd-dev"),
    ("dbus/", "libdbus-1-dev"),
    ("net-snmp/", "libsnmp-dev"),
    ("libvirt/", "libvirt-dev"),
    ("sodium.h", "libsodium-dev"),
    ("pcap.h", "libpcap-dev"),
    ("pcap/", "libpcap-dev"),
    ("portaudio.h", "portaudio19-dev"),
    ("gmp.h", "libgmp-dev"),
    ("mpfr.h", "libmpfr-dev"),
    ("linux/", "linux-libc-dev"),
    ("stdio.h", "libc6-dev"),
    ("stdlib.h", "libc6-dev"),
    ("limits.h", "libc6-dev"),
];

/// Tools by name.
const TOOLS: &[(&str, &str)] = &[
    ("gcc", "build-essential"),
    ("cc", "build-essential"),
    ("c++", "build-essential"),
    ("g++", "build-essential"),
    ("x86_64-linux-gnu-gcc", "build-essential"),
    ("aarch64-linux-gnu-gcc", "build-essential"),
    ("make", "build-essential"),
    ("clang", "clang"),
    ("gfortran", "gfortran"),
    ("rustc", "rustc cargo"),
    ("cargo", "rustc cargo"),
    ("cmake", "cmake"),
    ("ninja", "ninja-build"),
    ("git", "git"),
    ("pkg-config", "pkg-config"),
    ("swig", "swig"),
    ("pg_config", "libpq-dev"),
    ("mysql_config", "default-libmysqlclient-dev"),
    ("mariadb_config", "default-libmysqlclient-dev"),
    ("krb5-config", "libkrb5-dev"),
    ("xml2-config", "libxml2-dev"),
    ("xslt-config", "libxslt1-dev"),
    ("curl-config", "libcurl4-openssl-dev"),
];

/// Libraries as a linker names them.
const LIBRARIES: &[(&str, &str)] = &[
    ("ssl", "libssl-dev"),
    ("crypto", "libssl-dev"),
    ("ffi", "libffi-dev"),
    ("xml2", "libxml2-dev"),
    ("xslt", "libxslt1-dev"),
    ("exslt", "libxslt1-dev"),
    ("pq", "libpq-dev"),
    ("ldap", "libldap2-dev"),
    ("ldap_r", "libldap2-dev"),
    ("lber", "libldap2-dev"),
    ("sasl2", "libsasl2-dev"),
    ("krb5", "libkrb5-dev"),
    ("gssapi_krb5", "libkrb5-dev"),
    ("yaml", "libyaml-dev"),
    ("z", "zlib1g-dev"),
    ("mysqlclient", "default-libmysqlclient-dev"),
    ("mariadb", "default-libmysqlclient-dev"),
];

/// Sentences of build scripts, and the tool they miss.
const SENTENCES: &[(&str, &str)] = &[
    ("pg_config executable not found", "pg_config"),
    ("mysql_config: not found", "mysql_config"),
    ("mysql_config not found", "mysql_config"),
    ("Can not find valid pkg-config name", "mysql_config"),
    ("Command 'krb5-config", "krb5-config"),
    ("krb5-config: not found", "krb5-config"),
    ("libxml2 and libxslt development packages are installed", "xslt-config"),
    ("Could not run curl-config", "curl-config"),
    ("can't find Rust compiler", "rustc"),
    ("Cargo, the Rust package manager, is not installed", "cargo"),
    ("CMake must be installed", "cmake"),
];

/// What uv tried to build: `name==version` or `name @ url`.
pub(super) fn subject(stderr: &str) -> Option<&str> {
    after(stderr, "Failed to build `", "`").or_else(|| after(stderr, "Failed to download and build `", "`"))
}

/// One sentence on a failed build.
pub(super) fn summary(stderr: &str) -> String {
    let subject = subject(stderr).map_or_else(|| "a source distribution".into(), |name| format!("`{name}`"));
    let reason = reason(stderr);
    format!("{subject} did not build: {reason}")
}

/// Why a build failed, from its output.
pub(crate) fn reason(stderr: &str) -> String {
    if let Some(header) = missing_header(stderr) {
        if header == "longintrepr.h" {
            return "it was written for Python 3.10 and older: the header `longintrepr.h` is gone".into();
        }
        let package = HEADERS.iter().find(|(lead, _)| header.starts_with(lead)).map(|(_, package)| *package);
        return missing(&format!("the header `{header}`"), package);
    }
    if let Some(tool) = missing_tool(stderr) {
        return missing(&format!("`{tool}`"), lookup(TOOLS, tool));
    }
    if let Some(library) = missing_library(stderr) {
        return missing(&format!("the library `{library}`"), lookup(LIBRARIES, library));
    }
    if is_python_2(stderr) {
        return "its build script is written for Python 2".into();
    }
    if let Some(module) = after(stderr, "No module named '", "'") {
        if module == "pkg_resources" {
            return "it needs `pkg_resources`, which setuptools 82 and later do not have: set \
                    `install.build_constraints = [\"setuptools<82\"]`"
                .into();
        }
        return format!("its build needs the module `{module}`, which it does not declare");
    }
    last_line(stderr).unwrap_or_else(|| "its build backend failed".into())
}

fn missing(what: &str, package: Option<&str>) -> String {
    match package {
        Some(package) => format!("{what} is missing (Debian: `apt-get install {package}`)"),
        None => format!("{what} is missing"),
    }
}

fn lookup(table: &[(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == name).map(|(_, package)| *package)
}

/// `fatal error: x.h: No such file or directory` (gcc), `fatal error: 'x.h' file not found` (clang).
fn missing_header(stderr: &str) -> Option<&str> {
    stderr.lines().find_map(|line| {
        let (_, rest) = line.split_once("fatal error: ")?;
        let header = rest
            .split_once(": No such file or directory")
            .or_else(|| rest.split_once(" file not found"))
            .map(|(header, _)| header.trim_matches(['\'', '"', ' ']))?;
        (!header.is_empty() && !header.contains(char::is_whitespace)).then_some(header)
    })
}

fn missing_tool(stderr: &str) -> Option<&str> {
    const LEADS: &[(&str, &str)] = &[
        ("[Errno 2] No such file or directory: '", "'"),
        ("unable to execute '", "'"),
        ("command '", "' failed: No such file or directory"),
        ("error: linker `", "` not found"),
    ];
    let said = SENTENCES.iter().find(|(mark, _)| stderr.contains(mark)).map(|(_, tool)| *tool);
    said.or_else(|| {
        let named = LEADS.iter().find_map(|(lead, end)| after(stderr, lead, end))?;
        let name = named.rsplit('/').next()?;
        // A file that a build script misses is not a tool.
        lookup(TOOLS, name).map(|_| name)
    })
}

/// `/usr/bin/ld: cannot find -lxslt: No such file or directory`.
fn missing_library(stderr: &str) -> Option<&str> {
    stderr.lines().find_map(|line| {
        let (_, rest) = line.split_once("cannot find -l")?;
        rest.split([':', ' ']).next().filter(|name| !name.is_empty())
    })
}

fn is_python_2(stderr: &str) -> bool {
    const MARKS: &[&str] = &[
        "Missing parentheses in call to 'print'",
        "multiple exception types must be parenthesized",
        "use_2to3 is invalid",
        "No module named 'ConfigParser'",
        "No module named 'commands'",
        "No module named 'urllib2'",
        "No module named '__builtin__'",
        "inconsistent use of tabs and spaces",
        "name 'execfile' is not defined",
        "leading zeros in decimal integer literals are not permitted",
    ];
    MARKS.iter().any(|mark| stderr.contains(mark))
}

/// The last thing the build itself said: the indented text before uv's own hints.
fn last_line(stderr: &str) -> Option<String> {
    let build = stderr.split("\nhint:").next().unwrap_or(stderr);
    let line = build.lines().rev().find(|line| !line.trim().is_empty() && line.starts_with("    "))?;
    let line = one_line(line);
    // The whole compiler command tells nobody anything.
    if line.starts_with("error: Command '[") || line.starts_with("error: command '[") {
        let error = build.lines().find(|line| line.contains(": error: ") || line.contains(": fatal error: "));
        return error.map(one_line).or(Some("the compiler failed".into()));
    }
    Some(line)
}
