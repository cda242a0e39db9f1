//! Which programs are fetched from where, in which version and with which checksums.
//! Does not start them; `cache` decides where they are kept.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::progress::during;
use super::tool::{MAVEN, NPM, TAR};
use super::{Error, cache};

// Not the package's `latest` tag: 26.5 can't open listeners.
const CHDB_PACKAGE: &str = "@chdb/lib-linux-x64-gnu@26.7.3-stable.1";
const CHDB_TARBALL: &str = "chdb-lib-linux-x64-gnu-26.7.3-stable.1.tgz";
const CHDB_SHA256: &str = "c0d32b129e988f2b9a9a31c9141aecf5e1e2453f9a079efc4d36ab8e3f92b2ad";
const CHDB_ENTRY: &str = "clickhouse-26.7.3-stable.1-linux-x64-gnu";

/// The version of Apache Kafka that is fetched.
const KAFKA_VERSION: &str = "4.3.1";
const SLF4J_VERSION: &str = "1.7.36";
// Every jar, its dependencies included: Maven resolves the same versions or we refuse.
const KAFKA_SHA256: &str = include_str!("kafka-4.3.1.sha256");

/// The path of ClickHouse's shared library, fetched first when the cache has none. `None` where no build is pinned.
#[must_use]
pub fn libchdb() -> Option<Result<PathBuf, Error>> {
    let pinned = cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"));
    pinned.then(|| Ok(cache::entry(CHDB_ENTRY, fetch_libchdb)?.join("libchdb.so")))
}

/// Whether [`libchdb`] would answer without fetching.
pub(super) fn libchdb_is_cached() -> bool {
    cache::holds(CHDB_ENTRY)
}

/// The folder of Apache Kafka's jars, fetched first when the cache has none.
pub fn kafka_jars() -> Result<PathBuf, Error> {
    Ok(cache::entry(&format!("kafka-{KAFKA_VERSION}-slf4j-{SLF4J_VERSION}"), fetch_kafka)?.join("libs"))
}

fn fetch_libchdb(into: &Path) -> Result<(), Error> {
    NPM.require()?;
    TAR.require()?;
    let tarball = into.join(CHDB_TARBALL);
    during("fetching ClickHouse 26.7 as a library (178 MB)", || {
        NPM.run(CHDB_PACKAGE, |npm| {
            npm.args(["pack", "--silent", "--ignore-scripts", CHDB_PACKAGE]).current_dir(into);
        })?;
        verify(&tarball, CHDB_TARBALL, CHDB_SHA256)
    })?;
    during("unpacking it (566 MB)", || {
        TAR.run(CHDB_PACKAGE, |tar| {
            tar.arg("-xzf")
                .arg(&tarball)
                .args(["--strip-components=1", "package/libchdb.so"])
                .current_dir(into);
        })
    })?;
    fs::remove_file(&tarball).map_err(Error::os("remove", &tarball))
}

fn fetch_kafka(into: &Path) -> Result<(), Error> {
    MAVEN.require()?;
    let pom = into.join("pom.xml");
    fs::write(&pom, kafka_pom()).map_err(Error::os("write", &pom))?;
    let libs = into.join("libs");
    let what = format!("Apache Kafka {KAFKA_VERSION}");
    during(&format!("fetching {what} (54 MB)"), || {
        MAVEN.run(&what, |mvn| {
            mvn.args(["-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=libs"])
                .current_dir(into);
        })?;
        verify_all(&libs, KAFKA_SHA256)
    })
}

fn kafka_pom() -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>"
        )
    };
    let kafka = |artifact: &str| dependency("org.apache.kafka", artifact, KAFKA_VERSION);
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>pumphouse</groupId><artifactId>kafka</artifactId><version>1</version>\
         <dependencies>{}{}{}</dependencies></project>\n",
        kafka("kafka_2.13"),
        kafka("kafka-tools"),
        // Without a logger of our own the broker would not say why it ends.
        dependency("org.slf4j", "slf4j-simple", SLF4J_VERSION)
    )
}

/// Checks that `folder` holds exactly the files of `list`, lines of a checksum and a name.
fn verify_all(folder: &Path, list: &str) -> Result<(), Error> {
    let mut pinned: BTreeMap<&str, &str> =
        list.lines().filter_map(|line| line.split_once("  ")).map(|(sum, name)| (name, sum)).collect();
    for file in fs::read_dir(folder).map_err(Error::os("list", folder))? {
        let file = file.map_err(Error::os("list", folder))?;
        let name = file.file_name().to_string_lossy().into_owned();
        let expected = pinned.remove(name.as_str()).unwrap_or("none: the file is not expected at all");
        verify(&file.path(), &name, expected)?;
    }
    match pinned.pop_first() {
        None => Ok(()),
        Some((name, expected)) => Err(Error::ChecksumDiffers {
            file: name.to_owned(),
            expected: expected.to_owned(),
            found: "none".to_owned(),
        }),
    }
}

fn verify(path: &Path, name: &str, expected: &str) -> Result<(), Error> {
    let found = sha256(path).map_err(Error::os("read", path))?;
    if found == expected {
        return Ok(());
    }
    Err(Error::ChecksumDiffers { file: name.to_owned(), expected: expected.to_owned(), found })
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    let mut text = String::new();
    for byte in hasher.finalize() {
        write!(text, "{byte:02x}").map_err(io::Error::other)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    // SHA-256 of "abc", from FIPS 180-2.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn folder_of(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("a file");
        }
        folder
    }

    #[test]
    fn a_folder_with_exactly_the_pinned_files_is_accepted() {
        let folder = folder_of(&[("a.jar", "abc")]);
        verify_all(folder.path(), &format!("{ABC}  a.jar\n")).expect("as pinned");
    }

    #[test]
    fn a_changed_a_missing_and_an_added_file_are_each_refused() {
        let list = format!("{ABC}  a.jar\n{ABC}  b.jar\n");
        for files in [
            &[("a.jar", "abc"), ("b.jar", "abd")][..],
            &[("a.jar", "abc")],
            &[("a.jar", "abc"), ("b.jar", "abc"), ("c.jar", "abc")],
        ] {
            let told = verify_all(folder_of(files).path(), &list).expect_err("not as pinned").to_string();
            assert!(told.starts_with("PH-0201 "), "{told}");
        }
    }

    #[test]
    fn every_line_of_the_pinned_list_is_a_checksum_and_a_jar() {
        assert!(KAFKA_SHA256.lines().count() > 80);
        for line in KAFKA_SHA256.lines() {
            let (sum, name) = line.split_once("  ").expect("two columns");
            assert!(sum.len() == 64 && name.strip_suffix(".jar").is_some(), "{line}");
        }
    }
}
